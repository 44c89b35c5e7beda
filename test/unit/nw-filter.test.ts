import fc from "fast-check";
import type { Last, Observed, Query, Result, Step } from "../../provider/kind";
import { nwFilter } from "../../provider/nw-filter";
import type { NwFilter } from "../../provider/nw-filter/args";
import { parseFilter, renderFilter } from "../../provider/nw-filter/filter";
import type { Facts } from "../../provider/nw-filter/parse";
import { attributesOf, type Protocol, protocolNames, type Values } from "../../provider/nw-filter/protocols";
import { canonicalValue } from "../../provider/nw-filter/values";
import { canonical, failed, problems, said } from "./steps";

type Shape = typeof nwFilter.schema.shape;
type Seen = Observed<Shape, Facts>;

const UUID = "fce8ae34-e69e-83bf-262e-30786c1f8073";
const accept = { action: "accept", direction: "in" };
const desired = (more: object = {}): NwFilter =>
  canonical<NwFilter>(nwFilter, { name: "f", entries: [], ...more });
const complaints = (more: object): string[] =>
  problems(nwFilter, { name: "f", entries: [], ...more }).map(
    ({ property, reason }) => `${property}: ${reason}`,
  );

/** libvirt, as far as virsh tells and takes: filters by name, and ports with theirs. */
class Libvirt {
  readonly filters = new Map<string, string>();
  readonly bindings = new Map<string, string>();

  answer({ argv }: Query): Result {
    if (argv[0] === "grep") {
      const lines = [...this.filters].flatMap(([name, xml]) =>
        [...xml.matchAll(/<filterref filter=.*/g)].map(
          ([line]) => `/etc/libvirt/nwfilter/${name}.xml:  ${line}\n`,
        ),
      );
      return lines.length > 0 ? said(lines.join("")) : failed(1, "");
    }
    if (argv.includes("nwfilter-binding-list"))
      return said([...this.bindings].map(([port, filter]) => ` ${port}   ${filter}\n`).join(""));
    const xml = this.filters.get(argv.at(-1)!);
    return xml === undefined ? absent(argv.at(-1)!) : said(`${xml}\n`);
  }

  run(steps: readonly Step[]): this {
    for (const { argv, stdin } of steps) {
      if (argv.includes("nwfilter-undefine")) this.filters.delete(argv.at(-1)!);
      else {
        const filter = parseFilter(stdin!);
        const old = this.filters.get(filter.name);
        if (old !== undefined && parseFilter(old).uuid !== filter.uuid)
          throw new Error("already exists with uuid");
        this.filters.set(filter.name, renderFilter(filter));
      }
    }
    return this;
  }

  look(d: NwFilter): Seen {
    const results = nwFilter.query(d).map((query) => this.answer(query));
    return nwFilter.parse(results, d);
  }
}
const absent = (name: string): Result =>
  failed(
    1,
    `error: failed to get nwfilter '${name}'\nerror: Network filter not found: no nwfilter with matching name '${name}'\n`,
  );
const applied = (d: NwFilter, facts?: Facts): Last<Shape, Facts> => ({
  desired: d,
  facts,
  former: { facts: { users: [] } },
});

