// A set of ten megabytes of elements, beside the file that ssh and nft would load.
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";
import { Ours } from "./ours.ts";
import type { Report } from "./report.ts";
import { Rivals } from "./rivals.ts";

export async function bulk(
  vm: BenchHost,
  line: Line,
  report: Report,
  ansible: string,
  megabytes: number,
  times: number,
): Promise<void> {
  const elements: string[] = [];
  for (let size = 0, n = 0; size < megabytes * 1e6; n++) {
    // Spread out, as real lists are.
    const bits = Math.imul(n + 1, 2654435761) >>> 0;
    const address = `${1 + ((bits >>> 24) % 126)}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${n & 255}`;
    elements.push(address);
    size += address.length + 2;
  }
  const rivals = new Rivals(vm, line, ansible);
  const file = `add table inet file\nadd set inet file s { type ipv4_addr; }\nadd element inet file s { ${elements.join(", ")} }\n`;
  const [ours, theirs, checks]: [number[], number[], number[]] = [[], [], []];
  let sent = 0;
  for (let n = 0; n < times; n++) {
    const run = new Ours(vm, line);
    await line.reset();
    const made = await run.create("NftSet", {
      family: "inet",
      table: "bench",
      name: "s",
      type: "ipv4_addr",
      elements,
    });
    ours.push(run.took.create);
    checks.push(run.took.check);
    sent = (await line.traffic()).up;
    await run.delete("NftSet", made);
    run.close();
    theirs.push(await rivals.nftFile(file));
    await vm.sh("nft delete table inet file");
  }
  rivals.close();
  const job = `${megabytes} MB of elements, login included`;
  const row = { latency: line.roundTrip, unit: "s" as const };
  report.add({ ...row, job: `${job}: ssh host 'cat >file; nft -f file'`, runs: theirs });
  const bar = theirs.toSorted((a, b) => a - b)[theirs.length >> 1]!;
  const note = `${elements.length} elements, ${(sent / 1e6).toFixed(1)} MB sent`;
  report.add({ ...row, job: `${job}: pulumi-hostnet`, runs: ours, bar: Math.round(bar * 100) / 100, note });
  report.add({ ...row, job: `${job}: the check before it, on the workstation`, runs: checks });
}
