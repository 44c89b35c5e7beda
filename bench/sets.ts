// Large sets, beside the file that ssh and nft would load: made whole, then ten elements changed.
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";
import { type Made, Ours } from "./ours.ts";
import type { Report } from "./report.ts";
import { Rivals } from "./rivals.ts";

/** Spread out, as real lists are; prefixes with gaps, so that none can be merged. */
const SORTS: Readonly<Record<string, (n: number) => string>> = {
  addresses: (n) => {
    const bits = Math.imul(n + 1, 2654435761) >>> 0;
    return `${1 + ((bits >>> 24) % 126)}.${(bits >>> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
  },
  prefixes: (n) => `${16 + (n >> 14)}.${(n >> 6) & 255}.${(n & 63) * 4}.0/24`,
};

export async function sets(
  vm: BenchHost,
  line: Line,
  report: Report,
  ansible: string,
  size: number,
  times: number,
): Promise<void> {
  const rivals = new Rivals(vm, line, ansible);
  const row = { latency: line.roundTrip, unit: "s" as const };
  for (const [sort, element] of Object.entries(SORTS)) {
    const elements = [...new Set(Array.from({ length: size }, (_, n) => element(n)))];
    const flags = sort === "prefixes" ? " flags interval;" : "";
    const file = `add table inet file\nadd set inet file s { type ipv4_addr;${flags} }\nadd element inet file s { ${elements.join(", ")} }\n`;
    const args = { family: "inet", table: "bench", name: "s", type: "ipv4_addr", elements };
    const taken: Record<"file" | "plain" | "host" | "check" | "create" | "update", number[]> = {
      file: [],
      plain: [],
      host: [],
      check: [],
      create: [],
      update: [],
    };
    let bytes: Made = { id: "", outs: {} };
    let sent = 0;
    for (let n = 0; n < times; n++) {
      taken.file.push(await rivals.nftFile(file));
      await vm.sh("nft delete table inet file");
      taken.plain.push(await rivals.nftAlone(file));
      const run = new Ours(vm, line);
      bytes = await run.create("NftSet", args);
      taken.create.push(run.took.check + run.took.create);
      taken.check.push(run.took.check);
      taken.host.push(run.longest());
      const more = Array.from({ length: 5 }, (_, k) => `200.0.${2 * k}.0/24`);
      const changed = {
        ...args,
        elements: [...elements.slice(5), ...(flags ? more : more.map((one) => one.slice(0, -3)))],
      };
      await line.reset();
      await run.update("NftSet", bytes, changed);
      taken.update.push(run.took.check + run.took.update);
      sent = (await line.traffic()).up;
      await run.delete("NftSet", bytes);
      run.close();
    }
    const bar = (runs: readonly number[]) =>
      Math.round(130 * runs.toSorted((a, b) => a - b)[times >> 1]!) / 100;
    const job = `${elements.length} ${sort}`;
    const state = `${(JSON.stringify(bytes.outs).length / 1e6).toFixed(1)} MB of outputs in the state`;
    const memory = `${Math.round(process.resourceUsage().maxRSS / 1024)} MB of memory here at most`;
    report.add({ ...row, job: `${job}: ssh host 'cat >file; nft -f file'`, runs: taken.file });
    report.add({ ...row, job: `${job}: nft -f alone, on the host`, runs: taken.plain });
    report.add({
      ...row,
      job: `${job}: create, its script with the way there and back`,
      runs: taken.host,
      bar: bar(taken.plain),
    });
    report.add({
      ...row,
      job: `${job}: create, login and check included`,
      runs: taken.create,
      bar: bar(taken.file),
      note: `${state}, ${memory}`,
    });
    report.add({ ...row, job: `${job}: the check alone`, runs: taken.check });
    report.add({ ...row, job: `${job}: 10 changed`, runs: taken.update, note: `${sent} bytes sent` });
  }
  rivals.close();
}
