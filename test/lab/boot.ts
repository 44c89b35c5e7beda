// Boots the lab's host once and keeps it as it is then, disk and memory: node test/lab/boot.ts IMAGE FOLDER
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { end, launch, save } from "./qemu.ts";
import { Vm } from "./vm.ts";

async function boot(image: string, folder: string): Promise<void> {
  const disk = join(folder, "disk.img");
  execFileSync("cp", ["--sparse=always", "--reflink=auto", join(image, "disk.img"), disk]);
  const monitor = join(folder, "monitor");
  const machine = await launch({ image, folder, disk, keepDisk: true, kvm: false, detached: false, monitor });
  const vm = new Vm(machine, () => end(machine));
  try {
    await vm.settle();
    await vm.disconnect();
    await save(machine, monitor, join(folder, "memory"));
  } finally {
    await vm.stop();
    rmSync(monitor, { force: true });
  }
}

void boot(process.argv[2]!, process.argv[3]!);
