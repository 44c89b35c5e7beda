// What OverlappingSubnets makes of nftables and ip rules, by packets. Where this kernel has no VRFs, a rule for each link
// leads into the table of its site; with VRFs, and connections tracked in bridges: test/e2e/overlapping-sites.test.ts.
import { lifecycle } from "../../provider/lifecycle";
import { nftTable } from "../../provider/nft-table";
import { policyRoute } from "../../provider/policy-route";
import { readOverlap, translation } from "../../sdk/components/overlap";
import {
  buildSites,
  card,
  type Name,
  pingsAll,
  removeSites,
  SITES,
  Stream,
  samePortEverywhere,
  seenAs,
} from "../lab/sites";
import { LocalHost } from "../local-host";

type Props = Record<string, unknown>;

const local = new LocalHost();
/** As the tools of the lab take it. */
const host = { sh: async (script: string) => local.sh(`set -eu\n${script}`) } as Parameters<
  typeof buildSites
>[0];
const connection = { host: "h" };

beforeAll(() => local.ready());
afterAll(() => local.close());

const linkOf = (name: Name) => (name === "lab" ? "br-lab" : card(name));
const overlap = (names: readonly Name[]) =>
  readOverlap({
    connection,
    addresses: ["192.168.2.1/24", "fd00:2::1/64"],
    sites: Object.fromEntries(
      names.map((name) => [
        name,
        {
          id: SITES[name].id,
          seenAs: seenAs(name),
          ...(name === "lab" ? { bridge: "br-lab" } : { interface: card(name) }),
        },
      ]),
    ),
  });

/** In the place of the VRFs. */
const TABLES = `sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip link add name br-lab type bridge
ip link set dev ${card("lab")} master br-lab
ip link set dev ${card("lab2")} master br-lab
ip link set dev br-lab up
${(Object.keys(SITES) as Name[])
  .map((name) => {
    const [link, table] = [linkOf(name), SITES[name].id];
    return `ip addr add 192.168.2.1/24 dev ${link}
ip addr add fd00:2::1/64 dev ${link} nodad
ip route add 192.168.2.0/24 dev ${link} table ${table}
ip route add fd00:2::/64 dev ${link} table ${table}
for version in -4 -6; do
  ip $version route add unreachable default metric 4278198272 table ${table}
  ip $version rule add pref 1000 iif ${link} lookup ${table}
done`;
  })
  .join("\n")}
while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

/** One resource of the component, as the engine drives it. */
function resource(kind: typeof nftTable | typeof policyRoute, name: string) {
  const provider = lifecycle(kind as typeof nftTable, local);
  let id = "";
  let outs: Props = {};
  return {
    async up(args: object) {
      const common = { connection, __provider: "p", __owner: `urn:${kind.name}::${name}`, __resource: name };
      const { inputs, failures } = await provider.check({}, { ...common, name, ...args });
      expect(failures).toEqual([]);
      ({ id = id, outs } = (id ? await provider.update(id, outs, inputs) : await provider.create(inputs)) as {
        id?: string;
        outs: Props;
      });
    },
    drift: async () => (await provider.read(id, outs)).props!.drift,
    gone: () => provider.delete(id, outs),
  };
}

test("T9: sites with the same addresses, on cards and on a bridge, come and go while a connection runs", async () => {
  await buildSites(host);
  await host.sh(TABLES);
  const table = resource(nftTable, "sites");
  const rules = (Object.keys(SITES) as Name[]).flatMap((name) =>
    (["ipv4", "ipv6"] as const).map((family) => ({
      rule: resource(policyRoute, `${name}-${family}`),
      args: { family, priority: 900, fwmark: SITES[name].id, table: SITES[name].id },
    })),
  );
  for (const { rule, args } of rules) await rule.up(args);

  const three = overlap(["berlin", "lab", "paris"]);
  await table.up(translation(three));
  expect(await table.drift()).toEqual([]);
  expect((await pingsAll(host, ["berlin", "lab", "paris"])).seen).toBe("12 of 12 pings answered");
  expect((await samePortEverywhere(host, ["berlin", "lab", "paris"])).seen).toMatch(
    /^12 connections at once/,
  );
  await expect(pingsAll(host, ["berlin", "oslo"])).rejects.toThrow("no answer");

  const stream = await Stream.start(host, "berlin", "paris");
  const four = overlap(["berlin", "lab", "oslo", "paris"]);
  await table.up(translation(four));
  expect((await pingsAll(host, ["berlin", "lab", "oslo", "paris"])).seen).toBe("24 of 24 pings answered");
  const without = overlap(["berlin", "oslo", "paris"]);
  await table.up(translation(without));
  expect(await table.drift()).toEqual([]);
  expect((await samePortEverywhere(host, ["berlin", "oslo", "paris"])).seen).toMatch(
    /^12 connections at once/,
  );
  await expect(pingsAll(host, ["berlin", "lab"])).rejects.toThrow("no answer");
  expect(await stream.stop()).toBeGreaterThan(5);

  await table.gone();
  for (const { rule } of rules) await rule.gone();
  expect(local.sh("nft list ruleset; ip rule show pref 900; ip -6 rule show pref 900; ls /etc/hostnet")).toBe(
    "",
  );
  await removeSites(host);
}, 120_000);
