import fc from "fast-check";
import { changed, difference } from "../../provider/compare";
import type { Last, Observed, Result } from "../../provider/kind";
import { policyRoute } from "../../provider/policy-route";
import type { PolicyRoute, PolicyRouteFields, schema } from "../../provider/policy-route/args";
import type { Facts } from "../../provider/policy-route/parse";
import {
  covers,
  equal,
  listed,
  neighbours,
  parseRules,
  ruleOf,
  ruleText,
  ruleWords,
} from "../../provider/policy-route/rule";
import { canonical, problems, said, text } from "./steps";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

const MINIMAL: PolicyRouteFields = { name: "lan", family: "ipv4", priority: 100, table: 5 };
const LAN: PolicyRouteFields = {
  ...MINIMAL,
  from: "192.168.2.0/24",
  routes: [{ destination: "0.0.0.0/0", gateway: "10.0.0.1" }],
};
const FULL: PolicyRouteFields = {
  ...LAN,
  to: "10.0.0.0/8",
  fwmark: "100/255",
  iif: "lo",
  oif: "eth1",
  ipProtocol: 6,
  sourcePort: "1000-2000",
  destinationPort: 80,
  tos: 16,
  uidRange: 1000,
  invert: true,
  suppressPrefixLength: 0,
};

const desired = (raw: PolicyRouteFields) => canonical<PolicyRoute>(policyRoute, raw);

/** As `ip -N -j rule` lists the rule of LAN. */
const LAN_RULE = { priority: 100, src: "192.168.2.0", srclen: 24, table: "5", protocol: "210" };
const LAN_ROUTE = { dst: "default", gateway: "10.0.0.1", dev: "eth0", flags: [] };

/** What the host answers to `query`: the rules of each listing, the routes of each place. */
function look(rules: object[], routes: object[], raw: PolicyRouteFields, last?: Last<Shape, Facts>): Seen {
  const d = desired(raw);
  const results = policyRoute.query(d, last).map(({ argv }): Result => {
    if (argv[0] === "sh" && !argv.includes("route")) return said("");
    return said(argv.includes("rule") ? rules : routes);
  });
  return policyRoute.parse(results, d, last);
}

const last = (raw: PolicyRouteFields): Last<Shape, Facts> => {
  const nothing = { facts: { near: [], ready: [], stale: [] } };
  return { desired: desired(raw), facts: nothing.facts, former: nothing };
};
const ensure = (raw: PolicyRouteFields, seen: Seen, before?: Last<Shape, Facts>) =>
  text(policyRoute.ensure(desired(raw), seen, before));

test("create-minimal", () => {
  expect(ensure(MINIMAL, look([], [], MINIMAL))).toEqual(["ip -4 rule add pref 100 lookup 5 protocol 210"]);
});

test("create-full", () => {
  expect(ensure(FULL, look([], [], FULL))).toEqual([
    "ip -4 route add 0.0.0.0/0 via 10.0.0.1 table 5 proto 210",
    "ip -4 rule add pref 100 not from 192.168.2.0/24 to 10.0.0.0/8 tos 0x10 fwmark 0x64/0xff iif lo oif eth1 " +
      "uidrange 1000-1000 ipproto 6 sport 1000-2000 dport 80 lookup 5 suppress_prefixlength 0 protocol 210",
  ]);
});

test.each([
  [{ l3mdev: true }, "l3mdev"],
  [{ goto: 200 }, "goto 200"],
  [{ action: "prohibit" as const }, "prohibit"],
])("create-full: to %j", (target, words) => {
  const raw = { name: "lan", family: "ipv6" as const, priority: 100, from: "2001:db8::1", ...target };
  expect(ensure(raw, look([], [], raw))).toEqual([
    `ip -6 rule add pref 100 from 2001:db8::1/128 ${words} protocol 210`,
  ]);
});

test("update-in-place: another rule is there before the old one goes", () => {
  const raw = { ...LAN, from: "192.168.3.0/24" };
  expect(ensure(raw, look([LAN_RULE], [LAN_ROUTE], raw, last(LAN)), last(LAN))).toEqual([
    "ip -4 rule add pref 100 from 192.168.3.0/24 lookup 5 protocol 210",
    "ip -4 rule del pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
  ]);
});

test("update-in-place: one that the kernel cannot have beside the old one takes its place in one process", () => {
  for (const [from, to] of [
    [LAN, { ...LAN, from: undefined }],
    [LAN, { ...LAN, invert: true }],
  ] as const) {
    expect(ensure(to, look([LAN_RULE], [LAN_ROUTE], to, last(from)), last(from))).toEqual([
      "ip -4 -force -batch -",
      "  rule del pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
      `  rule add pref 100 ${to.from ? "not from 192.168.2.0/24 " : ""}lookup 5 protocol 210`,
    ]);
  }
});

