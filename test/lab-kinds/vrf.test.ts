import { bridge } from "../../provider/bridge";
import { vlan } from "../../provider/vlan";
import { vrf } from "../../provider/vrf";
import type { Vrf, VrfFields } from "../../provider/vrf/args";
import { startVm, type Vm } from "../lab/vm.ts";
import { canonical } from "../unit/steps";
import { applied, obeysLaws, snapshot } from "./laws.ts";
import { NamespaceHost } from "./namespace-host.ts";
import { resources } from "./resources.ts";

let vm: Vm;
const hosts: NamespaceHost[] = [];
beforeAll(async () => {
  vm = await startVm();
}, 600_000);
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
});
afterAll(() => vm?.stop());

const desired = (raw: VrfFields) => canonical<Vrf>(vrf, raw);

/** e1 is up and has a bit of everything, e2 is down (but was up once, for its queue stays), e3 is plain. */
const WORLD = `
  for e in e1 e2 e3; do ip link add name $e type dummy; done
  ip link set dev e1 up
  ip link set dev e2 up
  ip link set dev e2 down
  ip link set dev e3 up
  ip addr add 10.1.0.1/24 brd + dev e1
  ip addr add 10.1.0.2/24 dev e1
  ip addr add 2001:db8:1::1/64 nodad dev e1
  ip addr add 2001:db8:1::2/64 dev e1
  ip addr change 2001:db8:1::2/64 noprefixroute dev e1
  ip addr add 2001:db8:1::f/128 nodad dev e1
  ip addr add fe80::1/64 nodad dev e1
  ip addr add 10.2.0.1/24 dev e2
  ip addr add 10.3.0.1/24 dev e3
  ip addr add 2001:db8:3::1/64 nodad dev e3
  ip route add default via 10.1.0.9 proto static
  ip route add 10.9.0.0/16 via 10.1.0.9 dev e1 metric 5 mtu 1400 proto dhcp
  ip route add 10.8.0.0/16 dev e1 scope link table 77
  ip -6 route add default via 2001:db8:1::9 dev e1 metric 30
  ip -6 route add 2001:db8:9::/48 via fe80::9 dev e1 table 77 pref high
  ip -6 route add 2001:db8:8::/48 via 2001:db8:3::9
  while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

async function world(more = ""): Promise<NamespaceHost> {
  const host = await NamespaceHost.make(vm);
  hosts.push(host);
  await host.sh(WORLD + more);
  return host;
}

const FULL: VrfFields = {
  name: "blue",
  table: 100,
  interfaces: ["e1", { name: "e2", addresses: ["10.2.0.1/24", "10.2.1.1/24", "2001:db8:2::1/64"] }],
  routes: [
    { destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 },
    { destination: "2001:db8:66::/48", gateway: "2001:db8:2::9" },
  ],
};

/** Another member, one less, other addresses and routes; 2001:db8:3::1 is there already. */
const OTHER: VrfFields = {
  name: "blue",
  table: 100,
  interfaces: [
    { name: "e2", addresses: ["10.2.1.2/24"] },
    { name: "e3", addresses: ["10.3.0.2/24", "2001:db8:3::1/64"] },
  ],
  routes: [
    { destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 },
    { destination: "10.66.0.0/16", gateway: "10.2.1.8" },
  ],
};

/** What a Bridge with `vrf` does, and an operator's own hand. */
const GUEST = `
  ip link add name guest type dummy
  ip link set dev guest up
  ip addr add 10.4.0.1/24 dev guest
  ip link set dev guest master blue
  ip addr add 127.0.0.1/8 dev blue
  ip addr add 2001:db8:5::1/128 nodad dev blue
  ip addr add 2001:db8:4::1/64 nodad dev guest
  ip route add 10.44.0.0/16 via 10.4.0.9 table 100 proto 210
  ip route add 10.55.0.0/16 via 10.1.0.9 table 100 proto static`;

describe("cut after any step and run again it ends where one run ends, undone at what was before:", () => {
  test("a create", async () => {
    await obeysLaws(await world(), vrf, { to: desired(FULL) });
  }, 600_000);

  test("an update in place", async () => {
    const host = await world();
    const last = await applied(host, vrf, desired(FULL));
    await obeysLaws(host, vrf, { to: desired(OTHER), last });
  }, 600_000);

  test("another table", async () => {
    const host = await world();
    const last = await applied(host, vrf, desired(FULL));
    await host.sh(GUEST);
    await obeysLaws(host, vrf, { to: desired({ ...OTHER, table: 200 }), last });
  }, 600_000);

  test("a delete", async () => {
    const host = await world();
    const last = await applied(host, vrf, desired(FULL));
    await obeysLaws(host, vrf, { last });
  }, 600_000);
});

const { name: _, ...full } = FULL;
/** What one run declares on a host is remembered by the host's name. */
const on = (host: NamespaceHost) => resources(vrf, host, host.name);
const l3mdev = async (host: NamespaceHost) =>
  (await host.sh("ip -4 rule; ip -6 rule")).split("\n").filter((line) => line.includes("l3mdev"));

test("it lives its whole life, and leaves the host byte for byte as it was", async () => {
  const host = await world();
  const before = await snapshot(host);
  const vrfs = on(host);
  const blue = await vrfs.create("blue", full);
  expect(blue).toMatchObject({ name: "blue", table: 100, drift: [] });
  expect(await host.sh("ip -br link show master blue")).toMatch(/^e1 .*\ne2 /);
  // The main table's routes of e1 stand in the VRF's, those of table 77 where they were.
  expect(await host.sh("ip route show vrf blue 10.9.0.0/16; ip -6 route show vrf blue default")).toMatch(
    /10.9.0.0\/16 via 10.1.0.9 dev e1 proto dhcp metric 5 mtu 1400.*default via 2001:db8:1::9 dev e1/s,
  );
  expect(await host.sh("ip route show table 77; ip -6 route show table 77")).toMatch(
    /10.8.0.0\/16 dev e1.*fe80::9/s,
  );
  expect(await host.sh("ip -6 addr show dev e1")).toMatch(
    /2001:db8:1::2.*noprefixroute.*2001:db8:1::1.*fe80::1/s,
  );
  expect(await l3mdev(host)).toHaveLength(2);
  expect(await vrfs.drift("blue", blue)).toEqual([]);

  await host.sh(`ip link set dev e1 nomaster; ip addr del 10.2.1.1/24 dev e2; ip link set dev blue down
    ip -4 rule del pref 1000; ip route del unreachable default table 100`);
  const drifted = await vrfs.refresh("blue", blue);
  expect(drifted.drift).toEqual([
    expect.stringMatching(/^interfaces: e1 .*missing/),
    expect.stringMatching(/^interfaces: e2 .*10.2.1.1.24.* missing/),
    expect.stringMatching(/^interfaces: e2 .* there/),
    expect.stringMatching(/^routes: 0.0.0.0.0 .* missing/),
    "the device is down",
    "the l3mdev rule for IPv4 is missing: no VRF routes without it",
  ]);
  const repaired = await vrfs.update("blue", drifted, full);
  expect(await vrfs.drift("blue", repaired)).toEqual([]);
  expect(await l3mdev(host)).toHaveLength(2);
  expect(await host.sh("ip -6 addr show dev e1")).toMatch(
    /2001:db8:1::2.*noprefixroute.*2001:db8:1::1.*fe80::1/s,
  );

  const { name: _, ...other } = OTHER;
  const updated = await vrfs.update("blue", repaired, { ...other, table: 200 });
  expect(await vrfs.drift("blue", updated)).toEqual([]);
  expect(await host.sh("ip route show table 100 2>/dev/null || :")).toBe("");
  // Given back as it was found.
  expect(await host.sh("ip route show 10.9.0.0/16; ip -6 addr show dev e1")).toMatch(
    /via 10.1.0.9.*2001:db8:1::1/s,
  );

  await vrfs.delete("blue", updated);
  expect(await snapshot(host)).toBe(before);
  await vrfs.delete("blue", updated);
}, 600_000);

test("a member's address that changes within its subnet takes no route along, ours or another's", async () => {
  const host = await world(`
    ip -4 addr flush dev e3
    for d in all e3; do echo 0 >/proc/sys/net/ipv4/conf/$d/promote_secondaries; done`);
  const vrfs = on(host);
  const at = (address: string) => ({
    table: 100,
    interfaces: [{ name: "e3", addresses: [address] }],
    routes: [{ destination: "10.66.0.0/16", gateway: "10.3.0.8" }],
  });
  const made = await vrfs.create("blue", at("10.3.0.1/24"));
  await host.sh("ip route add 10.77.0.0/16 via 10.3.0.9 table 100 proto static");
  const changed = await vrfs.update("blue", made, at("10.3.0.2/24"));
  expect(await vrfs.drift("blue", changed)).toEqual([]);
  expect(await host.sh("ip -4 addr show dev e3; ip route show table 100")).toMatch(
    /inet 10\.3\.0\.2\/24(?!.*10\.3\.0\.1).*10\.66\.0\.0\/16 via 10\.3\.0\.8.*10\.77\.0\.0\/16 via 10\.3\.0\.9/s,
  );
  expect(await host.sh("cat /proc/sys/net/ipv4/conf/e3/promote_secondaries")).toBe("0\n");
}, 600_000);

/** On e1: with a bit of everything, down, on another VLAN, loosely bound. */
const VLANS = `
  ip link add link e1 name e1.5 type vlan id 5
  ip link add link e1 name e1.6 type vlan id 6
  ip link add link e1 name e1.8 type vlan id 8 loose_binding on
  ip link add link e1.5 name e1.5.7 type vlan id 7
  for v in e1.5 e1.5.7 e1.6 e1.8; do ip link set dev $v up; done
  ip addr add 10.5.0.1/24 dev e1.5
  ip addr add 2001:db8:5::1/64 nodad dev e1.5
  ip addr add 2001:db8:5::2/64 metric 70 dev e1.5
  ip addr add 2001:db8:5::3/64 nodad preferred_lft 0 dev e1.5
  ip addr add 2001:db8:5::4 peer 2001:db8:54::4/64 nodad noprefixroute dev e1.5
  ip addr add 2001:db8:5::f/128 nodad dev e1.5
  ip addr add 2001:db8:57::1/64 nodad dev e1.5.7
  ip addr add 2001:db8:58::1/128 nodad dev e1.8
  ip route add 10.55.0.0/16 via 10.5.0.9 dev e1.5 metric 7 mtu 1400 proto static
  ip route add 10.56.0.0/16 dev e1.5 table 77
  ip -6 route add 2001:db8:55::/48 via 2001:db8:57::9 dev e1.5.7 proto static
  ip -6 route add 2001:db8:56::/48 via 2001:db8:5::9 dev e1.5 src 2001:db8:5::2 table 77 pref low
  ip link set dev e1.6 down
  ip addr add 2001:db8:56::1/64 nodad dev e1.6
  while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

