// What is certain to cut the way to the host, and what may: pure tables.
import { bridge } from "../../provider/bridge";
import { confirmation, refuseLockout } from "../../provider/exposure";
import type { Way } from "../../provider/kind";
import { nftTable } from "../../provider/nft-table";
import { parseFields } from "../../provider/schema";
import { sysctl } from "../../provider/sysctl";
import type { Sysctl } from "../../provider/sysctl/args";
import { pathOf } from "../../provider/sysctl/keys";

const way: Way = {
  client: "192.0.2.9",
  clientPort: 50000,
  server: "192.0.2.1",
  port: 22,
  gateway: "192.0.2.254",
  links: ["eth0"],
};

describe("an input chain", () => {
  const verdict = (rules: string[], more: object = {}, family = "inet", on: Way = way) => {
    const input = { type: "filter", hook: "input", priority: 0, policy: "drop", rules, ...more };
    const parsed = parseFields(nftTable.schema, {
      family,
      name: "fw",
      chains: { input, guests: { rules: ["accept"] } },
    });
    if (!parsed.desired) throw new Error(JSON.stringify(parsed.problems));
    const reason = nftTable.lockout!({ facts: {} as never }, parsed.desired, on);
    return reason === undefined ? "open" : /has (policy drop|the rule "[^"]*")/.exec(reason)![1];
  };

  test.each<[string, string[]]>([
    ["nothing", []],
    [
      "established alone",
      ["ct state established,related accept", "ct state { established, related } accept"],
    ],
    [
      "another port",
      [
        "tcp dport 2222 accept",
        "tcp dport { 80, 443 } accept",
        "tcp dport 100-200 accept",
        "tcp dport != 22 accept",
      ],
    ],
    [
      "another protocol",
      [
        "udp dport 22 accept",
        "icmp type echo-request accept",
        "meta l4proto udp accept",
        "ip protocol icmp accept",
      ],
    ],
    [
      "another client",
      [
        "ip saddr 198.51.100.0/24 tcp dport 22 accept",
        "ip saddr != 192.0.2.0/24 accept",
        "ip saddr { 10.0.0.1, 10.0.0.2 } accept",
      ],
    ],
    ["another family", ["ip6 saddr fe80::/10 accept", "ip6 nexthdr tcp accept"]],
    ["another link", ['iifname "lo" accept', "iif lo accept", 'iifname { "br-lan", "wg0" } accept']],
    ["counted and logged", ['log prefix "x " counter', "counter packets 0 bytes 0 drop"]],
  ])("with %s: certain", (_what, rules) => {
    expect(verdict(rules)).toMatch(/^policy drop|^the rule/);
    for (const rule of rules) expect(verdict([rule])).toMatch(/^policy drop|^the rule/);
  });

  test.each([
    "tcp dport 22 accept",
    "tcp dport { 22, 80 } accept",
    "tcp dport 1-1024 accept",
    "tcp dport < 1024 accept",
    "tcp dport & 0xff == 22 accept",
    "ct state new accept",
    "ct state established,new accept",
    "ct state established | new accept",
    "ct state established or new accept",
    "ip saddr 192.0.2.0/24 counter accept",
    "ip saddr & 255.0.0.0 == 192.0.0.0 accept",
    'iifname "eth0" accept',
    'iifname == "eth0" accept',
    'iifname "eth*" accept',
    'iifname . tcp dport { "eth0" . 22 } accept',
    "ip saddr @friends accept",
    "jump guests",
    "tcp dport vmap { 80 : drop }",
    "ct state vmap { established : accept }",
    "tcp dport ssh accept",
    "meta mark 1 accept",
    "limit rate 5/second accept",
    "fib saddr type local accept",
  ])("with %s: open", (rule) => {
    expect(verdict([rule])).toBe("open");
  });

  test("what another or an unknown drop leaves is open", () => {
    expect(verdict(["meta mark 1 drop", "tcp dport 22 accept"])).toBe("open");
    expect(verdict(["ip saddr 198.51.100.0/24 drop", "tcp dport 22 accept"])).toBe("open");
  });

  test("a rule that drops it is named, whatever the policy", () => {
    expect(verdict(["tcp dport 22 drop"], { policy: "accept" })).toBe('the rule "tcp dport 22 drop"');
    expect(verdict(["tcp dport 22 drop", "accept"], { policy: "accept" })).toBe(
      'the rule "tcp dport 22 drop"',
    );
    expect(verdict(["limit rate over 5/second drop"], { policy: "accept" })).toBe("open");
    expect(verdict(["udp dport 22 drop"], { policy: "accept" })).toBe("open");
    expect(verdict(["ip saddr 192.0.2.9 reject with tcp reset"], { policy: "accept" })).toMatch(/^the rule/);
  });

  test("of no hook, family or table that our packets do not pass", () => {
    expect(verdict([], { hook: "forward" })).toBe("open");
    expect(verdict([], {}, "ip6")).toBe("open");
    expect(verdict([], {}, "ip6", { ...way, client: "2001:db8::9", server: "2001:db8::1" })).toBe(
      "policy drop",
    );
    expect(verdict(["ip6 saddr 2001:db8::/64 accept"], {}, "inet", { ...way, client: "2001:db8::9" })).toBe(
      "open",
    );
    expect(verdict([], {}, "bridge")).toBe("open");
  });
});

