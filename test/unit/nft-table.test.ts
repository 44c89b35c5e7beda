import fc from "fast-check";
import type { z } from "zod";
import { difference } from "../../provider/compare";
import type { Last, Result } from "../../provider/kind";
import { nftTable } from "../../provider/nft-table";
import type { NftTable, NftTableFields, schema } from "../../provider/nft-table/args";
import type { Facts } from "../../provider/nft-table/parse";
import { parseFields } from "../../provider/schema";
import { desired } from "./nft-netns";
import { OTHER_FAMILIES, RULESETS } from "./nft-rulesets";

type Shape = typeof schema.shape;

const said = (stdout: string): Result => ({ code: 0, stdout, stderr: "" });
const ABSENT: Result = {
  code: 1,
  stdout: "",
  stderr: "Error: No such file or directory\nlist table inet fw\n                ^^\n",
};

const FIREWALL: NftTableFields = {
  family: "inet",
  name: "fw",
  chains: {
    input: {
      type: "filter",
      hook: "input",
      priority: "filter",
      policy: "drop",
      rules: ["ct state established,related accept", "tcp dport ssh ip saddr @lan accept", "jump guests"],
    },
    guests: { rules: ["drop"] },
  },
  sets: { lan: { type: "ipv4_addr", flags: ["interval"], elements: ["192.168.0.0/16", "10.0.0.0/8"] } },
};

/** As nft 1.0.6 lists it with -s -n -t: numbers for names, the rules not as they were written. */
const CHAINS = `	chain input {
		type filter hook input priority 0; policy drop;
		ct state 0x2,0x4 accept
		tcp dport 22 ip saddr @lan accept
		jump guests
	}

	chain guests {
		drop
	}
`;
const listing = (chains = CHAINS): string => `table inet fw {
	set lan {
		type ipv4_addr
		flags interval
	}

${chains}}
`;
const lan = (elements: string): string => `table inet fw {
	set lan {
		type ipv4_addr
		flags interval
		elements = { ${elements} }
	}
}
`;
const LAN = lan("10.0.0.0/8, 192.168.0.0/16");

/** Right after an apply, as the lifecycle keeps it. */
function applied(fields: NftTableFields, results = [said(listing()), said(LAN)]): Last<Shape, Facts> {
  const d = desired(fields);
  return { desired: d, facts: nftTable.parse(results, d).facts, former: nftTable.parse([ABSENT, ABSENT], d) };
}

function script(d: NftTable, results: readonly Result[], last?: Last<Shape, Facts>): string[] {
  const steps = nftTable.ensure(d, nftTable.parse(results, d, last), last);
  for (const step of steps) expect(step.argv).toEqual(["env", "TZ=UTC", "nft", "-f", "-"]);
  return steps.flatMap((step) => step.stdin!.trimEnd().split("\n"));
}

const drift = (results: readonly Result[], last: Last<Shape, Facts>): string[] => {
  const { state, broken } = nftTable.parse(results, last.desired, last);
  return [...difference(last.desired, state!, Object.keys(last.desired)), ...broken!];
};

test("what is asked of the host", () => {
  const last = applied(FIREWALL);
  const nft = ["env", "TZ=UTC", "nft", "-s", "-n"];
  // Sets of their own, by their records.
  const owned = { argv: expect.arrayContaining(["grep", "/etc/hostnet/objects"]), free: true };
  // Its version, and with another one than then how it lists what was applied.
  const version = { argv: expect.arrayContaining(["inet", "fw"]), free: true };
  expect(nftTable.query(last.desired, last)).toEqual([
    { argv: [...nft, "-t", "list", "table", "inet", "fw"] },
    { argv: [...nft, "list", "set", "inet", "fw", "lan"] },
    owned,
    {
      ...version,
      stdin: expect.stringMatching(/^\n\n\nadd table inet fw\n(.+\n)*add rule inet fw guests drop\n$/),
    },
  ]);
  expect(nftTable.query(last.desired)).toEqual([
    { argv: [...nft, "-t", "list", "table", "inet", "fw"] },
    { argv: [...nft, "list", "table", "inet", "fw"], free: true },
    owned,
    version,
  ]);
});