test("VLANs on top of a member, whoever made them, keep what they have while it is bounced", async () => {
  const host = await world(VLANS);
  const theirs = async () => {
    const links = await Promise.all(
      ["e1.5", "e1.5.7", "e1.6", "e1.8"].map((v) =>
        host.sh(
          `ip addr show dev ${v}; ip route show table all dev ${v}; ip -6 route show table all dev ${v}`,
        ),
      ),
    );
    // The kernel finds out a moment later that what is on top of another VLAN is up.
    return links.join("\n").replaceAll(/ state (UP|UNKNOWN) /g, " state up ");
  };
  const [before, whole] = [await theirs(), await snapshot(host)];
  expect(before).toContain("2001:db8:55::/48 via 2001:db8:57::9");
  const vrfs = on(host);
  const made = await vrfs.create("blue", { table: 100, interfaces: ["e1"] });
  expect(await theirs()).toBe(before);
  // One of them is a member too: what is its own moves with it, not back.
  const both = await vrfs.update("blue", made, { table: 100, interfaces: ["e1", "e1.5"] });
  const moved = await vrfs.update("blue", both, { table: 200, interfaces: ["e1", "e1.5"] });
  expect(await host.sh("ip route show table 100 2>/dev/null || :; ip -6 route show table 100")).toBe("");
  expect(await host.sh("ip route show table 200")).toContain("10.55.0.0/16 via 10.5.0.9 dev e1.5");
  const less = await vrfs.update("blue", moved, { table: 200, interfaces: ["e1"] });
  expect(await theirs()).toBe(before);
  await vrfs.delete("blue", less);
  expect(await snapshot(host)).toBe(whole);
}, 600_000);

