import fc from "fast-check";
import { changed, difference } from "../../provider/compare";
import type { Last, Observed, Query, Result } from "../../provider/kind";
import { vrf } from "../../provider/vrf";
import type { schema, Vrf, VrfFields } from "../../provider/vrf/args";
import type { Facts } from "../../provider/vrf/parse";
import { canonical, failed, problems, said, text } from "./steps";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

const MINIMAL: VrfFields = { name: "blue", table: 100 };
const FULL: VrfFields = {
  name: "blue",
  table: 100,
  interfaces: ["e1", { name: "e2", addresses: ["10.2.0.1/24", "2001:db8:2::1/64"] }],
  routes: [
    { destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 },
    { destination: "10.9.0.0/16", gateway: "10.2.0.9" },
  ],
};
const desired = (raw: VrfFields) => canonical<Vrf>(vrf, raw);

/** What ip tells of a host: only what a test speaks of. */
interface World {
  readonly links?: readonly object[];
  /** Our routes of each place asked for, as JSON. */
  readonly routes?: readonly { dst: string; table: number; [key: string]: unknown }[];
  /** A device's routes, the IPv4 ones and the IPv6 ones. */
  readonly through?: Readonly<Record<string, string>>;
  /** Routes of the declared table that are neither ours nor the kernel's; all routes of the last table. */
  readonly foreign?: string;
  readonly inTable?: string;
  readonly rules?: boolean;
  /** The host's addresses in the networks that are exclusive. */
  readonly local?: readonly object[];
}

const address = (local: string, prefixlen: number, more: object = {}) => ({
  local,
  prefixlen,
  scope: "global",
  ...more,
});
const link = (ifname: string, more: object = {}) => ({
  ifindex: 7,
  ifname,
  flags: ["UP"],
  mtu: 1500,
  address: "52:54:00:00:00:01",
  addr_info: [],
  ...more,
});
const blue = (table = 100, more: object = {}) =>
  link("blue", { linkinfo: { info_kind: "vrf", info_data: { table } }, ...more });
const NAMES = /"ifname":"([^"]*)"/;
const nameOf = (l: object) => NAMES.exec(JSON.stringify(l))![1];

function answer(
  { argv }: Query,
  { links = [], routes = [], through = {}, foreign, inTable, rules = true, local = [] }: World,
): Result {
  const line = argv.join(" ");
  if (line.includes("show dev")) {
    const found = links.filter((l) => nameOf(l) === argv.at(-1));
    return found.length > 0 ? said(found) : failed(1, `Device "${argv.at(-1)}" does not exist.\n`);
  }
  if (line.endsWith("type vrf"))
    return said(links.filter((l) => JSON.stringify(l).includes('"info_kind":"vrf"')));
  if (line.includes("show master")) {
    return said([{}, ...links.filter((l) => JSON.stringify(l).includes(`"master":"${argv.at(-1)}"`))]);
  }
  if (line.includes("table local")) return said(local);
  if (line.includes("rule list")) return said(rules ? [{ priority: 1000, src: "all", l3mdev: null }] : []);
  if (line.includes(" all dev ")) return said(through[argv.at(-1)!] ?? "ipv6\n");
  if (!argv.includes("exact")) return said((line.includes("(2|210)") ? foreign : inTable) ?? "ipv6\n");
  const [table, dst] = [Number(argv[argv.indexOf("table") + 1]), argv.at(-1)!];
  return said(
    routes
      .filter((r) => r.table === table && r.dst === dst)
      .map(({ table: _, ...r }) => ({ flags: [], ...r })),
  );
}

function look(world: World, raw: VrfFields, last?: Last<Shape, Facts>): Seen {
  const d = desired(raw);
  return vrf.parse(
    vrf.query(d, last).map((query) => answer(query, world)),
    d,
    last,
  );
}

