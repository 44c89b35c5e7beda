import { bridge } from "../../provider/bridge";
import type { Bridge, BridgeFields } from "../../provider/bridge/args";
import { lifecycle } from "../../provider/lifecycle";
import { applied, obeysLaws } from "../lab-kinds/laws";
import { LocalHost } from "../local-host";
import { canonical } from "../unit/steps";

const host = new LocalHost();
const provider = lifecycle(bridge, host);
const owner = "urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:Bridge::br-lan";
const common = { connection: { host: "h" }, __provider: "p", __owner: owner, __resource: "br-lan" };

beforeAll(() => host.ready());
afterAll(() => host.close());

async function inputs(args: object) {
  const { inputs, failures } = await provider.check({}, { ...common, ...args });
  expect(failures).toEqual([]);
  return inputs;
}

test("a bridge lives its whole life", async () => {
  host.sh("ip link add name p1 type veth peer name q1");
  const first = await inputs({ addresses: ["192.168.2.1/24", "2001:db8::1/64"], ports: ["p1"], stp: false });
  const { id, outs } = await provider.create(first);
  expect(id).toBe("br-lan");
  expect(host.sh("ip -br link show master br-lan")).toContain("p1");
  expect(host.sh("ip -br addr show dev br-lan")).toContain("192.168.2.1/24");
  expect(outs).toMatchObject({ name: "br-lan", drift: [] });

  const same = await provider.diff(
    id,
    outs,
    await inputs({ addresses: ["2001:db8::1/64", "192.168.2.1/24"], ports: ["p1"], stp: false }),
  );
  expect(same.changes).toBe(false);

  const second = await inputs({
    addresses: ["192.168.2.2/24"],
    ports: [{ name: "p1", isolated: true }],
    ageingTime: 60,
  });
  expect((await provider.diff(id, outs, second)).changes).toBe(true);
  const updated = await provider.update(id, outs, second);
  expect(host.sh("ip -br addr show dev br-lan")).not.toContain("192.168.2.1/24");
  expect(host.sh("ip -d link show dev p1")).toContain("isolated on");

  host.sh("ip link set dev p1 nomaster");
  const read = await provider.read(id, updated.outs);
  expect(read.props!.drift).toEqual(["ports: p1 isolated=true is missing"]);
  expect((await provider.diff(id, read.props!, second)).changes).toBe(true);
  const repaired = await provider.update(id, read.props!, second);
  expect(host.sh("ip -br link show master br-lan")).toContain("p1");

  await provider.delete(id, repaired.outs);
  expect(host.sh("ip -br link")).not.toContain("br-lan");
  expect(host.sh("ip -br link show dev p1")).toContain("DOWN");
  expect(host.sh("ls /etc/hostnet")).toBe("");
}, 30_000);

test("one that has gone from the host comes back with the address that it had", async () => {
  const wanted = await inputs({ name: "br-gone" });
  const { id, outs } = await provider.create(wanted);
  host.sh("ip link del dev br-gone");
  const { props } = await provider.read(id, outs);
  const again = await provider.update(id, props!, wanted);
  expect(again.outs.macAddress).toBe(outs.macAddress);
  await provider.delete(id, again.outs);
}, 30_000);

async function life(first: object, second: object) {
  const { outs } = await provider.create(await inputs({ name: "br1", ...first }));
  return provider.update("br1", outs, await inputs({ name: "br1", ...second }));
}

test("a bridge that goes down keeps its addresses, and comes back with them", async () => {
  const addresses = ["192.168.3.1/24", "2001:db8:3::1/64"];
  const { outs } = await life({ addresses }, { addresses, up: false });
  expect(host.sh("ip -br addr show dev br1")).toContain("2001:db8:3::1/64");
  const routes = [{ destination: "10.3.0.0/16", gateway: "192.168.3.9" }];
  const up = await provider.update("br1", outs, await inputs({ name: "br1", addresses, routes }));
  expect(host.sh("ip route show dev br1")).toContain("10.3.0.0/16 via 192.168.3.9");
  expect(host.sh("ip -6 route show dev br1")).toContain("2001:db8:3::/64");
  await provider.delete("br1", up.outs);
});

