// Row 17: each nft on each kernel. This machine's own is proven by the suites of test/unit, with both.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nftTable } from "../../provider/nft-table";
import { readLab, startVm, type Vm } from "../lab/vm.ts";
import { NamespaceHost } from "../lab-kinds/namespace-host";
import { resources } from "../lab-kinds/resources";
import { row, whole } from "./table";

const kernels = whole ? ["bookworm", "trixie"] : ["bookworm"];
const nfts = whole ? ["bookworm", "trixie"] : ["trixie"];
const rulesets = readdirSync("test/rulesets").filter((file) => file.endsWith(".nft"));

const machines = new Map<string, Promise<Vm>>();
const hosts = new Map<string, Promise<NamespaceHost>>();
afterAll(async () => {
  if (whole) console.log(`Refused by that nft or that kernel:\n${refused.join("\n")}`);
  for (const host of await Promise.all(hosts.values())) await host.close();
  for (const vm of await Promise.all(machines.values())) await vm.stop();
}, 60_000);

const once = <T>(of: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> =>
  of.get(key) ?? of.set(key, make()).get(key)!;

/** A namespace of a machine with this kernel, where nft is of that release. */
async function hostWith(kernel: string, nft: string): Promise<NamespaceHost> {
  const vm = await once(machines, kernel, () => startVm({ suite: kernel }));
  const folder = readLab().nft![nft]!;
  const there = `/opt/nft-${nft}`;
  const archive = execFileSync("tar", ["-C", folder, "-cf", "-", "."], { maxBuffer: 1 << 28 });
  const { code, stderr } = await vm.ssh(`mkdir ${there} && base64 -d | tar -C ${there} -xf -`, {
    stdin: archive.toString("base64"),
  });
  if (code !== 0) throw new Error(stderr);
  const host = await NamespaceHost.make(vm, there);
  const version = execFileSync(join(folder, "nft"), ["--version"], { encoding: "utf8" });
  expect(await host.sh("nft --version")).toBe(version);
  return host;
}

const refused: string[] = [];
const cases = kernels.flatMap((kernel) =>
  nfts.flatMap((nft) => rulesets.map((file) => ({ kernel, nft, file }))),
);
row("17", "each nft on each kernel", { cases, few: 10 }, async ({ kernel, nft, file }) => {
  const host = await once(hosts, `${kernel} ${nft}`, () => hostWith(kernel, nft));
  const given = readFileSync(`test/rulesets/${file}`, "utf8");
  const [, family, table] = /^\s*table (\w+) (\S+)/m.exec(given)!;
  const text = given.replaceAll(`table ${family} ${table}`, `table ${family} fw`);
  // What this nft or this kernel does not have is not ours to judge.
  const alone = await host.sh(`nft -f - <<'END' 2>&1 && echo loaded; nft flush ruleset\n${text}\nEND`);
  const tables = resources(nftTable, host, "h");
  const args = { family, text, confirm: { when: "never", allowLockout: true } };
  const made = await tables.create("fw", args).catch((error: Error) => {
    if (/loaded/.test(alone)) throw error;
  });
  if (!made) {
    refused.push(`${kernel} ${nft} ${file}: ${alone.split("\n")[0]}`);
    return;
  }
  const drift = await tables.drift("fw", made);
  if (JSON.stringify(drift) !== "[]") throw new Error(`drift: ${JSON.stringify(drift)}`);
  const again = await tables.update("fw", made, args);
  await tables.delete("fw", again);
  const left = await host.sh("nft list ruleset");
  if (left !== "") throw new Error(`left: ${left}`);
});
