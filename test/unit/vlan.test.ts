import fc from "fast-check";
import { changed, difference } from "../../provider/compare";
import type { Last, Observed, Query, Result, Way } from "../../provider/kind";
import { vlan } from "../../provider/vlan";
import type { schema, Vlan, VlanFields } from "../../provider/vlan/args";
import type { Facts } from "../../provider/vlan/parse";
import { canonical, failed, problems, said, text } from "./steps";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

const MINIMAL: VlanFields = { name: "v10", link: "e1", vlanId: 10 };
const FULL: VlanFields = {
  ...MINIMAL,
  protocol: "802.1Q",
  addresses: ["10.1.0.1/24", "2001:db8:1::1/64"],
  routes: [{ destination: "10.9.0.0/16", gateway: "10.1.0.9" }],
  vrf: "blue",
  mtu: 1400,
  macAddress: "02:00:00:00:00:10",
};
const desired = (raw: VlanFields) => canonical<Vlan>(vlan, raw);

const address = (local: string, prefixlen: number, more: object = {}) => ({
  local,
  prefixlen,
  scope: "global",
  ...more,
});
const link = (ifname: string, more: object = {}) => ({
  ifindex: 3,
  ifname,
  flags: ["UP"],
  mtu: 1500,
  address: "52:54:00:00:00:01",
  addr_info: [],
  ...more,
});
const device = (more: object = {}, data: object = {}) =>
  link("v10", {
    ifindex: 7,
    link: "e1",
    linkinfo: { info_kind: "vlan", info_data: { protocol: "802.1Q", id: 10, ...data } },
    ...more,
  });
const inBlue = (more: object = {}) =>
  device({
    master: "blue",
    mtu: 1400,
    address: "02:00:00:00:00:10",
    linkinfo: {
      info_kind: "vlan",
      info_data: { protocol: "802.1Q", id: 10 },
      info_slave_kind: "vrf",
      info_slave_data: { table: 100 },
    },
    addr_info: [
      address("10.1.0.1", 24, { broadcast: "10.1.0.255" }),
      address("10.1.0.7", 24, { label: "v10:x" }),
      address("2001:db8:1::7", 64),
      address("2001:db8:1::1", 64, { nodad: true }),
      address("fe80::1", 64, { scope: "link" }),
    ],
    ...more,
  });
const BLUE = link("blue", { linkinfo: { info_kind: "vrf", info_data: { table: 100 } } });

/** What ip and bridge tell of a host: only what a test speaks of. */
interface World {
  readonly links?: readonly object[];
  /** Of a bridge below it. */
  readonly served?: readonly object[];
  /** VLANs of the link, as ip lists them. */
  readonly siblings?: string;
  readonly attached?: string;
  /** Ours through it. */
  readonly routes?: readonly object[];
  /** All through it, as ip lists them. */
  readonly passing?: string;
}

const OUTSIDE: World = { links: [link("e1"), BLUE] };
const INSIDE: World = {
  links: [link("e1"), inBlue(), BLUE],
  routes: [{ dst: "10.9.0.0/16", table: "100", type: "1", gateway: "10.1.0.9", dev: "v10", flags: [] }],
  passing:
    "10.9.0.0/16 via 10.1.0.9 table 100 proto 210\n10.8.0.0/16 via 10.1.0.8 table 77 proto 4\nipv6\n" +
    "default via fe80::9 table 100 proto 3 metric 1024 pref medium\n",
};

const nameOf = (l: object) => /"ifname":"([^"]*)"/.exec(JSON.stringify(l))![1];

function answer({ argv }: Query, world: World): Result {
  const line = argv.join(" ");
  if (line.startsWith("bridge")) return said(world.served ?? []);
  if (line.includes("link show type vlan")) return said(world.siblings ?? "");
  if (line.includes("link show | grep")) return said(world.attached ?? "");
  if (line.includes("table all dev")) return said(world.passing ?? "ipv6\n");
  if (line.includes("route show")) return said(line.includes(" -4 ") ? (world.routes ?? []) : []);
  const found = (world.links ?? []).filter((l) => nameOf(l) === argv.at(-1));
  return found.length > 0 ? said(found) : failed(1, `Device "${argv.at(-1)}" does not exist.\n`);
}

