// The real CLI: connections, and where the time of a whole `pulumi up` goes.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newProject } from "../test/e2e/lab.ts";
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";
import { hostArgs } from "./ours.ts";
import type { Report } from "./report.ts";

/** One Node process of a run, as trace.cjs saw it; milliseconds. */
interface Traced {
  readonly script?: string;
  readonly begin: number;
  readonly end: number;
  readonly cpu: number;
  readonly loads: Readonly<Record<string, number>>;
}

const bridges = (count: number): string =>
  `for (let n = 0; n < ${count}; n++) new Bridge("bench" + n, { ...host, macAddress: mac(n) });`;
/** A base chain of its own: its change must be confirmed by a new connection. */
const CHAIN = `new NftTable("bench", { ...host, family: "inet", chains: { input: { type: "filter", hook: "input", priority: "filter", policy: "accept", rules: [] } } });`;

export async function ups(vm: BenchHost, line: Line, report: Report, count: number): Promise<void> {
  const project = newProject();
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  const [trace, log] = [join(folder, "trace"), join(folder, "log")];
  const program = (...lines: string[]): void =>
    project.program(`const { Bridge, NftTable } = require("pulumi-hostnet");
const host = ${JSON.stringify(hostArgs(vm, line.port))};
const mac = (n) => "02:00:00:00:00:" + n.toString(16).padStart(2, "0");
${lines.join("\n")}
`);
  const env = {
    HOSTNET_LOG: log,
    BENCH_TRACE: trace,
    NODE_OPTIONS: `--require=${join(process.cwd(), "bench", "trace.cjs")}`,
  };
  const lines = <T>(file: string): T[] =>
    existsSync(file)
      ? readFileSync(file, "utf8")
          .trim()
          .split("\n")
          .map((text) => JSON.parse(text))
      : [];
  const run = async (job: string, bar: number, command: readonly string[], told = false): Promise<void> => {
    for (const file of [trace, log]) rmSync(file, { force: true });
    await line.reset();
    const begin = Date.now();
    await project.ok(command, { env, timeout: 900 });
    const all = Date.now() - begin;
    const { connections } = await line.traffic();
    const latency = line.roundTrip;
    report.add({ job: `${job}: connections`, latency, unit: "connections", runs: [connections], bar });
    report.add({ job: `${job}: all of it`, latency, unit: "ms", runs: [all] });
    if (!told) return;
    const traced = lines<Traced>(trace);
    const scripts = lines<{ milliseconds: number }>(log);
    const add = (part: string, value: number): void =>
      report.add({ job: `${job}: ${part}`, latency, unit: "ms", runs: [value] });
    const of = (name: string) => traced.filter(({ script }) => script?.includes(name));
    const [run, provider] = [of("cmd/run"), of("cmd/dynamic-provider")];
    add(
      "scripts on the host and the way there",
      scripts.reduce((sum, s) => sum + s.milliseconds, 0),
    );
    for (const { begin: start, end, cpu, loads } of run) {
      add("  the program's process", end - start);
      add("    its processor time", cpu);
      add("    loading @pulumi/pulumi in it", loads["@pulumi/pulumi"] ?? 0);
      add("    loading pulumi-hostnet in it", loads["pulumi-hostnet"] ?? 0);
      add("  the CLI, before that process", start - begin);
    }
    for (const { begin: start, end, cpu, loads } of provider) {
      add("  the provider's process", end - start);
      add("    its processor time", cpu);
      add("    loading pulumi-hostnet/v1 in it", loads["pulumi-hostnet/v1"] ?? 0);
      add("    loading node-ssh in it", loads["node-ssh"] ?? 0);
    }
  };
  const parallel = ["--parallel", String(count)];
  const up = ["up", "--yes", "--skip-preview", ...parallel];
  try {
    await project.init();
    program(bridges(1));
    await run("up of 1 resource", 1, up, true);
    await run("up of 1 resource, no change", 0, up, true);
    program(bridges(count));
    await run(`preview of ${count} resources`, 0, ["preview", ...parallel]);
    await run(`up of ${count} resources`, 1, up, true);
    await run(`up of ${count} resources, no change`, 0, up, true);
    program(bridges(count), CHAIN);
    await run(`up of one more, which must be confirmed`, 2, up);
    await project.ok(["destroy", "--yes", "--skip-preview", ...parallel], { timeout: 900 });
  } finally {
    project.close();
    rmSync(folder, { recursive: true });
  }
}
