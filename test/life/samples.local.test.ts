// What released versions left in states and on hosts stays readable: samples of each, written by that version itself.
// HOSTNET_SAMPLE=write adds those of the version at hand, before it is released.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { bridge } from "../../provider/bridge";
import { type Hosts, lifecycle } from "../../provider/lifecycle";
import { nftSet } from "../../provider/nft-set";
import { nftTable } from "../../provider/nft-table";
import { policyRoute } from "../../provider/policy-route";
import { sysctl } from "../../provider/sysctl";
import { version } from "../../provider/version";
import { Stack, type State } from "../engine";
import { LocalHost } from "../local-host";

interface Sample {
  readonly states: Readonly<Record<string, State>>;
  /** Of the host: path and text. */
  readonly records: Readonly<Record<string, string>>;
  /** Makes the objects as that version left them, without it. */
  readonly host: string;
}

const providers = (hosts: Hosts) => ({
  Bridge: lifecycle(bridge, hosts),
  NftTable: lifecycle(nftTable, hosts),
  NftSet: lifecycle(nftSet, hosts),
  PolicyRoute: lifecycle(policyRoute, hosts),
  Sysctl: lifecycle(sysctl, hosts),
});

const declared = {
  Bridge: { name: "lan", addresses: ["10.1.0.1/24"], macAddress: "02:00:00:00:00:01", ageingTime: 60 },
  NftTable: {
    name: "fw",
    family: "inet",
    uses: ["banned"],
    chains: {
      forward: {
        type: "filter",
        hook: "forward",
        priority: 0,
        rules: ["ip saddr @banned drop", "tcp dport { 22, 80 } accept"],
      },
    },
  },
  NftSet: { name: "banned", family: "inet", table: "fw", type: "ipv4_addr", elements: ["192.0.2.1"] },
  PolicyRoute: { name: "marked", family: "ipv4", priority: 100, fwmark: 7, table: 200 },
  Sysctl: { name: "on", settings: { "net.ipv4.conf.lo.rp_filter": 2 } },
};
/** Sets before the table that names them. */
const order = ["Bridge", "NftSet", "NftTable", "PolicyRoute", "Sysctl"] as const;

const made = `ip link add name lan address 02:00:00:00:00:01 type bridge ageing_time 6000
ip link set dev lan up
ip addr add 10.1.0.1/24 dev lan
nft -f - <<END
table inet fw {
  set banned { type ipv4_addr
    elements = { 192.0.2.1 } }
  chain forward { type filter hook forward priority filter; policy accept;
    ip saddr @banned drop
    tcp dport { 22, 80 } accept
  }
}
END
ip rule add priority 100 fwmark 7 table 200 protocol 210
echo 2 >/proc/sys/net/ipv4/conf/lo/rp_filter`;

const folder = "test/samples";
const sample = (name: string): Sample => JSON.parse(readFileSync(join(folder, name), "utf8"));

let host: LocalHost;
beforeEach(async () => {
  host = await new LocalHost().ready();
});
afterEach(() => host.close());

const records = () => host.sh("find /etc/hostnet -type f").trim().split("\n").sort();

if (process.env.HOSTNET_SAMPLE === "write")
  test("write the sample of this version", async () => {
    const stack = new Stack("dev", () => providers(host));
    for (const kind of order) await stack.up(kind, declared[kind].name, declared[kind]);
    const files = records().map((path) => [path, host.sh(`cat ${path}`)]);
    const states = Object.fromEntries([...stack.resources].map(([urn, state]) => [urn, state]));
    const text = JSON.stringify({ states, records: Object.fromEntries(files), host: made }, undefined, 1);
    writeFileSync(join(folder, `${version}.json`), `${text}\n`);
  });

test("there is a sample of this version", () => {
  expect(existsSync(join(folder, `${version}.json`))).toBe(true);
});

const samples = readdirSync(folder).filter((name) => name.endsWith(".json"));
test.each(samples)("%s: no diff, no drift, an update and a delete", async (name) => {
  const { states, records, host: commands } = sample(name);
  host.sh(commands);
  for (const [path, text] of Object.entries(records))
    host.sh(`mkdir -p $(dirname ${path}); cat >${path} <<'END'\n${text.replace(/\n$/, "")}\nEND`);
  const before = host.sh("nft list ruleset; ip addr show dev lan; ip rule");

  const stack = new Stack("dev", () => providers(host));
  for (const [urn, state] of Object.entries(states)) stack.resources.set(urn, structuredClone(state));
  for (const kind of order) await stack.up(kind, declared[kind].name, declared[kind]);
  expect(stack.steps).toEqual(order.map((kind) => `same ${declared[kind].name}`));
  for (const kind of order)
    expect((await stack.refresh(kind, declared[kind].name))!.outputs.drift).toEqual([]);
  expect(host.sh("nft list ruleset; ip addr show dev lan; ip rule")).toBe(before);

  await stack.run().up("Bridge", "lan", { ...declared.Bridge, ageingTime: 70 });
  const [forward, drop] = [declared.NftTable.chains.forward, "tcp dport 25 drop"];
  await stack.up("NftTable", "fw", {
    ...declared.NftTable,
    chains: { forward: { ...forward, rules: [...forward.rules, drop] } },
  });
  expect(host.sh('ip -d link show dev lan | grep -o "ageing_time [0-9]*"; nft list ruleset')).toMatch(
    /^ageing_time 7000\n[\s\S]*tcp dport 25 drop/,
  );
  for (const kind of [...order].reverse()) await stack.run().destroy(kind, declared[kind].name);
  expect(
    host.sh("nft list ruleset; ip rule; ls -A /etc/hostnet; cat /proc/sys/net/ipv4/conf/lo/rp_filter"),
  ).toMatch(/^0:.*\n32766:.*\n32767:.*\n[01]\n$/);
  expect(host.sh("ip -br link")).not.toContain("lan");
});