function look(world: World, raw: VlanFields, last?: Last<Shape, Facts>): Seen {
  const d = desired(raw);
  return vlan.parse(
    vlan.query(d, last).map((query) => answer(query, world)),
    d,
    last,
  );
}
const last = (raw: VlanFields): Last<Shape, Facts> => ({
  desired: desired(raw),
  former: look(OUTSIDE, raw),
});
const ensure = (raw: VlanFields, world: World, before?: Last<Shape, Facts>) =>
  text(vlan.ensure(desired(raw), look(world, raw, before), before));

test("create-minimal", () => {
  expect(ensure(MINIMAL, OUTSIDE)).toEqual([
    "ip link add link e1 name v10 type vlan id 10",
    "ip link set dev v10 up",
  ]);
});

test("create-full", () => {
  expect(ensure(FULL, OUTSIDE)).toEqual([
    "ip link add link e1 name v10 address 02:00:00:00:00:10 mtu 1400 type vlan protocol 802.1Q id 10",
    "ip link set dev v10 master blue",
    "ip link set dev v10 up",
    "ip -4 addr replace 10.1.0.1/24 brd + dev v10",
    "ip -6 addr replace 2001:db8:1::1/64 nodad dev v10",
    "ip -4 route add 10.9.0.0/16 via 10.1.0.9 dev v10 table 100 proto 210",
  ]);
});

test("a link that is down is set up, and down again with the last VLAN on it", () => {
  const down: World = { links: [link("e1", { flags: [] })] };
  expect(ensure(MINIMAL, down)[0]).toBe("ip link set dev e1 up");
  const before = look({ links: [link("e1"), device()] }, MINIMAL, last(MINIMAL));
  const shared = { "link e1 up": { up: false } };
  expect(text(vlan.remove({ ...before, shared }, last(MINIMAL)))).toEqual([
    "ip link del dev v10 type vlan",
    "ip link set dev e1 down | released link e1 up",
  ]);
  expect(vlan.claims!(desired(MINIMAL), look(down, MINIMAL))).toEqual({
    "link e1 up": { value: "up", former: { up: false } },
  });
});

test("nothing is left to do, nor seen as drift", () => {
  const seen = look(INSIDE, FULL, last(FULL));
  expect(difference(desired(FULL), seen.state!, Object.keys(desired(FULL)))).toEqual([]);
  expect(seen.broken).toEqual([]);
  expect(ensure(FULL, INSIDE, last(FULL))).toEqual([]);
});

test("update-in-place", () => {
  const raw = {
    ...FULL,
    addresses: ["10.1.0.2/24", "2001:db8:1::1/64"],
    routes: [],
    mtu: 1300,
    macAddress: "02:00:00:00:00:11",
  };
  expect(ensure(raw, INSIDE, last(FULL))).toEqual([
    "ip link set dev v10 address 02:00:00:00:00:11",
    "ip link set dev v10 mtu 1300",
    "ip -4 addr replace 10.1.0.2/24 brd + dev v10",
    expect.stringMatching(/^sh -c .*promote_secondaries.* sh v10 10.1.0.1\/24$/),
    "ip -4 addr replace 10.1.0.7/24 brd + dev v10 label v10:x",
    "ip -4 addr replace 10.1.0.2/24 brd + dev v10",
    "ip -4 route del 10.9.0.0/16 via 10.1.0.9 dev v10 table 100 proto 210",
  ]);
});

/** To the table that it has from then on, unless the place is taken there. */
const OTHERS_MOVED = [
  "ip -4 route replace 10.8.0.0/16 via 10.1.0.8 table 77 proto 4 dev v10",
  'ip -6 route add ::/0 via fe80::9 proto 3 metric 1024 pref medium dev v10 | unless sh -c ip "$@" | grep -q . sh -6 route show table 254 exact ::/0 metric 1024',
];