describe("values come out as libvirt prints them", () => {
  test.each<[keyof Values, unknown, string]>([
    ["mac", "1:2:3:A:b:FF", "01:02:03:0a:0b:ff"],
    ["mac", "$MAC", "$MAC"],
    ["macMask", "FF:ff:ff:0:0:0", "ff:ff:ff:00:00:00"],
    ["u16", 22, "22"],
    ["u16", "0022", "22"],
    ["u16", "0x0A0", "0xa0"],
    ["u16", "ff", "0xff"],
    ["u32", 4294967295, "4294967295"],
    ["etherType", 0x0800, "ipv4"],
    ["etherType", "0x835", "0x835"],
    ["etherType", "ARP", "arp"],
    ["ipProtocol", "6", "tcp"],
    ["ipProtocol", "0x11", "udp"],
    ["ipProtocol", 33, "33"],
    ["opcode", "request", "Request"],
    ["opcode", "0x20", "32"],
    ["opcode", 3, "Request_Reverse"],
    ["ip4Mask", "255.255.255.0", "24"],
    ["ip4Mask", "0.0.0.0", "0"],
    ["ip4Mask", 8, "8"],
    ["ip6", "A:B:C:0:0:D:E:F", "a:b:c::d:e:f"],
    ["ip6", "::10.1.2.3", "::10.1.2.3"],
    ["ip6", "::ffff:10.1.2.3", "::ffff:10.1.2.3"],
    ["ip6", "::1", "::1"],
    ["ip6Mask", "ffff:ffff:ffff:ffff:8000::", "65"],
    ["ip6Variable", "$LAST", "$LAST"],
    ["state", "RELATED,established", "ESTABLISHED,RELATED"],
    ["state", ["NEW", "RELATED"], "NEW,RELATED"],
    ["tcpFlags", "ack,SYN/syn", "SYN,ACK/SYN"],
    ["tcpFlags", "ALL/NONE", "ALL/NONE"],
    ["ipsetFlags", "SRC,dSt", "src,dst"],
    ["ipset", "test:_.-+", "test:_.-+"],
    ["boolean", true, "true"],
    ["boolean", "1", "true"],
    ["u16", "$A[ 0]", "$A[0]"],
    ["u16", "$A[  @0 ] ", "$A"],
    ["u16", "$A[ @2 ]", "$A[@2]"],
    ["comment", "a 'b' <c> & ü", "a 'b' <c> & ü"],
  ])("%s %j is %j", (kind, given, printed) => {
    expect(canonicalValue(kind, given)).toBe(printed);
  });

  test.each<[keyof Values, unknown, RegExp]>([
    ["mac", "1:2:3:4:5", /is no MAC address/],
    ["macMask", "ff:00:ff:00:00:00", /is no mask/],
    ["u16", 65536, /must be a number from 0 to 65535/],
    ["u16", -1, /must be a number/],
    ["u16", 1.5, /must be a number/],
    ["u16", "22x", /must be a number/],
    ["limit", "0x2", /must be a number/],
    ["dscp", 64, /0 to 63/],
    ["vlan", 4096, /0 to 4095/],
    ["etherType", 0x5ff, /arp, rarp, ipv4, ipv6, vlan or a number from 1536/],
    ["ip4", "2001:db8::1", /is no IPv4 address/],
    ["ip4", "10.0.0.5/24", /is no IP address/],
    ["ip4Mask", "255.255.255.127", /is no mask/],
    ["ip4Mask", 33, /must be 0 to 32/],
    ["ip6Variable", "2001:db8::1", /libvirt takes only IPv4 addresses there/],
    ["state", "NONE,NEW", /libvirt forgets every other state/],
    ["state", "$STATE", /libvirt forgets a variable here/],
    ["state", "", /is no state/],
    ["tcpFlags", "SYN", /must be mask\/flags/],
    ["tcpFlags", "$F", /libvirt forgets a variable/],
    ["boolean", "maybe", /must be true or false/],
    ["ipset", "x".repeat(32), /is no name of an IP set/],
    ["ipset", "a'b", /is no name of an IP set/],
    ["lost", "any", /libvirt drops IP sets here/],
    ["u16", "$", /is no variable/],
    ["u16", "$A[@1001]", /above 1000/],
    ["u16", "$A[1]x", /is no variable/],
    ["comment", "x".repeat(257), /has 257 bytes/],
    ["comment", "ü".repeat(129), /has 258 bytes/],
    ["comment", "two\nlines", /one line/],
    ["comment", "\u0000", /control characters/],
  ])("%s %j is refused", (kind, given, message) => {
    expect(() => canonicalValue(kind, given)).toThrow(message);
  });
});

