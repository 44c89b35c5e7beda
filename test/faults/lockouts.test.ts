// Changes that break the way in: refused by name, or taken back by the host in time.
import { randomInt } from "node:crypto";
import { ADDRESS, FaultBed, type Layout } from "./bed";
import { look, survives, Workstation } from "./oracles";
import { row } from "./table";

type Change = readonly [type: string, args: Record<string, unknown>];

const COUNT = Number(process.env.HOSTNET_LOCKOUTS ?? 500);
const SEED = Number(process.env.HOSTNET_SEED ?? randomInt(1 << 30));
const CONFIRM = { timeout: 5, allowLockout: true };

/** A third of the hosts is reached in each way. */
const lanes: Workstation[] = [];
const plain: Workstation[] = [];
beforeAll(async () => {
  console.log(`HOSTNET_SEED=${SEED}`);
  const layouts = Array.from(
    { length: process.env.HOSTNET_FAULTS ? 12 : 3 },
    (_, n) => (["plain", "bridged", "routed"] as const)[n % 3]!,
  );
  const beds = await Promise.all(layouts.map((layout) => FaultBed.make(layout)));
  // From the container of its sshd to the host itself.
  const inside = { ssh: { sudo: { command: "nsenter -t 1" } } };
  lanes.push(...beds.map((bed) => new Workstation(bed, bed.layout === "routed" ? inside : {})));
  plain.push(...lanes.filter(({ bed }) => bed.layout === "plain"));
}, 120_000);
afterAll(() => {
  for (const at of lanes) {
    at.close();
    at.bed.close();
  }
});

/** mulberry32: the same numbers for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A change that keeps new connections out, whatever it does to the one it came by. */
function breaking(seed: number, layout: Layout): Change {
  const random = numbers(seed);
  const of = <T>(...list: readonly T[]): T => list[random(list.length)]!;
  if (layout === "bridged") return of(...ofBridge(random))();
  if (layout === "routed") return of(...ofForwarding(random))();
  const table = (hook: string, rules: readonly string[], more = {}): Change => [
    "NftTable",
    {
      family: of("inet", "ip"),
      chains: { c: { type: "filter", hook, priority: of(-300, -10, 0, 50), rules, ...more } },
    },
  ];
  const verdict = () => of("drop", "counter drop");
  const established = () => of(["ct state established,related accept"], ["ct state established accept"], []);
  const incoming = () =>
    of(
      "tcp dport 22",
      "meta l4proto tcp",
      `ip saddr ${ADDRESS.client}`,
      "ip saddr 192.0.2.0/24",
      'iifname "uplink"',
      "tcp flags syn",
    );
  const outgoing = () =>
    of("tcp sport 22", `ip daddr ${ADDRESS.client}`, 'oifname "uplink"', "meta l4proto tcp");
  return of<() => Change>(
    () => table(of("input", "prerouting"), [...established(), `${incoming()} ${verdict()}`]),
    () => table("input", established(), { policy: "drop" }),
    () => table("input", ["iifname lo accept", `tcp dport ${of(80, 443, 2222)} accept`], { policy: "drop" }),
    () => table(of("output", "postrouting"), [`${outgoing()} ${verdict()}`]),
    () => table("output", [], { policy: "drop" }),
    () => [
      "NftTable",
      {
        family: "inet",
        chains: {
          c: { type: "filter", hook: "input", priority: 0, rules: [...established(), "ip saddr @s drop"] },
        },
        sets: {
          s: {
            type: "ipv4_addr",
            flags: ["interval"],
            elements: [of("192.0.2.0/24", "192.0.0.0/16", "128.0.0.0/1")],
          },
        },
      },
    ],
    () => [
      "PolicyRoute",
      {
        family: "ipv4",
        priority: 50 + random(10),
        ...of(
          { to: `${ADDRESS.client}/32` },
          { to: "192.0.2.0/24" },
          { from: `${ADDRESS.host}/32`, to: "192.0.2.8/29" },
          {},
        ),
        action: of("blackhole", "unreachable", "prohibit"),
      },
    ],
    () => [
      "PolicyRoute",
      {
        family: "ipv4",
        priority: 50 + random(10),
        to: "192.0.2.0/28",
        table: 88,
        routes: [{ destination: of("192.0.2.8/29", "0.0.0.0/0"), type: of("blackhole", "unreachable") }],
      },
    ],
    () => ["Bridge", { ports: ["uplink"], ...of({}, { addresses: ["10.9.0.1/24"] }, { mtu: 1400 }) }],
    () => ["Bridge", { addresses: [of(`${ADDRESS.client}/32`, `${ADDRESS.client}/24`, "192.0.2.8/29")] }],
    () => ["Bridge", { ports: ["uplink"], addresses: ["192.0.2.77/24"], vlanFiltering: true }],
  )();
}

/** Of the bridge that carries the connection, found there and taken over, and of IPv6. */
function ofBridge(random: (below: number) => number): readonly (() => Change)[] {
  const br0 = (args: object) => (): Change => ["Bridge", { name: "br0", adopt: "overwrite", ...args }];
  const client = { family: "ipv6", priority: 50 + random(10), to: "fd00:2::9/128" };
  return [
    // Below 1280 there is no IPv6.
    br0({ mtu: 1279 - random(200) }),
    br0({ up: false }),
    () => ["Sysctl", { settings: { "net.ipv6.conf.all.disable_ipv6": 1 } }],
    () => ["Sysctl", { settings: { "net.ipv6.conf.br0.disable_ipv6": 1 } }],
    () => ["PolicyRoute", { ...client, action: "blackhole" }],
    () => [
      "NftTable",
      { family: "inet", chains: { c: { type: "filter", hook: "input", priority: 0, policy: "drop" } } },
    ],
    () => [
      "NftTable",
      {
        family: "ip6",
        chains: {
          c: {
            type: "filter",
            hook: "output",
            priority: 0,
            rules: ["icmpv6 type nd-neighbor-advert drop", "tcp sport 22 drop"],
          },
        },
      },
    ],
  ];
}