const OUTSIDE: World = {
  links: [
    link("e1", { addr_info: [address("10.1.0.1", 24), address("2001:db8:1::1", 64)] }),
    link("e2", { flags: [] }),
  ],
  through: {
    e1: "default via 10.1.0.9 proto 4 metric 5\nipv6\n2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium\n",
  },
  rules: false,
};
const INSIDE: World = {
  links: [
    blue(),
    link("e1", { master: "blue", addr_info: [address("10.1.0.1", 24), address("2001:db8:1::1", 64)] }),
    link("e2", {
      master: "blue",
      addr_info: [address("10.2.0.1", 24), address("2001:db8:2::1", 64, { nodad: true })],
    }),
  ],
  through: {
    e1: "default via 10.1.0.9 table 100 proto 4 metric 5\nipv6\n2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium\n",
  },
  routes: [
    { dst: "0.0.0.0/0", table: 100, type: "7", metric: 4278198272 },
    { dst: "10.9.0.0/16", table: 100, gateway: "10.2.0.9", dev: "e2" },
  ],
};

/** What an apply left behind, on a host that was as OUTSIDE. */
function last(raw: VrfFields, world = INSIDE): Last<Shape, Facts> {
  const former = look(OUTSIDE, raw);
  const start = { desired: desired(raw), former };
  const { facts } = look(world, raw, start);
  return { ...start, facts: vrf.keep!(facts, former.facts) };
}
const ensure = (raw: VrfFields, world: World, before?: Last<Shape, Facts>) =>
  text(vrf.ensure(desired(raw), look(world, raw, before), before));

const probe = (v: string) =>
  `unless sh -c ip "$1" rule list l3mdev | grep -q "from all lookup .l3mdev-table." sh ${v}`;
const rule = (v: string) => `ip ${v} rule add pref 1000 l3mdev protocol kernel | ${probe(v)}`;

test("create-minimal: the rule too, which the kernel adds with the first VRF of its life alone", () => {
  expect(ensure(MINIMAL, {})).toEqual([
    "ip link add name blue type vrf table 100",
    "ip link set dev blue up",
    rule("-4"),
    rule("-6"),
  ]);
});

test("create-full: a member gets back at once what the kernel takes from it", () => {
  expect(ensure(FULL, OUTSIDE)).toEqual([
    "ip link add name blue type vrf table 100",
    "ip link set dev blue up",
    rule("-4"),
    rule("-6"),
    "bounce e1",
    "  link set dev e1 master blue",
    "  link set dev e1 up",
    "  addr replace 2001:db8:1::1/64 nodad dev e1",
    "  addr change 2001:db8:1::1/64 dev e1",
    "  route replace 0.0.0.0/0 via 10.1.0.9 proto 4 metric 5 table 100 dev e1",
    "  route replace 2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium dev e1",
    "bounce e2",
    "  link set dev e2 master blue",
    "  link set dev e2 up",
    "ip -4 addr replace 10.2.0.1/24 brd + dev e2",
    "ip -6 addr replace 2001:db8:2::1/64 nodad dev e2",
    "ip -4 route add unreachable 0.0.0.0/0 table 100 proto 210 metric 4278198272",
    "ip -4 route add 10.9.0.0/16 via 10.2.0.9 table 100 proto 210",
  ]);
});

test("nothing is left to do, nor seen as drift", () => {
  const seen = look(INSIDE, FULL, last(FULL));
  expect(difference(desired(FULL), seen.state!, Object.keys(desired(FULL)))).toEqual([]);
  expect(seen.broken).toEqual([]);
  expect(ensure(FULL, INSIDE, last(FULL))).toEqual([]);
});

test("update-in-place: a member that leaves is given back as it was found, one that comes is taken in", () => {
  const world = { ...INSIDE, links: [...INSIDE.links!, link("e3")] };
  const raw = { ...FULL, interfaces: ["e3", { name: "e2", addresses: ["10.2.0.2/24"] }] };
  expect(ensure(raw, world, last(FULL))).toEqual([
    "bounce e1",
    "  link set dev e1 nomaster",
    "  addr replace 2001:db8:1::1/64 nodad dev e1",
    "  addr change 2001:db8:1::1/64 dev e1",
    "  route replace 2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium dev e1",
    "ip -4 route add 0.0.0.0/0 via 10.1.0.9 proto 4 metric 5 dev e1 | " +
      'unless sh -c ip "$@" | grep -q . sh -4 route show table 254 exact 0.0.0.0/0 metric 5',
    "bounce e3",
    "  link set dev e3 master blue",
    "  link set dev e3 up",
    "ip -4 addr replace 10.2.0.2/24 brd + dev e2",
    // Alone: with the last address of the link all routes through it would go, ours and others'.
    expect.stringMatching(/^sh -c .*promote_secondaries.* sh e2 10.2.0.1\/24$/),
    "ip -6 addr del 2001:db8:2::1/64 dev e2",
  ]);
});