test("update-in-place: out of its VRF, and back again where the change fails", () => {
  const { vrf: _, ...out } = FULL;
  const before = look(INSIDE, out, last(FULL));
  const moved = [
    "ip -6 addr replace 2001:db8:1::1/64 nodad dev v10",
    "ip -6 addr replace 2001:db8:1::7/64 nodad dev v10",
  ];
  expect(text(vlan.ensure(desired(out), before, last(FULL)))).toEqual([
    "bounce v10",
    "  link set dev v10 nomaster",
    ...moved,
    ...OTHERS_MOVED,
    "ip -4 route add 10.9.0.0/16 via 10.1.0.9 dev v10 table 254 proto 210",
  ]);
  const reached = { state: desired(out), facts: before.facts };
  expect(text(vlan.ensure(before.state!, reached, { desired: desired(out), former: before }))).toEqual([
    "bounce v10",
    "  link set dev v10 master blue",
    ...moved,
    "ip -4 route replace 10.8.0.0/16 via 10.1.0.8 table 77 proto 4 dev v10",
    "ip -6 route replace ::/0 via fe80::9 table 100 proto 3 metric 1024 pref medium dev v10",
    "ip -4 route add 10.9.0.0/16 via 10.1.0.9 dev v10 table 100 proto 210",
  ]);
});

test("update-in-place: an IPv6 address that leaves goes before the bounce, after which it may be gone", () => {
  const { vrf: _, routes: __, ...out } = FULL;
  expect(ensure({ ...out, addresses: ["10.1.0.1/24"] }, INSIDE, last(FULL))).toEqual([
    "ip -6 addr del 2001:db8:1::1/64 dev v10",
    "bounce v10",
    "  link set dev v10 nomaster",
    "ip -6 addr replace 2001:db8:1::7/64 nodad dev v10",
    ...OTHERS_MOVED,
  ]);
});

const AGAIN = [
  "  link set dev v10 master blue",
  "  link set dev v10 up",
  "  addr replace 10.1.0.1/24 brd 10.1.0.255 dev v10",
  "  addr replace 10.1.0.7/24 label v10:x dev v10",
  "  addr replace 2001:db8:1::1/64 nodad dev v10",
  "  addr replace 2001:db8:1::7/64 nodad dev v10",
  "  addr change 2001:db8:1::7/64 dev v10",
  "  route replace 10.8.0.0/16 via 10.1.0.8 table 77 proto 4 dev v10",
  "  route replace ::/0 via fe80::9 table 100 proto 3 metric 1024 pref medium dev v10",
  "ip -4 route add 10.9.0.0/16 via 10.1.0.9 dev v10 table 100 proto 210",
];

test("update-in-place: what iproute2 cannot change is made again, with all that others led through it", () => {
  const world = { ...INSIDE, links: [...INSIDE.links!, link("e2", { flags: [] })] };
  const add =
    "  link add link e2 name v10 index 7 address 02:00:00:00:00:10 mtu 1400 type vlan protocol 802.1ad id 20";
  const raw = { ...FULL, link: "e2", vlanId: 20, protocol: "802.1ad" as const };
  const before = look(world, raw, last(FULL));
  expect(text(vlan.ensure(desired(raw), before, last(FULL)))).toEqual([
    "ip link set dev e2 up",
    "ip -force -batch -",
    "  link del dev v10 type vlan",
    add,
    ...AGAIN,
  ]);
  // The way back.
  const reached = { state: desired(raw), facts: before.facts };
  expect(text(vlan.ensure(before.state!, reached, { desired: desired(raw), former: before }))).toEqual([
    "ip link set dev e1 up",
    "ip -force -batch -",
    "  link del dev v10 type vlan",
    "  link add link e1 name v10 index 7 address 02:00:00:00:00:10 mtu 1400 type vlan protocol 802.1Q id 10",
    ...AGAIN,
    "ip link set dev e2 down | released link e2 up",
  ]);
});