/** What keeps the host from forwarding to the container of its sshd. */
function ofForwarding(random: (below: number) => number): readonly (() => Change)[] {
  const of = <T>(...list: readonly T[]): T => list[random(list.length)]!;
  const chain = (chain: object) => (): Change => [
    "NftTable",
    { family: of("ip", "inet"), chains: { c: { priority: of(-300, -110, 0, 50), ...chain } } },
  ];
  const sysctl = (): Change => [
    "Sysctl",
    { settings: { [`net.ipv4.${of("ip_forward", "conf.all.forwarding", "conf.uplink.forwarding")}`]: 0 } },
  ];
  const rule = (args: object) => (): Change => [
    "PolicyRoute",
    { family: "ipv4", priority: 50 + random(10), ...args },
  ];
  return [
    sysctl,
    sysctl,
    chain({ type: "filter", hook: of("prerouting", "postrouting"), rules: ["ip daddr 198.18.0.2 drop"] }),
    chain({ type: "filter", hook: of("prerouting", "postrouting"), rules: ["ip saddr 198.18.0.0/28 drop"] }),
    chain({ type: "nat", hook: "prerouting", priority: -100, rules: ["tcp dport 22 redirect to :1"] }),
    rule({ to: "198.18.0.0/24", action: of("blackhole", "unreachable", "prohibit") }),
    rule({ from: "198.18.0.2/32", table: 88, routes: [{ destination: "0.0.0.0/0", type: "blackhole" }] }),
    () => ["Bridge", { addresses: [of("198.18.0.2/24", "198.18.0.2/32", "198.18.0.0/30")] }],
    () => ["Bridge", { ports: ["front"] }],
  ];
}

/** For changes that are good, so that a bed which takes everything back is noticed. */
const GOOD: readonly Change[] = [
  [
    "NftTable",
    {
      family: "inet",
      chains: {
        c: {
          type: "filter",
          hook: "input",
          priority: 0,
          policy: "drop",
          rules: ["ct state established accept", "tcp dport 22 accept"],
        },
      },
    },
  ],
  ["PolicyRoute", { family: "ipv4", priority: 50, to: "192.0.2.0/24", table: 254 }],
];

/** A port cannot keep the addresses by which we come. */
const REFUSED =
  /it would cut the connection|(uplink|front) carries .* which a port cannot keep|br0 would lose fd00:2::1|it is by IPv6/;
const TAKEN_BACK =
  /taken back by the host itself, for no new connection confirmed it.*Everything is as it was before/s;
const SURVIVED = new RegExp(`${TAKEN_BACK.source}|${REFUSED.source}`, "s");

async function breaks(
  [type, args]: Change,
  at: Workstation,
  error: RegExp,
  confirm: object = CONFIRM,
): Promise<void> {
  const begin = Date.now();
  await survives({
    at,
    fault: () => at.stack.run().up(type, "own", at.args({ ...args, confirm })),
    error,
    // The program is corrected: what was to be is no more.
    again: async () => at.stack.steps.push("same nothing"),
  });
  if (Date.now() - begin > 90_000) throw new Error("too late");
}

const dropsNew: readonly Change[] = (["accept", "drop"] as const).map((policy) => [
  "NftTable",
  {
    family: "inet",
    chains: {
      c: {
        type: "filter",
        hook: "input",
        priority: 0,
        policy,
        rules: ["ct state established,related accept", "ct state new drop"],
      },
    },
  },
]);
row(
  "8",
  "a ruleset that keeps established connections and drops new ones",
  { cases: dropsNew, few: 2, lanes: plain },
  (change, at) => breaks(change, at, TAKEN_BACK),
);

const swallowed = [
  {
    change: ["Bridge", { ports: ["uplink"] }],
    confirm: { timeout: 5 },
    error: REFUSED,
  },
  { change: ["Bridge", { ports: ["uplink"] }], confirm: CONFIRM, error: REFUSED },
  {
    change: [
      "PolicyRoute",
      { family: "ipv4", priority: 50, to: `${ADDRESS.client}/32`, action: "blackhole" },
    ],
    confirm: CONFIRM,
    error: TAKEN_BACK,
  },
] as const;
row(
  "9",
  "the uplink in a bridge, the client in a black hole",
  { cases: swallowed, few: 3, lanes: plain },
  ({ change, confirm, error }, at) => breaks(change, at, error, confirm),
);

row(
  "L",
  `random changes that break the way in, HOSTNET_SEED=${SEED}`,
  { cases: Array.from({ length: COUNT }, (_, n) => SEED + n), few: 10, lanes },
  (seed, at) =>
    breaks(breaking(seed, at.bed.layout), at, SURVIVED).catch((error: Error) => {
      throw new Error(`${at.bed.layout}: ${JSON.stringify(breaking(seed, at.bed.layout))}: ${error.message}`);
    }),
);

row(
  "good",
  "changes that look alike and break nothing are kept",
  { cases: GOOD, few: 2, lanes: plain },
  async ([type, args], at) => {
    const before = await look(at.bed);
    await at.stack.run().up(type, "own", at.args({ ...args, confirm: CONFIRM }));
    if (!(await at.bed.login())) throw new Error("no new login");
    await at.stack.run().destroy(type, "own");
    const after = await look(at.bed);
    if (after.own !== before.own || after.foreign !== before.foreign)
      throw new Error(`${before.own}\n---\n${after.own}`);
  },
);