test("create-minimal", () => {
  expect(
    script(desired({ family: "ip", name: "t", chains: { a: { rules: "accept" } } }), [ABSENT, ABSENT]),
  ).toEqual(["add table ip t", "add chain ip t a", "flush chain ip t a", "add rule ip t a accept"]);
});

test("create-full", () => {
  const d = desired({
    ...FIREWALL,
    sets: {
      ...FIREWALL.sets,
      recent: {
        type: "ipv4_addr . inet_service",
        flags: ["timeout", "dynamic"],
        timeout: 3600,
        gcInterval: "10s",
        size: 100,
        counter: true,
        comment: "who called",
      },
      marks: { typeof: "meta mark", policy: "memory" },
    },
    maps: {
      taps: {
        type: "ifname",
        value: "verdict",
        elements: [{ element: "tap0", value: "jump guests", comment: "first" }, "tap1 : drop"],
      },
    },
    counters: { web: { comment: "port 80" }, ssh: {} },
    quotas: { daily: { bytes: "10 mbytes", over: true } },
    limits: { slow: { rate: "10/second", over: true, burst: "7 packets" } },
    ctHelpers: { ftp: { type: "ftp", protocol: "tcp", l3proto: "ip" } },
    flowtables: { fast: { priority: "filter", devices: ["eth1", "eth0"], counter: true } },
    text: "# by hand\nct timeout long { protocol tcp; policy = { established : 100 }; }\nchain more { type filter hook ingress device lo priority 5; }",
    dormant: true,
  });
  expect(script(d, [ABSENT, ABSENT])).toEqual([
    "add table inet fw { flags dormant; }",
    "add chain inet fw input { type filter hook input priority filter; policy drop; }",
    "add chain inet fw guests",
    "add chain inet fw more { type filter hook ingress device lo priority 5; policy accept; }",
    "flush chain inet fw input",
    "flush chain inet fw guests",
    "flush chain inet fw more",
    'add counter inet fw web { comment "port 80"; }',
    "add counter inet fw ssh",
    "add quota inet fw daily { over 10 mbytes; }",
    "add limit inet fw slow { rate over 10/second burst 7 packets; }",
    'add ct helper inet fw ftp { type "ftp" protocol tcp; l3proto ip; }',
    'add flowtable inet fw fast { hook ingress priority filter; devices = { "eth0", "eth1" }; counter; }',
    "add ct timeout inet fw long { protocol tcp; policy = { established : 100 }; }",
    "add set inet fw lan { type ipv4_addr; flags interval; }",
    'add set inet fw recent { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 1h; gc-interval 10s; size 100; counter; comment "who called"; }',
    "add set inet fw marks { typeof meta mark; policy memory; }",
    "add map inet fw taps { type ifname : verdict; }",
    "add element inet fw lan {",
    "\t10.0.0.0/8,",
    "\t192.168.0.0/16",
    "}",
    "add element inet fw taps {",
    '\ttap0 comment "first" : jump guests,',
    "\ttap1 : drop",
    "}",
    "add rule inet fw input ct state established,related accept",
    "add rule inet fw input tcp dport ssh ip saddr @lan accept",
    "add rule inet fw input jump guests",
    "add rule inet fw guests drop",
  ]);
});

test("no-change: the listing is not what was written, and still nothing is to do", () => {
  const last = applied(FIREWALL);
  const results = [said(listing()), said(LAN)];
  expect(nftTable.parse(results, last.desired, last).state).toEqual(last.desired);
  expect(script(last.desired, results, last)).toEqual([]);
});

test("update-in-place: one rule inserted touches one chain, and is one line of the canonical form", () => {
  const last = applied(FIREWALL);
  const chain = FIREWALL.chains!.input!;
  const d = desired({
    ...FIREWALL,
    chains: {
      ...FIREWALL.chains,
      input: { ...chain, rules: ["iifname lo accept", ...(chain.rules as string[])] },
    },
  });
  expect(script(d, [said(listing()), said(LAN)], last)).toEqual([
    "add table inet fw",
    "flush chain inet fw input",
    "add rule inet fw input iifname lo accept",
    "add rule inet fw input ct state established,related accept",
    "add rule inet fw input tcp dport ssh ip saddr @lan accept",
    "add rule inet fw input jump guests",
  ]);
  expect(difference(d, last.desired, Object.keys(d))).toEqual([
    "chains.input.rules: iifname lo accept is missing",
  ]);
});