describe("arguments", () => {
  test("are canonical", () => {
    const d = desired({
      chain: "ipv4-x",
      uuid: UUID.toUpperCase(),
      entries: [
        { filter: "clean-traffic", parameters: { IP: ["10.0.0.5"], A: ["1", "2"] } },
        {
          ...accept,
          tcp: [
            { match: "no", srcipaddr: "10.0.0.1" },
            { dstportstart: 22, state: ["NEW"] },
          ],
        },
        { ...accept, priority: -5, statematch: true },
      ],
    });
    expect(d).toEqual({
      name: "f",
      chain: "ipv4-x",
      uuid: UUID,
      entries: [
        { filter: "clean-traffic", parameters: { A: ["1", "2"], IP: "10.0.0.5" } },
        {
          ...accept,
          priority: 500,
          tcp: [
            { state: "NEW", dstportstart: "22" },
            { match: "no", srcipaddr: "10.0.0.1" },
          ],
        },
        { ...accept, priority: -5 },
      ],
    });
  });

  test.each<[object, string]>([
    [{ name: "../x" }, 'name: "../x": is no name of a filter'],
    [{ name: "a'b" }, 'name: "a\'b": is no name of a filter'],
    [{ name: "" }, 'name: "": is no name of a filter'],
    [{ name: "ü" }, "is no name of a filter"],
    [{ name: "-x" }, "is no name of a filter"],
    [{ chain: "rootx" }, 'chain: "rootx": must be root, or begin with mac, vlan'],
    [{ chain: "ipv4-too-long" }, "1 to 12"],
    [{ chain: "tcp" }, "must be root, or begin with"],
    [{ priority: 1001 }, "priority: 1001: must be -1000 to 1000"],
    [{ chain: "ipv4", priority: 0 }, "priority: 0: libvirt does not write it down and takes -700"],
    [{ uuid: "1234" }, "is no UUID"],
    [{ uri: "qemu+ssh://other/system" }, "is no URI of a libvirt on the host"],
    [
      { entries: [{ ...accept, priority: 1001, tcp: {} }] },
      "entries[0].priority: 1001: must be -1000 to 1000",
    ],
    [{ entries: [{ ...accept, action: "pass" }] }, 'entries[0].action: "pass": must be "accept"'],
    [{ entries: [{ action: "accept" }] }, "entries[0].direction: "],
    [{ entries: [{ ...accept, tpc: {} }] }, "entries[0].tpc: unknown field"],
    [
      { entries: [{ ...accept, tcp: { dstport: 22 } }] },
      "entries[0].tcp.dstport: 22: unknown field; tcp has srcmacaddr",
    ],
    [{ entries: [{ ...accept, tcp: {}, udp: {} }] }, "has tcp and udp: a rule takes one protocol"],
    [{ entries: [{ ...accept, tcp: { match: "no" } }] }, 'entries[0].tcp.match: "no": negates nothing'],
    [
      { entries: [{ ...accept, tcp: [{ dscp: 1 }, { dscp: 2 }] }] },
      "entries[0].tcp[1].dscp: 2: is given twice",
    ],
    [{ entries: [{ ...accept, tcp: 22 }] }, "entries[0].tcp: 22: must be an object with attributes of tcp"],
    [{ entries: ["tcp"] }, 'entries[0]: "tcp": must be a rule or a reference'],
    [{ entries: [{ filter: "f" }] }, "entries[0].filter: is the filter itself"],
    [{ entries: [{ filter: "a b" }] }, 'entries[0].filter: "a b": is no name of a filter'],
    [
      { entries: [{ filter: "x", parameters: { IP: "10.0.0.0/8" } }] },
      "libvirt drops one with other characters",
    ],
    [{ entries: [{ filter: "x", parameters: { "a-b": "1" } }] }, "entries[0].parameters"],
    [{ entries: [{ filter: "x", action: "drop" }] }, "entries[0].action: unknown field"],
    [
      { entries: [{ ...accept, tcp: { ipset: "s" } }] },
      'entries[0].tcp.ipset: "s": libvirt drops IP sets here',
    ],
    [{ entries: undefined }, "entries: is required, or xml"],
  ])("%j is refused", (more, message) => {
    expect(complaints(more).join("\n")).toContain(message);
  });

  test.each<[Protocol, object | object[], string]>([
    ["tcp", { match: "no", dstportstart: 22 }, "match no is lost on dstportstart without srcportstart"],
    ["udp-ipv6", { match: "no", dstportstart: 22 }, "match no is lost on dstportstart"],
    ["sctp", [{ srcportstart: 1 }, { match: "no", dstportstart: 2 }], "gets the sign of srcportstart"],
    ["icmp", { match: "no", code: 1 }, "code gets the sign of type"],
    ["ipv6", [{ code: 1 }, { match: "no", type: 2 }], "code gets the sign of type"],
    ["all", { match: "no", state: "NEW" }, "libvirt forgets match no on state"],
    ["all", { ipset: "s" }, "ipset means nothing without ipsetflags"],
    ["tcp", { dstportend: 22 }, "dstportend means nothing without dstportstart"],
    ["ip", { srcipmask: 24 }, "srcipmask means nothing without srcipaddr"],
    ["ip", [{ srcipmask: 24 }, { match: "no", srcipaddr: "10.0.0.0" }], "must stand beside srcipaddr"],
    [
      "tcp",
      { srcipaddr: "10.0.0.1", srcipfrom: "10.0.0.2", srcipto: "10.0.0.3" },
      "srcipfrom is ignored beside srcipaddr",
    ],
    ["ip", { dstportstart: 22 }, 'dstportstart needs protocol: "tcp"'],
    ["ipv6", { dstportstart: 22, protocol: "icmpv6" }, "needs protocol"],
    ["stp", { "age-hi": 3 }, "age-hi means nothing without age"],
  ])("%s %j would be lost: refused, in entries and in xml", (protocol, match, message) => {
    const entries = [{ filter: "x" }, { ...accept, [protocol]: match }];
    expect(complaints({ entries }).join("\n")).toContain(`entries[1].${protocol}: `);
    expect(complaints({ entries }).join("\n")).toContain(message);
    const nodes = [match].flat().map(
      (one) =>
        `<${protocol} ${Object.entries(one)
          .map(([k, v]) => `${k}='${v}'`)
          .join(" ")}/>`,
    );
    const xml = `<filter name='f'><rule action='drop' direction='in'>${nodes.join("")}</rule></filter>`;
    expect(complaints({ entries: undefined, xml }).join("\n")).toMatch(`xml: entry 1: ${protocol}: `);
  });

  test.each<[Protocol, object | object[]]>([
    ["tcp", { match: "no", srcportstart: 1, dstportstart: 22 }],
    ["ip", { match: "no", protocol: "tcp", dstportstart: 22 }],
    ["ip", { protocol: 33, dstportstart: 22 }],
    ["icmpv6", { match: "no", type: 1, code: 2 }],
    ["ipv6", { code: 2 }],
    ["all-ipv6", { match: "no", ipset: "s", ipsetflags: "src,dst", comment: "x" }],
  ])("%s %j is not lost", (protocol, match) => {
    expect(complaints({ entries: [{ ...accept, [protocol]: match }] })).toEqual([]);
  });
});