test("a bridge that comes up has its whole IPv6 addresses already", async () => {
  const addresses = ["2001:db8:3::2/128", "192.168.3.1/24"];
  const { outs } = await life({ addresses, up: false }, { addresses });
  expect(host.sh("ip -br addr show dev br1")).toMatch(/192\.168\.3\.1\/24 .*2001:db8:3::2\/128/);
  const down = await provider.update("br1", outs, await inputs({ name: "br1", addresses, up: false }));
  const up = await provider.update("br1", down.outs, await inputs({ name: "br1", addresses }));
  expect(up.outs.drift).toEqual([]);
  await provider.delete("br1", up.outs);
});

describe("a route of ours that somebody changed is shown as it is, and put back", () => {
  const shown = () => host.sh("ip route show dev br1; ip -6 route show dev br1 proto 210");
  const six = { destination: "2001:db8:77::/48", gateway: "2001:db8:6::9" };
  test.each([
    [
      "another gateway",
      { destination: "10.7.0.0/16", gateway: "192.168.5.9" },
      "ip route replace 10.7.0.0/16 via 192.168.5.8 dev br1 proto 210",
      [
        "routes: 10.7.0.0/16 gateway=192.168.5.9 is missing",
        "routes: 10.7.0.0/16 gateway=192.168.5.8 is there",
      ],
    ],
    [
      "no source, IPv6",
      { ...six, source: "2001:db8:6::1" },
      "ip -6 route replace 2001:db8:77::/48 via 2001:db8:6::9 dev br1 proto 210",
      [expect.stringContaining("is missing"), "routes: 2001:db8:77::/48 gateway=2001:db8:6::9 is there"],
    ],
    [
      "no gateway, with a metric",
      { destination: "10.7.0.0/16", gateway: "192.168.5.9", metric: 50 },
      "ip route replace 10.7.0.0/16 dev br1 metric 50 proto 210",
      [expect.stringContaining("is missing"), "routes: 10.7.0.0/16 device=br1 metric=50 is there"],
    ],
  ])("%s", async (_, route, change, drift) => {
    const addresses = ["192.168.5.1/24", "2001:db8:6::1/64"];
    const wanted = await inputs({ name: "br1", addresses, routes: [route] });
    const { outs } = await provider.create(wanted);
    const before = shown();
    host.sh(change);
    const { props } = await provider.read("br1", outs);
    expect(props!.drift).toEqual(drift);
    // What fails leaves it as it was found.
    const found = shown();
    host.sh("ip route add 10.9.0.0/16 via 192.168.5.7");
    const bad = await inputs({
      ...wanted,
      routes: [route, { destination: "10.9.0.0/16", gateway: "192.168.5.9" }],
    });
    await expect(provider.update("br1", props!, bad)).rejects.toThrow(/File exists.*as it was before/s);
    host.sh("ip route del 10.9.0.0/16");
    expect(shown()).toBe(found);
    const repaired = await provider.update("br1", props!, wanted);
    expect(shown()).toBe(before);
    await provider.delete("br1", repaired.outs);
  });
});