test("a Bridge or Vlan that enters the VRF and leaves it again takes others' routes along, and what is on top keeps its own", async () => {
  const host = await world("\n  ip link add name blue type vrf table 100; ip link set dev blue up");
  const bridges = resources(bridge, host, host.name);
  const vlans = resources(vlan, host, host.name);
  const inside = {
    addresses: ["10.6.0.1/24", "2001:db8:6::1/64"],
    routes: [{ destination: "10.60.0.0/16", gateway: "10.6.0.7" }],
  };
  const lan = await bridges.create("lan", inside);
  const v9 = await vlans.create("v9", { link: "e3", vlanId: 9, addresses: ["10.9.0.1/24"] });
  await host.sh(`
    ip link add link lan name lan.5 type vlan id 5; ip link set dev lan.5 up
    ip addr add 2001:db8:65::1/64 nodad dev lan.5
    ip route add 10.66.0.0/16 via 10.6.0.9 proto static
    ip route add 10.67.0.0/16 dev lan table 77
    ip route add 10.99.0.0/16 via 10.9.0.9 proto static
    ip -6 route add 2001:db8:66::/48 via 2001:db8:6::9 dev lan
    ip -6 route add 2001:db8:67::/48 via 2001:db8:65::9 dev lan.5
    while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`);
  const before = await snapshot(host);
  const routes = () =>
    host.sh("ip route show table 100; ip -6 route show table 100; ip -6 route show dev lan.5");
  const entered = await bridges.update("lan", lan, { ...inside, vrf: "blue" });
  const entered9 = await vlans.update("v9", v9, {
    addresses: ["10.9.0.1/24"],
    link: "e3",
    vlanId: 9,
    vrf: "blue",
  });
  expect(await routes()).toMatch(
    /10\.60\..*10\.66\.0\.0\/16 via 10\.6\.0\.9 .*10\.99\.0\.0\/16 via 10\.9\.0\.9 .*2001:db8:66::\/48 .*2001:db8:67::\/48/s,
  );
  expect(await host.sh("ip route show table 77")).toMatch(/10\.8\.0\.0.*10\.67\.0\.0\/16 dev lan/s);
  await bridges.update("lan", entered, inside);
  await vlans.update("v9", entered9, { addresses: ["10.9.0.1/24"], link: "e3", vlanId: 9 });
  expect(await snapshot(host)).toBe(before);
}, 600_000);

