import { bridge } from "../../provider/bridge";
import { vlan } from "../../provider/vlan";
import type { Vlan, VlanFields } from "../../provider/vlan/args";
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

const desired = (raw: VlanFields) => canonical<Vlan>(vlan, raw);

/** e1 is up, e2 is down (but was up once, for its queue stays), and there is a VRF. */
const WORLD = `
  for n in 1 2; do ip link add name e$n address 02:00:00:00:00:0$n type dummy; ip link set dev e$n up; done
  ip link set dev e2 down
  ip link add name blue type vrf table 100
  ip link set dev blue up
  while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

/** What others have on it. */
const OTHERS = `
  ip addr add 10.5.0.1/24 brd + dev v10
  ip addr add 10.5.0.2/24 label v10:x dev v10
  ip addr add 2001:db8:5::1/64 nodad dev v10
  ip addr add 2001:db8:5::2/64 dev v10
  ip route add 10.55.0.0/16 via 10.5.0.9 dev v10 metric 5 proto static
  ip route add 10.66.0.0/16 dev v10 table 77
  ip -6 route add 2001:db8:55::/48 via 2001:db8:5::9 dev v10 table 77
  while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

async function world(more = ""): Promise<NamespaceHost> {
  const host = await NamespaceHost.make(vm);
  hosts.push(host);
  await host.sh(WORLD + more);
  return host;
}

const FULL: VlanFields = {
  name: "v10",
  link: "e1",
  vlanId: 10,
  addresses: ["10.1.0.1/24", "10.1.0.2/24", "2001:db8:1::1/64"],
  routes: [
    { destination: "10.9.0.0/16", gateway: "10.1.0.9" },
    { destination: "2001:db8:9::/48", gateway: "2001:db8:1::9" },
  ],
  mtu: 1400,
};

describe("cut after any step and run again it ends where one run ends, undone at what was before:", () => {
  test("a create, on a link that is down, in a VRF", async () => {
    const to = desired({ ...FULL, link: "e2", protocol: "802.1ad", vrf: "blue" });
    await obeysLaws(await world(), vlan, { to });
  }, 600_000);

  test("an update in place", async () => {
    const host = await world();
    const last = await applied(host, vlan, desired(FULL));
    const { routes: _, ...less } = FULL;
    const raw = { ...less, vrf: "blue", mtu: 1300, macAddress: "02:00:00:00:00:99" };
    await obeysLaws(host, vlan, { to: desired({ ...raw, addresses: ["10.1.0.2/24", "10.1.0.3/24"] }), last });
  }, 600_000);

  test("another link, id and protocol, with all that others have on it", async () => {
    const host = await world();
    const last = await applied(host, vlan, desired(FULL));
    await host.sh(OTHERS);
    const raw: VlanFields = { ...FULL, link: "e2", vlanId: 20, protocol: "802.1ad", routes: [] };
    await obeysLaws(host, vlan, { to: desired(raw), last });
  }, 600_000);

  test("a delete", async () => {
    const host = await world();
    const last = await applied(host, vlan, desired({ ...FULL, link: "e2" }));
    await obeysLaws(host, vlan, { last });
  }, 600_000);
});

const { name: _, ...full } = FULL;

