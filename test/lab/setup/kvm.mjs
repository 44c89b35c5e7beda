// Whether KVM boots the lab's host. The device may be there and still be of no use to a stock kernel.
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { cacheFolder } from "./cache.mjs";
import { timed } from "./shell.mjs";

const patience = 15; // seconds; a machine under KVM boots in a few

/** Tries once, and remembers the answer for this kernel and image. */
export async function kvmWorks(image) {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  const answers = join(cacheFolder(), "kvm.json");
  const known = existsSync(answers) ? JSON.parse(readFileSync(answers, "utf8")) : {};
  const question = `${release()} ${image}`;
  known[question] ??= await timed("trying KVM", () => boots(image));
  writeFileSync(answers, JSON.stringify(known));
  return known[question];
}

/** Boots with the console on our pipe and waits for systemd to greet. */
function boots(image) {
  const args = [
    ...[
      "-accel",
      "kvm",
      "-cpu",
      "host",
      "-smp",
      "2",
      "-m",
      "1536",
      "-nodefaults",
      "-no-user-config",
      "-no-reboot",
    ],
    ...["-display", "none", "-serial", "stdio"],
    ...["-kernel", join(image, "vmlinuz"), "-initrd", join(image, "initrd")],
    ...["-append", "root=/dev/vda rw console=ttyS0 panic=-1"],
    ...["-drive", `file=${join(image, "disk.img")},if=virtio,format=raw,snapshot=on`],
  ];
  return new Promise((answer) => {
    const qemu = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...args]);
    let said = "";
    const timer = setTimeout(() => qemu.kill("SIGKILL"), patience * 1000);
    qemu.stdout.on("data", (data) => {
      said += data;
      if (said.includes("Reached target")) qemu.kill("SIGKILL");
    });
    qemu.on("error", () => {});
    qemu.on("close", () => {
      clearTimeout(timer);
      answer(said.includes("Reached target"));
    });
  });
}
