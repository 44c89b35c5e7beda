// The same bridges made in other ways, one after the other over the same line, in the same run.
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";
import { Ours } from "./ours.ts";
import { median, type Report } from "./report.ts";
import { Rivals, type Took } from "./rivals.ts";

interface Counts {
  readonly all: number;
  /** For what is slow. */
  readonly few: number;
}

export async function beside(
  vm: BenchHost,
  line: Line,
  report: Report,
  ansible: string,
  { all, few }: Counts,
  times: number,
): Promise<void> {
  const rivals = new Rivals(vm, line, ansible);
  const ways: Readonly<Record<string, () => Promise<Took>>> = {
    "pulumi-hostnet, with records, guards and looks": () => ours(vm, line, all),
    "one connection and one script written by hand": () => rivals.byHand(all),
    "ssh with ControlMaster, a command each": () => rivals.controlMaster(few),
    "a connection each, 8 at a time": () => rivals.remoteCommands(Math.min(all, 8 * few)),
    "Ansible with pipelining": () => rivals.playbook(few, true),
    Ansible: () => rivals.playbook(few, false),
  };
  await rivals.python();
  const took = new Map<string, Took[]>();
  for (let n = 0; n < times; n++)
    for (const [name, way] of Object.entries(ways)) took.set(name, [...(took.get(name) ?? []), await way()]);
  for (const [name, runs] of took) {
    const { count } = runs[0]!;
    const scaled =
      count < all
        ? `${count} made in ${median(runs.map((r) => r.seconds)).toFixed(1)} s, scaled, start and login too`
        : undefined;
    const seconds = runs.map((r) => (r.seconds * all) / count);
    report.add({
      job: `${all} bridges, login included: ${name}`,
      latency: line.roundTrip,
      unit: "s",
      runs: seconds,
      note: scaled,
    });
  }
  rivals.close();
}

async function ours(vm: BenchHost, line: Line, count: number): Promise<Took> {
  const ours = new Ours(vm, line);
  const begin = performance.now();
  const names = Array.from({ length: count }, (_, n) => `bench${n}`);
  const made = await Promise.all(names.map((name) => ours.create("Bridge", { name })));
  const seconds = (performance.now() - begin) / 1000;
  await Promise.all(made.map((one) => ours.delete("Bridge", one)));
  ours.close();
  return { seconds, count };
}