test("update-policy: the rules stay, and a policy that left the program is accept again", () => {
  const { policy: _, ...chain } = FIREWALL.chains!.input as { policy?: "drop" };
  const d = desired({ ...FIREWALL, chains: { ...FIREWALL.chains, input: chain as never } });
  expect(script(d, [said(listing()), said(LAN)], applied(FIREWALL))).toEqual([
    "add table inet fw",
    "add chain inet fw input { type filter hook input priority filter; policy accept; }",
  ]);
});

test("update-hook: the chain is made anew in its place", () => {
  const d = desired({
    ...FIREWALL,
    chains: { ...FIREWALL.chains, input: { ...FIREWALL.chains!.input!, hook: "forward" } as never },
  });
  expect(script(d, [said(listing()), said(LAN)], applied(FIREWALL))).toEqual([
    "add table inet fw",
    "flush chain inet fw input",
    "delete chain inet fw input",
    "add chain inet fw input { type filter hook forward priority filter; policy drop; }",
    "add rule inet fw input ct state established,related accept",
    "add rule inet fw input tcp dport ssh ip saddr @lan accept",
    "add rule inet fw input jump guests",
  ]);
});

test("update-comment of a chain that others jump to: they let go of it first", () => {
  const d = desired({
    ...FIREWALL,
    chains: { ...FIREWALL.chains, guests: { comment: "vms", rules: ["drop"] } },
  });
  expect(script(d, [said(listing()), said(LAN)], applied(FIREWALL))).toEqual([
    "add table inet fw",
    "flush chain inet fw input",
    "flush chain inet fw guests",
    "delete chain inet fw guests",
    'add chain inet fw guests { comment "vms"; }',
    "add rule inet fw input ct state established,related accept",
    "add rule inet fw input tcp dport ssh ip saddr @lan accept",
    "add rule inet fw input jump guests",
    "add rule inet fw guests drop",
  ]);
});

test("update-elements: only those that differ", () => {
  const d = desired({
    ...FIREWALL,
    sets: { lan: { ...FIREWALL.sets!.lan!, elements: ["10.0.0.0/16", "192.168.0.0/16"] } },
  });
  expect(script(d, [said(listing()), said(LAN)], applied(FIREWALL))).toEqual([
    "add table inet fw",
    "delete element inet fw lan {",
    "\t10.0.0.0/8",
    "}",
    "add element inet fw lan {",
    "\t10.0.0.0/16",
    "}",
  ]);
});

test("update-set-type: made anew, with the chains that name it filled again", () => {
  const d = desired({ ...FIREWALL, sets: { lan: { type: "ipv4_addr", elements: ["10.0.0.1"] } } });
  expect(script(d, [said(listing()), said(LAN)], applied(FIREWALL))).toEqual([
    "add table inet fw",
    "flush chain inet fw input",
    "delete set inet fw lan",
    "add set inet fw lan { type ipv4_addr; }",
    "add element inet fw lan {",
    "\t10.0.0.1",
    "}",
    "add rule inet fw input ct state established,related accept",
    "add rule inet fw input tcp dport ssh ip saddr @lan accept",
    "add rule inet fw input jump guests",
  ]);
});

test("remove", () => {
  const last = applied(FIREWALL);
  const now = nftTable.parse([said(listing()), said(LAN)], last.desired, last);
  expect(nftTable.remove(now, last)[0]!.stdin).toBe("add table inet fw\ndelete table inet fw\n");
});

test("already-gone", () => {
  const last = applied(FIREWALL);
  const now = nftTable.parse([ABSENT, ABSENT], last.desired, last);
  expect(now).toEqual({ facts: { table: "inet fw", present: false, listing: {}, foreign: [] } });
  expect(nftTable.remove(now, last)).toEqual([]);
});