describe("xml", () => {
  const xml = (inner: string, head = "name='f'"): object => ({
    entries: undefined,
    xml: `<filter ${head}>${inner}</filter>`,
  });

  test("a user's file, with comments and in any order of attributes", () => {
    const d = desired({
      entries: undefined,
      xml: `<?xml version="1.0"?><!-- mine -->
<filter chain="ipv4" name="f"><uuid>FCE8AE34E69E83BF262E30786C1F8073</uuid>
  <rule priority='100' direction='out' action='drop'><ip dstipmask='255.255.255.0' dstipaddr='$GATEWAYIP' match='no'/></rule>
</filter>`,
    });
    expect(d.xml).toBe(`<filter name='f' chain='ipv4' priority='-700'>
  <uuid>${UUID}</uuid>
  <rule action='drop' direction='out' priority='100'>
    <ip match='no' dstipaddr='$GATEWAYIP' dstipmask='24'/>
  </rule>
</filter>
`);
    expect(canonical(nwFilter, d)).toEqual(d);
  });

  test("comments are escaped, and come back", () => {
    const comment = `it's "<b>" & ]]> \${x} ü`;
    const d = desired({ entries: [{ ...accept, all: { comment } }] });
    const text = renderFilter({ ...parseFilter("<filter name='f'/>"), entries: d.entries! });
    expect(text).toContain("comment='it&apos;s &quot;&lt;b&gt;&quot; &amp; ]]&gt; ${x} ü'");
    expect(parseFilter(text).entries).toEqual(d.entries);
  });

  test.each<[object, string]>([
    [
      xml("<rule action='drop' direction='in'><tpc/></rule>"),
      "knows no protocol tpc, and libvirt would match all packets",
    ],
    [xml("<rule action='drop' direction='in'><tcp/><udp/></rule>"), "has tcp and udp"],
    [xml("<rule action='drop' direction='in'><tcp dport='1'/></rule>"), "unknown field; tcp has"],
    [xml("<rule action='drop' direction='in' priority='1001'/>"), "priority: 1001: must be -1000 to 1000"],
    [xml("<rule action='drop' direction='in' prio='1'/>"), "entry 1: knows no attribute prio"],
    [xml("<rule action='drop' direction='in'>text</rule>"), "entry 1: holds text"],
    [xml("<rules/>"), "entry 1: is <rules>, which libvirt would drop"],
    [
      xml("<filterref filter='x'><parameter name='IP' value='1-2'/></filterref>"),
      "libvirt drops one with other characters",
    ],
    [xml("<filterref/>"), "filterref: has no filter"],
    [xml("", "name='f' priority='5'"), "priority is ignored by libvirt without a chain"],
    [xml("", "name='f' chain='ipv4' priority='0'"), "libvirt does not write it down"],
    [xml("", "name='g'"), 'its name is g, that of the resource f: give name: "g"'],
    [xml("<uuid>1</uuid>"), "is no UUID"],
    [{ ...xml(""), chain: "ipv4" }, "chain: stands in xml already"],
    [{ xml: "<filter name='f'/>" }, "entries: stands in xml already"],
    [{ entries: undefined, xml: "<filter name='f'>" }, "xml: "],
    [{ entries: undefined, xml: "<network/>" }, "is no filter, but <network>"],
    [{ entries: undefined, xml: "no xml" }, "is no XML"],
    [
      {
        entries: undefined,
        xml: "<!DOCTYPE filter [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><filter name='f'/>",
      },
      "has a document type",
    ],
  ])("%j is refused", (more, message) => {
    expect(complaints(more).join("\n")).toContain(message);
  });
});