test("update-in-place: another table means another device, with all of its members in one process", () => {
  const guest = link("br-lan", {
    master: "blue",
    addr_info: [address("2001:db8:4::1", 64, { nodad: true })],
  });
  const own = blue(100, { addr_info: [address("127.0.0.1", 8, { scope: "host" })] });
  const world = {
    ...INSIDE,
    links: [own, ...INSIDE.links!.slice(1), guest],
    inTable: "10.4.0.0/16 dev br-lan proto 210\nipv6\n",
  };
  expect(ensure({ ...FULL, table: 200 }, { ...world }, last(FULL)).slice(0, -2)).toEqual([
    "ip -4 route del unreachable 0.0.0.0/0 table 100 proto 210 metric 4278198272",
    "ip -4 route del 10.9.0.0/16 via 10.2.0.9 table 100 proto 210",
    rule("-4"),
    rule("-6"),
    "bounce br-lan e1 e2",
    "  link del dev blue type vrf",
    "  link add name blue type vrf table 200",
    "  link set dev blue up",
    "  addr replace 127.0.0.1/8 dev blue",
    "  link set dev br-lan master blue",
    "  link set dev br-lan up",
    "  addr replace 2001:db8:4::1/64 nodad dev br-lan",
    "  route replace 10.4.0.0/16 proto 210 table 200 dev br-lan",
    "  link set dev e1 master blue",
    "  link set dev e1 up",
    "  addr replace 2001:db8:1::1/64 nodad dev e1",
    "  addr change 2001:db8:1::1/64 dev e1",
    "  route replace 0.0.0.0/0 via 10.1.0.9 proto 4 metric 5 table 200 dev e1",
    "  route replace 2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium dev e1",
    "  link set dev e2 master blue",
    "  link set dev e2 up",
    "  addr replace 2001:db8:2::1/64 nodad dev e2",
  ]);
});

test("replace: only another name, and the old one goes first", () => {
  expect(vrf.identity).toEqual(["name"]);
  expect(vrf.id(desired(FULL))).toBe("blue");
  expect(vrf.deleteBeforeReplace).toBe(true);
});

test("remove, with the record alone: a member that a later change took in goes back as it was found, too", () => {
  const [one, both] = [["e1"], ["e1", "e2"]].map((interfaces) => ({ ...MINIMAL, interfaces }));
  const between = { ...INSIDE, links: [...INSIDE.links!.slice(0, 2), OUTSIDE.links![1]!] };
  const former = last(one!, between).former.facts;
  const record = {
    desired: desired(both!),
    former: { facts: vrf.keep!(former, look(between, both!, last(one!, between)).facts) },
  };
  expect(text(vrf.remove(look(INSIDE, both!, record), record))).toContain("  link set dev e2 down");
});

test("remove: our routes, then the members as they were found, the device, and the rule with the last VRF", () => {
  const before = {
    ...look(INSIDE, FULL, last(FULL)),
    shared: { "l3mdev rule": { ipv4: false, ipv6: true } },
  };
  expect(text(vrf.remove(before, last(FULL)))).toEqual([
    "ip -4 route del unreachable 0.0.0.0/0 table 100 proto 210 metric 4278198272",
    "ip -4 route del 10.9.0.0/16 via 10.2.0.9 table 100 proto 210",
    "bounce e1",
    "  link set dev e1 nomaster",
    "  addr replace 2001:db8:1::1/64 nodad dev e1",
    "  addr change 2001:db8:1::1/64 dev e1",
    "  route replace 2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium dev e1",
    "ip -4 route add 0.0.0.0/0 via 10.1.0.9 proto 4 metric 5 dev e1 | " +
      'unless sh -c ip "$@" | grep -q . sh -4 route show table 254 exact 0.0.0.0/0 metric 5',
    "bounce e2",
    "  addr del 10.2.0.1/24 dev e2",
    "  addr del 2001:db8:2::1/64 dev e2",
    "  link set dev e2 nomaster",
    "  link set dev e2 down",
    "ip link del dev blue type vrf",
    "ip -4 rule del pref 1000 l3mdev protocol kernel | " +
      'unless sh -c ip link show type vrf | grep -q . || ! ip "$1" rule list pref "$2" | grep -q l3mdev-table sh -4 1000 | ' +
      "released l3mdev rule",
  ]);
});