test("update-in-place: another table gets its routes first, the old one loses them last", () => {
  const raw = { ...LAN, table: 6 };
  expect(ensure(raw, look([LAN_RULE], [LAN_ROUTE], raw, last(LAN)), last(LAN))).toEqual([
    // The canned answer has the route in both tables: in the new one it stands already.
    "ip -4 rule add pref 100 from 192.168.2.0/24 lookup 6 protocol 210",
    "ip -4 rule del pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
    "ip -4 route del 0.0.0.0/0 via 10.0.0.1 table 5 proto 210",
  ]);
});

test("update-in-place: another gateway replaces the route, no packet is without one", () => {
  const raw = { ...LAN, routes: [{ destination: "0.0.0.0/0", gateway: "10.0.0.2" }] };
  expect(ensure(raw, look([LAN_RULE], [LAN_ROUTE], raw, last(LAN)), last(LAN))).toEqual([
    "ip -4 route replace 0.0.0.0/0 via 10.0.0.2 table 5 proto 210",
  ]);
});

test("update-in-place: a half-run is taken up where it ended", () => {
  const raw = { ...LAN, from: "192.168.3.0/24" };
  const half = look([LAN_RULE, { ...LAN_RULE, src: "192.168.3.0" }], [LAN_ROUTE], raw, last(LAN));
  expect(ensure(raw, half, last(LAN))).toEqual([
    expect.stringContaining(
      "ip -4 rule add pref 100 from 192.168.3.0/24 lookup 5 protocol 210 | unless sh -c",
    ),
    "ip -4 rule del pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
  ]);
});

test("replace: only another name, and the old one goes first", () => {
  expect(policyRoute.identity).toEqual(["name"]);
  expect(policyRoute.id(desired(LAN))).toBe("lan");
  expect(policyRoute.deleteBeforeReplace).toBe(true);
});

test("remove", () => {
  const seen = look([LAN_RULE], [LAN_ROUTE], LAN, last(LAN));
  expect(text(policyRoute.remove(seen, last(LAN)))).toEqual([
    "ip -4 rule del pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
    "ip -4 route del 0.0.0.0/0 via 10.0.0.1 table 5 proto 210",
  ]);
});

test("already-gone: the routes go alone, or nothing does", () => {
  expect(text(policyRoute.remove(look([], [LAN_ROUTE], LAN, last(LAN)), last(LAN)))).toEqual([
    "ip -4 route del 0.0.0.0/0 via 10.0.0.1 table 5 proto 210",
  ]);
  expect(text(policyRoute.remove(look([], [], LAN, last(LAN)), last(LAN)))).toEqual([]);
});

test("drift: a rule that is gone is absent, a route that is gone is missing", () => {
  expect(look([], [LAN_ROUTE], LAN, last(LAN)).state).toBeUndefined();
  const { state } = look([LAN_RULE], [], LAN, last(LAN));
  expect(difference(desired(LAN), state!, Object.keys(desired(LAN)))).toEqual([
    "routes: 0.0.0.0/0 gateway=10.0.0.1 is missing",
  ]);
  expect(ensure(LAN, look([], [LAN_ROUTE], LAN, last(LAN)), last(LAN))).toEqual([
    "ip -4 rule add pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
  ]);
});

test("foreign: others' rules are not seen, whatever they say", () => {
  const others = [
    { ...LAN_RULE, protocol: undefined },
    { ...LAN_RULE, protocol: "4" },
    { ...LAN_RULE, fwmark: "0x1" },
    { ...LAN_RULE, tun_id: 7 },
    { ...LAN_RULE, dport: 80, dport_mask: "0xff" },
  ];
  const { state } = look(others, [], LAN);
  expect(state).toBeUndefined();
});

test("foreign: a rule that the kernel would delete in the place of ours is not risked", () => {
  const narrower = { ...LAN_RULE, fwmark: "0x1" };
  const told = /cannot tell the rule "100: from 192.168.2.0\/24 lookup 5" from "100: .*fwmark 0x1 lookup 5"/;
  expect(() => ensure(LAN, look([narrower], [], LAN))).toThrow(told);
  expect(() => policyRoute.remove(look([narrower, LAN_RULE], [], LAN, last(LAN)), last(LAN))).toThrow(told);
  // Behind ours it is not the one that the kernel finds.
  expect(text(policyRoute.remove(look([LAN_RULE, narrower], [], LAN, last(LAN)), last(LAN)))).toEqual([
    "ip -4 rule del pref 100 from 192.168.2.0/24 lookup 5 protocol 210",
  ]);
});