test("update-in-place: an undeclared protocol stays as it is", () => {
  const world: World = { links: [link("e1"), device({}, { protocol: "802.1ad" })] };
  expect(ensure({ ...MINIMAL, vlanId: 11 }, world, last(MINIMAL))).toEqual([
    "ip -force -batch -",
    "  link del dev v10 type vlan",
    "  link add link e1 name v10 index 7 type vlan protocol 802.1ad id 11",
    "  link set dev v10 up",
  ]);
});

test("replace: only another name, and the old one goes first", () => {
  expect(vlan.identity).toEqual(["name"]);
  expect(vlan.id(desired(FULL))).toBe("v10");
  expect(vlan.deleteBeforeReplace).toBe(true);
});

test("remove", () => {
  expect(text(vlan.remove(look(INSIDE, FULL, last(FULL)), last(FULL)))).toEqual([
    "ip link del dev v10 type vlan",
  ]);
});

test("remove: not with what others have on it, nor is it made again", () => {
  const world = { ...INSIDE, attached: "9: v10.5@v10: <UP> mtu 1400 state UP\\\n" };
  const seen = look(world, FULL, last(FULL));
  expect(vlan.blocked!(seen, last(FULL))).toBe("v10.5 of others is on top of it");
  expect(() => ensure({ ...FULL, vlanId: 11 }, world, last(FULL))).toThrow(
    "link, vlanId and protocol cannot change while v10.5 of others is on top of it",
  );
});

test("already-gone: nothing to do, with its link or without", () => {
  expect(vlan.remove(look(OUTSIDE, FULL, last(FULL)), last(FULL))).toEqual([]);
  const down = { ...look({}, FULL, last(FULL)), shared: { "link e1 up": { up: false } } };
  expect(vlan.remove(down, last(FULL))).toEqual([]);
  expect(ensure(MINIMAL, OUTSIDE, last(MINIMAL))).toEqual(ensure(MINIMAL, OUTSIDE));
});

test("drift: down, another id, an address and a route gone", () => {
  const world: World = {
    links: [link("e1"), inBlue({ flags: [], addr_info: [] }), BLUE],
  };
  const { state, broken } = look(world, { ...FULL, vlanId: 12 }, last({ ...FULL, vlanId: 12 }));
  expect(difference(desired({ ...FULL, vlanId: 12 }), state!, Object.keys(desired(FULL)))).toEqual([
    "vlanId: 10 instead of 12",
    "addresses: 10.1.0.1/24 is missing",
    "addresses: 2001:db8:1::1/64 is missing",
    "routes: 10.9.0.0/16 gateway=10.1.0.9 is missing",
  ]);
  expect(broken).toEqual(["the device is down"]);
});

test("foreign: what the host has of its own is refused by name", () => {
  const told = (world: World, message: string, raw: VlanFields = FULL) =>
    expect(() => ensure(raw, world)).toThrow(message);
  told({}, "link: e1 does not exist on the host", MINIMAL);
  told({ links: [link("e1")] }, "vrf: blue is no VRF of the host");
  told({ links: [link("e1"), link("v10")] }, "v10 is there, but is no VLAN: a NIC");
  told({ links: [link("e1", { mtu: 1300 }), BLUE] }, "mtu: 1400 is more than e1 has, 1300");
  const siblings =
    "5: x@e10: <UP> mtu 1500 \\    vlan protocol 802.1Q id 10 <REORDER_HDR> \n" +
    "6: theirs@e1: <UP> mtu 1500 \\    vlan protocol 802.1Q id 10 <REORDER_HDR> \n";
  told({ ...OUTSIDE, siblings }, "vlanId: 10 of e1 is taken by theirs: remove it, or use another");
  expect(ensure({ ...MINIMAL, protocol: "802.1ad" }, { ...OUTSIDE, siblings })).toHaveLength(2);
});

