// What OverlappingSubnets asks the engine for, as data, and what it refuses.
import * as pulumi from "@pulumi/pulumi";
import { OverlappingSubnets, type OverlappingSubnetsArgs } from "../../sdk";

type Props = Record<string, unknown>;

interface Made {
  readonly type: string;
  readonly inputs: Props;
}

let made: Record<string, Made> = {};

beforeAll(async () => {
  const newResource = ({ type, name, inputs }: pulumi.runtime.MockResourceArgs) => {
    made[`${type.split(":").at(-1)} ${name}`] = { type, inputs };
    return { id: `id of ${name}`, state: inputs };
  };
  await pulumi.runtime.setMocks({ newResource, call: () => ({}) }, "net", "dev");
});
beforeEach(() => {
  made = {};
});

const connection = { host: "10.0.0.5" };
const berlin = {
  id: 100,
  interface: "eth1",
  seenAs: ["192.168.3.0/24", "fd00:3::/64"],
} as const;
const lab = {
  id: 200,
  bridge: { name: "br-lab", ports: ["eth2"] },
  seenAs: ["192.168.4.0/24", "fd00:4::/64"],
};
const paris = { id: 300, interface: "eth3", seenAs: ["192.168.5.0/24", "fd00:5::/64"] };
const oslo = { id: 150, interface: "eth4", seenAs: ["192.168.6.0/24", "fd00:6::/64"] };
const both: OverlappingSubnetsArgs = {
  connection,
  addresses: ["192.168.2.1/24", "fd00:2::1/64"],
  sites: { berlin, lab, paris },
};

/** The children of one, by kind and name, without what every resource of ours carries. */
async function children(args: OverlappingSubnetsArgs): Promise<Record<string, Props>> {
  made = {};
  const sites = new OverlappingSubnets("sites", args);
  await new Promise<void>((resolve) => sites.urn.apply(() => resolve()));
  while (Object.values(made).length < countOf(args)) await new Promise((resolve) => setTimeout(resolve, 10));
  const own = Object.entries(made).filter(([name]) => !name.startsWith("OverlappingSubnets "));
  return Object.fromEntries(
    own
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { inputs }]) => {
        const { connection: _, __provider, __owner, __resource, ...rest } = inputs;
        return [name, rest];
      }),
  );
}
function countOf({ addresses, sites }: OverlappingSubnetsArgs): number {
  const bridges = Object.values(sites).filter(({ bridge }) => bridge).length;
  return Object.keys(sites).length * (1 + addresses.length) + bridges + (bridges > 0 ? 1 : 0) + 3;
}

const exclusive = ["192.168.2.0/24", "fd00:2::/64"];
const unreachable = ["0.0.0.0/0", "::/0"].map((destination) => ({
  destination,
  type: "unreachable",
  metric: 4278198272,
}));

