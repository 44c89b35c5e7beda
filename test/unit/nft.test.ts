import * as pulumi from "@pulumi/pulumi";
import {
  canonicalStatement,
  commentProblem,
  nameProblem,
  references,
  ruleProblem,
  tokenize,
} from "../../provider/formats/nft";
import { keyOf, parseBody, printBlock } from "../../provider/formats/nft-block";
import { formatTime, parseElement, parseTime } from "../../provider/formats/nft-element";
import { nft, setsOf } from "../../sdk/nft";

const known = <T>(output: pulumi.Input<T>): Promise<T> =>
  new Promise((resolve) => pulumi.output(output).apply((v) => resolve(v as T)));

describe("a rule as it is written", () => {
  test.each([
    ["tcp  dport {22,80}   accept", "tcp dport { 22, 80 } accept"],
    ['log prefix "a  b" drop', 'log prefix "a  b" drop'],
    ["ct state established,related accept", "ct state established,related accept"],
    [
      "ip saddr 10.0.0.1 jump { tcp dport 22 accept; drop }",
      "ip saddr 10.0.0.1 jump { tcp dport 22 accept; drop; }",
    ],
    ["tcp dport vmap { 22 : accept, }", "tcp dport vmap { 22 : accept }"],
    ["ip saddr!=10.0.0.1 drop", "ip saddr!=10.0.0.1 drop"],
  ])("%s", (given, canonical) => {
    expect(canonicalStatement(given)).toBe(canonical);
    expect(canonicalStatement(canonical)).toBe(canonical);
  });

  test.each([
    ["accept; flush ruleset", /; outside quotes/],
    ["accept;", /; outside quotes/],
    ["accept # why", /# outside quotes/],
    ["accept\ndrop", /line break/],
    ["accept\u0007", /control character/],
    ["tcp dport { 22", /\{ without its \}/],
    ["tcp dport 22 }", /\} without its \{/],
    ['log prefix "a', /" without its partner/],
    ["", /empty/],
    ["handle 5 accept", /begins with handle/],
    ["Calling [toString] on an [Output<T>] is not supported.", /Output whose value is not known/],
    ["ip saddr example.com drop", /example\.com is a host name/],
    ["ip saddr != localhost drop", /localhost is a host name/],
    ['ip saddr "example.com" drop', /^example\.com is a host name/],
    ["ip6 daddr { 2001:db8::1, db.internal } drop", /db\.internal is a host name/],
    ["tcp dport 80 dnat to web-1.lan:8080", /web-1\.lan:8080 is a host name/],
    ["dnat ip to backend", /backend is a host name/],
    ["snat to 3com.example", /3com\.example is a host name/],
    ["ip daddr set gateway", /gateway is a host name/],
  ])("refused: %j", (rule, reason) => {
    expect(ruleProblem(rule)).toMatch(reason);
  });

  test.each([
    'tcp dport 22 accept comment "a # ; } {"',
    "ip saddr 10.0.0.0/8 drop",
    "ip saddr 10.0.0.1-10.0.0.9 drop",
    "ip saddr and 255.255.0.0 == 10.0.0.0 drop",
    "ip saddr & 0xff != 0 drop",
    "ip saddr @banned drop",
    "ip saddr $lan drop",
    "ip saddr . tcp dport { 10.0.0.1 . 22 } accept",
    "ip saddr vmap { 10.0.0.1 : jump guests }",
    "ip saddr map { 10.0.0.1 : 1 }",
    "ip6 saddr fe80::1 drop",
    "ip6 saddr dead::beef drop",
    "add @recent { ip saddr timeout 1m } accept",
    "update @recent { ip saddr limit rate over 10/second } drop",
    "add @recent { ip saddr ct count over 20 } drop",
    "dnat ip to ip saddr map { 10.0.0.1 : 10.0.0.2 }",
    "dnat to [fd00::1]:80",
    "dnat ip prefix to ip daddr map { 10.0.0.0/24 : 10.1.0.0/24 }",
    "dnat to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
    "tproxy ip to :50080",
    "jhash ip saddr mod 4 vmap { 0 : accept }",
    "meta mark set ip saddr map @marks",
    "fwd to eth0",
  ])("taken: %s", (rule) => {
    expect(ruleProblem(rule)).toBeUndefined();
  });
});

test("names and comments", () => {
  for (const name of ["fw", "tap0", "a/b_c.d-e", "in", "filter", "input", "blocklist"])
    expect(nameProblem(name)).toBeUndefined();
  expect(nameProblem("tcp")).toMatch(/word of nft's own language/);
  expect(nameProblem("0day")).toMatch(/is no name/);
  expect(nameProblem("a b")).toMatch(/is no name/);
  expect(nameProblem("a".repeat(256))).toMatch(/longer than 255/);
  expect(commentProblem("é".repeat(64))).toBeUndefined();
  expect(commentProblem("é".repeat(65))).toMatch(/128 bytes, this has 130/);
  expect(commentProblem('say "hi"')).toMatch(/no "/);
});

test("whom a rule names", () => {
  const rule =
    "tcp dport vmap { 22 : jump ssh, 80 : goto web } meter m size 5 { ip saddr } @nh,64,16 1 tcp option @255,8,8 1";
  expect(references(rule)).toEqual({ chains: ["ssh", "web"], sets: [], meters: ["m"], written: [] });
  expect(references("ip saddr @a add @b { ip saddr } flow add @f")).toMatchObject({
    sets: ["a", "b", "f"],
    written: ["b", "f"],
  });
});

test("times and elements", () => {
  expect(parseTime("1d2h3m4s5ms")).toBe(93784005);
  expect(formatTime(93784005)).toBe("1d2h3m4s5ms");
  expect(parseTime("3600s")).toBe(3600000);
  expect(parseTime("soon")).toBeUndefined();
  expect(parseElement("10.0.0.0/24 timeout 3600s", false)).toEqual({
    key: "10.0.0.0/24",
    rest: "timeout 1h",
  });
  expect(parseElement("2001:DB8:0:0::1 . 80", false)).toEqual({ key: "2001:db8::1 . 80", rest: "" });
  expect(parseElement("10.0.0.1/32", false).key).toBe("10.0.0.1");
  expect(parseElement("10.0.0.1 - 10.0.0.9", false).key).toBe("10.0.0.1-10.0.0.9");
  expect(parseElement('80 comment "a : b" : jump web', true)).toEqual({
    key: "80",
    rest: 'comment "a : b" : jump web',
  });
  expect(parseElement("::1 : 5", true)).toEqual({ key: "::1", rest: "5" });
  expect(parseElement("80: accept", true)).toEqual({ key: "80", rest: "accept" });
  expect(() => parseElement("10.0.0.1/8", false)).toThrow(/host bits.*10\.0\.0\.0\/8/);
  expect(() => parseElement("1.1.1.1, 2.2.2.2", false)).toThrow(/comma/);
  expect(() => parseElement("1.1.1.1 }; flush ruleset", false)).toThrow();
  expect(() => parseElement("80", true)).toThrow(/no value/);
  expect(() => parseElement("80 : accept", false)).toThrow(/only elements of a map/);
});

test("the inside of a table, as a person writes it and as nft lists it", () => {
  const { statements, passages } = parseBody(`comment "x" # why
    define net = 10.0.0.0/8
    chain in { type filter hook input priority 0; policy drop; ip saddr $net accept; ip saddr 1.1.1.1 jump { tcp dport 22 accept; drop; }; }
    set s { type ipv4_addr; flags interval
      elements = { 10.0.0.0/8,  # ours
                   11.0.0.1 }
    }
    ct helper ftp { type "ftp" protocol tcp; }`);
  expect(statements).toEqual(['comment "x"']);
  expect(passages.map(({ block }) => keyOf(block))).toEqual(["chain in", "set s", "ct helper ftp"]);
  expect(passages[0]!.block.rules).toEqual([
    "ip saddr 10.0.0.0/8 accept",
    "ip saddr 1.1.1.1 jump { tcp dport 22 accept; drop; }",
  ]);
  expect(passages[1]!.block.elements).toEqual({ "10.0.0.0/8": "", "11.0.0.1": "" });
  const text = passages.map(({ block }) => printBlock(block)).join("\n");
  expect(parseBody(text).passages.map(({ block }) => block)).toEqual(passages.map(({ block }) => block));
  expect(() => parseBody("chain a {")).toThrow();
});

test("a block that is declared once more adds to the first, as in nft", () => {
  const { passages } = parseBody(`table inet fw {
      chain in { type filter hook input priority filter; policy accept; accept; }
      set s { type ipv4_addr; elements = { 1.1.1.2 }; }
      map m { type mark : verdict; }
    }
    table inet fw {
      chain in { policy drop; drop; }
      set s { type ipv4_addr; elements = { 1.1.1.1 }; }
      map m { type mark : verdict; elements = { 1 : accept }; }
    }`);
  expect(passages.map(({ block }) => block)).toEqual([
    {
      kind: "chain",
      name: "in",
      head: ["type filter hook input priority filter", "policy drop"],
      rules: ["accept", "drop"],
    },
    { kind: "set", name: "s", head: ["type ipv4_addr"], elements: { "1.1.1.1": "", "1.1.1.2": "" } },
    { kind: "map", name: "m", head: ["type mark : verdict"], elements: { "1": "accept" } },
  ]);
  expect(passages[0]!.rules).toHaveLength(2);
});

test("variables as nft reads their names, and lists of them", () => {
  const elements = (text: string) =>
    parseBody(`define a.v4 = { 1.1.1.1, 1.1.1.2 }
      define b-v4 = { 1.1.1.3 }
      define _one = 1.1.1.4
      set s { type ipv4_addr; elements = ${text}; }`).passages[0]!.block.elements;
  expect(Object.keys(elements("$a.v4")!)).toEqual(["1.1.1.1", "1.1.1.2"]);
  expect(Object.keys(elements("{ $a.v4, $b-v4, $_one, 1.1.1.5 }")!)).toEqual([
    "1.1.1.1",
    "1.1.1.2",
    "1.1.1.3",
    "1.1.1.4",
    "1.1.1.5",
  ]);
});

test("tokens keep where they stood", () => {
  expect(tokenize("a {b} # c\n").map(({ text, start, spaced }) => [text, start, spaced])).toEqual([
    ["a", 0, false],
    ["{", 2, true],
    ["b", 3, false],
    ["}", 4, false],
    ["\n", 9, true],
  ]);
});

describe("the nft tag", () => {
  test("puts values in as what they are", () => {
    expect(nft`iifname ${"tap0"} ip saddr != ${"10.0.0.2"} drop`).toBe(
      'iifname "tap0" ip saddr != 10.0.0.2 drop',
    );
    expect(nft`tcp dport ${[22, "1000-2000"]} accept`).toBe("tcp dport { 22, 1000-2000 } accept");
    expect(nft`ip daddr map { ${"192.168.3.0/24"} : ${"192.168.2.0/24"} }`).toBe(
      "ip daddr map { 192.168.3.0/24 : 192.168.2.0/24 }",
    );
    expect(nft`jump ${"guests"}`).toBe("jump guests");
    expect(nft`ip saddr @${"banned"} timeout ${"1h30m"}`).toBe("ip saddr @banned timeout 1h30m");
    expect(nft`log prefix "vm ${"a b"}: " meta mark set ${0x64}`).toBe(
      'log prefix "vm a b: " meta mark set 100',
    );
    expect(nft`iifname ${["tap0", "tap1"]} ether saddr ${"52:54:00:00:00:01"}`).toBe(
      'iifname { "tap0", "tap1" } ether saddr 52:54:00:00:00:01',
    );
    expect(nft`dnat to ${"10.0.0.1:8080"} limit rate ${"10/second"}`).toBe(
      "dnat to 10.0.0.1:8080 limit rate 10/second",
    );
    expect(nft`ip6 saddr ${"2001:db8::/32"} counter name ${"web"}`).toBe(
      'ip6 saddr 2001:db8::/32 counter name "web"',
    );
  });

  test("its own text and raw text stand as they are", () => {
    const match = nft`tcp dport ${22}`;
    expect(nft`${match} ${nft.raw("accept")}`).toBe("tcp dport 22 accept");
    expect(nft`ct state ${[nft.raw("established"), nft.raw("related")]} accept`).toBe(
      "ct state { established, related } accept",
    );
  });

  test.each<[string, () => unknown, RegExp]>([
    ["an empty list", () => nft`tcp dport ${[]} accept`, /list is empty/],
    ["a quote", () => nft`iifname ${'tap0" accept; "'}`, /holds a "/],
    ["a quote within quotes", () => nft`log prefix "${'"; drop'}"`, /holds a "/],
    ["a line break", () => nft`iifname ${"a\nb"}`, /line break/],
    ["no chain", () => nft`jump ${"a; drop"}`, /is no name.*must follow jump/],
    ["a keyword as a chain", () => nft`goto ${"drop"}`, /word of nft's own language/],
    ["no set", () => nft`ip saddr @${"x } ; flush ruleset"}`, /is no name/],
    ["a fraction", () => nft`meta mark ${1.5}`, /cannot stand there/],
    ["nothing", () => nft`meta mark ${undefined as unknown as string}`, /cannot stand there/],
    ["a list within quotes", () => nft`log prefix "${["a"]}"`, /a list cannot stand there/],
    [
      "an unresolved Output as text",
      () => nft`ip saddr ${"Calling [toString] on an [Output<T>] is not supported."}`,
      /not known yet/,
    ],
    ["some object", () => nft`ip saddr ${{ name: "x" } as unknown as string}`, /cannot stand in a rule/],
  ])("refused: %s", (_, make, reason) => {
    expect(make).toThrow(reason);
  });

  test("an Output makes an Output", async () => {
    const rule = nft`iifname ${pulumi.output("tap0")} tcp dport ${[pulumi.output(22), 80]} accept`;
    expect(pulumi.Output.isInstance(rule)).toBe(true);
    expect(await known(rule)).toBe('iifname "tap0" tcp dport { 22, 80 } accept');
    expect(await known(nft`${rule} log`)).toBe('iifname "tap0" tcp dport { 22, 80 } accept log');
  });

  test("a set stands as @name, and is remembered", async () => {
    const banned = {
      __hostnet: "NftSet" as const,
      family: pulumi.output("inet"),
      table: pulumi.output("fw"),
      name: pulumi.output("banned"),
    };
    const rule = nft`ip saddr ${banned} drop`;
    expect(await known(rule)).toBe("ip saddr @banned drop");
    expect(await known(nft`ip saddr @${banned} drop`)).toBe("ip saddr @banned drop");
    expect(setsOf(rule)).toEqual([banned]);
    expect(setsOf(nft`${rule} log`)).toEqual([banned]);
    expect(setsOf("accept")).toEqual([]);
  });
});

test.each(["limits", "maps", "counters", "secmarks"])("%s: nft makes it, but cannot list it", (name) => {
  expect(nameProblem(name)).toMatch(/is a word of nft's own language/);
});