describe("drift", () => {
  const last = applied(FIREWALL);
  test.each<[string, Result[], string[]]>([
    [
      "a rule deleted by hand",
      [said(listing(CHAINS.replace("\t\ttcp dport 22 ip saddr @lan accept\n", ""))), said(LAN)],
      ["chains.input.rules: tcp dport ssh ip saddr @lan accept is missing"],
    ],
    [
      "a rule added by hand",
      [
        said(listing(CHAINS.replace("\t\tjump guests\n", "\t\tjump guests\n\t\tudp dport 53 accept\n"))),
        said(LAN),
      ],
      ["chains.input.rules: udp dport 53 accept is there"],
    ],
    [
      "rules in another order",
      [
        said(
          listing(
            CHAINS.replace("\t\tct state 0x2,0x4 accept\n", "").replace(
              "jump guests\n",
              "jump guests\n\t\tct state 0x2,0x4 accept\n",
            ),
          ),
        ),
        said(LAN),
      ],
      ["chains.input.rules: ct state established,related accept is at another place"],
    ],
    [
      "a policy",
      [said(listing(CHAINS.replace("policy drop", "policy accept"))), said(LAN)],
      ["chains.input.policy: accept instead of drop"],
    ],
  ])("%s", (_, results, shows) => {
    // A line that stands elsewhere is not known as the user's: its words are nft's then.
    const seen = drift(results, last);
    if (_ === "rules in another order")
      expect(seen).toEqual([
        "chains.input.rules: ct state established,related accept is missing",
        "chains.input.rules: ct state 0x2,0x4 accept is there",
      ]);
    else expect(seen).toEqual(shows);
    expect(script(last.desired, results, last)).not.toEqual([]);
  });

  test("elements", () => {
    const results = [said(listing()), said(lan("10.0.0.0/8, 172.16.0.0/12"))];
    expect(drift(results, last)).toHaveLength(2);
    expect(script(last.desired, results, last)).toEqual([
      "add table inet fw",
      "delete element inet fw lan {",
      "\t172.16.0.0/12",
      "}",
      "add element inet fw lan {",
      "\t192.168.0.0/16",
      "}",
    ]);
  });

  test("somebody's chain in our table", () => {
    const results = [said(listing(`${CHAINS}\tchain theirs {\n\t\tcounter accept\n\t}\n`)), said(LAN)];
    expect(nftTable.parse(results, last.desired, last).state!.chains!.theirs).toEqual({
      rules: "counter accept\n",
    });
    expect(script(last.desired, results, last)).toEqual([
      "add table inet fw",
      "add chain inet fw theirs",
      "flush chain inet fw theirs",
      "delete chain inet fw theirs",
    ]);
  });

  test("a set with a resource of its own is none", () => {
    const used = applied({ ...FIREWALL, uses: ["banned"] });
    const results = [said(listing(`\tset banned {\n\t\ttype ipv4_addr\n\t}\n${CHAINS}`)), said(LAN)];
    expect(drift(results, used)).toEqual([]);
    expect(script(used.desired, results, used)).toEqual([]);
    const now = nftTable.parse(results, used.desired, used);
    expect(now.facts.foreign).toEqual(["banned"]);
    expect(nftTable.remove(now, used)[0]!.stdin).not.toContain("delete table");
  });
});

describe("odd answers are never an absent table, and never one", () => {
  const d = desired(FIREWALL);
  test.each<[string, Result]>([
    [
      "no permission",
      { code: 1, stdout: "", stderr: "Error: Could not process rule: Operation not permitted" },
    ],
    ["no nft", { code: 127, stdout: "", stderr: "env: 'nft': No such file or directory" }],
    ["killed", { code: 137, stdout: "", stderr: "" }],
    ["nothing", said("")],
    ["another table", said("table inet other {\n}\n")],
    ["half a table", said(listing().slice(0, 200))],
    ["junk", said("hello {\n")],
    ["junk inside", said("table inet fw {\n\tsomething odd\n}\n")],
  ])("%s", (_, result) => {
    expect(() => nftTable.parse([result, result], d)).toThrow();
  });

  test("whatever it is", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 0, max: 255 }), fc.string(), (stdout, code, stderr) => {
        expect(() => nftTable.parse([{ code, stdout, stderr }], d)).toThrow();
      }),
    );
  });
});