test("a bridge that the connection runs over keeps its address, stays up and stays", () => {
  const on: Way = { ...way, links: ["br0", "eth0"], gateway: undefined };
  const now = { state: { name: "br0", up: true, addresses: ["192.0.2.1/24"] }, facts: {} as never };
  const say = (after?: object) =>
    bridge.lockout!(now, after && ({ name: "br0", up: true, ...after } as never), on);
  expect(say()).toBe("it runs over br0, which is to be deleted");
  expect(say({ up: false, addresses: ["192.0.2.1/24"] })).toBe(
    "it runs over br0, which is to be down (up: false)",
  );
  expect(say({ addresses: ["192.0.2.2/24"] })).toBe(
    "it goes to 192.0.2.1/24, which is no more among the addresses of br0",
  );
  expect(say({ addresses: ["192.0.2.1/25"] })).toBeUndefined();
  expect(bridge.lockout!(now, undefined, way)).toBeUndefined();
});

test("a bridge that others' route to the connection runs over stays up, whoever wants to try", () => {
  const on: Way = { ...way, links: ["br0", "eth0"], client: "198.51.100.7" };
  const say = (after?: object, routes?: object[]) =>
    bridge.lockout!(
      { state: { name: "br0", up: true, routes } as never, facts: {} as never },
      after && ({ name: "br0", up: true, ...after } as never),
      on,
    );
  expect(() => say({ up: false })).toThrow(
    /the route by 192.0.2.254 runs over br0, which is to be down, and/,
  );
  expect(() => say({ vrf: "red" })).toThrow(
    /br0, which is to be moved, and the host could not take that back/,
  );
  expect(() => say()).toThrow(/br0, which is to be deleted, and the host could not take that back/);
  expect(say({})).toBeUndefined();
  // Ours goes back with the bridge.
  const routes = [{ destination: "0.0.0.0/0", gateway: "192.0.2.254" }];
  expect(say(undefined, routes)).toBe("it runs over br0, which is to be deleted");
  expect(say({ up: false }, routes)).toBe("it runs over br0, which is to be down (up: false)");
});

test("IPv6 is not taken from a connection by IPv6, whoever wants to try", () => {
  const six: Way = { ...way, server: "fd00:2::1", client: "fd00:2::9", links: ["br0.7", "eth0"] };
  const say = (key: string, value: string, on = six) =>
    sysctl.lockout!({ facts: { devices: {} } }, { name: "x", settings: { [key]: value } }, on);
  for (const device of ["all", "br0/7", "eth0"])
    expect(() => say(`net.ipv6.conf.${device}.disable_ipv6`, "1")).toThrow(
      `it is by IPv6, which settings.net.ipv6.conf.${device}.disable_ipv6 takes off its link, and the host could not`,
    );
  expect(say("net.ipv6.conf.all.disable_ipv6", "0")).toBeUndefined();
  expect(say("net.ipv6.conf.eth1.disable_ipv6", "1")).toBeUndefined();
  expect(say("net.ipv6.conf.all.disable_ipv6", "1", way)).toBeUndefined();

  const back = (shared: object, after?: Sysctl) =>
    sysctl.lockout!({ facts: { devices: {} }, shared: { ...shared } }, after, six);
  const former = (value: string, devices = {}) => ({ value, devices });
  for (const shared of [
    { "net.ipv6.conf.eth0.disable_ipv6": former("1") },
    { "net.ipv6.conf.all.disable_ipv6": former("0", { "net.ipv6.conf.eth0.disable_ipv6": "1" }) },
  ]) {
    expect(() => back(shared)).toThrow(/settings\.net\.ipv6\.conf\.eth0\.disable_ipv6 takes off its link/);
    expect(back(shared, { name: "x", settings: { "net.ipv6.conf.eth0.disable_ipv6": "0" } })).toBeUndefined();
  }
  expect(back({ "net.ipv6.conf.eth0.disable_ipv6": former("0") })).toBeUndefined();
});

