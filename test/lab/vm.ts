// The lab's host: a virtual machine that tests start, or attach to when one is up already.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Host } from "./host.ts";
import { type Boot, end, greets, launch, type Machine, runs, until } from "./qemu.ts";
import { parseSnapshot, type Snapshot } from "./snapshot.ts";
import { type Result, Ssh, type SshOptions } from "./ssh.ts";

/** What setup found and built, noted for everything that comes after it. */
interface Lab {
  readonly cache: string;
  readonly image: string;
  readonly kvm: boolean;
  /** The host as it was after a boot, disk and memory; where KVM boots it, that is fast enough. */
  readonly booted?: string;
  /** Folders to put first on PATH for `pulumi`. */
  readonly pulumi: readonly string[];
  /** Of releases of Debian, a folder to put first on PATH for the nft of that. */
  readonly nft?: Readonly<Record<string, string>>;
}

interface StartOptions {
  /** A machine of its own that keeps its disk: for tests that reboot it. */
  readonly keepDisk?: boolean;
  /** Another release of Debian than the usual: a machine of its own. */
  readonly suite?: string;
}

export class Vm implements Host {
  readonly port: number;
  /** The private key that logs in as root, op, asked and plain. */
  readonly keyFile: string;
  readonly hostKey: string;
  /** What the machine said on its serial console. */
  readonly console: string;
  /** The file by which another process finds this machine, as HOSTNET_VM. */
  readonly state: string;
  private readonly machine: Machine;
  private readonly connection: Ssh;
  private readonly letGo: () => Promise<void> | void;

  constructor(machine: Machine, letGo: () => Promise<void> | void) {
    this.machine = machine;
    this.port = machine.port;
    this.keyFile = join(machine.image, "key");
    this.hostKey = readFileSync(join(machine.image, "host-key.pub"), "utf8").trim();
    this.console = machine.console;
    this.state = join(dirname(machine.console), "state.json");
    this.connection = new Ssh(machine.port, this.keyFile);
    this.letGo = letGo;
  }

  /** Runs a command line on the host; its failure is a result like another. */
  ssh(command: string, options?: SshOptions): Promise<Result> {
    return this.connection.run(command, options);
  }

  async sh(script: string, options: { timeout?: number } = {}): Promise<string> {
    // Not on standard input, where a command that reads would eat the rest of the script.
    const result = await this.ssh(`exec sh -eu -c ${quote(script)}`, options);
    if (result.code === 0) return result.stdout;
    const begin = script.trim().split("\n").slice(0, 5).join("\n");
    throw new Error(
      `code ${result.code} from the host:\n${result.stderr}${result.stdout}of the script:\n${begin}`,
    );
  }

  /** Puts the host back to how it was after boot, without a reboot. */
  async reset(): Promise<void> {
    await this.sh(readFileSync("test/lab/host/reset.sh", "utf8"), { timeout: 120 });
  }

  async snapshot(): Promise<Snapshot> {
    return parseSnapshot(await this.sh(readFileSync("test/lab/host/look.sh", "utf8")));
  }

  log(): Promise<string> {
    return this.sh("journalctl -q -b --no-pager");
  }

  /**
   * Boots again, in order; only for a machine with keepDisk.
   *
   * @param fails the unit that fails then, and no other
   */
  async reboot(fails?: string): Promise<void> {
    const before = await this.bootId();
    await this.ssh("systemctl reboot", { timeout: 30 }).catch(() => {});
    await this.bootedSince(before, fails);
  }

  /** Of the boot that it runs since. */
  async bootId(): Promise<string> {
    return (await this.ssh("cat /proc/sys/kernel/random/boot_id", { timeout: 10 })).stdout;
  }

  /** Waits until it has booted once more, and rests. */
  async bootedSince(before: string, fails?: string): Promise<void> {
    await until(400, "the machine boots again", async () => {
      const now = await this.bootId().catch(() => "");
      return now !== "" && now !== before;
    });
    await this.settle(fails);
  }

  /** How a person logs in. */
  login(user?: string): string {
    return this.connection.login(user);
  }

