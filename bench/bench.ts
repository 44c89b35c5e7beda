// The benchmark as a command: the machine, the lines to it, one part after the other.
import { loadavg } from "node:os";
import { readLab, startVm } from "../test/lab/vm.ts";
import { beside } from "./beside.ts";
import { bulk } from "./bulk.ts";
import { type BenchHost, startHere } from "./here.ts";
import { Line } from "./line.ts";
import { isolated, logins, together } from "./operations.ts";
import { Report } from "./report.ts";
import { sets } from "./sets.ts";
import { ups } from "./up.ts";

const option = (name: string, usual: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? usual : process.argv[at + 1]!;
};
/** Ansible's folder, from setup.mjs. */
const ansible = process.argv[2]!;
/** Not the lab's virtual machine, but namespaces of this machine. */
const here = process.argv.includes("--here");
const latencies = option("latencies", "20,100").split(",").map(Number);
const count = Number(option("resources", "100"));
const times = Number(option("runs", "3"));
/** Of what takes long: everything that is compared, one after the other, so often. */
const rounds = Number(option("rounds", "3"));
const few = Number(option("few", "5"));
const megabytes = Number(option("megabytes", "10"));
/** Elements of a large set. */
const size = Number(option("elements", "100000"));
const parts = option("parts", "logins,isolated,together,up,beside,bulk,sets").split(",");

async function bench(): Promise<void> {
  const vm: BenchHost = here ? await startHere() : await startVm();
  const report = new Report();
  const lines = await Promise.all(latencies.map((latency) => Line.to(vm.port, latency)));
  const each = async (part: string, run: (line: Line) => Promise<void>): Promise<void> => {
    if (!parts.includes(part)) return;
    for (const line of lines) {
      await run(line);
      write();
    }
  };
  const [kernel, cpu] = (await vm.sh("uname -r; nproc")).trim().split("\n");
  const kind = here ? "namespaces of the workstation" : `virtual machine${readLab().kvm ? "" : ", emulated"}`;
  const write = (): void =>
    report.write({ kind, kernel, cores: Number(cpu), load: loadavg().map((n) => Math.round(n * 10) / 10) });
  try {
    await each("logins", (line) => logins(vm, line, report, times));
    await each("isolated", (line) => isolated(vm, line, report, times));
    await each("together", (line) => together(vm, line, report, count));
    // The CLI's own time is the same at each.
    if (parts.includes("up")) await ups(vm, lines.at(-1)!, report, count);
    await each("beside", (line) => beside(vm, line, report, ansible, { all: count, few }, rounds));
    await each("bulk", (line) => bulk(vm, line, report, ansible, megabytes, rounds));
    await each("sets", (line) => sets(vm, line, report, ansible, size, rounds));
  } finally {
    for (const line of lines) line.close();
    await vm.stop();
  }
}

bench().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