test("packets pass once the rule is there, which the kernel never brings again", async () => {
  const host = await world(`
    ip link add name p1 type veth peer name q1
    ip link set dev p1 up
    ip addr add 10.5.0.1/24 dev p1`);
  const there = await host.neighbour("q1");
  await there("ip addr add 10.5.0.2/24 dev q1");
  const ping = () => there("ping -c 1 -W 2 10.5.0.1");
  const vrfs = on(host);
  const first = await vrfs.create("first", { table: 1001 });
  await vrfs.delete("first", first);
  expect(await l3mdev(host)).toEqual([]);
  // The second of its life: the kernel adds no rule.
  const second = await vrfs.create("second", { table: 1002, interfaces: ["p1"] });
  expect(await l3mdev(host)).toHaveLength(2);
  await ping();
  await host.sh("ip rule del pref 1000; ip -6 rule del pref 1000");
  await expect(ping()).rejects.toThrow();
  await vrfs.update("second", await vrfs.refresh("second", second), { table: 1002, interfaces: ["p1"] });
  await ping();
}, 600_000);

test("the rule stays while any VRF needs it, and where it was there before us", async () => {
  const host = await world();
  const vrfs = on(host);
  const [a, b] = await Promise.all(["a", "b"].map((name, n) => vrfs.create(name, { table: 300 + n })));
  await vrfs.delete("a", a!);
  expect(await l3mdev(host)).toHaveLength(2);
  await host.sh("ip link add name others type vrf table 400");
  await vrfs.delete("b", b!);
  expect(await l3mdev(host)).toHaveLength(2);
  // Found before the first of ours: not ours to take.
  const c = await vrfs.create("c", { table: 302 });
  await host.sh("ip link del dev others");
  await vrfs.delete("c", c);
  expect(await l3mdev(host)).toHaveLength(2);
}, 600_000);