test("its last address and the routes over it leave together", async () => {
  const routes = [{ destination: "10.3.0.0/16", gateway: "192.168.3.9" }];
  for (const left of [{}, { addresses: [], routes: [] }, { addresses: ["192.168.4.1/24"] }]) {
    const { outs } = await life({ addresses: ["192.168.3.1/24"], routes }, left);
    expect(host.sh("ip route show dev br1")).not.toContain("10.3.0.0");
    await provider.delete("br1", outs);
  }
  // With one address go the routes that have it as their source.
  const six = { destination: "2001:db8:77::/48", gateway: "2001:db8:6::9", source: "2001:db8:6::1" };
  const sourced = [{ ...routes[0], source: "192.168.3.1" }, six];
  const both = ["192.168.3.1/24", "192.168.3.2/24", "2001:db8:6::1/64", "2001:db8:6::2/64"];
  const second = both.filter((address) => address.includes("2/"));
  const one = await life({ addresses: both, routes: sourced }, { addresses: second, routes: [] });
  expect(host.sh("ip route show dev br1; ip -6 route show dev br1")).not.toMatch(/10\.3\.0\.0|db8:77/);
  await provider.delete("br1", one.outs);
  // One that needs no address stays.
  const stays = { routes: [{ destination: "10.3.0.0/16", device: "br1" }] };
  const { outs } = await life({ addresses: ["192.168.3.1/24"], ...stays }, { addresses: [], ...stays });
  expect(host.sh("ip route show dev br1")).toMatch(/^10\.3\.0\.0\/16 proto 210 scope link (linkdown )?\n$/);
  await provider.delete("br1", outs);
});

test("an MTU that is declared as a port with a lower one comes in holds", async () => {
  host.sh("ip link add name p2 mtu 1400 type veth peer name q2");
  const { outs } = await life({}, { mtu: 1500, ports: ["p2"] });
  expect(host.sh("ip link show dev br1")).toContain("mtu 1500");
  await provider.delete("br1", outs);
});

test("STP and a delay that it does not allow change at once", async () => {
  const { outs } = await life({ stp: true, forwardDelay: 15 }, { stp: false, forwardDelay: 0 });
  expect(outs.drift).toEqual([]);
  await provider.delete("br1", outs);
});

test("an address of others keeps its lifetime and label when the first one of its subnet leaves", async () => {
  const { outs } = await provider.create(await inputs({ name: "br1", addresses: ["192.168.4.1/24"] }));
  host.sh("ip addr add 192.168.4.5/24 label br1:x dev br1 valid_lft 1000 preferred_lft 500");
  const next = await provider.update(
    "br1",
    outs,
    await inputs({ name: "br1", addresses: ["192.168.4.2/24"] }),
  );
  const shown = host.sh("ip addr show dev br1");
  expect(shown).toMatch(/192\.168\.4\.5\/24 .*br1:x\n +valid_lft (9\d\d|1000)sec/);
  await provider.delete("br1", next.outs);
});

test("a declared address that goes with a lease is a warning, as long as it has that", async () => {
  const addresses = ["192.168.5.1/24", "2001:db8:5::1/64", "2001:db8:5::2/128"];
  const wanted = await inputs({ name: "br1", addresses });
  const { outs } = await provider.create(wanted);
  for (const address of addresses)
    host.sh(`ip addr change ${address} dev br1 valid_lft 900 preferred_lft 900`);
  // As a router advertisement leaves it: renewed by the next one.
  host.sh("ip addr change 2001:db8:5::1/64 dev br1 mngtmpaddr valid_lft 900 preferred_lft 900");
  const { props } = await provider.read("br1", outs);
  const told = (of?: object) => (of as { warnings?: string[] }).warnings?.map((text) => text.split(",")[0]);
  const lent = ["192.168.5.1/24 has a lifetime", "2001:db8:5::2/128 has a lifetime"];
  expect([props!.drift, told(props)]).toEqual([[], lent]);
  const grown = await provider.update("br1", props!, { ...wanted, mtu: 1400 });
  expect(told(grown.outs)).toEqual(lent);
  for (const address of [addresses[0], addresses[2]]) host.sh(`ip addr change ${address} dev br1`);
  const { props: mended } = await provider.read("br1", grown.outs);
  expect([mended!.drift, told(mended)]).toEqual([[], undefined]);
  await provider.delete("br1", mended!);
});

test("another prefix length of an IPv6 address", async () => {
  const { outs } = await life({ addresses: ["2001:db8::1/64"] }, { addresses: ["2001:db8::1/48"] });
  expect(host.sh("ip -br -6 addr show dev br1 scope global")).toMatch(/ 2001:db8::1\/48 *\n/);
  await provider.delete("br1", outs);
});