test("adopt-identical: nothing would change", () => {
  const seen = look([LAN_RULE], [LAN_ROUTE], LAN);
  expect(difference(desired(LAN), seen.state!, Object.keys(desired(LAN)))).toEqual([]);
  expect(ensure(LAN, seen)).toEqual([]);
});

test("every selector is found again in what ip lists", () => {
  const json = {
    priority: 100,
    not: null,
    src: "192.168.2.0",
    srclen: 24,
    dst: "10.0.0.0",
    dstlen: 8,
    tos: "0x10",
    fwmark: "0x64",
    fwmask: "0xff",
    iif: "lo",
    oif: "eth1",
    oif_detached: null,
    uid_start: 1000,
    uid_end: 1000,
    ipproto: "ipproto-6",
    sport_start: 1000,
    sport_end: 2000,
    dport: 80,
    table: "5",
    suppress_prefixlen: 0,
    protocol: "210",
  };
  const [rule] = parseRules(said([json]), "ipv4");
  expect(rule).toEqual(ruleOf(desired(FULL)));
});

test.each([
  [{ priority: 1, src: "all", l3mdev: null, protocol: "210" }, { l3mdev: true }],
  [{ priority: 1, src: "all", goto: 9, unresolved: null, protocol: "210" }, { goto: 9 }],
  [{ priority: 1, src: "all", action: "7", protocol: "210" }, { action: "unreachable" }],
  [
    { priority: 1, src: "all", fwmark: "0", table: "5", protocol: "210" },
    { fwmark: "0x0", table: 5 },
  ],
  [
    { priority: 1, src: "all", dport: 80, dport_mask: "0xffff", ipproto: "6", table: "5", protocol: "210" },
    { destinationPort: 80, ipProtocol: "tcp", table: 5 },
  ],
  [
    { priority: 1, src: "all", fwmark: "0", fwmask: "0xff", table: "5", protocol: "210" },
    { fwmark: "0x0/0xff", table: 5 },
  ],
  [
    { priority: 1, src: "10.0.0.1", table: "4294967295", protocol: "210" },
    { from: "10.0.0.1/32", table: 4294967295 },
  ],
])("%j is %j", (json, rule) => {
  expect(parseRules(said([json]), "ipv4")).toEqual([{ family: "ipv4", priority: 1, ...rule }]);
});

test.each([
  ["priority", { priority: 0 }, "0: must be 1 to 32765"],
  ["priority", { priority: 32766 }, "32766: must be 1 to 32765"],
  ["family", { family: "inet" }, '"inet": must be "ipv4" or "ipv6"'],
  ["from", { from: "192.168.2.1/24" }, '"192.168.2.1/24": has host bits set: the network is 192.168.2.0/24'],
  ["from", { from: "0.0.0.0/0" }, '"0.0.0.0/0": matches every packet: leave it out'],
  ["from", { from: "2001:db8::/32" }, "2001:db8::/32: is not ipv4"],
  ["from", { from: "example.com" }, '"example.com": is no IP address, as 192.168.2.1 or 2001:db8::1'],
  ["fwmark", { fwmark: "0x164/0xff" }, "has bits outside its mask"],
  ["fwmark", { fwmark: "0/0" }, "matches every packet: leave it out"],
  ["fwmark", { fwmark: -1 }, "is no mark"],
  ["fwmark", { fwmark: 4294967296 }, "is no mark"],
  ["iif", { iif: "br%d" }, "is no interface name"],
  ["ipProtocol", { ipProtocol: "tpc" }, "must be 1 to 255, or one of icmp"],
  ["destinationPort", { destinationPort: 65535 }, "must be a port from 1 to 65534"],
  ["destinationPort", { destinationPort: "20-10" }, "must be a port from 1 to 65534"],
  ["tos", { tos: 3 }, "must be 4 to 252"],
  ["tos", { tos: 5 }, "has ECN bits set"],
  ["uidRange", { uidRange: "a" }, "must be a user id from 0 to 4294967294"],
  ["invert", { invert: true }, "needs a selector"],
  ["table", { table: undefined }, "exactly one of table, l3mdev, goto, action is needed, not none"],
  ["l3mdev", { l3mdev: true }, "exactly one of table, l3mdev, goto, action is needed, not table and l3mdev"],
  ["l3mdev", { table: undefined, l3mdev: false }, "must be true, or left out"],
  ["goto", { table: undefined, goto: 50 }, "50: must be higher than the priority, 100"],
  ["suppressPrefixLength", { suppressPrefixLength: 33 }, "33: must be 0 to 32"],
  ["suppressPrefixLength", { table: undefined, action: "blackhole", suppressPrefixLength: 0 }, "needs table"],
  ["suppressPrefixLength", { table: undefined, l3mdev: true, suppressPrefixLength: 0 }, "needs table"],
  [
    "routes",
    { table: undefined, l3mdev: true, routes: [{ destination: "10.0.0.0/8", device: "e" }] },
    "need a table",
  ],
  [
    "routes[0]",
    { routes: [{ destination: "10.0.0.0/8" }] },
    "needs a gateway, a device, nexthops, or a type",
  ],
  ["routes[0].destination", { routes: [{ destination: "::/0", device: "e" }] }, "::/0: is not ipv4"],
  ["proto", { proto: 4 }, "unknown field"],
])("invalid-%s: %j", (property, raw, reason) => {
  expect(problems(policyRoute, { ...MINIMAL, ...raw })).toContainEqual({
    property,
    reason: expect.stringContaining(reason),
  });
});