test("already-gone: what stayed in the table goes, members that are elsewhere now are left alone", () => {
  const world: World = {
    links: [link("e1", { master: "br0" }), link("e2")],
    routes: [{ dst: "0.0.0.0/0", table: 100, type: "7", metric: 4278198272 }],
  };
  expect(text(vrf.remove(look(world, FULL, last(FULL)), last(FULL)))).toEqual([
    "ip -4 route del unreachable 0.0.0.0/0 table 100 proto 210 metric 4278198272",
    "ip -force -batch -",
    "  link set dev e2 down",
  ]);
});

test("already-gone: made again around the routes that stayed", () => {
  const world: World = {
    ...OUTSIDE,
    routes: [{ dst: "0.0.0.0/0", table: 100, type: "7", metric: 4278198272 }],
  };
  expect(ensure(FULL, world, last(FULL)).slice(-1)).toEqual([
    "ip -4 route add 10.9.0.0/16 via 10.2.0.9 table 100 proto 210",
  ]);
});

test("drift: a member taken out, an address, a route; the device down, the rule gone", () => {
  const world: World = {
    ...INSIDE,
    links: [
      blue(100, { flags: [] }),
      link("e1"),
      link("e2", { master: "blue", addr_info: [address("10.2.0.1", 24)] }),
    ],
    routes: [],
    rules: false,
  };
  const { state, broken } = look(world, FULL, last(FULL));
  expect(difference(desired(FULL), state!, Object.keys(desired(FULL)))).toHaveLength(5);
  expect(broken).toEqual([
    "the device is down",
    "the l3mdev rule for IPv4 is missing: no VRF routes without it",
    "the l3mdev rule for IPv6 is missing: no VRF routes without it",
  ]);
  expect(ensure(FULL, world, last(FULL)).slice(0, 4)).toEqual([
    "ip link set dev blue up",
    rule("-4"),
    rule("-6"),
    "bounce e1",
  ]);
});

test("foreign: what the host has of its own is refused by name", () => {
  const told = (world: World, message: string | RegExp) => expect(() => ensure(FULL, world)).toThrow(message);
  told({ ...OUTSIDE, links: [link("e1")] }, "interfaces: e2 does not exist on the host");
  told(
    { ...OUTSIDE, links: [link("e1", { master: "br0" }), link("e2")] },
    "interfaces: e1 is a member of br0: release it there first (in one up: dependsOn on what gives it up)",
  );
  const red = link("red", { linkinfo: { info_kind: "vrf", info_data: { table: 100 } } });
  told({ ...OUTSIDE, links: [...OUTSIDE.links!, red] }, "table: 100 is in use by the VRF red");
  told(
    { ...OUTSIDE, foreign: "10.0.0.0/8 via 10.1.0.9 dev e1 proto 4\nipv6\n" },
    "table: 100 is in use by another tool, which has put a route there: 10.0.0.0/8 via 10.1.0.9 dev e1 proto 4",
  );
  told({ ...OUTSIDE, links: [link("blue"), ...OUTSIDE.links!] }, "blue is there, but is no VRF: a NIC");
});