test("another address of the subnet: routes of others stay, whatever it is cut at, and when it is undone", async () => {
  host.sh(`echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode`);
  const desired = (address: string) =>
    canonical<Bridge>(bridge, { name: "br8", up: true, addresses: [address] });
  const last = await applied(host, bridge, desired("192.168.8.1/24"));
  host.sh("ip route add default via 192.168.8.9; ip route add 10.8.0.0/16 via 192.168.8.9 table 77");
  await obeysLaws(host, bridge, { to: desired("192.168.8.2/24"), last });
  const { outs } = await provider.create(
    await inputs({ name: "br8", addresses: ["192.168.8.1/24"], adopt: "overwrite" }),
  );
  await provider.update("br8", outs, await inputs({ name: "br8", addresses: ["192.168.8.2/24"] }));
  expect(host.sh("ip route show default; ip route show table 77; ip -br -4 addr show dev br8")).toMatch(
    /^default via 192.168.8.9 .*\n10.8.0.0\/16 via 192.168.8.9 .*192.168.8.2\/24 \n$/s,
  );
  expect(host.sh("cat /proc/sys/net/ipv4/conf/br8/promote_secondaries")).toBe("0\n");
  host.sh("ip link del dev br8; rm -rf /etc/hostnet/*");
});

describe("takeAddresses, cut after any step and run again it ends where one run ends, undone at what was before:", () => {
  const desired = (raw: BridgeFields) => canonical<Bridge>(bridge, { up: true, ...raw });
  const taking = { name: "p9", takeAddresses: true };
  const full = desired({ name: "br9", ports: [taking], addresses: ["192.168.9.1/24"] });

  beforeEach(() => {
    // A link-local address of the bridge, which comes when it likes, is not the matter.
    host.sh(`echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
      ip link add name p9 address 02:00:00:00:00:09 type veth peer name q9; ip link set dev q9 up; ip link set dev p9 up
      ip addr add 192.168.9.1/24 brd + dev p9; ip addr add 192.168.9.2/24 label p9:x dev p9; ip addr add 10.9.0.1/32 dev p9
      ip -6 addr add 2001:db8:9::1/64 nodad dev p9; ip -6 addr add 2001:db8:9::2/64 dev p9
      ip route add default via 192.168.9.9 metric 7; ip route add 10.99.0.0/16 via 192.168.9.9 table 77
      ip -6 route add default via 2001:db8:9::9 metric 30 dev p9
      while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`);
  });
  afterEach(() => {
    host.sh("ip link del dev br9 2>/dev/null; ip link del dev p9");
  });

  test("a create", () => obeysLaws(host, bridge, { to: full }), 120_000);

  test("a port that leaves", async () => {
    const last = await applied(host, bridge, full);
    await obeysLaws(host, bridge, { to: desired({ name: "br9" }), last });
  }, 120_000);

  test("a delete", async () => {
    const last = await applied(host, bridge, full);
    await obeysLaws(host, bridge, { last });
  }, 120_000);

  test("what heeds router advertisements though it routes, does so by the bridge, until it leaves", async () => {
    const heeds = () => host.sh("cat /proc/sys/net/ipv6/conf/br9/accept_ra");
    const [alone, over] = [await inputs({ name: "br9" }), await inputs({ name: "br9", ports: [taking] })];
    const made = await provider.create(alone);
    const plain = heeds();
    host.sh("echo 2 >/proc/sys/net/ipv6/conf/p9/accept_ra");
    const taken = await provider.update("br9", made.outs, over);
    expect([plain, heeds()]).toEqual(["1\n", "2\n"]);
    const left = await provider.update("br9", taken.outs, alone);
    expect(heeds()).toBe("1\n");
    await provider.delete("br9", left.outs);
    const anew = await provider.create(over);
    expect(heeds()).toBe("2\n");
    await provider.delete("br9", anew.outs);
  }, 120_000);
});