test("what is shared with others on the host is claimed", () => {
  expect(policyRoute.claims!(desired(LAN))).toEqual({
    "ipv4 rule 100: from 192.168.2.0/24 lookup 5": { value: "lan", former: null },
    "route 0.0.0.0/0 of table 5": { value: "PolicyRoute lan", former: null },
  });
});

// Laws.

const mark = fc.oneof(
  fc.nat({ max: 0xffffffff }),
  fc.nat({ max: 0xffffffff }).map((n) => `0x${n.toString(16)}`),
  fc
    .tuple(fc.nat({ max: 0xffffffff }), fc.integer({ min: 1, max: 0xffffffff }))
    .map(([n, m]) => `${Number(BigInt(n) & BigInt(m))}/0x${m.toString(16)}`),
);
const port = fc.oneof(
  fc.integer({ min: 1, max: 65534 }),
  fc
    .tuple(fc.integer({ min: 1, max: 65534 }), fc.integer({ min: 1, max: 65534 }))
    .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
);
const few = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const rules: fc.Arbitrary<PolicyRouteFields> = fc
  .record({
    name: fc.constant("lan"),
    family: fc.constant("ipv4" as const),
    priority: fc.integer({ min: 1, max: 3 }),
    from: few(fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "10.0.0.1")),
    to: few(fc.constantFrom("192.168.0.0/16", "10.0.0.1")),
    fwmark: few(mark),
    iif: few(fc.constantFrom("lo", "eth0")),
    oif: few(fc.constantFrom("lo", "eth1")),
    ipProtocol: few(fc.oneof(fc.constantFrom("TCP", "udp", "icmp"), fc.integer({ min: 1, max: 255 }))),
    sourcePort: few(port),
    destinationPort: few(port),
    tos: few(fc.integer({ min: 1, max: 63 }).map((n) => n * 4)),
    uidRange: few(fc.integer({ min: 0, max: 4294967294 })),
    invert: few(fc.boolean()),
    table: fc.integer({ min: 1, max: 2 }),
    suppressPrefixLength: few(fc.integer({ min: 0, max: 32 })),
  })
  .filter((raw) => problems(policyRoute, raw).length === 0);

/** What iproute2 makes of words, independently of our own reading. */
function json(argv: readonly string[]): object {
  const value = (word: string) => (argv.includes(word) ? argv[argv.indexOf(word) + 1]! : undefined);
  const net = (text?: string) => text?.split("/");
  const range = (name: string, text?: string) => {
    const [a, b] = (text ?? "").split("-").map(Number);
    return text === undefined
      ? {}
      : b === undefined
        ? { [name]: a }
        : { [`${name}_start`]: a, [`${name}_end`]: b };
  };
  const [fwmark, mask] = (value("fwmark") ?? "").split("/");
  const [src, srclen] = net(value("from")) ?? ["all"];
  const [dst, dstlen] = net(value("to")) ?? [];
  const uid = value("uidrange")?.split("-").map(Number);
  return {
    priority: Number(value("pref")),
    ...(argv.includes("not") && { not: null }),
    src,
    ...(srclen && srclen !== "32" && { srclen: Number(srclen) }),
    ...(dst && { dst, ...(dstlen !== "32" && { dstlen: Number(dstlen) }) }),
    ...(value("tos") && { tos: value("tos") }),
    ...(fwmark && { fwmark: fwmark === "0x0" ? "0" : fwmark }),
    ...(mask && mask !== "0xffffffff" && { fwmask: mask }),
    ...(value("iif") && { iif: value("iif") }),
    ...(value("oif") && { oif: value("oif") }),
    ...(uid && { uid_start: uid[0], uid_end: uid[1] }),
    ...(value("ipproto") && { ipproto: `ipproto-${value("ipproto")}` }),
    ...range("sport", value("sport")),
    ...range("dport", value("dport")),
    table: value("lookup"),
    ...(value("suppress_prefixlength") && { suppress_prefixlen: Number(value("suppress_prefixlength")) }),
    protocol: value("protocol"),
  };
}