describe("refused in check, on the property, with the reason", () => {
  const chain = (fields: object): NftTableFields =>
    ({ family: "inet", name: "fw", chains: { c: fields } }) as NftTableFields;
  const base = { type: "filter", hook: "input", priority: 0 };
  test.each<[string, unknown, string, RegExp]>([
    ["invalid-family", { family: "ipx", name: "fw" }, "family", /must be one of ip, ip6, inet/],
    ["invalid-name", { family: "ip", name: "0fw" }, "name", /a letter, then letters/],
    ["invalid-name-keyword", { family: "ip", name: "table" }, "name", /word of nft's own language/],
    ["invalid-name-iptables", { family: "ip", name: "nat" }, "name", /belongs to iptables-nft/],
    ["invalid-name-libvirt", { family: "ip", name: "libvirt_network" }, "name", /belongs to libvirt/],
    ["invalid-name-firewalld", { family: "inet", name: "firewalld" }, "name", /belongs to firewalld/],
    ["invalid-field", { family: "ip", name: "fw", rules: [] }, "rules", /unknown field/],
    [
      "invalid-chain-name",
      { family: "ip", name: "fw", chains: { dnat: {} } },
      "chains.dnat",
      /word of nft's own language/,
    ],
    ["invalid-chain-field", chain({ priorty: 1 }), "chains.c.priorty", /unknown field/],
    ["invalid-hook", chain({ ...base, hook: "inputs" }), "chains.c.hook", /must be one of prerouting, input/],
    [
      "invalid-hook-family",
      { ...chain({ ...base, hook: "egress" }) },
      "chains.c.hook",
      /inet family has prerouting/,
    ],
    ["invalid-hook-type", chain({ ...base, type: "route" }), "chains.c.hook", /type route is for output/],
    [
      "invalid-type-family",
      { ...chain({ ...base, type: "nat", hook: "prerouting" }), family: "bridge" },
      "chains.c.type",
      /bridge family has only "filter"/,
    ],
    [
      "invalid-half-a-base-chain",
      chain({ type: "filter", rules: [] }),
      "chains.c",
      /base chain has type, hook and priority/,
    ],
    ["invalid-policy-of-regular-chain", chain({ policy: "drop" }), "chains.c", /belong to a base chain/],
    [
      "invalid-priority",
      chain({ ...base, priority: "first" }),
      "chains.c.priority",
      /whole number, or raw, mangle/,
    ],
    [
      "invalid-priority-family",
      chain({ ...base, priority: "out" }),
      "chains.c.priority",
      /inet family has a number, or one of/,
    ],
    [
      "invalid-priority-nat",
      chain({ ...base, type: "nat", priority: -300 }),
      "chains.c.priority",
      /more than -200/,
    ],
    [
      "invalid-bridge-priority-0",
      { ...chain({ ...base, hook: "forward" }), family: "bridge" },
      "chains.c.priority",
      /br_netfilter/,
    ],
    [
      "invalid-bridge-priority-filter-200",
      { ...chain({ ...base, priority: "filter + 200" }), family: "bridge" },
      "chains.c.priority",
      /br_netfilter/,
    ],
    [
      "invalid-device",
      chain({ ...base, hook: "ingress", device: "br%d" }),
      "chains.c.device",
      /no interface name/,
    ],
    ["invalid-comment", chain({ comment: "x".repeat(129) }), "chains.c.comment", /128 bytes, this has 129/],
    [
      "invalid-rule-semicolon",
      chain({ rules: ["accept; flush ruleset"] }),
      "chains.c.rules[0]",
      /; outside quotes/,
    ],
    [
      "invalid-rule-comment",
      chain({ rules: ["accept", "drop # x"] }),
      "chains.c.rules[1]",
      /# outside quotes/,
    ],
    ["invalid-rule-line", chain({ rules: ["accept\ndrop"] }), "chains.c.rules[0]", /line break/],
    ["invalid-rule-brace", chain({ rules: ["tcp dport { 22"] }), "chains.c.rules[0]", /\{ without its \}/],
    [
      "invalid-rule-host-name",
      chain({ rules: "ip saddr example.com drop" }),
      "chains.c.rules",
      /line 1, ip saddr example\.com drop: example\.com is a host name/,
    ],
    [
      "invalid-rule-output",
      chain({ rules: ["ip saddr Calling [toString] on an [Output<T>] is"] }),
      "chains.c.rules[0]",
      /not known yet/,
    ],
    [
      "invalid-jump",
      chain({ rules: ["accept", "jump nowhere"] }),
      "chains.c.rules[1]",
      /jump nowhere: jumps to nowhere/,
    ],
    [
      "invalid-set-reference",
      chain({ rules: ["ip saddr @nowhere drop"] }),
      "chains.c.rules[0]",
      /names @nowhere, a set that .* inside of an apply: uses: \[nowhere\.name\]/,
    ],
    [
      "invalid-set-without-type",
      { family: "ip", name: "fw", sets: { s: {} } },
      "sets.s",
      /either type or typeof/,
    ],
    [
      "invalid-set-timeout",
      { family: "ip", name: "fw", sets: { s: { type: "ipv4_addr", timeout: "soon" } } },
      "sets.s.timeout",
      /seconds, or a time/,
    ],
    [
      "invalid-element",
      { family: "ip", name: "fw", sets: { s: { type: "ipv4_addr", elements: ["1.1.1.1", "10.0.0.1/8"] } } },
      "sets.s.elements[1]",
      /host bits/,
    ],
    [
      "invalid-element-twice",
      { family: "ip", name: "fw", sets: { s: { type: "ipv4_addr", elements: ["1.1.1.1", "1.1.1.1/32"] } } },
      "sets.s.elements[1]",
      /listed twice/,
    ],
    [
      "invalid-map-value",
      {
        family: "ip",
        name: "fw",
        maps: { m: { type: "ipv4_addr", value: "verdict", elements: ["1.1.1.1"] } },
      },
      "maps.m.elements[0]",
      /has no value/,
    ],
    [
      "invalid-map-jump",
      {
        family: "ip",
        name: "fw",
        maps: { m: { type: "ipv4_addr", value: "verdict", elements: ["1.1.1.1 : jump x"] } },
      },
      "maps.m.elements.1.1.1.1",
      /jumps to x/,
    ],
    ["invalid-text", { family: "ip", name: "fw", text: "chain a {" }, "text", /\{ without its \}/],
    [
      "invalid-text-table",
      { family: "inet", name: "fw", text: "table fw { chain a { } }" },
      "text",
      /table ip fw: this resource is the table inet fw/,
    ],
    [
      "invalid-text-two-tables",
      { family: "ip", name: "fw", text: "table ip fw { chain a { } }\ntable ip nat { }" },
      "text",
      /table ip nat: this resource is the table ip fw/,
    ],
    [
      "invalid-text-flush",
      { family: "ip", name: "fw", text: "chain a { }\nflush ruleset" },
      "text",
      /flush ruleset: is a command/,
    ],
    [
      "invalid-text-command",
      { family: "ip", name: "fw", text: "add rule ip fw a drop" },
      "text",
      /is a command: write what stands inside/,
    ],
    ["invalid-text-brace", { family: "ip", name: "fw", text: "chain a { }\n}" }, "text", /\} without its \{/],
    ["invalid-text-include", { family: "ip", name: "fw", text: 'include "x"' }, "text", /not supported yet/],
    [
      "invalid-text-variable",
      { family: "ip", name: "fw", text: "chain a { ip saddr $lan drop; }" },
      "text",
      /\$lan is defined nowhere/,
    ],
    [
      "invalid-text-host-name",
      { family: "ip", name: "fw", text: "chain a { ip saddr web drop; }" },
      "text",
      /web is a host name/,
    ],
    [
      "invalid-text-twice",
      { family: "ip", name: "fw", chains: { a: {} }, text: "chain a { accept; }" },
      "text",
      /chain a is declared twice/,
    ],
    [
      "invalid-text-once-more",
      {
        family: "inet",
        name: "fw",
        text: "chain a { type filter hook input priority 0; }\nchain a { type filter hook input priority 1; }",
      },
      "text",
      /^chain a is declared twice, and not alike: the second may add rules, and a policy$/,
    ],
    [
      "invalid-text-set-once-more",
      {
        family: "ip",
        name: "fw",
        text: "set s { type ipv4_addr; }\nset s { type ipv4_addr; flags timeout; }",
      },
      "text",
      /^set s is declared twice, and not alike: the second may add elements$/,
    ],
    [
      "invalid-text-limit-once-more",
      { family: "ip", name: "fw", text: "limit l { rate 1/second; }\nlimit l { rate 2/second; }" },
      "text",
      /^limit l is declared twice, and not alike$/,
    ],
    [
      "invalid-text-dotted-variable",
      { family: "ip", name: "fw", text: "define lan = 10.0.0.0\nchain a { ip saddr $lan/8 drop; }" },
      "text",
      /\$lan\/8 is defined nowhere/,
    ],
  ])("%s", (_, fields, property, reason) => {
    const { desired: d, problems } = parseFields(nftTable.schema, fields as Record<string, unknown>);
    const all = [...problems, ...(d ? nftTable.refine!(d) : [])];
    expect(all.map((problem) => problem.property)).toContain(property);
    expect(all.find((problem) => problem.property === property)!.reason).toMatch(reason);
  });

  test("and what looks alike is not", () => {
    for (const fields of [
      { family: "bridge", name: "b", chains: { f: { type: "filter", hook: "forward", priority: "filter" } } },
      { family: "inet", name: "filter" },
      { family: "inet", name: "fw", chains: { c: { rules: ["ip saddr @banned drop"] } }, uses: ["banned"] },
      { family: "inet", name: "fw", chains: { c: { rules: ["goto d"] } }, text: "chain d { }" },
    ] as NftTableFields[]) {
      expect(desired(fields)).toBeDefined();
    }
  });
});

describe("laws", () => {
  const all = [
    ...Object.entries(RULESETS),
    ...OTHER_FAMILIES.map((fields) => [fields.family, fields] as const),
  ];

  test.each(all)("each field is canonical, and stays so: %s", (_, fields) => {
    const once = desired(fields);
    const again = parseFields(nftTable.schema, JSON.parse(JSON.stringify(once)));
    expect(again.problems).toEqual([]);
    expect(again.desired).toEqual(once);
  });

  test("what is a set may stand in any order, and the steps are the same", () => {
    const rotate = <T>(list: readonly T[], by: number): T[] => [...list.slice(by), ...list.slice(0, by)];
    fc.assert(
      fc.property(fc.nat(3), fc.nat(3), fc.nat(2), (a, b, c) => {
        const make = (i: number, j: number, k: number): NftTableFields => ({
          family: "inet",
          name: "fw",
          sets: {
            s: {
              type: "ipv4_addr",
              flags: rotate(["interval", "timeout"], i % 2),
              elements: rotate(["10.0.0.0/8", "11.0.0.1 timeout 1h", "12.0.0.1"], i),
            },
          },
          maps: {
            m: {
              type: "ifname",
              value: "verdict",
              elements: rotate(["a : drop", "b : accept", "c : drop"], j),
            },
          },
          chains: {
            c: { type: "filter", hook: "ingress", priority: 0, devices: rotate(["eth0", "eth1"], k) },
          },
          uses: rotate(["x", "y", "z"], k),
        });
        const steps = (fields: NftTableFields) => script(desired(fields), [ABSENT, ABSENT]);
        expect(steps(make(a, b, c))).toEqual(steps(make(0, 0, 0)));
        expect(desired(make(a, b, c))).toEqual(desired(make(0, 0, 0)));
      }),
    );
  });

  test("whatever a rule holds, it stays one line of the script", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii" }), (rule) => {
        const { desired: d } = parseFields(nftTable.schema, {
          family: "ip",
          name: "t",
          chains: { c: { rules: [`counter ${rule}`] } },
        });
        if (!d) return;
        const lines = script(d, [ABSENT, ABSENT]);
        expect(lines.slice(0, 3)).toEqual(["add table ip t", "add chain ip t c", "flush chain ip t c"]);
        expect(lines).toHaveLength(4);
      }),
      { numRuns: 2000 },
    );
  });
});

