// The benchmark as a command: the machine, the lines to it, one part after the other.
import { readLab, startVm } from "../test/lab/vm.ts";
import { Line } from "./line.ts";
import { isolated, logins, together } from "./operations.ts";
import { Report } from "./report.ts";

const option = (name: string, usual: string): string => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? usual : process.argv[at + 1]!;
};
const latencies = option("latencies", "20,100").split(",").map(Number);
const count = Number(option("resources", "100"));
const times = Number(option("runs", "3"));
const parts = option("parts", "logins,isolated,together").split(",");

async function bench(): Promise<void> {
  const vm = await startVm();
  const report = new Report();
  const lines = await Promise.all(latencies.map((latency) => Line.to(vm.port, latency)));
  const each = async (part: string, run: (line: Line) => Promise<void>): Promise<void> => {
    if (parts.includes(part)) for (const line of lines) await run(line);
  };
  try {
    await each("logins", (line) => logins(vm, line, report, times));
    await each("isolated", (line) => isolated(vm, line, report, times));
    await each("together", (line) => together(vm, line, report, count));
    const [kernel, cpu] = (await vm.sh("uname -r; nproc")).trim().split("\n");
    report.write({ kernel, cores: Number(cpu), emulated: !readLab().kvm });
  } finally {
    for (const line of lines) line.close();
    await vm.stop();
  }
}

bench().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
