import fc from "fast-check";
import { ownedQuery } from "../../provider/formats/nft-owned";
import { abridged, writeRecord } from "../../provider/host/records";
import { nftSet } from "../../provider/nft-set";
import { flagsOf, type NftSet } from "../../provider/nft-set/args";
import { elements as field, traitsOf } from "../../provider/nft-set/elements";
import { canonical, failed, problems, said } from "./steps";

const args = (more: object = {}) => ({ family: "inet", table: "fw", name: "s", type: "ipv4_addr", ...more });
const keys = (elements: unknown, more: object = {}): object =>
  canonical<NftSet>(nftSet, args({ elements, ...more })).elements!;

describe("elements, canonical", () => {
  test.each<[unknown, object, object?]>([
    [["10.0.1.0/24", "10.0.0.0/24"], { "10.0.0.0/23": "" }],
    [["10.0.0.0/8", "10.1.2.3", "10.5.0.0/16"], { "10.0.0.0/8": "" }],
    [["10.0.0.2", "10.0.0.1"], { "10.0.0.1": "", "10.0.0.2": "" }],
    [["10.0.0.1", "10.0.0.1"], { "10.0.0.1": "" }],
    [["10.0.0.0/25 timeout 1h", "10.0.0.128/25"], { "10.0.0.0/25": "timeout 1h", "10.0.0.128/25": "" }],
    [["10.0.0.1 - 10.0.0.3", "10.0.0.9/32"], { "10.0.0.1-10.0.0.3": "", "10.0.0.9": "" }],
    [["80-89", "90", "0x5b"], { "80-91": "" }, { type: "inet_service" }],
    [["0x10", "32"], { 16: "", 32: "" }, { type: "mark" }],
    [["2001:DB8::/33", "2001:db8:8000::/33"], { "2001:db8::/32": "" }, { type: "ipv6_addr" }],
    [['"eth0"', "br-lan"], { "br-lan": "", eth0: "" }, { type: "ifname" }],
    [
      ["52:54:00:AB:00:01 . 10.0.0.1"],
      { "52:54:00:ab:00:01 . 10.0.0.1": "" },
      { type: "ether_addr . ipv4_addr" },
    ],
    [
      [{ element: "10.0.0.1", value: "accept", timeout: 5400, comment: "x" }],
      { "10.0.0.1": 'timeout 1h30m comment "x" : accept' },
      { value: "verdict" },
    ],
    [
      { "10.0.0.0/25": "accept", "10.0.0.128/25": "accept" },
      { "10.0.0.0/24": "accept" },
      { value: "verdict" },
    ],
  ])("%j", (...[given, expected, more]) => expect(keys(given, more)).toEqual(expected));
});

