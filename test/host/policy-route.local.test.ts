import { policyRoute } from "../../provider/policy-route";
import type { PolicyRoute, PolicyRouteFields } from "../../provider/policy-route/args";
import { applied, obeysLaws, snapshot } from "../lab-kinds/laws";
import { resources } from "../lab-kinds/resources";
import { LocalHost } from "../local-host";
import { canonical } from "../unit/steps";

const desired = (raw: PolicyRouteFields) => canonical<PolicyRoute>(policyRoute, raw);

const LAN: PolicyRouteFields = {
  name: "lan",
  family: "ipv4",
  priority: 100,
  from: "192.168.2.0/24",
  fwmark: 1,
  table: 5,
  routes: [
    { destination: "0.0.0.0/0", gateway: "10.1.0.9" },
    { destination: "10.9.0.0/16", type: "blackhole" },
  ],
};

/** As a program would declare it, under whatever name. */
const { name: _, ...lanArgs } = LAN;

/** A link to route through, and rules and routes of others, as much alike to ours as can be. */
const WORLD = `
  for c in all default; do echo 0 > /proc/sys/net/ipv6/conf/$c/accept_dad || :; done
  ip link add name e1 type veth peer name f1
  ip link set dev e1 up
  ip link set dev f1 up
  ip addr add 10.1.0.1/24 dev e1
  ip -6 addr add 2001:db8:1::1/64 nodad dev e1
  ip rule add pref 100 from 192.168.2.0/24 fwmark 1 lookup 5
  ip rule add pref 100 from 192.168.2.0/24 fwmark 1 iif e1 lookup 5 protocol static
  ip rule add pref 100 from 192.168.2.0/24 fwmark 7 lookup 5 protocol static
  ip route add 10.8.0.0/16 dev e1 table 5
  ip route add default via 10.1.0.9 metric 7 table 5
  while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

const hosts: LocalHost[] = [];
let host: LocalHost;
let names = 0;
// What one run declares on a host is remembered by the host's name.
const all = () => {
  names += 1;
  return resources(policyRoute, host, `h${names}`);
};
beforeEach(async () => {
  host = new LocalHost();
  hosts.push(host);
  await host.ready();
  await host.sh(WORLD);
}, 60_000);
afterEach(() => {
  for (const one of hosts.splice(0)) one.close();
});

const rules = async (version = "-4") => (await host.sh(`ip -N ${version} rule`)).split("\n");
const ours = async (version = "-4") => (await rules(version)).filter((line) => / proto 210/.test(line));

describe("cut after any step and run again it ends where one run ends, undone at what was before:", () => {
  const changes: Readonly<Record<string, Partial<PolicyRouteFields> | undefined>> = {
    "another source": { from: "192.168.3.0/24" },
    "a wider rule": { fwmark: undefined },
    "a narrower rule": { iif: "e1" },
    "the rule inverted": { invert: true },
    "another priority, table and routes": {
      priority: 90,
      table: 6,
      routes: [{ destination: "0.0.0.0/0", gateway: "10.1.0.8" }],
    },
    "another family": {
      family: "ipv6",
      from: "2001:db8::/32",
      routes: [{ destination: "::/0", device: "e1" }],
    },
    "no table any more": { table: undefined, action: "unreachable", routes: undefined },
  };
  for (const [name, fields] of Object.entries(changes)) {
    test(name, async () => {
      const last = await applied(host, policyRoute, desired(LAN));
      await obeysLaws(host, policyRoute, { to: desired({ ...LAN, ...fields }), last });
    }, 240_000);
  }
  test("a create", async () => {
    await obeysLaws(host, policyRoute, { to: desired(LAN) });
  }, 240_000);

  test("a delete", async () => {
    const last = await applied(host, policyRoute, desired(LAN));
    await obeysLaws(host, policyRoute, { last });
  }, 240_000);
});

test("it lives its whole life among others, who never notice", async () => {
  const before = await snapshot(host);
  const routes = all();
  const lan = await routes.create("lan", lanArgs);
  expect(await ours()).toEqual(["100:\tfrom 192.168.2.0/24 fwmark 0x1 lookup 5 proto 210"]);
  expect(await host.sh("ip route show table 5 proto 210")).toContain("default via 10.1.0.9");
  expect(await routes.drift("lan", lan)).toEqual([]);

  const wide = await routes.update("lan", lan, { ...lanArgs, fwmark: undefined });
  expect(await ours()).toEqual(["100:\tfrom 192.168.2.0/24 lookup 5 proto 210"]);
  const narrow = await routes.update("lan", wide, { ...lanArgs, to: "10.0.0.0/8" });
  expect(await ours()).toEqual(["100:\tfrom 192.168.2.0/24 to 10.0.0.0/8 fwmark 0x1 lookup 5 proto 210"]);

  await host.sh(
    "ip rule del pref 100 to 10.0.0.0/8 protocol 210; ip route del 10.9.0.0/16 table 5 proto 210",
  );
  expect(await routes.drift("lan", narrow)).toEqual(["it is missing on the host"]);
  const drifted = await routes.refresh("lan", narrow);
  const again = await routes.update("lan", drifted, { ...lanArgs, to: "10.0.0.0/8" });
  expect(await routes.drift("lan", again)).toEqual([]);
  expect(await ours()).toHaveLength(1);

  await routes.delete("lan", again);
  expect(await snapshot(host)).toBe(before);
  await routes.delete("lan", again);
}, 120_000);

test("rules of one priority and one table live side by side, made and unmade in one script", async () => {
  const before = await snapshot(host);
  const routes = all();
  const selectors: Partial<PolicyRouteFields>[] = [
    { from: "192.168.1.0/24" },
    { from: "192.168.2.0/24" },
    { from: "192.168.2.128/25" },
    { to: "192.168.2.0/24" },
    { fwmark: 1 },
    { fwmark: "1/1" },
    { iif: "e1" },
    { oif: "e1" },
    { destinationPort: 80, ipProtocol: "tcp" },
    { destinationPort: 443, ipProtocol: "tcp" },
    { destinationPort: 80, ipProtocol: "udp" },
    { sourcePort: "1000-2000" },
    { tos: 16 },
    { uidRange: "1000-2000" },
  ];
  const rule = (selector: object): PolicyRouteFields => ({
    family: "ipv4",
    priority: 200,
    table: 9,
    ...selector,
  });
  const made = await Promise.all(selectors.map((s, n) => routes.create(`r${n}`, rule(s))));
  expect(await ours()).toHaveLength(selectors.length);
  expect(await Promise.all(made.map((outs, n) => routes.drift(`r${n}`, outs)))).toEqual(
    selectors.map(() => []),
  );
  // Each alone, and only it.
  await routes.delete("r1", made[1]!);
  expect((await ours()).filter((line) => line.includes("from 192.168.2.0/24 lookup"))).toEqual([]);
  expect(await ours()).toHaveLength(selectors.length - 1);
  await Promise.all(made.map((outs, n) => routes.delete(`r${n}`, outs)));
  expect(await snapshot(host)).toBe(before);
}, 120_000);

test("a rule that the kernel could not tell from another one of ours is refused, and nothing is touched", async () => {
  const routes = all();
  const narrow = { family: "ipv4", priority: 100, table: 5, from: "192.168.2.0/24", fwmark: 1 };
  const first = await routes.create("narrow", narrow);
  const before = await snapshot(host);
  await expect(routes.create("wide", { ...narrow, fwmark: undefined })).rejects.toThrow(
    'the kernel cannot tell the rule "100: from 192.168.2.0/24 lookup 5" from "100: from 192.168.2.0/24 fwmark 0x1 lookup 5"',
  );
  await expect(routes.create("not", { ...narrow, invert: true })).rejects.toThrow("the kernel cannot tell");
  expect(await snapshot(host)).toBe(before);
  // The other way round the kernel can.
  await routes.delete("narrow", first);
  const wide = await routes.create("wide", { ...narrow, fwmark: undefined });
  const second = await routes.create("narrow", narrow);
  await routes.delete("wide", wide);
  expect(await ours()).toEqual(["100:\tfrom 192.168.2.0/24 fwmark 0x1 lookup 5 proto 210"]);
  await routes.delete("narrow", second);
  expect(await ours()).toEqual([]);
}, 120_000);

test("every selector is one that the kernel takes, and is found again", async () => {
  const routes = all();
  const full = {
    priority: 300,
    fwmark: "0x64/0xff",
    iif: "lo",
    oif: "later",
    ipProtocol: "tcp",
    sourcePort: "1000-2000",
    destinationPort: 80,
    tos: 16,
    uidRange: 1000,
    invert: true,
  };
  const v4 = {
    ...full,
    family: "ipv4",
    from: "10.0.0.0/8",
    to: "10.0.0.1",
    table: 4294967295,
    suppressPrefixLength: 0,
  };
  const v6 = { ...full, family: "ipv6", from: "2001:db8::/32", to: "2001:db8::1", goto: 400 };
  const rest = [
    { family: "ipv4", priority: 301, action: "blackhole" },
    { family: "ipv6", priority: 302, fwmark: 0, action: "prohibit" },
    { family: "ipv4", priority: 303, table: 254, suppressPrefixLength: 0 },
  ];
  for (const [n, args] of [v4, v6, ...rest].entries()) {
    const outs = await routes.create(`r${n}`, args);
    expect(await routes.drift(`r${n}`, outs)).toEqual([]);
    await routes.delete(`r${n}`, outs);
  }
  expect([await ours("-4"), await ours("-6")]).toEqual([[], []]);
}, 120_000);

test("one rule, or one route, for two resources is refused, which names the first", async () => {
  const routes = all();
  const lan = await routes.create("lan", lanArgs);
  await expect(routes.create("twin", lanArgs)).rejects.toThrow(
    "ipv4 rule 100: from 192.168.2.0/24 fwmark 0x1 lookup 5 is wanted as twin here, but as lan by urn:pulumi:dev::net::",
  );
  // A resource that was renamed is made before the one of the former name goes.
  await expect(routes.create("twin", lanArgs)).rejects.toThrow(
    "this one's former name, declare it as an alias",
  );
  await expect(routes.create("other", { ...lanArgs, priority: 101 })).rejects.toThrow(
    "route 0.0.0.0/0 of table 5 is wanted as PolicyRoute other here, but as PolicyRoute lan by urn:",
  );
  const both = [
    routes.create("x", { ...lanArgs, priority: 7, table: 7 }),
    routes.create("y", { ...lanArgs, priority: 7, table: 7 }),
  ];
  const settled = await Promise.allSettled(both);
  expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(await ours()).toHaveLength(2);
  await routes.delete("x", (settled[0] as PromiseFulfilledResult<Record<string, unknown>>).value);
  await routes.delete("lan", lan);
  expect(await ours()).toEqual([]);
}, 120_000);

test("one that is left without a record is taken over when it is said so, and stays when it goes", async () => {
  await host.sh("ip rule add pref 400 from 10.4.0.0/16 lookup 5 protocol 210");
  const before = await snapshot(host);
  const routes = all();
  const rule = { family: "ipv4", priority: 400, from: "10.4.0.0/16", table: 5 };
  await expect(routes.create("left", rule)).rejects.toThrow("it exists on the host and is not ours");
  const outs = await routes.create("left", { ...rule, adopt: "identical" });
  const other = await routes.update("left", outs, {
    ...rule,
    from: undefined,
    to: "10.4.0.0/16",
    adopt: "identical",
  });
  expect(await ours()).toEqual(["400:\tfrom all to 10.4.0.0/16 lookup 5 proto 210"]);
  await routes.delete("left", other);
  expect(await snapshot(host)).toBe(before);
}, 120_000);

test("a change that the kernel refuses leaves everything as it was", async () => {
  const routes = all();
  const lan = await routes.create("lan", lanArgs);
  const before = await snapshot(host);
  const bad = {
    ...lanArgs,
    from: "192.168.9.0/24",
    routes: [...LAN.routes!, { destination: "10.5.0.0/16", gateway: "203.0.113.1" }],
  };
  await expect(routes.update("lan", lan, bad)).rejects.toThrow(
    /Unable to update PolicyRoute "lan" on root@\w+: ip -4 route add 10.5.0.0\/16 .*\nEverything is as it was before./s,
  );
  expect(await snapshot(host)).toBe(before);
  await routes.delete("lan", lan);
}, 120_000);