test("it lives its whole life, and leaves the host byte for byte as it was", async () => {
  const host = await world();
  const before = await snapshot(host);
  const vlans = resources(vlan, host, host.name);
  const made = await vlans.create("v10", { ...full, link: "e2" });
  const other = await vlans.create("v20", { link: "e2", vlanId: 20 });
  expect(made).toMatchObject({ name: "v10", link: "e2", vlanId: 10, ifindex: expect.any(Number), drift: [] });
  expect(await host.sh("ip -d -br link show dev e2; ip -br link show type vlan")).toMatch(
    /^e2 .*UP.*\nv10@e2 .*UP.*\nv20@e2 .*UP/,
  );
  await expect(vlans.create("v30", { link: "e2", vlanId: 20 })).rejects.toThrow(
    "vlanId: 20 of e2 is taken by v20",
  );
  await expect(vlans.create("v30", { link: "e2", vlanId: 30, mtu: 1501 })).rejects.toThrow(
    "mtu: 1501 is more than e2 has, 1500",
  );

  await host.sh("ip link set dev v10 down; ip addr del 10.1.0.2/24 dev v10");
  const drifted = await vlans.refresh("v10", made);
  expect(drifted.drift).toEqual([
    "addresses: 10.1.0.2/24 is missing",
    "addresses: 2001:db8:1::1/64 is missing",
    "routes: 10.9.0.0/16 gateway=10.1.0.9 is missing",
    "routes: 2001:db8:9::/48 gateway=2001:db8:1::9 is missing",
    "the device is down",
  ]);
  const repaired = await vlans.update("v10", drifted, { ...full, link: "e2" });
  expect(await vlans.drift("v10", repaired)).toEqual([]);
  // Another id keeps the index.
  const again = await vlans.update("v10", repaired, { ...full, link: "e1", vlanId: 11 });
  expect(again).toMatchObject({ ifindex: made.ifindex, link: "e1", vlanId: 11, drift: [] });

  // With the last of ours the link goes down again.
  expect(await host.sh("ip -br link show dev e2")).toMatch(/UP/);
  await vlans.delete("v20", other);
  expect(await host.sh("ip -br link show dev e2")).toMatch(/^e2 +DOWN/);
  await vlans.delete("v10", again);
  expect(await snapshot(host)).toBe(before);
}, 600_000);

test("it is adopted, and goes back to how it was found", async () => {
  const host = await world();
  await host.sh("ip link add link e1 name v10 type vlan id 10; ip link set dev v10 up");
  const before = await snapshot(host);
  const vlans = resources(vlan, host, host.name);
  await expect(vlans.create("v10", { ...full, adopt: "identical" })).rejects.toThrow(
    "10.1.0.1/24 is missing",
  );
  const made = await vlans.create("v10", { ...full, vlanId: 12, adopt: "overwrite" });
  await vlans.delete("v10", made);
  expect(await snapshot(host)).toBe(before);
}, 600_000);

test("packets: tagged over a veth, and over a bridge that filters VLANs", async () => {
  const host = await world("\n  ip link add name p1 type veth peer name q1; ip link set dev p1 up");
  const there = await host.neighbour("q1");
  await there("ip link add link q1 name t10 type vlan id 10");
  await there("ip link set dev t10 up");
  await there("ip addr add 10.1.0.2/24 dev t10");
  await there("ip addr add 2001:db8:1::2/64 nodad dev t10");
  const vlans = resources(vlan, host, host.name);
  const addresses = ["10.1.0.1/24", "2001:db8:1::1/64"];
  const pings = async () => {
    for (const address of ["10.1.0.1", "2001:db8:1::1"]) await there(`ping -c 1 -W 2 ${address}`);
  };
  const made = await vlans.create("v10", { link: "p1", vlanId: 10, addresses });
  await pings();
  const wrong = await vlans.update("v10", made, { link: "p1", vlanId: 11, addresses });
  await expect(there("ping -c 1 -W 1 10.1.0.1")).rejects.toThrow();
  await vlans.delete("v10", wrong);

  const bridges = resources(bridge, host, host.name);
  const ports = [{ name: "p1", vlans: [10] }];
  const without = await bridges.create("br0", { vlanFiltering: true, ports });
  await expect(vlans.create("v10", { link: "br0", vlanId: 10, addresses })).rejects.toThrow(
    "link: br0 filters VLANs, and takes no part in 10 itself: add 10 to the vlans of that Bridge",
  );
  const lan = await bridges.update("br0", without, { vlanFiltering: true, ports, vlans: [10] });
  const on = await vlans.create("v10", { link: "br0", vlanId: 10, addresses });
  await pings();
  await expect(bridges.delete("br0", lan)).rejects.toThrow("v10 of others are still attached to it");
  await vlans.delete("v10", on);
  await bridges.delete("br0", lan);
}, 600_000);