test("exclusive: an address of the host outside of VRFs is refused when it is made, and drift later", () => {
  const raw = { ...FULL, exclusive: ["10.2.0.0/24"] };
  expect(vrf.query(desired(raw)).at(-1)!.argv.join(" ")).toBe(
    "ip -N -j -4 route show table local type local root 10.2.0.0/24",
  );
  const mine = { dst: "10.2.0.7", dev: "eth0" };
  expect(() => ensure(raw, { ...OUTSIDE, local: [mine] })).toThrow(
    "exclusive: the host has 10.2.0.7 on eth0: take it away, or into a VRF",
  );
  // That of a member is there until it is one.
  expect(ensure(raw, { ...OUTSIDE, local: [{ dst: "10.2.0.1", dev: "e2" }] })).toEqual(ensure(FULL, OUTSIDE));
  const later = look({ ...INSIDE, local: [mine] }, raw, last(raw));
  expect(later.broken).toEqual(["10.2.0.7 on eth0: the kernel keeps what is for this address in the VRF"]);
  expect(ensure(raw, { ...INSIDE, local: [mine] }, last(raw))).toEqual([]);
});

test("foreign: others' members and addresses are no drift, and stay", () => {
  const guest = link("br-lan", { master: "blue" });
  const more = {
    ...INSIDE,
    links: [
      ...INSIDE.links!.slice(0, 2),
      link("e2", {
        master: "blue",
        addr_info: [address("10.2.0.1", 24), address("10.7.0.1", 24), address("2001:db8:2::1", 64)],
      }),
      guest,
    ],
  };
  expect(ensure(FULL, more, last(FULL))).toEqual([]);
});

test("a rule at another priority will do; one with a selector will not", () => {
  const d = desired(MINIMAL);
  const rules = (json: object) =>
    vrf.parse(
      vrf.query(d).map((q) => (q.argv.includes("rule") ? said([json]) : answer(q, { links: [blue()] }))),
      d,
    ).facts.rules;
  expect(rules({ priority: 5, src: "all", l3mdev: null, protocol: "4" })).toEqual({ ipv4: true, ipv6: true });
  expect(rules({ priority: 5, src: "all", iif: "eth0", l3mdev: null })).toEqual({ ipv4: false, ipv6: false });
});

test("adopt-identical: nothing would change", () => {
  const { state } = look(INSIDE, FULL);
  expect(difference(desired(FULL), state!, Object.keys(desired(FULL)))).toEqual([]);
  expect(ensure(FULL, INSIDE)).toEqual([]);
});

test("the undo of a create ends at what was before, whatever of it ran", () => {
  const before = look(OUTSIDE, FULL);
  const target = { desired: desired(FULL), facts: before.facts, former: before };
  expect(text(vrf.remove({ state: desired(FULL), facts: before.facts }, target))).toEqual([
    "ip -4 route del unreachable 0.0.0.0/0 table 100 proto 210 metric 4278198272",
    "ip -4 route del 10.9.0.0/16 via 10.2.0.9 table 100 proto 210",
    "bounce e1",
    "  link set dev e1 nomaster",
    "  addr replace 2001:db8:1::1/64 nodad dev e1",
    "  addr change 2001:db8:1::1/64 dev e1",
    "  route replace 0.0.0.0/0 via 10.1.0.9 proto 4 metric 5 dev e1",
    "  route replace 2001:db8:9::/48 via fe80::9 table 77 metric 1024 pref medium dev e1",
    "bounce e2",
    "  addr del 10.2.0.1/24 dev e2",
    "  addr del 2001:db8:2::1/64 dev e2",
    "  link set dev e2 nomaster",
    "  link set dev e2 down",
    "ip link del dev blue type vrf",
    expect.stringContaining("ip -4 rule del pref 1000 l3mdev protocol kernel"),
    expect.stringContaining("ip -6 rule del pref 1000 l3mdev protocol kernel"),
  ]);
});

test("what is shared with others on the host is claimed", () => {
  expect(vrf.claims!(desired({ ...FULL, routes: FULL.routes!.slice(0, 1) }), look(OUTSIDE, FULL))).toEqual({
    "l3mdev rule": { value: "1000", former: { ipv4: false, ipv6: false } },
    "routing table 100": { value: "blue", former: null },
    "route 0.0.0.0/0 metric 4278198272 of table 100": { value: "Vrf blue", former: null },
  });
});

