import fc from "fast-check";
import { z } from "zod";
import { bridge } from "../../provider/bridge";
import { hostSchema } from "../../provider/host-args";
import { nftTable } from "../../provider/nft-table";
import {
  address,
  hasUnknown,
  integer,
  interfaceAddress,
  mac,
  parseFields,
  prefix,
  setOf,
  tableId,
  UNKNOWN,
} from "../../provider/schema";
import { sysctl } from "../../provider/sysctl";

const refused = (schema: z.ZodObject<z.ZodRawShape, z.core.$strict>, raw: object) =>
  parseFields(schema, raw as Record<string, unknown>).problems.map(
    ({ property, reason }) => `${property}: ${reason}`,
  );

const full = {
  name: "br0",
  addresses: ["192.168.2.1/24", "2001:db8::1/64"],
  routes: [{ destination: "10.0.0.0/8", gateway: "192.168.2.254", nexthops: undefined }],
  vrf: "red",
  ports: ["eth1", { name: "eth2", pvid: 10, vlans: ["20-30"], isolated: true }],
  mtu: 1500,
  macAddress: "02:00:00:00:00:01",
  up: true,
  vlanFiltering: true,
  vlans: [10],
};

/** Every place in a structure, as paths. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  const inner = Array.isArray(value)
    ? [...value.entries()]
    : typeof value === "object" && value !== null
      ? Object.entries(value)
      : [];
  return [path, ...inner.filter(([, v]) => v !== undefined).flatMap(([key, v]) => places(v, [...path, key]))];
}

function placed(value: unknown, [head, ...rest]: (string | number)[], what: unknown): unknown {
  if (head === undefined) return what;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  copy[head] = placed(copy[head], rest, what);
  return copy;
}

describe("an unknown value", () => {
  test.each(
    places(full)
      .filter((path) => path.length > 0)
      .map((path) => [path.join("."), path] as const),
  )("at %s keeps its field raw, and the others are checked", (_name, path) => {
    const raw = placed(full, [...path], UNKNOWN) as Record<string, unknown>;
    const { fields, problems, desired } = parseFields(bridge.schema, raw);
    expect(problems).toEqual([]);
    expect(desired).toBeUndefined();
    expect(fields[path[0]!]).toEqual(raw[path[0]!]);
    const other = path[0] === "mtu" ? "macAddress" : "mtu";
    expect(refused(bridge.schema, { ...raw, [other]: "x" })).toEqual([
      expect.stringMatching(new RegExp(`^${other}: "x"`)),
    ]);
  });

  test("is found in the middle of a text, and as a key", () => {
    expect(hasUnknown(`${UNKNOWN}/24`)).toBe(true);
    expect(hasUnknown({ a: [{ [UNKNOWN]: 1 }] })).toBe(true);
    expect(hasUnknown({ a: [1, null, "x", undefined] })).toBe(false);
  });

  test("does not hide an unknown field", () => {
    expect(refused(bridge.schema, { ...full, name: UNKNOWN, prot: 1 })).toEqual([
      expect.stringMatching(/^prot: unknown field; known are name, addresses,/),
    ]);
  });
});

test("what is absent, undefined or null is left out alike", () => {
  for (const mtu of [{}, { mtu: undefined }, { mtu: null }]) {
    const { fields, desired } = parseFields(bridge.schema, { name: "br0", ...mtu });
    expect(Object.keys(fields)).toEqual(["name", "up"]);
    expect(desired).toEqual({ name: "br0", up: true });
  }
});

describe("a message names the field, the value and what is allowed", () => {
  test.each([
    [{ name: 7 }, /^name: 7: must be a text$/],
    [{}, /^name: is required$/],
    [
      { name: "br0", addresses: ["10.0.0.1"] },
      /^addresses\[0\]: "10.0.0.1": needs a prefix length, as 192.168.2.1\/24$/,
    ],
    [
      { name: "br0", addresses: ["10.0.0.1/33"] },
      /^addresses\[0\]: "10.0.0.1\/33": has no prefix length from 0 to 32$/,
    ],
    [{ name: "br0", addresses: "10.0.0.1/24" }, /^addresses: "10.0.0.1\/24": must be a list$/],
    [
      { name: "br0", routes: [{ destination: "10.0.0.1/8" }] },
      /^routes\[0\].destination: "10.0.0.1\/8": has host bits set: the network is 10.0.0.0\/8$/,
    ],
    [
      { name: "br0", routes: [{ destination: "10.0.0.0/8", gateway: "fe80::1" }] },
      /^routes\[0\].gateway: "fe80::1": is not of the family of 10.0.0.0\/8$/,
    ],
    [{ name: "br0", ports: ["eth0", "eth1", "eth0"] }, /^ports\[2\]: "eth0": eth0 is listed twice$/],
    [{ name: "br0", ports: [{ name: "eth0" }, "eth0"] }, /^ports\[1\]: "eth0": eth0 is listed twice$/],
    [{ name: "br0", ports: [{ name: "eth0", pvid: 4095 }] }, /^ports\[0\].pvid: 4095: must be 1 to 4094$/],
    [{ name: "br0", ports: [{ name: "eth0", pvdi: 1 }] }, /^ports\[0\].pvdi: unknown field$/],
    [
      { name: "br0", ports: [{ name: "eth0", takeAddresses: "all" }] },
      /^ports\[0\].takeAddresses: "all": must be true or false$/,
    ],
    [{ name: "br0", ports: [7] }, /^ports\[0\]: 7: must be a text, or an object with fields$/],
    [{ name: "br0", ports: ["eth 0"] }, /^ports\[0\]: "eth 0": is no interface name/],
    [{ name: "br0", mtu: 67 }, /^mtu: 67: must be 68 to 65535$/],
    [{ name: "br0", mtu: 1500.5 }, /^mtu: 1500.5: must be a whole number from 68 to 65535$/],
    [{ name: "br0", mtu: "1500" }, /^mtu: "1500": must be a number from 68 to 65535$/],
    [{ name: "br0", vlans: ["30-20"] }, /^vlans\[0\]: "30-20": is no VLAN: a number from 1 to 4094/],
    [{ name: "br0", vlans: [10, "9-11"] }, /^vlans\[1\]: "9-11": is listed twice$/],
    [
      { name: "br0", macAddress: "01:00:5e:00:00:01" },
      /^macAddress: "01:00:5e:00:00:01": is a multicast address$/,
    ],
    [{ name: "br0", groupForwardMask: 1 }, /^groupForwardMask: 1: holds one of the lowest three bits/],
    [{ name: "br0", up: "yes" }, /^up: "yes": must be true or false$/],
    [{ name: "br0", vlanProtocol: "802.1q" }, /^vlanProtocol: "802.1q": must be "802.1Q" or "802.1ad"$/],
    [{ name: "br0", constructor: 1 }, /^constructor: unknown field/],
    [JSON.parse('{ "name": "br0", "__proto__": 1 }'), /^__proto__: unknown field/],
  ])("%j", (raw, message) => {
    const problems = refused(bridge.schema, raw);
    expect(problems).toEqual([expect.stringMatching(message)]);
  });

  test.each([
    [{}, /^connection: is required$/],
    [{ connection: {} }, /^connection.host: is required$/],
    [{ connection: { host: "" } }, /^connection.host: "": must not be empty$/],
    [{ connection: { host: "h", port: 0 } }, /^connection.port: 0: must be 1 to 65535$/],
    [{ connection: { host: "h", hots: "x" } }, /^connection.hots: unknown field$/],
    [{ connection: { host: "h" }, adopt: true }, /^adopt: true: must be "identical" or "overwrite"$/],
    [
      { connection: { host: "h" }, acceptMachine: "x" },
      /^acceptMachine: "x": is no machine-id: 32 hexadecimal digits/,
    ],
    [{ connection: { host: "h" }, confirm: { timeout: 3 } }, /^confirm\.timeout: 3: must be 5 to 3600$/],
    [{ connection: "root@h" }, /^connection: "root@h": must be an object with fields$/],
    [{ connection: { host: "h" }, persist: "no" }, /^persist: "no": must be true or false$/],
    [
      { connection: { host: "h" }, ssh: { sudo: 1 } },
      /^ssh.sudo: 1: must be true or false, or an object with fields$/,
    ],
    [
      { connection: { host: "h" }, ssh: { jumps: [{ host: "a" }, { host: "" }] } },
      /^ssh.jumps\[1\].host: "": must not be empty$/,
    ],
    [{ connection: { host: "h" }, ssh: { config: "no" } }, /^ssh.config: "no": must be true or false$/],
  ])("host %j", (raw, message) => {
    expect(refused(hostSchema, raw)).toEqual([expect.stringMatching(message)]);
  });

  test("secrets stand in no message", () => {
    const connection = { host: "", password: 31337, privateKey: { pem: "31337" }, hots: "x" };
    const texts = [
      ...refused(hostSchema, { connection: { ...connection, proxy: connection } }),
      ...refused(hostSchema, { connection: [{ host: "h", password: "31337" }] }),
      ...refused(hostSchema, { connection: { host: "h" }, ssh: { jumps: [connection] } }),
    ];
    expect(texts.map((text) => text.split(": ")[0])).toEqual([
      ...["host", "password", "privateKey"].map((key) => `connection.${key}`),
      ...["host", "password", "privateKey", "hots"].map((key) => `connection.proxy.${key}`),
      ...["connection.hots", "connection"],
      ...["host", "password", "privateKey", "hots"].map((key) => `ssh.jumps[0].${key}`),
    ]);
    expect(texts.join("\n")).not.toContain("31337");
  });
});

// The kernel takes nearly all of these as names; shells, sysctl paths, iproute2's keywords and `br%d` do not survive them.
const HOSTILE = [
  ...[
    "$(id)",
    "`id`",
    "a;id",
    "a|b",
    "a>b",
    "a<b",
    "a&b",
    "a'b",
    'a"b',
    "a\\b",
    "a*",
    "a?",
    "[a]",
    "#x",
    "!x",
    "~",
    "a b",
  ],
  ...[
    "-x",
    "--help",
    "...",
    "..",
    ".",
    "br%d",
    "%d",
    "a/b",
    "a:b",
    "@a",
    "a,b",
    "a=b",
    "{a}",
    "(a)",
    "^a",
    "1a",
  ],
  ...[
    "",
    " ",
    "a\n",
    "a\nb",
    "\na",
    "a\r",
    "a\t",
    "a\0b",
    "a\u0001",
    "a\u007f",
    "ä",
    "\u{1f600}\u{1f600}\u{1f600}",
    "a\u200b",
    "ａ",
  ],
  ...["sixteencharacter", "x".repeat(300), "all", "default", "lo"],
];

describe("a hostile name is refused wherever a name stands", () => {
  test.each(HOSTILE.map((name) => [JSON.stringify(name).slice(0, 40), name]))("%s", (_shown, name) => {
    const fields: object[] = [
      { name },
      { name: "br0", vrf: name },
      { name: "br0", ports: [name] },
      { name: "br0", ports: [{ name }] },
      { name: "br0", routes: [{ destination: "10.0.0.0/8", device: name }] },
      {
        name: "br0",
        routes: [{ destination: "10.0.0.0/8", nexthops: [{ device: name }, { device: "eth0" }] }],
      },
    ];
    for (const raw of fields) expect(refused(bridge.schema, raw)).toHaveLength(1);
  });

  test.each(
    HOSTILE.filter((name) => !/^[a-z0-9/-]{1,16}$/.test(name)).map((name) => [
      JSON.stringify(name).slice(0, 40),
      name,
    ]),
  )("as a label, a key or a device in a key: %s", (_shown, name) => {
    expect(refused(sysctl.schema, { name, settings: { "net.ipv4.ip_forward": 1 } })).toHaveLength(1);
    expect(refused(sysctl.schema, { name: "a", settings: { [name]: 1 } })).toHaveLength(1);
    expect(
      refused(sysctl.schema, { name: "a", settings: { [`net/ipv4/conf/${name}/rp_filter`]: 1 } }),
    ).toHaveLength(1);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty"])(
    "%s is a name like others, or refused, but nothing special",
    (name) => {
      expect(refused(bridge.schema, { name })).toHaveLength(name === "__proto__" ? 1 : 0);
      const ports = parseFields(bridge.schema, { name: "br0", ports: [name.replace(/^__/, "a__")] });
      expect(ports.problems).toEqual([]);
      expect(refused(sysctl.schema, { name: "a", settings: JSON.parse(`{"${name}": 1}`) })).toHaveLength(1);
    },
  );

  test.each([
    "eth0",
    "br-lan",
    "Eth_0.100",
    "a",
    "fifteen-letters",
    "vmbr0",
    "enp3s0f1np1",
    "constructor",
    "type",
    "dev",
    "up",
  ])("%s is fine", (name) =>
    expect(refused(bridge.schema, { name, ports: [`x${name}`.slice(0, 15)] })).toEqual([]),
  );
});

describe("every field is canonical, and stays so", () => {
  test.each([
    ["2001:DB8:0:0::1", "2001:db8::1", address],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.1", address],
    ["2001:db8:0::1/64", "2001:db8::1/64", interfaceAddress],
    ["10.0.0.0", "10.0.0.0/32", prefix],
    ["2001:db8::", "2001:db8::/128", prefix],
    ["::/0", "::/0", prefix],
    ["52:54:00:AB:CD:EF", "52:54:00:ab:cd:ef", mac],
  ])("%s is %s", (given, canonical, schema) => {
    expect(schema.parse(given)).toBe(canonical);
    expect(schema.parse(canonical)).toBe(canonical);
  });

  test("a set has no order", () => {
    const schema = setOf(z.string());
    fc.assert(
      fc.property(
        fc
          .uniqueArray(fc.string(), { maxLength: 8 })
          .chain((list) =>
            fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
          ),
        ([a, b]) => {
          expect(schema.parse(a)).toEqual(schema.parse(b));
        },
      ),
    );
  });

  test("the whole of a bridge", () => {
    const once = parseFields(bridge.schema, full).desired!;
    expect(parseFields(bridge.schema, once).desired).toEqual(once);
    expect(parseFields(bridge.schema, JSON.parse(JSON.stringify(once))).desired).toEqual(once);
  });

  test("the kernel's own tables are refused, 0 too", () => {
    const says = (id: number) => tableId.safeParse(id).error?.issues.map((issue) => issue.message);
    expect(says(0)).toEqual(["must be 1 to 4294967295"]);
    for (const id of [253, 254, 255])
      expect(says(id)).toEqual([expect.stringContaining("one of the kernel's own tables")]);
    for (const id of [1, 252, 256, 4294967295]) expect(says(id)).toBeUndefined();
    expect(integer(1, 2).safeParse(Number.NaN).success).toBe(false);
  });
});

test("a key __proto__ is refused at any depth: zod would leave it out in silence", () => {
  const chains = JSON.parse('{ "__proto__": { "rules": [] } }');
  expect(refused(nftTable.schema, { family: "inet", name: "t", chains })).toEqual([
    expect.stringMatching(/^chains: __proto__ is no name/),
  ]);
});

test("of things by name only those with an unknown in them stay raw; the others are canonical, and checked", () => {
  const chains = {
    known: { rules: ["accept", "drop"] },
    half: { rules: ["accept", UNKNOWN] },
    wrong: { rules: ["accept; drop"] },
  };
  const { fields, problems, desired } = parseFields(nftTable.schema, { family: "inet", name: "fw", chains });
  expect(fields.chains).toEqual({ ...chains, known: { rules: "accept\ndrop\n" } });
  expect(problems.map(({ property }) => property)).toEqual(["chains.wrong.rules[0]"]);
  expect(desired).toBeUndefined();
});

test.each([
  [{ addresses: ["fe80::1/64"] }, /^addresses\[0\]: .*is link-local: those are the kernel's/],
  [
    { routes: [{ destination: "2001:db8::/32", gateway: "2001:db8:1::1", metric: 0 }] },
    /^routes\[0\]\.metric: .*is 1024 to the kernel/,
  ],
  [
    { routes: [{ destination: "10.0.0.0/8", nexthops: [{ gateway: "192.0.2.1" }] }] },
    /^routes\[0\]\.nexthops: .*needs two/,
  ],
])("what no kernel keeps as declared is refused: %j", (fields, told) => {
  const { problems } = parseFields(bridge.schema, { name: "br0", ...fields });
  expect(problems.map(({ property, reason }) => `${property}: ${reason}`)).toEqual([
    expect.stringMatching(told),
  ]);
});