test("three sites, one on a bridge, IPv4 and IPv6: every child with its inputs", async () => {
  expect(await children(both)).toEqual({
    "Vrf sites-berlin": {
      name: "vrf-berlin",
      table: 100,
      interfaces: [{ name: "eth1", addresses: ["192.168.2.1/24", "fd00:2::1/64"] }],
      routes: unreachable,
      exclusive,
    },
    "Vrf sites-lab": { name: "vrf-lab", table: 200, routes: unreachable, exclusive },
    "Vrf sites-paris": {
      name: "vrf-paris",
      table: 300,
      interfaces: [{ name: "eth3", addresses: ["192.168.2.1/24", "fd00:2::1/64"] }],
      routes: unreachable,
      exclusive,
    },
    "Bridge sites-lab": {
      name: "br-lab",
      ports: ["eth2"],
      vrf: "vrf-lab",
      addresses: ["192.168.2.1/24", "fd00:2::1/64"],
    },
    ...Object.fromEntries(
      [
        ["berlin", 100],
        ["lab", 200],
        ["paris", 300],
      ].flatMap(([name, id]) =>
        ["ipv4", "ipv6"].map((family) => [
          `PolicyRoute sites-${name}-${family}`,
          { family, priority: 900, fwmark: id, table: id },
        ]),
      ),
    ),
    "Sysctl sites-forwarding": {
      settings: { "net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1 },
    },
    "NftTable sites-bridges": {
      name: "sites",
      family: "bridge",
      maps: {
        zones: { typeof: "meta ibrname", value: "ct zone", elements: [{ element: "br-lab", value: "200" }] },
      },
      chains: {
        zones: {
          type: "filter",
          hook: "prerouting",
          priority: -300,
          rules: ["ct original zone set meta ibrname map @zones"],
        },
      },
    },
    "NftTable sites": {
      name: "sites",
      family: "inet",
      sets: {
        links: { type: "ifname", elements: ["eth1", "br-lab", "eth3"].map((element) => ({ element })) },
      },
      maps: {
        zones: {
          typeof: "iifname",
          value: "ct zone",
          elements: [
            { element: "eth1", value: "100" },
            { element: "br-lab", value: "200" },
            { element: "eth3", value: "300" },
          ],
        },
        marks4: {
          type: "ipv4_addr",
          value: "mark",
          flags: ["interval"],
          elements: [
            { element: "192.168.3.0/24", value: "100" },
            { element: "192.168.4.0/24", value: "200" },
            { element: "192.168.5.0/24", value: "300" },
          ],
        },
        marks6: {
          type: "ipv6_addr",
          value: "mark",
          flags: ["interval"],
          elements: [
            { element: "fd00:3::/64", value: "100" },
            { element: "fd00:4::/64", value: "200" },
            { element: "fd00:5::/64", value: "300" },
          ],
        },
      },
      chains: {
        zones: {
          type: "filter",
          hook: "prerouting",
          priority: "raw",
          rules: ["ct original zone set iifname map @zones"],
        },
        marks: {
          type: "filter",
          hook: "prerouting",
          priority: "mangle",
          rules: [
            "iifname != @links return",
            "ct direction original ip saddr 192.168.2.0/24 meta mark set ip daddr map @marks4",
            "ct direction original ip6 saddr fd00:2::/64 meta mark set ip6 daddr map @marks6",
            "ct direction reply meta mark set ct original zone map { 100 : 100, 200 : 200, 300 : 300 }",
          ],
        },
        translateTarget: {
          type: "nat",
          hook: "prerouting",
          priority: "dstnat",
          rules: [
            "iifname @links ip daddr 192.168.3.0/24 dnat ip prefix to 192.168.2.0/24",
            "iifname @links ip daddr 192.168.4.0/24 dnat ip prefix to 192.168.2.0/24",
            "iifname @links ip daddr 192.168.5.0/24 dnat ip prefix to 192.168.2.0/24",
            "iifname @links ip6 daddr fd00:3::/64 dnat ip6 prefix to fd00:2::/64",
            "iifname @links ip6 daddr fd00:4::/64 dnat ip6 prefix to fd00:2::/64",
            "iifname @links ip6 daddr fd00:5::/64 dnat ip6 prefix to fd00:2::/64",
          ],
        },
        translateSource: {
          type: "nat",
          hook: "postrouting",
          priority: "srcnat",
          rules: [
            "ct original zone 100 ip saddr 192.168.2.0/24 snat ip prefix to 192.168.3.0/24",
            "ct original zone 200 ip saddr 192.168.2.0/24 snat ip prefix to 192.168.4.0/24",
            "ct original zone 300 ip saddr 192.168.2.0/24 snat ip prefix to 192.168.5.0/24",
            "ct original zone 100 ip6 saddr fd00:2::/64 snat ip6 prefix to fd00:3::/64",
            "ct original zone 200 ip6 saddr fd00:2::/64 snat ip6 prefix to fd00:4::/64",
            "ct original zone 300 ip6 saddr fd00:2::/64 snat ip6 prefix to fd00:5::/64",
          ],
        },
      },
    },
  });
});

test("the type, and the children below it", async () => {
  await children({ ...both, persist: false });
  expect(made["OverlappingSubnets sites"]!.type).toBe("hostnet:index:OverlappingSubnets");
  const { inputs } = made["Vrf sites-lab"]!;
  expect(inputs).toMatchObject({
    connection,
    persist: false,
    __owner:
      "urn:pulumi:dev::net::hostnet:index:OverlappingSubnets$pulumi-nodejs:dynamic/hostnet:Vrf::sites-lab",
  });
});

test.each([
  ["IPv4", ["192.168.2.1/24"], 0],
  ["IPv6", ["fd00:2::1/64"], 1],
] as const)("%s alone", async (_name, addresses, n) => {
  const only = (site: typeof oslo) => ({ ...site, seenAs: [site.seenAs[n]!] });
  const all = await children({ connection, addresses, sites: { oslo: only(oslo), paris: only(paris) } });
  const [family, other] = n === 0 ? ["ipv4", "ipv6"] : ["ipv6", "ipv4"];
  expect(Object.keys(all)).toEqual([
    "NftTable sites",
    `PolicyRoute sites-oslo-${family}`,
    `PolicyRoute sites-paris-${family}`,
    "Sysctl sites-forwarding",
    "Vrf sites-oslo",
    "Vrf sites-paris",
  ]);
  // The version that is not used must not get out either.
  expect(all["Vrf sites-oslo"]!.routes).toEqual(unreachable);
  const text = JSON.stringify(all["NftTable sites"]);
  expect(text).toContain(n === 0 ? " ip daddr" : " ip6 daddr");
  expect(text).not.toContain(n === 0 ? " ip6 daddr" : " ip daddr");
  expect(JSON.stringify(all)).not.toContain(other);
});

test("names in the order of the program or not, the children are the same", async () => {
  const one = await children(both);
  expect(await children({ ...both, sites: { paris, lab, berlin } })).toEqual(one);
});

test("a site more, in the middle: its own children, and a line more in each part of the one table", async () => {
  const before = await children(both);
  const after = await children({ ...both, sites: { berlin, lab, oslo, paris } });
  expect(Object.keys(after).filter((name) => !(name in before))).toEqual([
    "PolicyRoute sites-oslo-ipv4",
    "PolicyRoute sites-oslo-ipv6",
    "Vrf sites-oslo",
  ]);
  const differing = Object.keys(before).filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  );
  expect(differing).toEqual(["NftTable sites"]);
  const lines = (all: Record<string, Props>) =>
    JSON.stringify(all["NftTable sites"], null, 1)
      .replaceAll(/\{\s+"element": (.*),\s+"value": (.*)\s+\}/g, "$1 : $2")
      .split("\n")
      .map((line) => line.trim().replace(/,$/, ""));
  const [old, now] = [lines(before), lines(after)];
  expect(now.filter((line) => !old.includes(line))).toEqual([
    '"ct direction reply meta mark set ct original zone map { 100 : 100, 200 : 200, 150 : 150, 300 : 300 }"',
    '"ct original zone 150 ip saddr 192.168.2.0/24 snat ip prefix to 192.168.6.0/24"',
    '"ct original zone 150 ip6 saddr fd00:2::/64 snat ip6 prefix to fd00:6::/64"',
    '"iifname @links ip daddr 192.168.6.0/24 dnat ip prefix to 192.168.2.0/24"',
    '"iifname @links ip6 daddr fd00:6::/64 dnat ip6 prefix to fd00:2::/64"',
    '"192.168.6.0/24" : "150"',
    '"fd00:6::/64" : "150"',
    '"eth4" : "150"',
    '"element": "eth4"',
  ]);
  expect(old.filter((line) => !now.includes(line))).toEqual([
    '"ct direction reply meta mark set ct original zone map { 100 : 100, 200 : 200, 300 : 300 }"',
  ]);
});