test("IPv6 forwarding does not take the router from a connection that came by its advertisements", () => {
  const six: Way = {
    ...way,
    server: "fd00:2::1",
    client: "fd00:9::9",
    gateway: "fe80::1",
    links: ["eth0.7"],
  };
  const route = "default via fe80::1 dev eth0.7 metric 1024 expires 1790sec pref medium\n";
  const said = (stdout: string) => ({ code: 0, stdout, stderr: "" });
  const say = (settings: Record<string, string>, heeds: string, listed = route) => {
    const d = { name: "x", settings };
    const own = Object.keys(settings).map((key) => `${pathOf(key)}:0\n`);
    const answers = [
      `/proc/sys/net/ipv6/conf/eth0.7/accept_ra:${heeds}`,
      "/proc/sys/net/ipv6/conf/lo/accept_ra:1",
    ];
    const results = sysctl.query(d).map(({ argv }) => {
      if (argv[0] === "ip") return said(listed);
      return said(argv.includes("accept_ra") ? answers.join("\n") : own.join(""));
    });
    return sysctl.lockout!(sysctl.parse(results, d), d, six);
  };
  const forwards = { "net.ipv6.conf.all.forwarding": "1" };
  expect(() => say(forwards, "1")).toThrow(
    /its route by fe80::1 is from router advertisements, .* only with net\.ipv6\.conf\.eth0\/7\.accept_ra: 2: declare/,
  );
  expect(() => say({ "net.ipv6.conf.eth9.forwarding": "1" }, "1")).toThrow(/its route by fe80::1/);
  expect(say({ ...forwards, "net.ipv6.conf.eth0/7.accept_ra": "2" }, "1")).toBeUndefined();
  expect(say(forwards, "2")).toBeUndefined();
  // networkd heeds them itself.
  expect(say(forwards, "0")).toBeUndefined();
  expect(say(forwards, "1", "")).toBeUndefined();
  expect(say(forwards, "1", route.replace("fe80::1", "fe80::2"))).toBeUndefined();
  expect(say({ "net.ipv6.conf.default.forwarding": "1" }, "1")).toBeUndefined();
});

test("a lockout is refused unless it is meant", () => {
  expect(() => refuseLockout("x")).toThrow(
    "it would cut the connection that it travels on: x. Nothing was done.",
  );
  expect(() => refuseLockout("x", { allowLockout: true })).not.toThrow();
  expect(() => refuseLockout(undefined)).not.toThrow();
});

describe("what must be confirmed", () => {
  test.each([
    [{ routing: true }, true],
    [{ hooks: ["input"] }, true],
    [{ hooks: ["prerouting"] }, true],
    [{ hooks: ["forward"] }, false],
    [{ links: ["eth0"] }, true],
    [{ links: ["br-lan", "tap0"] }, false],
    [{ prefixes: ["192.0.2.0/24"] }, true],
    [{ prefixes: ["192.0.2.254/32"] }, true],
    [{ prefixes: ["0.0.0.0/0"] }, true],
    [{ prefixes: ["::/0"] }, false],
    [{ prefixes: ["10.0.0.1/8"] }, false],
    [undefined, false],
  ])("%j: %p", (exposure, risky) => {
    expect(confirmation(exposure, {}, way)).toEqual(risky ? { timeout: 60, probes: [] } : undefined);
    expect(confirmation(exposure, { when: "never" }, way)).toBeUndefined();
    expect(confirmation(exposure, { when: "always", timeout: 9 }, way)).toEqual({ timeout: 9, probes: [] });
  });

  test("without knowing the way, any link and any network may be on it", () => {
    expect(confirmation({ links: ["br-lan"] })).toBeDefined();
    expect(confirmation({ prefixes: ["10.0.0.0/8"] })).toBeDefined();
    expect(confirmation({ hooks: ["forward"] })).toBeUndefined();
  });

  test("nor does one know all of it behind a tunnel, or a forwarder on the host", () => {
    const on = { ...way, links: ["wg0"], tunnelled: true };
    expect(confirmation({ links: ["eth0"] }, {}, on)).toBeDefined();
    expect(confirmation({ prefixes: ["10.0.0.0/8"] }, {}, on)).toBeDefined();
    expect(confirmation({ hooks: ["forward"] }, {}, on)).toBeUndefined();
  });

  test("probes as commands", () => {
    const probes = [{ ping: "10.0.0.1" }, { tcp: "[2001:db8::1]:443" }, { run: "true" }];
    expect(confirmation({ routing: true }, { probes }, way)!.probes).toEqual([
      { name: "ping 10.0.0.1", argv: ["ping", "-c", "1", "-W", "2", "10.0.0.1"] },
      {
        name: "tcp [2001:db8::1]:443",
        argv: ["sh", "-c", expect.stringContaining("nc -z"), "sh", "2001:db8::1", "443"],
      },
      { name: "run true", argv: ["timeout", "10", "sh", "-c", "true"] },
    ]);
  });
});