describe("cases", () => {
  const d = desired({ entries: [{ filter: "clean-traffic" }, { ...accept, tcp: { dstportstart: 22 } }] });

  test("create: one definition, with a UUID made from the name", () => {
    const libvirt = new Libvirt();
    const seen = libvirt.look(d);
    expect(seen).toEqual({ facts: { users: [] } });
    const [step, ...more] = nwFilter.ensure(d, seen);
    expect(more).toEqual([]);
    expect(step!.argv.join(" ")).toBe(
      "env LC_ALL=C.UTF-8 virsh -q -c qemu:///system nwfilter-define --file /dev/stdin",
    );
    const { uuid } = parseFilter(step!.stdin!);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const other = nwFilter.ensure(desired({ name: "g" }), { facts: { users: [] } })[0]!.stdin!;
    expect(parseFilter(other).uuid).not.toBe(uuid);
  });

  test("the same content is no redefinition; another keeps the UUID, whoever gave it", () => {
    const libvirt = new Libvirt();
    libvirt.filters.set(
      "f",
      renderFilter({ ...parseFilter("<filter name='f'/>"), uuid: UUID, entries: d.entries! }),
    );
    const seen = libvirt.look(d);
    expect(seen.state).toEqual(d);
    expect(nwFilter.outputs!(seen.facts)).toEqual({ uuid: UUID, xml: libvirt.filters.get("f")!.trimEnd() });
    expect(nwFilter.ensure(d, seen, applied(d))).toEqual([]);
    const other = desired({ chain: "ipv4", entries: [] });
    const steps = nwFilter.ensure(other, libvirt.look(other), applied(d));
    expect(steps.map(({ stdin }) => stdin)).toEqual([
      `<filter name='f' chain='ipv4' priority='-700'>\n  <uuid>${UUID}</uuid>\n</filter>\n`,
    ]);
  });

  test("another UUID is another filter: the old one goes first, and libvirt refuses that while it is used", () => {
    const libvirt = new Libvirt().run(nwFilter.ensure(d, new Libvirt().look(d)));
    const given = desired({ entries: d.entries, uuid: UUID });
    const steps = nwFilter.ensure(given, libvirt.look(given), applied(d));
    expect(steps.map(({ argv }) => argv.find((word) => word.startsWith("nwfilter-")))).toEqual([
      "nwfilter-undefine",
      "nwfilter-define",
    ]);
    expect(libvirt.run(steps).look(given).state).toEqual(given);
  });

  test("gone since, it comes back with the UUID that it had", () => {
    const facts = { uuid: UUID, users: [] };
    const [step] = nwFilter.ensure(d, new Libvirt().look(d), applied(d, facts));
    expect(parseFilter(step!.stdin!).uuid).toBe(UUID);
  });

  test("what is left to the default is part of the filter: a chain that a hand gave it is drift", () => {
    const libvirt = new Libvirt();
    const hand = { ...parseFilter("<filter name='f' chain='arp'/>"), uuid: UUID, entries: d.entries! };
    libvirt.filters.set("f", renderFilter(hand));
    const seen = libvirt.look(d);
    expect(seen.broken).toEqual(["chain: arp is there"]);
    libvirt.run(nwFilter.ensure(d, seen, applied(d)));
    expect(libvirt.look(d)).toMatchObject({ state: d, broken: [] });
  });

  test("a chain's priority of 0, which only a hand can give it, is seen, and put right", () => {
    const libvirt = new Libvirt();
    const arp = desired({ chain: "arp" });
    libvirt.filters.set("f", `<filter name='f' chain='arp'>\n  <uuid>${UUID}</uuid>\n</filter>\n`);
    const seen = libvirt.look(arp);
    expect(seen.broken).toEqual(["priority: 0 is there"]);
    expect(libvirt.run(nwFilter.ensure(arp, seen, applied(arp))).look(arp).broken).toEqual([]);
    libvirt.filters.set("f", `<filter name='f' chain='arp'>\n  <uuid>${UUID}</uuid>\n</filter>\n`);
    const file = desired({ entries: undefined, xml: "<filter name='f' chain='arp'/>" });
    const other = libvirt.look(file);
    expect(other.state!.xml).toBe("<filter name='f' chain='arp' priority='0'>\n</filter>\n");
    expect(libvirt.run(nwFilter.ensure(file, other, applied(file))).look(file).state).toEqual(file);
  });

  test("in use, through filters that refer to it: told by port, and not removed", () => {
    const libvirt = new Libvirt().run(nwFilter.ensure(d, new Libvirt().look(d)));
    const around = desired({ name: "around", entries: [{ filter: "f" }] });
    libvirt.run(nwFilter.ensure(around, libvirt.look(around)));
    libvirt.bindings.set("tap1", "around").set("tap0", "f").set("tap9", "clean-traffic");
    const seen = libvirt.look(d);
    expect(seen.facts.users).toEqual(["tap0", "tap1"]);
    expect(nwFilter.blocked!(seen, applied(d))).toBe(
      "it is a part of the filter of tap0, tap1, running: take it out of there first",
    );
    expect(nwFilter.exposure(seen, d)).toEqual({ links: ["tap0", "tap1"] });
    expect(nwFilter.blocked!(new Libvirt().look(d), applied(d))).toBeUndefined();
  });

  test("what libvirt refuses is told in its words", () => {
    const [step] = nwFilter.ensure(d, new Libvirt().look(d));
    const stderr =
      "error: Failed to define network filter from /dev/stdin\nerror: internal error: referenced filter 'x' is missing\n\n";
    expect(nwFilter.explain!(step!, failed(1, stderr), d)).toBe(
      "libvirt refuses the filter: internal error: referenced filter 'x' is missing",
    );
  });

  test.each<[string, Result, RegExp]>([
    [
      "stopped",
      failed(
        1,
        "error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory\n",
      ),
      /^libvirt at qemu:\/\/\/system does not answer: .*Is libvirt installed/,
    ],
    [
      "not allowed",
      failed(
        1,
        "error: failed to connect to the hypervisor\nerror: authentication failed: authentication failed\n",
      ),
      /^libvirt at qemu:\/\/\/system refuses virsh: .*: authentication failed\. .*auth_unix_rw/,
    ],
    ["odd", failed(1, ""), /does not answer: exit code 1/],
    ["another filter", said("<filter name='g' chain='root'/>"), /libvirt answers with the filter g/],
    ["junk", said("<filter name='f'><rule/></filter>"), /is not understood/],
    ["nothing", said(""), /is not understood/],
    ["no UUID", said("<filter name='f'/>"), /tells no UUID/],
  ])("invalid: an odd answer is never an absence: %s", (_, result, message) => {
    expect(() => nwFilter.parse([result, said(""), said("")], d)).toThrow(message);
  });

  test("invalid: who uses it must be known", () => {
    expect(() => nwFilter.parse([absent("f"), failed(1, "error: x"), said("")], d)).toThrow(
      /does not answer: x/,
    );
  });
});

