// What one run of the engine does on an open session, in round trips.
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";
import { type Made, Ours } from "./ours.ts";
import type { Report } from "./report.ts";

interface Timed {
  readonly milliseconds: number;
  /** All of it, and without the host's own work. */
  readonly trips: number;
  readonly net: number;
}

async function timed(line: Line, act: () => Promise<unknown>): Promise<Timed> {
  await line.reset();
  const begin = performance.now();
  await act();
  const milliseconds = performance.now() - begin;
  const { host } = await line.traffic();
  const [trips, net] = [milliseconds, milliseconds - host].map((time) => time / line.roundTrip);
  return { milliseconds, trips: trips!, net: net! };
}

async function repeat<T>(times: number, act: (n: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let n = 0; n < times; n++) results.push(await act(n));
  return results;
}

export async function logins(vm: BenchHost, line: Line, report: Report, times: number): Promise<void> {
  const ours = new Ours(vm, line);
  const row = (job: string, unit: "round trips", bar?: number) => ({
    job,
    latency: line.roundTrip,
    unit,
    bar,
  });
  // Ended before the next: an open one shows signs of life.
  const alone = async (open: () => Promise<() => void>): Promise<Timed> => {
    let end = (): void => {};
    const time = await timed(line, async () => {
      end = await open();
    });
    end();
    return time;
  };
  const login = await repeat(times, () => alone(() => ours.login()));
  const session = await repeat(times, () => alone(() => ours.session()));
  const bar = line.roundTrip === 100 ? 8.5 : undefined;
  report.add({ ...row("handshake, all of it", "round trips", bar), runs: login.map((t) => t.trips) });
  report.add({
    ...row("handshake, without the host's own work", "round trips", bar),
    runs: login.map((t) => t.net),
  });
  report.add({
    ...row("handshake and driver, without the host's own work", "round trips"),
    runs: session.map((t) => t.net),
  });
  ours.close();
}

export async function isolated(vm: BenchHost, line: Line, report: Report, times: number): Promise<void> {
  const ours = new Ours(vm, line);
  const latency = line.roundTrip;
  const args = (ageingTime: number) => ({ name: "bench", ageingTime });
  const made = await ours.create("Bridge", args(100));
  const update = async (n: number) => {
    ours.scripts();
    const time = await timed(line, () => ours.update("Bridge", made, args(n)));
    return { ...time, scripts: ours.scripts() };
  };
  const found = await repeat(times, (n) => update(101 + n));
  const otherwise = await repeat(times, async (n) => {
    await vm.sh(`ip link set dev bench type bridge ageing_time ${50_000 + n}`);
    return update(201 + n);
  });
  await ours.delete("Bridge", made);
  ours.close();
  const job = "an update, the host as it was left";
  report.add({ job: `${job}: scripts`, latency, unit: "scripts", runs: found.map((t) => t.scripts), bar: 1 });
  report.add({
    job: `${job}: without the tools' time`,
    latency,
    unit: "round trips",
    runs: found.map((t) => t.net),
    bar: 1.3,
  });
  report.add({ job: `${job}: all of it`, latency, unit: "ms", runs: found.map((t) => t.milliseconds) });
  report.add({
    job: "an update, found otherwise: scripts",
    latency,
    unit: "scripts",
    runs: otherwise.map((t) => t.scripts),
    bar: 2,
  });
  report.add({
    job: "an update, found otherwise: without the tools' time",
    latency,
    unit: "round trips",
    runs: otherwise.map((t) => t.net),
  });
}

export async function together(vm: BenchHost, line: Line, report: Report, count: number): Promise<void> {
  const ours = new Ours(vm, line);
  const latency = line.roundTrip;
  await ours.open();
  ours.scripts();
  let made: Made[] = [];
  const names = Array.from({ length: count }, (_, n) => `bench${n}`);
  const creates = await timed(line, async () => {
    made = await Promise.all(names.map((name) => ours.create("Bridge", { name })));
  });
  const creating = ours.scripts();
  const reads = await timed(line, () => Promise.all(made.map((one) => ours.read("Bridge", one))));
  const reading = ours.scripts();
  const deletes = await timed(line, () => Promise.all(made.map((one) => ours.delete("Bridge", one))));
  const deleting = ours.scripts();
  ours.close();
  report.add({ job: `${count} creates together: scripts`, latency, unit: "scripts", runs: [creating] });
  report.add({
    job: `${count} creates together: without the tools' time`,
    latency,
    unit: "round trips",
    runs: [creates.net],
    bar: 12,
  });
  report.add({
    job: `${count} creates together: all of it`,
    latency,
    unit: "s",
    runs: [creates.milliseconds / 1000],
  });
  report.add({ job: `refresh of ${count}: scripts`, latency, unit: "scripts", runs: [reading], bar: 1 });
  report.add({
    job: `refresh of ${count}: all of it`,
    latency,
    unit: "s",
    runs: [reads.milliseconds / 1000],
  });
  report.add({ job: `${count} deletes together: scripts`, latency, unit: "scripts", runs: [deleting] });
  report.add({
    job: `${count} deletes together: all of it`,
    latency,
    unit: "s",
    runs: [deletes.milliseconds / 1000],
  });
}
