// Rulesets that need modules which the kernel of the test machine may lack: on the lab's. (secmarks needs SELinux, too.)
import { readFileSync } from "node:fs";
import { nftTable } from "../../provider/nft-table";
import { startVm, type Vm } from "../lab/vm.ts";
import { NamespaceHost } from "./namespace-host.ts";
import { resources } from "./resources.ts";

let vm: Vm;
let host: NamespaceHost;
beforeAll(async () => {
  vm = await startVm();
  host = await NamespaceHost.make(vm);
}, 600_000);
afterAll(async () => {
  await host?.close();
  await vm?.stop();
});

test.each(["bridge-conntrack", "conntrack-objects", "flowtables", "queues", "synproxy", "tproxy"])(
  "%s: loaded, read back without a difference, and gone",
  async (name) => {
    const given = readFileSync(`test/rulesets/${name}.nft`, "utf8");
    const [head, family] = /^table (\w+) \S+/m.exec(given)!;
    // Some of their names are words of nft.
    const [table, text] = ["fw", given.replace(head, `table ${family} fw`)];
    const tables = resources(nftTable, host, "h");
    const made = await tables.create(table, { family, text });
    // By nft itself, of what the file says: each chain with its rules.
    const listed = await host.sh(`nft list table ${family} ${table}`);
    for (const [, chain] of text.matchAll(/^\tchain (\S+)/gm)) expect(listed).toContain(`chain ${chain} {`);
    expect(await tables.drift(table, made)).toEqual([]);
    const again = await tables.update(table, made, { family, text });
    await tables.delete(table, again);
    expect(await host.sh("nft list ruleset")).toBe("");
  },
  120_000,
);