const SAMPLES: Readonly<Record<Exclude<keyof Values, "lost">, fc.Arbitrary<unknown>>> = {
  mac: fc.constantFrom("1:2:3:4:5:6", "$MAC"),
  macMask: fc.constantFrom("ff:ff:ff:00:00:00", "FF:FF:ff:ff:ff:ff"),
  u8: fc.oneof(
    fc.nat(255),
    fc.nat(255).map((n) => `0x${n.toString(16)}`),
    fc.constant("$N[1]"),
  ),
  u16: fc.oneof(
    fc.nat(65535),
    fc.nat(65535).map((n) => `0x${n.toString(16)}`),
    fc.constant("$N[@1]"),
  ),
  u32: fc.nat(),
  limit: fc.nat(65535),
  vlan: fc.nat(4095),
  dscp: fc.nat(63),
  etherType: fc.oneof(fc.integer({ min: 0x600, max: 0xffff }), fc.constantFrom("arp", "0x86DD")),
  vlanProtocol: fc.oneof(fc.integer({ min: 0x3c, max: 0xffff }), fc.constantFrom("arp", "0x86DD")),
  ipProtocol: fc.constantFrom("tcp", "udp", 132),
  opcode: fc.oneof(fc.nat(65535), fc.constant("reply")),
  ip4: fc.oneof(fc.ipV4(), fc.constant("$IP")),
  ip4Mask: fc.oneof(fc.nat(32), fc.constant("255.255.0.0")),
  ip6: fc.ipV6(),
  ip6Mask: fc.oneof(fc.nat(128), fc.constant("ffff::")),
  ip6Variable: fc.constant("$TO"),
  state: fc.subarray(["NEW", "ESTABLISHED", "RELATED", "INVALID"], { minLength: 1 }),
  ipset: fc.constantFrom("set", "a b+c", "$SET"),
  ipsetFlags: fc.array(fc.constantFrom("src", "dst"), { minLength: 1, maxLength: 6 }),
  tcpFlags: fc.constantFrom("SYN,ACK/SYN", "all/none", "FIN,SYN,RST,PSH,ACK,URG/URG"),
  boolean: fc.boolean(),
  comment: fc.string({ maxLength: 60, unit: fc.constantFrom(..."ab'\"<>&]$é €") }).map((text) => `c${text}`),
};