  /** Waits until the machine has booted and rests. */
  async settle(fails?: string): Promise<void> {
    await until(400, "the machine greets by SSH", async () => {
      if (!runs(this.machine)) throw new Error(`QEMU ended; see ${this.console} and qemu.log beside it`);
      return greets(this.port);
    });
    // An address is tentative for its first second.
    const state = await this.ssh(
      "systemctl is-system-running --wait; while ip -6 addr show tentative | grep -q .; do sleep 0.1; done",
      { timeout: 120 },
    );
    const running = state.stdout.trim() === "running";
    const failed = running
      ? ""
      : (await this.ssh("systemctl list-units --failed --plain --no-legend")).stdout.trim();
    if (fails ? !new RegExp(`^${fails} .*$`).test(failed) : !running)
      throw new Error(`the machine is ${state.stdout.trim()}: ${failed}`);
    // One that was saved still has that time.
    await this.sh(`date -s @${Math.floor(Date.now() / 1000)} >/dev/null`);
    await this.sh(`[ -d /run/lab ] || {\n${readFileSync("test/lab/host/remember.sh", "utf8")}\n}`);
  }

  /** Ends the connections, and waits until the host has seen it. */
  async disconnect(): Promise<void> {
    await this.connection.close();
    await new Promise((seen) => setTimeout(seen, 3000));
  }

  /** Ends the connections, and the machine if it was started for us. */
  async stop(): Promise<void> {
    await this.connection.close();
    await this.letGo();
  }
}

/**
 * A pristine host: the one that is up, or a new one. HOSTNET_VM names the state file of the one to use, or says "fresh"
 * for a new one in any case.
 */
export async function startVm(options: StartOptions = {}): Promise<Vm> {
  const lab = readLab(options.suite);
  const given = process.env.HOSTNET_VM;
  if (options.keepDisk || options.suite || given === "fresh") return startOwn(lab, options.keepDisk ?? false);
  const machine = given ? readMachine(given) : readMachine(standing(lab).state, lab);
  if (given && !machine) throw new Error(`no machine of this lab runs by ${given}`);
  const release = machine && (given ? () => {} : takeLock(standing(lab).lock));
  if (!machine || !release) return startOwn(lab, false);
  const vm = new Vm(machine, release);
  try {
    await vm.settle();
    await vm.reset();
    return vm;
  } catch (error) {
    await vm.stop();
    throw error;
  }
}

/** The files of the machine that a developer keeps up. */
export function standing(lab: Lab): { folder: string; state: string; lock: string } {
  const folder = join(lab.cache, `vm-${basename(lab.image)}`);
  return { folder, state: join(folder, "state.json"), lock: join(folder, "lock") };
}

/** What setup left for us. */
export function readLab(suite = process.env.HOSTNET_SUITE ?? "bookworm"): Lab {
  const folder = join(process.cwd(), "node_modules", ".cache", "pulumi-hostnet");
  const file = join(folder, `lab-${suite}.json`);
  if (!existsSync(file))
    throw new Error("the lab is not set up: run `node test/lab/up.mjs` in the checkout first");
  return JSON.parse(readFileSync(file, "utf8"));
}

/** The machine of a state file, when it runs, from this image. */
export function readMachine(state: string, lab?: Lab): Machine | undefined {
  if (!existsSync(state)) return undefined;
  const machine: Machine = JSON.parse(readFileSync(state, "utf8"));
  return runs(machine) && (!lab || machine.image === lab.image) ? machine : undefined;
}

/** Starts a machine that ends with this process at the latest. */
async function startOwn(lab: Lab, keepDisk: boolean): Promise<Vm> {
  const folder = mkdtempSync(join(tmpdir(), "hostnet-vm-"));
  const machine = await launchOf(lab, { folder, keepDisk, detached: false });
  writeFileSync(join(folder, "state.json"), JSON.stringify(machine));
  const vm = new Vm(machine, async () => {
    await end(machine);
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    await vm.settle();
    return vm;
  } catch (error) {
    await vm.stop();
    throw error;
  }
}

/** A machine of the lab: as it was after its boot where that is kept. One with its own disk is to boot again, and boots. */
export async function launchOf(
  lab: Lab,
  own: Pick<Boot, "folder" | "keepDisk" | "detached">,
): Promise<Machine> {
  const { image, kvm, booted } = lab;
  const from = join(booted ?? image, "disk.img");
  const disk = own.keepDisk ? join(own.folder, "disk.img") : from;
  if (disk !== from) execFileSync("cp", ["--sparse=always", "--reflink=auto", from, disk]);
  return launch({ ...own, image, disk, kvm, memory: booted && join(booted, "memory") });
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Two runs must not share a host: returns how to release it, or undefined when another process has it. */
function takeLock(file: string): (() => void) | undefined {
  const holder = existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  if (holder !== process.pid && holder && existsSync(`/proc/${holder}`)) return undefined;
  writeFileSync(file, String(process.pid));
  return () => rmSync(file, { force: true });
}