test("a bridge by its name alone, a VRF by another name, and a link that is not known yet", async () => {
  const all = await children({
    ...both,
    sites: {
      berlin: { ...berlin, interface: pulumi.output("eth7"), vrf: "b" },
      lab: { ...lab, bridge: "br-lab" },
    },
  });
  expect(all["Vrf sites-berlin"]).toMatchObject({ name: "b", interfaces: [{ name: "eth7" }] });
  expect(all["Bridge sites-lab"]).toMatchObject({ name: "br-lab", vrf: "vrf-lab" });
  expect(all["NftTable sites"]).toMatchObject({
    maps: { zones: { elements: [{ element: "eth7" }, { element: "br-lab" }] } },
  });
});

const withBerlin = (more: object): OverlappingSubnetsArgs => ({
  ...both,
  sites: { berlin: { ...berlin, ...more }, paris },
});

test.each<[string, OverlappingSubnetsArgs, string]>([
  ["no address", { ...both, addresses: [], sites: {} }, "addresses: must hold one or two, as 192.168.2.1/24"],
  [
    "two of one version",
    { ...both, addresses: ["192.168.2.1/24", "10.0.0.1/24"], sites: {} },
    "addresses[1]: 10.0.0.1/24: is a second one of IPv4",
  ],
  [
    "no prefix length",
    { ...both, addresses: ["192.168.2.1"], sites: {} },
    "addresses[0]: 192.168.2.1: needs a prefix length",
  ],
  ["a priority after that of VRFs", { ...both, priority: 1000 }, "priority: 1000: must be 1 to 999"],
  [
    "a host in the shared network",
    { ...both, connection: { host: "192.168.2.77" } },
    "connection.host: 192.168.2.77: is in 192.168.2.0/24, the network of the sites",
  ],
  ...([0, 65536, 253, 1.5] as const).map(
    (id) =>
      [
        `the id ${id}`,
        withBerlin({ id }),
        `sites.berlin.id: ${id}: must be 1 to 65535, but for 253 to 255`,
      ] as [string, OverlappingSubnetsArgs, string],
  ),
  ["an id twice", withBerlin({ id: 300 }), "sites.paris.id: 300: is that of sites.berlin too"],
  [
    "a VRF twice",
    withBerlin({ vrf: "vrf-paris" }),
    "sites.paris.vrf: vrf-paris: is that of sites.berlin too",
  ],
  [
    "a link twice",
    withBerlin({ interface: "eth3" }),
    "sites.paris.interface: eth3: is that of sites.berlin too",
  ],
  [
    "a link as bridge and as interface",
    withBerlin({ interface: undefined, bridge: "eth3" }),
    "sites.paris.interface: eth3: is that of sites.berlin too",
  ],
  [
    "a long name",
    withBerlin({ vrf: "vrf-of-the-berliners" }),
    "sites.berlin.vrf: vrf-of-the-berliners: has more than 15",
  ],
  ["no networks", withBerlin({ seenAs: undefined }), "sites.berlin.seenAs: must be a list of texts"],
  ["a number", withBerlin({ seenAs: [3] }), "sites.berlin.seenAs[0]: 3: must be a text"],
  ["no link", withBerlin({ interface: undefined }), "sites.berlin: needs interface or bridge, and not both"],
  ["two links", withBerlin({ bridge: "br0" }), "sites.berlin: needs interface or bridge, and not both"],
  [
    "a network twice",
    withBerlin({ seenAs: ["192.168.5.0/24", "fd00:3::/64"] }),
    "sites.paris.seenAs: 192.168.5.0/24: is that of sites.berlin too",
  ],
  [
    "the shared network",
    withBerlin({ seenAs: ["192.168.2.0/24", "fd00:3::/64"] }),
    "sites.berlin.seenAs: 192.168.2.0/24: is the network of the sites themselves",
  ],
  [
    "a network of another length",
    withBerlin({ seenAs: ["192.168.0.0/16", "fd00:3::/64"] }),
    "sites.berlin.seenAs: 192.168.0.0/16: must be a /24, as 192.168.2.0/24 is",
  ],
  [
    "host bits",
    withBerlin({ seenAs: ["192.168.3.1/24", "fd00:3::/64"] }),
    "sites.berlin.seenAs[0]: 192.168.3.1/24: has host bits set: the network is 192.168.3.0/24",
  ],
  [
    "no network of IPv6",
    withBerlin({ seenAs: ["192.168.3.0/24"] }),
    "sites.berlin.seenAs: needs a network of IPv6, in the place of fd00:2::/64",
  ],
  [
    "a network without an address",
    { ...both, addresses: ["192.168.2.1/24"], sites: { berlin } },
    "sites.berlin.seenAs: fd00:3::/64: the host has no address of IPv6 in addresses",
  ],
])("refused: %s", (_what, args, message) => {
  expect(() => new OverlappingSubnets("sites", args)).toThrow(pulumi.RunError);
  expect(() => new OverlappingSubnets("sites", args)).toThrow(message);
  expect(Object.keys(made).filter((name) => !name.startsWith("OverlappingSubnets "))).toEqual([]);
});

test("all mistakes are told at once, and none twice", () => {
  const args = withBerlin({ id: 300, seenAs: ["192.168.5.0/24", "fd00:3::/48"] });
  expect(() => new OverlappingSubnets("sites", args)).toThrow(
    /^OverlappingSubnets "sites": sites\.berlin\.seenAs: fd00:3::\/48: must be a \/64.*\nsites\.paris\.id: .*\nsites\.paris\.seenAs: [^\n]*$/,
  );
});
