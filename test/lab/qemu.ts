// The emulated machine itself: how QEMU is started, and how it is ended.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";

/** What is needed to find, log in to and end a machine that runs. */
export interface Machine {
  readonly pid: number;
  readonly port: number;
  readonly image: string;
  /** What the machine said on its serial console. */
  readonly console: string;
}

export interface Boot {
  readonly image: string;
  /** A folder of this machine's own, for its console and its disk. */
  readonly folder: string;
  readonly disk: string;
  /** The disk keeps what is written to it, and a reboot boots again. */
  readonly keepDisk: boolean;
  readonly kvm: boolean;
  /** It outlives the process that starts it. */
  readonly detached: boolean;
  /** What the machine has in its memory, from `save`: it goes on from there and does not boot. */
  readonly memory?: string;
  /** A socket that takes QEMU's commands. */
  readonly monitor?: string;
}

/** Starts QEMU on a free port of the loopback; unless its memory is given, the machine inside has not booted yet. */
export async function launch(boot: Boot): Promise<Machine> {
  const port = await freePort();
  const serial = join(boot.folder, "console.log");
  const network = `user,id=uplink,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:${port}-:22`;
  // Under emulation one processor is less work than two, and waiting for RCU is most of the time that links take to go.
  // A program at another address at every start is translated anew at every start: without that a command takes a third.
  const kernel = [
    "root=/dev/vda rw console=ttyS0 quiet audit=0 rcupdate.rcu_expedited=1 norandmaps",
    "mitigations=off lsm=capability init_on_alloc=0 hardened_usercopy=off",
  ].join(" ");
  const args = [
    ...[
      "-accel",
      boot.kvm ? "kvm" : "tcg",
      "-cpu",
      boot.kvm ? "host" : "qemu64",
      "-smp",
      boot.kvm ? "2" : "1",
      "-m",
      "1536",
    ],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-serial", `file:${serial}`],
    ...["-kernel", join(boot.image, "vmlinuz"), "-initrd", join(boot.image, "initrd")],
    ...["-append", kernel],
    ...["-drive", `file=${boot.disk},if=virtio,format=raw,snapshot=${boot.keepDisk ? "off" : "on"}`],
    ...["-netdev", network, "-device", "virtio-net-pci,netdev=uplink,romfile="],
    ...(boot.keepDisk ? [] : ["-no-reboot"]),
    ...(boot.memory ? ["-incoming", `exec:cat '${boot.memory}'`] : []),
    ...(boot.monitor ? ["-monitor", `unix:${boot.monitor},server=on,wait=off`] : []),
  ];
  const log = openSync(join(boot.folder, "qemu.log"), "a");
  const stdio: ["ignore", number, number] = ["ignore", log, log];
  // A machine that belongs to a process ends with it, however that process ends.
  const qemu: ChildProcess = boot.detached
    ? spawn("qemu-system-x86_64", args, { stdio, detached: true })
    : spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...args], { stdio });
  await new Promise<void>((started, fail) => qemu.once("spawn", started).once("error", fail));
  qemu.unref();
  return { pid: qemu.pid!, port, image: boot.image, console: serial };
}

/** Whether the process is still this machine: a number may have gone to another process since. */
export function runs(machine: Machine): boolean {
  try {
    const words = readFileSync(`/proc/${machine.pid}/cmdline`, "utf8");
    // It has none for a moment while it becomes QEMU, and as a zombie.
    if (words === "") return !/\) Z /.test(readFileSync(`/proc/${machine.pid}/stat`, "utf8"));
    return words.includes(`127.0.0.1:${machine.port}-:22`);
  } catch {
    return false;
  }
}

/** Ends the machine, as pulling its plug would. */
export async function end(machine: Machine): Promise<void> {
  if (!runs(machine)) return;
  process.kill(machine.pid, "SIGTERM");
  await until(10, "QEMU ends", async () => !runs(machine) || !existsSync(`/proc/${machine.pid}`));
}

/** Ends the machine and keeps its memory in a file: it fits the disk as that is then. */
export async function save(machine: Machine, monitor: string, file: string): Promise<void> {
  const socket = connect(monitor);
  socket.resume();
  // Each command is done before the next, and the machine stands still once it is saved; stopped before, it would be so
  // for ever.
  socket.write(`migrate_set_parameter max-bandwidth 100G\nmigrate "exec:cat > '${file}'"\nquit\n`);
  await until(120, "the machine is saved", async () => !runs(machine));
  socket.destroy();
}

/** Polls until the condition holds; fails after so many seconds, naming what was waited for. */
export async function until(seconds: number, what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await new Promise((tick) => setTimeout(tick, 50));
  }
}

/** Whether an SSH server answers. QEMU takes connections before there is anyone inside, hence the look at the greeting. */
export function greets(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(port, "127.0.0.1");
    const finish = (result: boolean) => {
      socket.destroy();
      answer(result);
    };
    socket.setTimeout(2000, () => finish(false));
    socket.once("data", (data) => finish(data.toString().startsWith("SSH-")));
    socket.once("error", () => finish(false));
    socket.once("close", () => finish(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((found, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === "object" ? found(address.port) : fail(new Error("no port")),
      );
    });
  });
}