test("the hooks that a change may cut", () => {
  const d = desired(FIREWALL);
  expect(nftTable.exposure({ facts: nftTable.parse([ABSENT], d).facts }, d)).toEqual({ hooks: ["input"] });
  const quiet = desired({ family: "inet", name: "fw", chains: { c: {} } });
  expect(nftTable.exposure({ facts: nftTable.parse([ABSENT], d).facts }, quiet)).toBeUndefined();
});

test("the written interface says no more than the schema takes", () => {
  const written: z.input<typeof schema> = {} as NftTableFields & { name: string };
  expect(written).toEqual({});
});

test("the listing as an output", () => {
  const text = nftTable.outputs!(applied(FIREWALL).facts!).listing as string;
  expect(text).toMatch(/^table inet fw \{\n\tset lan \{\n/);
  expect(text).toContain("\t\t\t10.0.0.0/8,\n\t\t\t192.168.0.0/16\n");
  expect(text).toContain("\t\tct state 0x2,0x4 accept\n");
});

describe("prefixes that go", () => {
  const list = (from: number, to: number, rest = ""): string =>
    Array.from({ length: to - from }, (_, n) => `10.${(n + from) >> 8}.${(n + from) & 255}.0/25${rest}`).join(
      ", ",
    );
  const set = (head: string, elements: string, kind = "set"): NftTable =>
    desired({
      name: "fw",
      family: "inet",
      text: `${kind} s { ${head} flags interval; elements = { ${elements} } }`,
    });
  const verbs = (was: NftTable, wanted: NftTable): string[] =>
    nftTable
      .ensure(wanted, { state: was, facts: { table: "inet fw", present: true, listing: {}, foreign: [] } })
      .flatMap(({ stdin = "" }) =>
        [...stdin.matchAll(/^(flush|delete|add) (set|map|element) /gm)].map(([line]) => line.trim()),
      );

  test("a few are deleted, so many that it would take long let the rest be filled in anew", () => {
    const ip = "type ipv4_addr;";
    expect(verbs(set(ip, list(0, 2000)), set(ip, list(600, 2000)))).toEqual([
      "delete element",
      "delete element",
    ]);
    expect(verbs(set(ip, list(0, 9000)), set(ip, list(900, 9000)))).toEqual(["flush set", "add element"]);
    const marks = "type ipv4_addr : mark;";
    const map = (from: number) => set(marks, list(from, 9000, " : 1"), "map");
    expect(verbs(map(0), map(900))).toEqual(["flush map", "add element"]);
    const counted = `${ip} counter;`;
    expect(verbs(set(counted, list(0, 9000)), set(counted, list(900, 9000)))).toEqual([
      "delete element",
      "delete element",
    ]);
  });

  test("what auto-merge made one goes as one, and what stays of it comes back", () => {
    const merging = "type ipv4_addr; auto-merge;";
    const lines = nftTable
      .ensure(set(merging, "10.0.0.0/24"), {
        state: set(merging, "10.0.0.0/24, 10.0.1.0/24, 10.9.0.0/16"),
        facts: { table: "inet fw", present: true, listing: {}, foreign: [] },
      })
      .flatMap(({ stdin = "" }) => stdin.replace(/\n\t?/g, " "));
    expect(lines.join("")).toMatch(
      /delete element inet fw s \{ 10\.0\.0\.0\/23, 10\.9\.0\.0\/16 \} add element inet fw s \{ 10\.0\.0\.0\/24 \}/,
    );
  });
});

test("at boot: a chain that went with its link is made anew by itself, where it lacks one", () => {
  const base = { type: "filter", hook: "ingress", priority: 0 } as const;
  const d = desired({
    name: "taps",
    family: "netdev",
    chains: {
      in: { ...base, devices: ["tap0", "tap1"], rules: ["jump guests"] },
      guests: { rules: ["drop"] },
    },
  });
  const again = nftTable.boot!(d, {} as Facts).again!;
  expect(again.map(({ stdin }) => stdin)).toEqual([
    `add chain netdev taps in
flush chain netdev taps in
delete chain netdev taps in
add chain netdev taps in { type filter hook ingress devices = { "tap0", "tap1" } priority 0; policy accept; }
flush chain netdev taps in
add rule netdev taps in jump guests
`,
  ]);
  expect(again[0]!.unless!.slice(-5)).toEqual(["netdev", "taps", "in", "tap0", "tap1"]);
});