test("a bridge that filters VLANs must take part in it itself, tagged", () => {
  const bridge = (data: object) =>
    link("e1", {
      linkinfo: {
        info_kind: "bridge",
        info_data: { vlan_filtering: 1, vlan_protocol: "802.1Q", ...data },
      },
    });
  const world = (vlans: object[], data: object = {}): World => ({
    links: [bridge(data)],
    served: [{ ifname: "e1", vlans }],
  });
  const refusal =
    "link: e1 filters VLANs, and takes no part in 10 itself: add 10 to the vlans of that Bridge (bridge vlan add dev e1 vid 10 self)";
  expect(() => ensure(MINIMAL, world([{ vlan: 1, flags: ["PVID", "Egress Untagged"] }]))).toThrow(refusal);
  expect(() => ensure(MINIMAL, world([{ vlan: 10, flags: ["PVID", "Egress Untagged"] }]))).toThrow(refusal);
  expect(ensure(MINIMAL, world([{ vlan: 5, vlanEnd: 12 }]))).toHaveLength(2);
  expect(ensure(MINIMAL, world([], { vlan_filtering: 0 }))).toHaveLength(2);
  expect(ensure(MINIMAL, world([], { vlan_protocol: "802.1ad" }))).toHaveLength(2);
  // Also later, when a hand has taken it out.
  const closed = { ...world([]), links: [bridge({}), device()] };
  expect(look(closed, MINIMAL, last(MINIMAL)).broken).toEqual([
    "e1 filters VLANs, and takes no part in 10 itself",
  ]);
  // It is no reason not to take back a change to another id.
  const open = { ...world([{ vlan: 20 }]), links: [bridge({}), device()] };
  const before = look(open, { ...MINIMAL, vlanId: 20 }, last(MINIMAL));
  const reached = { state: desired({ ...MINIMAL, vlanId: 20 }), facts: before.facts };
  expect(text(vlan.ensure(before.state!, reached))[1]).toContain("del dev v10");
});

test("foreign: others' addresses are no drift, and stay", () => {
  expect(look(INSIDE, MINIMAL, last(MINIMAL)).state).toEqual(desired(MINIMAL));
  expect(ensure(MINIMAL, INSIDE, last(MINIMAL))).toEqual([]);
});

test("adopt-identical: nothing would change", () => {
  const { state } = look(INSIDE, FULL);
  expect(difference(desired(FULL), state!, Object.keys(desired(FULL)))).toEqual([]);
  expect(ensure(FULL, INSIDE)).toEqual([]);
});

test("after a boot it is made again, after the bridge that it is on", () => {
  const { order, facts } = vlan.boot!(desired(FULL), look(INSIDE, FULL).facts);
  expect(order).toBe(25);
  expect(text(vlan.ensure(desired(FULL), { facts }))).toEqual([
    "ip link set dev e1 up",
    ...ensure(FULL, OUTSIDE),
  ]);
  const { facts: onBridge } = look({ links: [link("e1", { linkinfo: { info_kind: "bridge" } })] }, MINIMAL);
  expect(vlan.boot!(desired(MINIMAL), onBridge).order).toBe(35);
});

test("what it could cut: the way over it, and the networks that it leads elsewhere", () => {
  const seen = look(INSIDE, FULL, last(FULL));
  expect(vlan.exposure(seen, desired({ ...FULL, addresses: ["10.1.0.1/24"], vrf: "red" }))).toEqual({
    links: ["v10", "v10", "red"],
    prefixes: ["2001:db8:1::1/64"],
  });
  const way: Way = { client: "10.1.0.5", clientPort: 5, server: "10.1.0.1", port: 22, links: ["v10", "e1"] };
  expect(vlan.lockout!(seen, undefined, way)).toBe("it runs over v10, which is to be deleted");
  expect(vlan.lockout!(seen, desired({ ...FULL, addresses: [] }), way)).toBe(
    "it goes to 10.1.0.1/24, which is no more among the addresses of v10",
  );
  expect(vlan.lockout!(seen, desired({ ...FULL, vlanId: 20 }), way)).toBeUndefined();
});