/** Any match: what belongs together comes together, and nothing that libvirt would lose. */
function match(protocol: Protocol): fc.Arbitrary<object[]> {
  const kinds = Object.entries(attributesOf(protocol)).filter(([, kind]) => kind !== "lost");
  const values = Object.fromEntries(
    kinds.map(([name, kind]) => [name, SAMPLES[kind as keyof typeof SAMPLES]]),
  );
  const some = fc.record(values as Record<string, fc.Arbitrary<unknown>>, { requiredKeys: [] });
  return fc.tuple(some, some).map(([yes, no]) => {
    const positive = kept(protocol, yes);
    const negative = Object.entries(kept(protocol, no)).filter(
      ([name]) => !(name in yes) && !CONFINED.test(name),
    );
    return [positive, ...(negative.length > 0 ? [{ match: "no", ...Object.fromEntries(negative) }] : [])];
  });
}
/** Those that libvirt looks at together, or whose sign it forgets: only among the positive ones. */
const CONFINED =
  /mask|port|-hi|^ipset|^state$|^code|^type|ip(from|to)$|^(src|dst)ipaddr|^arp...ipaddr|^(src|dst)macaddr|^protocol$/;
function kept(protocol: Protocol, given: Record<string, unknown>): Record<string, unknown> {
  const owner = (name: string): string =>
    name
      .replace(/-hi$|-mask$/, "")
      .replace(/(mac|ip)mask$/, "$1addr")
      .replace(/end$/, name.includes("port") ? "start" : "")
      .replace(/ipto$/, "ipfrom")
      .replace(/^ipset$/, "ipsetflags");
  const ports = !protocol.startsWith("ip") || "protocol" in given;
  const entries = Object.entries(given).filter(
    ([name]) =>
      owner(name) in given &&
      (name !== "ipsetflags" || "ipset" in given) &&
      (ports || !name.includes("port")) &&
      (!/ip(from|to)$/.test(name) || !(name.replace(/(from|to)$/, "addr") in given)),
  );
  return Object.fromEntries(entries);
}
const rule = fc.constantFrom(...protocolNames).chain((protocol) =>
  fc
    .record({
      action: fc.constantFrom("accept", "drop", "return"),
      direction: fc.constantFrom("in", "out", "inout"),
      priority: fc.integer({ min: -1000, max: 1000 }),
      statematch: fc.boolean(),
      [protocol]: match(protocol),
    })
    .filter((one) => complaints({ entries: [one] }).length === 0),
);
const reference = fc.record({
  filter: fc.constantFrom("clean-traffic", "x"),
  parameters: fc.dictionary(fc.constantFrom("IP", "MAC", "A_1"), fc.constantFrom("10.0.0.1", ["1:2", "b"])),
});
const wish = fc
  .record(
    {
      name: fc.constant("f"),
      chain: fc.constantFrom("root", "arp", "ipv6-x", "stp"),
      priority: fc.integer({ min: 1, max: 1000 }),
      uuid: fc.constantFrom(UUID, "5c6d49af-b071-6127-b4ec-6f8ed4b55335"),
      entries: fc.array(fc.oneof(rule, reference), { maxLength: 4 }),
    },
    { requiredKeys: ["name", "entries"] },
  )
  .map((given) => canonical<NwFilter>(nwFilter, given));

