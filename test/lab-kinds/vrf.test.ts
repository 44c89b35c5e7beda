import { vrf } from "../../provider/vrf";
import type { Vrf, VrfFields } from "../../provider/vrf/args";
import { startVm, type Vm } from "../lab/vm.ts";
import { canonical } from "../unit/steps";
import { applied, obeysLaws } from "./laws.ts";
import { NamespaceHost } from "./namespace-host.ts";

let vm: Vm;
const hosts: NamespaceHost[] = [];
beforeAll(async () => {
  vm = await startVm();
}, 240_000);
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
    { destination: "::/0", type: "unreachable", metric: 4278198272 },
    { destination: "10.66.0.0/16", gateway: "10.2.1.9" },
    { destination: "2001:db8:66::/48", gateway: "2001:db8:2::9", device: "e2" },
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
    { destination: "10.77.0.0/16", device: "e3" },
  ],
};

/** What a Bridge with `vrf` does, and an operator's own hand. */
const GUEST = `
  ip link add name guest type dummy
  ip link set dev guest up
  ip addr add 10.4.0.1/24 dev guest
  ip link set dev guest master blue
  ip addr add 2001:db8:4::1/64 nodad dev guest
  ip route add 10.44.0.0/16 via 10.4.0.9 table 100 proto 210
  ip route add 10.55.0.0/16 via 10.1.0.9 table 100 proto static`;

describe("cut after any step and run again it ends where one run ends, undone at what was before:", () => {
  test("a create", async () => {
    await obeysLaws(await world(), vrf, { to: desired(FULL) });
  }, 240_000);

  test("an update in place", async () => {
    const host = await world();
    const last = await applied(host, vrf, desired(FULL));
    await obeysLaws(host, vrf, { to: desired(OTHER), last });
  }, 240_000);

  test("another table", async () => {
    const host = await world();
    const last = await applied(host, vrf, desired(FULL));
    await host.sh(GUEST);
    await obeysLaws(host, vrf, { to: desired({ ...OTHER, table: 200 }), last });
  }, 240_000);

  test("a delete", async () => {
    const host = await world();
    const last = await applied(host, vrf, desired(FULL));
    await obeysLaws(host, vrf, { last });
  }, 240_000);
});