test.each([
  ["name", { name: "a-name-of-sixteen" }, "is no interface name"],
  ["link", { link: undefined }, "is required"],
  ["link", { link: "v10" }, "is the VLAN itself"],
  ["link", { link: "lo" }, "is reserved by the kernel"],
  ["vlanId", { vlanId: undefined }, "is required"],
  ["vlanId", { vlanId: 0 }, "0: must be 1 to 4094"],
  ["vlanId", { vlanId: 4095 }, "4095: must be 1 to 4094"],
  ["vlanId", { vlanId: 1.5 }, "1.5: must be a whole number from 1 to 4094"],
  ["id", { id: 10 }, "unknown field"],
  ["protocol", { protocol: "802.1q" }, 'must be "802.1Q" or "802.1ad"'],
  ["addresses[0]", { addresses: ["10.0.0.1"] }, "needs a prefix length"],
  ["routes[0]", { routes: [{ destination: "10.0.0.0/8", device: "e1" }] }, "must lead through the VLAN"],
  ["vrf", { vrf: "v10" }, "is the VLAN itself"],
  ["mtu", { mtu: 1279, addresses: ["2001:db8::1/64"] }, "1279: must be 1280 or more for 2001:db8::1/64"],
  ["mtu", { mtu: 67 }, "67: must be 68 to 65535"],
  ["macAddress", { macAddress: "01:00:00:00:00:01" }, "is a multicast address"],
])("invalid-%s: %j", (property, raw, reason) => {
  expect(problems(vlan, { ...MINIMAL, ...raw })).toContainEqual({
    property,
    reason: expect.stringContaining(reason),
  });
});

// Laws.

const fields: fc.Arbitrary<VlanFields> = fc.record({
  name: fc.constant("v10"),
  link: fc.constantFrom("e1", "e2"),
  vlanId: fc.constantFrom(10, 20),
  addresses: fc.uniqueArray(fc.constantFrom("10.1.0.1/24", "10.1.0.2/24", "2001:DB8:1::1/64")),
  routes: fc.uniqueArray(
    fc.record({ destination: fc.constantFrom("0.0.0.0/0", "10.9.0.0/16", "2001:DB8::/32") }),
    { selector: (r) => r.destination },
  ),
});
const worlds = fc.constantFrom(OUTSIDE, INSIDE);

test("law: a field's schema is idempotent", () => {
  fc.assert(
    fc.property(fields, (raw) => {
      expect(desired(desired(raw))).toEqual(desired(raw));
      expect(changed(desired(raw), desired(raw), Object.keys(raw))).toEqual([]);
    }),
  );
});

test("law: the order of addresses and routes does not matter", () => {
  fc.assert(
    fc.property(fields, worlds, (raw, world) => {
      const all = { ...world, links: [...world.links!, link("e2")] };
      const other = {
        ...raw,
        addresses: [...raw.addresses!].reverse(),
        routes: [...raw.routes!].reverse(),
      };
      expect(ensure(other, all)).toEqual(ensure(raw, all));
    }),
  );
});

test("law: junk is an error, never an object", () => {
  const junk = fc.oneof(
    fc.string().filter((s) => s.trim() !== "" && !/^\s*\[\s*\]\s*$/.test(s)),
    fc.constantFrom("{}", "null", "3", '"a"', '[{"ifname":', "<html>"),
  );
  const lists = vlan.query(desired(FULL)).flatMap(({ argv }, n) => (argv.includes("-j") ? [n] : []));
  fc.assert(
    fc.property(junk, fc.constantFrom(...lists), (stdout, at) => {
      const bridge = link("e1", {
        linkinfo: { info_kind: "bridge", info_data: { vlan_filtering: 1, vlan_protocol: "802.1Q" } },
      });
      const world = { ...INSIDE, links: [bridge, ...INSIDE.links!.slice(1)], served: [{ ifname: "e1" }] };
      const results = vlan.query(desired(FULL)).map((q, n) => (n === at ? said(stdout) : answer(q, world)));
      expect(() => vlan.parse(results, desired(FULL))).toThrow();
    }),
  );
});