describe("laws", () => {
  test("canonical is idempotent; rendered, parsed and rendered again it is the same, and so is its xml", () => {
    fc.assert(
      fc.property(wish, (d) => {
        expect(canonical(nwFilter, d)).toEqual(d);
        const [step] = nwFilter.ensure(d, new Libvirt().look(d));
        const filter = parseFilter(step!.stdin!);
        expect(filter.entries).toEqual(d.entries);
        expect(renderFilter(filter)).toBe(step!.stdin);
        const { xml } = canonical<NwFilter>(nwFilter, { name: "f", xml: step!.stdin });
        expect(xml).toBe(step!.stdin);
      }),
    );
  });

  test("ensure ends where it should, from anywhere; again there is nothing to do; the undo ends where it began", () => {
    fc.assert(
      fc.property(wish, wish, fc.nat(2), (a, b, cut) => {
        const libvirt = new Libvirt();
        libvirt.run(nwFilter.ensure(a, libvirt.look(a)));
        const begin = libvirt.filters.get("f");
        const before = libvirt.look(b);
        const steps = nwFilter.ensure(b, before, applied(a));
        libvirt.run(steps.slice(0, cut));
        const reached = { state: b, facts: before.facts };
        libvirt.run(nwFilter.ensure(before.state!, reached, { ...applied(b), facts: before.facts }));
        expect(libvirt.filters.get("f")).toBe(begin);
        libvirt.run(nwFilter.ensure(b, libvirt.look(b), applied(a)));
        const after = libvirt.look(b);
        expect(after).toMatchObject({ state: b, broken: [] });
        expect(nwFilter.ensure(b, after, applied(b, after.facts))).toEqual([]);
        libvirt.run(nwFilter.remove(after, applied(b)));
        expect(libvirt.filters.size).toBe(0);
      }),
    );
  });

  test("of junk, parse returns nothing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 255 }), fc.string(), fc.string(), (code, stdout, stderr) => {
        const d = desired();
        expect(() => nwFilter.parse([{ code, stdout, stderr }, said(""), said("")], d)).toThrow();
        expect(() => nwFilter.parse([said(stdout), said(""), said("")], d)).toThrow();
      }),
    );
  });
});