test("many at once, and both of the last two in one script", async () => {
  const host = await world();
  const before = await snapshot(host);
  const vrfs = on(host);
  const names = Array.from({ length: 4 }, (_, n) => `v${n}`);
  const made = await Promise.all(names.map((name, n) => vrfs.create(name, { table: 500 + n })));
  expect((await host.sh("ip -br link show type vrf")).trim().split("\n")).toHaveLength(4);
  await Promise.all(names.map((name, n) => vrfs.delete(name, made[n]!)));
  expect(await snapshot(host)).toBe(before);
}, 600_000);

test("what only the host can know is refused by name, and everything is as it was", async () => {
  const host = await world(`
    ip link add name br0 type bridge
    ip link set dev e3 master br0
    ip route add 10.99.0.0/16 via 10.1.0.9 table 600 proto static
    ip link add name others type vrf table 601`);
  const before = await snapshot(host);
  const vrfs = on(host);
  const refused = (name: string, args: object, message: string | RegExp) =>
    expect(vrfs.create(name, args)).rejects.toThrow(message);
  await refused("x1", { table: 1, interfaces: ["absent"] }, "interfaces: absent does not exist on the host");
  await refused(
    "x2",
    { table: 1, interfaces: ["e3"] },
    "interfaces: e3 is a member of br0: release it there first (in one up: dependsOn on what gives it up)",
  );
  await refused("x3", { table: 600 }, /table: 600 is in use by another tool.*10.99.0.0\/16 via 10.1.0.9/);
  await refused("x4", { table: 601 }, "table: 601 is in use by the VRF others");
  await refused("e1", { table: 1 }, "e1 is there, but is no VRF: dummy");
  await refused("others", { table: 601 }, "it exists on the host and is not ours");
  const unreachable = {
    table: 1,
    interfaces: ["e1"],
    routes: [{ destination: "10.0.0.0/8", gateway: "203.0.113.1" }],
  };
  await refused(
    "x5",
    unreachable,
    /ip -4 route add 10.0.0.0\/8 .* exited 2: .*\nEverything is as it was before\./s,
  );
  expect(await snapshot(host)).toBe(before);
  const both = await Promise.allSettled(["y", "z"].map((name) => vrfs.create(name, { table: 700 })));
  expect(both[0]).toMatchObject({ status: "fulfilled" });
  expect(both[1]).toMatchObject({
    reason: { message: expect.stringContaining("routing table 700 is wanted as z here, but as y by urn:") },
  });
}, 600_000);

test("one that is there is taken over when it is said so, and goes back to how it was found", async () => {
  const host = await world(`
    ip link add name mgmt type vrf table 800
    ip link set dev mgmt up
    ip link set dev e1 master mgmt`);
  const before = await snapshot(host);
  const vrfs = on(host);
  const same = { table: 800, interfaces: ["e1"] };
  await expect(
    vrfs.create("mgmt", { ...same, interfaces: ["e1", "e3"], adopt: "identical" }),
  ).rejects.toThrow(/adopt: "identical" takes over only what would not change, but .*e3 is missing/);
  const mgmt = await vrfs.create("mgmt", { ...same, adopt: "identical" });
  const more = { table: 801, interfaces: ["e1", "e3"], adopt: "identical" };
  const other = await vrfs.update("mgmt", mgmt, more);
  expect(await host.sh("ip -br link show master mgmt")).toMatch(/^e1 .*\ne3 /);
  await vrfs.delete("mgmt", other);
  expect(await snapshot(host)).toBe(before);
}, 600_000);