describe("refused, at the element and with what is allowed", () => {
  test.each<[object, string, RegExp]>([
    [
      { elements: ["10.0.0.0/8 timeout 1h", "10.0.0.1 timeout 2h"] },
      "elements[1]",
      /10\.0\.0\.1 with timeout 2h overlaps 10\.0\.0\.0\/8 with timeout 1h/,
    ],
    [{ elements: ["10.0.0.1/8"] }, "elements[0]", /host bits set: the network is 10\.0\.0\.0\/8/],
    [{ elements: ["@banned"] }, "elements[0]", /name of a set, not an element.*ip saddr @name/],
    [{ elements: ["10.0.0.9-10.0.0.1"] }, "elements[0]", /end comes before its beginning/],
    [{ elements: ["10.0.0.1 expires 5s"] }, "elements[0]", /takes timeout and comment/],
    [{ elements: ["10.0.0.1 : accept"] }, "elements.10.0.0.1", /only a map has/],
    [{ elements: ["10.0.0.1"], value: "verdict" }, "elements.10.0.0.1", /has no value/],
    [{ elements: ["10.0.0.1 : jump guests"], value: "verdict" }, "elements.10.0.0.1", /maps of its NftTable/],
    [{ elements: ["::1"] }, "elements.::1", /is no IPv4 address/],
    [{ elements: ["example.com"] }, "elements.example.com", /is no IPv4 address/],
    [{ elements: ["example.com"], type: undefined, typeof: "ip saddr" }, "elements.example.com", /IPv4/],
    [{ elements: ["ssh"], type: "inet_service" }, "elements.ssh", /names differ from host to host/],
    [{ elements: ["070"], type: "mark" }, "elements[0]", /octal/],
    [{ elements: ["10.0.0.1 . 80"] }, "elements.10.0.0.1 . 80", /has 2 parts, the set's type has 1/],
    [{ typeof: "ip saddr" }, "type", /either type or typeof/],
    [{ family: "ip", table: "nat" }, "table", /belongs to iptables-nft/],
    [{ table: "Calling [toString] on an [Output<T>] is not supported." }, "table", /Output/],
  ])("%j", (more, property, reason) => {
    expect(problems(nftSet, args(more))).toContainEqual({ property, reason: expect.stringMatching(reason) });
  });
});

describe("laws", () => {
  const address = fc.tuple(fc.nat(255), fc.nat(255)).map(([a, b]) => `10.0.${a}.${b}`);
  const network = fc.tuple(fc.nat(255), fc.integer({ min: 24, max: 32 })).map(([a, n]) => `10.1.${a}.0/${n}`);
  const lists = fc.array(fc.oneof(address, network), { maxLength: 30 });
  /** Of the 65536 addresses of each of both networks, those that are in the list. */
  const members = (list: readonly string[]): string => {
    const at = (text: string) => text.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
    const all = list.flatMap((one) => {
      const [, first, last, length] = /^([\d.]+)(?:-([\d.]+)|\/(\d+))?$/.exec(one)!;
      const size = last ? at(last) - at(first!) + 1 : 2 ** (32 - Number(length ?? 32));
      return Array.from({ length: size }, (_, n) => at(first!) + n);
    });
    return [...new Set(all)].sort((a, b) => a - b).join(" ");
  };

  test("merging changes no member, is idempotent, and knows no order", () => {
    fc.assert(
      fc.property(lists, (list) => {
        const merged = keys(list);
        expect(members(Object.keys(merged))).toEqual(members(list));
        expect(keys(merged)).toEqual(merged);
        expect(Object.keys(keys([...list].reverse()))).toEqual(Object.keys(merged));
      }),
    );
  });

  test("a list of nothing but IPv4 goes a faster way, which says the same", () => {
    const octet = fc.constantFrom(0, 1, 2, 3, 4, 127, 128, 254, 255);
    const near = fc
      .tuple(octet, octet, octet, octet, fc.constantFrom(1, 2, 8, 23, 24, 30, 31, 32))
      .map(([a, b, c, e, length]) => {
        const value = (a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + e) & (-1 << (32 - length));
        const dotted = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
        return length === 32 ? dotted : `${dotted}/${length}`;
      });
    fc.assert(
      fc.property(fc.array(near, { maxLength: 12 }), (list) => {
        const slowly = Object.keys(field.parse([...list, "2001:db8::1"]));
        expect(Object.keys(field.parse(list))).toEqual(slowly.slice(0, -1));
        // As Pulumi's engine hands a record on.
        const sorted = Object.fromEntries([...list].sort().map((key) => [key, ""]));
        expect(field.parse(sorted)).toEqual(field.parse(list));
      }),
      { numRuns: 500 },
    );
  });

  test("what is canonical stays what it is, in the order in which Pulumi's engine hands it on", () => {
    const said = fc.oneof(
      lists,
      lists.map((list) => [...list, "2001:db8::/33 timeout 1h", "2001:db8:8000::/33"]),
    );
    fc.assert(
      fc.property(said, (list) => {
        const canonical = field.parse(list);
        const back = Object.fromEntries(Object.entries(canonical).sort(([a], [b]) => (a < b ? -1 : 1)));
        // What is written for the boot is told by its text: the state's must be that of the next change.
        expect(field.parse(back)).toBe(back);
      }),
    );
  });

  test("what is odd is never absent, and absent is never odd", () => {
    const d = canonical<NftSet>(nftSet, args());
    expect(
      nftSet.parse([said(""), said(""), failed(1, "Error: No such file or directory")], d).state,
    ).toBeUndefined();
    for (const bad of [failed(1, "Error: Operation not permitted"), failed(139, "")]) {
      expect(() => nftSet.parse([bad, said(""), said("")], d)).toThrow(/could not list/);
      expect(() => nftSet.parse([said(""), bad, said("")], d)).toThrow(/could not list/);
      expect(() => nftSet.parse([said("\tset s {\n\t\ttype ipv4_addr\n\t}\n"), said(""), bad], d)).toThrow();
    }
  });
});

test("patience: as long as deleting prefixes one by one may take", () => {
  const facts = { dormant: false, head: ["flags interval"], users: [], hooks: [], ended: [] };
  const list = (from: number, to: number) =>
    Object.fromEntries(
      Array.from({ length: to - from }, (_, n) => [`10.${(n + from) >> 8}.${(n + from) & 255}.0/25`, ""]),
    );
  const d = (from: number, to: number) =>
    ({ ...args({ flags: ["interval"] }), elements: list(from, to) }) as NftSet;
  const seconds = (kernel: string) =>
    nftSet.patience!({ state: d(0, 20_000), facts: { ...facts, kernel } }, d(100, 20_050));
  expect([seconds("6.1.0"), seconds("6.18.0")]).toEqual([80, 0]);
});

describe("a change of many elements", () => {
  type Span = readonly [from: number, to: number];
  type More = { readonly kernel?: string; readonly [field: string]: unknown };
  const elements = ([from, to]: Span, text: string): Record<string, string> => {
    const found: Record<string, string> = {};
    for (let n = from; n < to; n++) {
      const [key, rest = ""] = `${1 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}.${text}`.split(" : ");
      found[key!] = rest;
    }
    return found;
  };
  const commands = (
    was: Span,
    wanted: Span,
    text: string,
    { kernel = "6.17.0", ...more }: More,
  ): string[] => {
    const d = (span: Span) => ({ ...args(more), elements: elements(span, text) }) as NftSet;
    const head = [`flags ${flagsOf(d([0, 1])).join(",")}`];
    const facts = { dormant: false, head, users: [], hooks: [], ended: [], kernel };
    const [step] = nftSet.ensure(d(wanted), { state: d(was), facts });
    return step!.stdin!.split("\n").flatMap((line) => /^(\w+) \w+ inet fw s/.exec(line)?.[1] ?? []);
  };

  test.each<[what: string, commands: string, was: Span, wanted: Span, text?: string, more?: More]>([
    ["many are added", "add", [0, 1000], [0, 9000]],
    ["ten of many change", "delete add", [0, 9000], [10, 9010]],
    ["eleven of many go", "flush add", [0, 9000], [11, 9000]],
    ["eleven of few go", "flush add", [0, 20], [11, 20]],
    ["eleven go on an older kernel", "delete", [0, 20], [11, 20], "0/26", { kernel: "6.1.0-56-cloud-amd64" }],
    [
      "4,000 of 40,000 go on an older kernel",
      "flush add",
      [0, 40_000],
      [4000, 40_000],
      "0/26",
      { kernel: "6.1.0" },
    ],
    ["eleven go on another older kernel", "delete", [0, 20], [11, 20], "0/26", { kernel: "5.17.4" }],
    ["eleven go on a newer kernel", "flush add", [0, 20], [11, 20], "0/26", { kernel: "7.0.0-rc1+" }],
    ["eleven go where nobody knows the kernel", "delete", [0, 20], [11, 20], "0/26", { kernel: "" }],
    ["all of them go", "flush", [0, 20], [0, 0]],
    ["all of them go on an older kernel", "flush", [0, 20], [0, 0], "0/26", { kernel: "6.16.9" }],
    ["one is added to more than nft lists in time", "flush add", [0, 200_000], [0, 200_001]],
    ["eleven of a map go", "flush add", [0, 20], [11, 20], "0/26 : accept", { value: "verdict" }],
    ["what packets counted stays", "delete delete", [0, 999], [998, 999], "0/26", { counter: true }],
    ["what rules added stays", "delete", [0, 20], [0, 0], "0/26", { flags: ["dynamic", "interval"] }],
    ["addresses are no prefixes", "delete", [0, 20], [0, 0], "1"],
    ["nor are concatenations", "delete", [0, 20], [0, 0], "0/26 . 80", { type: "ipv4_addr . inet_service" }],
  ])("%s: %s", (_, expected, was, wanted, text = "0/26", more = {}) => {
    const flags = { flags: traitsOf(elements([0, 1], text)).wide ? ["interval"] : [] };
    expect(commands(was, wanted, text, { ...flags, ...more }).join(" ")).toBe(expected);
  });
});

describe("records", () => {
  const record = (elements: object) => ({
    kind: "NftSet",
    id: "inet/fw/s",
    owner: "urn",
    incarnation: "1",
    adopted: false,
    desired: { name: "s", elements },
    former: {},
  });
  test("say whose a set is in words that NftTable's query finds", () => {
    const [file] = writeRecord(record({}), true, "1");
    expect(file!.text).toMatch(new RegExp(ownedQuery("inet", "fw").argv[2]!));
  });
  test("note long lists by their hash, short ones whole", () => {
    const long = Object.fromEntries(Array.from({ length: 9000 }, (_, n) => [`10.0.${n}`, ""]));
    expect(abridged({ name: "s", elements: long })).toEqual({
      name: "s",
      elements: expect.stringMatching(/^sha256:[0-9a-f]{32}$/),
    });
    expect(abridged({ elements: { a: "" } })).toEqual({ elements: { a: "" } });
  });
});