test.each([
  ["name", { name: "br%d" }, "is no interface name"],
  ["name", { name: "a-name-of-sixteen" }, "is no interface name"],
  ["table", { table: 254 }, "254: is one of the kernel's own tables"],
  ["table", { table: 0 }, "0: must be 1 to 4294967295"],
  ["table", { table: undefined }, "is required"],
  ["interfaces[1]", { interfaces: ["e1", "e1"] }, "e1 is listed twice"],
  ["interfaces[0]", { interfaces: ["blue"] }, "blue is the VRF itself"],
  ["interfaces[0].name", { interfaces: [{ name: "" }] }, "is no interface name"],
  [
    "interfaces[0].addresses[0]",
    { interfaces: [{ name: "e1", addresses: ["10.0.0.1"] }] },
    "needs a prefix length",
  ],
  [
    "routes[0]",
    { routes: [{ destination: "10.0.0.0/8" }] },
    "needs a gateway, a device, nexthops, or a type",
  ],
  ["routes[0].destination", { routes: [{ destination: "10.0.0.1/8", device: "e1" }] }, "has host bits set"],
  ["exclusive[0]", { exclusive: ["10.2.0.1/24"] }, "has host bits set"],
  ["up", { up: true }, "unknown field"],
])("invalid-%s: %j", (property, raw, reason) => {
  expect(problems(vrf, { ...MINIMAL, ...raw })).toContainEqual({
    property,
    reason: expect.stringContaining(reason),
  });
});

// Laws.

const fields: fc.Arbitrary<VrfFields> = fc.record({
  name: fc.constant("blue"),
  table: fc.constantFrom(100, 200),
  interfaces: fc.uniqueArray(
    fc.oneof(
      fc.constantFrom("e1", "e2"),
      fc.record({
        name: fc.constantFrom("e1", "e2"),
        addresses: fc.uniqueArray(
          fc.constantFrom("10.1.0.1/24", "10.2.0.1/24", "10.2.0.2/24", "2001:DB8:2::1/64"),
          { maxLength: 4 },
        ),
      }),
    ),
    { maxLength: 2, selector: (i) => (typeof i === "string" ? i : i.name) },
  ),
  routes: fc.uniqueArray(
    fc.record({
      destination: fc.constantFrom("0.0.0.0/0", "10.9.0.0/16", "2001:DB8::/32"),
      device: fc.constantFrom("e1", "e2"),
    }),
    { maxLength: 3, selector: (r) => r.destination },
  ),
});
const worlds = fc.constantFrom(OUTSIDE, INSIDE);
const shuffled = <T>(list: readonly T[], seed: number): T[] =>
  [...list]
    .map((value, n) => [Math.sin(seed + n), value] as const)
    .sort(([a], [b]) => a - b)
    .map(([, value]) => value);

test("law: a field's schema is idempotent", () => {
  fc.assert(
    fc.property(fields, (raw) => {
      expect(desired(desired(raw) as VrfFields)).toEqual(desired(raw));
      expect(changed(desired(raw), desired(raw), Object.keys(raw))).toEqual([]);
    }),
  );
});

test("law: the order of interfaces, addresses and routes does not matter", () => {
  fc.assert(
    fc.property(fields, fc.nat(), worlds, (raw, seed, world) => {
      const other = {
        ...raw,
        interfaces: shuffled(raw.interfaces!, seed).map((i) =>
          typeof i === "string" ? i : { ...i, addresses: shuffled(i.addresses!, seed) },
        ),
        routes: shuffled(raw.routes!, seed),
      };
      const here = raw.table === 100 ? world : OUTSIDE;
      expect(ensure(other, here)).toEqual(ensure(raw, here));
    }),
  );
});

test("law: junk is an error, never an object", () => {
  const junk = fc.oneof(
    fc.string().filter((s) => s.trim() !== "" && !/^\s*\[\s*\]\s*$/.test(s)),
    fc.constantFrom("{}", "null", "3", '"a"', '[{"ifname":', "<html>"),
  );
  fc.assert(
    fc.property(junk, fc.nat({ max: 8 }), (stdout, at) => {
      const queries = vrf.query(desired(FULL));
      const results = queries.map((q, n) => (n === at ? said(stdout) : answer(q, INSIDE)));
      expect(() => vrf.parse(results, desired(FULL))).toThrow();
    }),
  );
});