test("law: a field's schema is idempotent", () => {
  fc.assert(
    fc.property(rules, (raw) => {
      expect(desired(desired(raw) as PolicyRouteFields)).toEqual(desired(raw));
    }),
  );
});

test("law: what is added is what is found, and nothing is left to do", () => {
  fc.assert(
    fc.property(rules, (raw) => {
      const [step] = policyRoute.ensure(desired(raw), look([], [], raw));
      const seen = look([json(step!.argv)], [], raw);
      expect(seen.state).toEqual(desired(raw));
      expect(policyRoute.ensure(desired(raw), seen)).toEqual([]);
      expect(changed(seen.state!, seen.state!, Object.keys(seen.state!))).toEqual([]);
    }),
  );
});

test("law: what the guard prints holds each rule that the kernel could take for ours", () => {
  fc.assert(
    fc.property(rules, rules, (a, b) => {
      // Of two at random none covers the other: the other one has all that this one has, and may have more.
      const said = Object.entries(a).filter(([, value]) => value !== undefined);
      const narrower = { ...b, ...Object.fromEntries(said) } as PolicyRouteFields;
      fc.pre(problems(policyRoute, narrower).length === 0);
      const [one, other] = [ruleOf(desired(a)), ruleOf(desired(narrower))];
      fc.pre(covers(one, other));
      const line = `${other.priority}:\t${ruleText(other).replace(/^\d+: /, "")} proto 210`;
      expect(new RegExp(listed(one).at(-1)!).test(line)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});

test("law: from any rule to any other, the old one goes and the new one comes, and back again by the undo", () => {
  fc.assert(
    fc.property(rules, rules, (a, b) => {
      const [from, to] = [ruleOf(desired(a)), ruleOf(desired(b))];
      const seen = look([json(ruleWords(from))], [], b, last(a));
      const steps = text(policyRoute.ensure(desired(b), seen, last(a))).join("\n");
      const undo = policyRoute.ensure(desired(a), { state: desired(b), facts: seen.facts }, last(b));
      const add = `rule add ${ruleWords(to).join(" ")}`;
      const del = `rule del ${ruleWords(from).join(" ")}`;
      if (equal(from, to)) {
        expect([steps, text(undo)]).toEqual(["", []]);
      } else {
        expect(steps).toContain(add);
        expect(steps).toContain(del);
        expect(text(undo).join("\n")).toContain(add.replace("add", "del"));
        expect(text(undo).join("\n")).toContain(del.replace("del", "add"));
      }
    }),
  );
});

test("law: the order of routes does not matter", () => {
  const list = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"].map((destination) => ({
    destination,
    device: "eth0",
  }));
  fc.assert(
    fc.property(fc.shuffledSubarray(list, { minLength: 3 }), (routes) => {
      expect(ensure({ ...LAN, routes }, look([], [], { ...LAN, routes }))).toEqual(
        ensure({ ...LAN, routes: list }, look([], [], { ...LAN, routes: list })),
      );
    }),
  );
});

test("law: junk is an error, never an object", () => {
  const junk = fc.oneof(
    fc.string().filter((s) => s.trim() !== "" && !/^\s*(\[\s*\]|\[\s*\{.*)$/.test(s)),
    fc.constantFrom("{}", "null", "3", '"a"', '[{"priority":', "<html>"),
  );
  fc.assert(
    fc.property(junk, (stdout) => {
      const results = policyRoute.query(desired(LAN)).map(() => said(stdout));
      expect(() => policyRoute.parse(results, desired(LAN))).toThrow();
    }),
  );
  expect(() => look([{ ...LAN_RULE, fwmark: "zzz" }], [], LAN)).toThrow();
});

test("a thousand rules of one priority: the look asks for those of its own networks", () => {
  const ip = ["ip", "-N", "-j", "-4", "rule", "list", "pref", "100"];
  expect(neighbours(ruleOf(desired(MINIMAL)))).toEqual(ip);
  expect(neighbours(ruleOf(desired(LAN)))).toEqual([...ip, "from", "192.168.2.0/24"]);
  expect(neighbours(ruleOf(desired(FULL)))).toEqual([...ip, "from", "192.168.2.0/24", "to", "10.0.0.0/8"]);
});
