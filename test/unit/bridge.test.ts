import { bridge } from "../../provider/bridge";
import type { Bridge } from "../../provider/bridge/args";
import type { Facts } from "../../provider/bridge/parse";
import type { Result } from "../../provider/kind";
import { canonical, failed, problems, said, text } from "./steps";

type Vlan = { vlan: number; flags?: string[] };
const PVID = ["PVID", "Egress Untagged"];
const DATA = {
  vlan_filtering: 1,
  vlan_protocol: "802.1Q",
  vlan_default_pvid: 1,
  stp_state: 0,
  forward_delay: 1500,
};
const port = (pvid: number | undefined, vlans: number[] = []): Vlan[] => [
  ...(pvid === undefined ? [] : [{ vlan: pvid, flags: PVID }]),
  ...vlans.map((vlan) => ({ vlan })),
];
const declare = (args: object) => canonical<Bridge>(bridge, { name: "br0", ...args });
const filtering = (p1: object, more: object = {}) =>
  declare({ vlanFiltering: true, ports: [{ name: "p1", ...p1 }], ...more });

const link = (name: string, more: object) =>
  said([
    {
      ifindex: 1,
      ifname: name,
      flags: ["UP"],
      mtu: 1500,
      address: "02:00:00:00:00:01",
      addr_info: [],
      ...more,
    },
  ]);

/** What the host says of br0 with the port p1, which has these VLANs. */
function results(
  d: Bridge,
  last: Bridge | undefined,
  vlans: Vlan[],
  data: object,
  attached = true,
): readonly Result[] {
  return bridge.query(d, last && { desired: last, former: NOTHING }).map(({ argv }) => {
    const words = argv.join(" ");
    if (words.endsWith("addr show dev br0"))
      return link("br0", { linkinfo: { info_kind: "bridge", info_data: data } });
    if (words.endsWith("addr show dev p1")) return link("p1", attached ? { master: "br0" } : {});
    if (words.endsWith("vlan show dev p1")) return said([{ ifname: "p1", vlans }]);
    return words.startsWith("cat") ? said("id\n") : said("[]");
  });
}
const NOTHING = { facts: {} as Facts };

/** The steps from one declaration to the next, on a host that is as the first left it, and what is observed of p1. */
function change(
  before: Bridge | undefined,
  after: Bridge,
  vlans: Vlan[],
  data: object = DATA,
  attached = true,
) {
  const last = before && { desired: before, former: NOTHING };
  const seen = bridge.parse(results(after, before, vlans, data, attached), after, last);
  return text(bridge.ensure(after, seen, last));
}

test("a VLAN that leaves a port's list leaves the port", () => {
  expect(change(filtering({ vlans: [10, 20] }), filtering({ vlans: [10] }), port(1, [10, 20]))).toEqual([
    "bridge vlan del dev p1 vid 20",
  ]);
});

test("a VLAN that becomes the pvid stays", () => {
  const steps = change(
    filtering({ vlans: [10, 20] }),
    filtering({ pvid: 20, vlans: [10] }),
    port(1, [10, 20]),
  );
  expect(steps).toEqual(["bridge vlan add dev p1 vid 20 pvid untagged", "bridge vlan del dev p1 vid 1"]);
});

test("a port that comes in leaves the default VLAN that the bridge has, declared or not", () => {
  const adopted = { ...DATA, vlan_default_pvid: 5 };
  expect(change(undefined, filtering({ pvid: 10 }), [], adopted, false).slice(-2)).toEqual([
    "bridge vlan add dev p1 vid 10 pvid untagged",
    "bridge vlan del dev p1 vid 5",
  ]);
});

test("the pvid of a port that is the bridge's default too stays when the default moves", () => {
  const steps = change(filtering({ pvid: 1 }), filtering({ pvid: 1 }, { defaultPvid: 5 }), port(1));
  expect(steps).toEqual([
    "ip link set dev br0 type bridge vlan_default_pvid 5",
    "bridge vlan add dev p1 vid 1 pvid untagged",
    "bridge vlan del dev p1 vid 5",
  ]);
});

test("the way back of another pvid takes the new one out again", () => {
  const [before, after] = [filtering({ pvid: 10 }), filtering({ pvid: 20 })];
  const seen = bridge.parse(results(after, before, port(10), DATA), after, {
    desired: before,
    former: NOTHING,
  });
  const reached = { state: after, facts: seen.facts };
  expect(text(bridge.ensure(seen.state!, reached, { desired: after, former: seen }))).toContain(
    "bridge vlan del dev p1 vid 20",
  );
});

test("the way back of another VRF leads to the former one, with its routes", () => {
  const routes = [{ destination: "10.0.0.0/8", gateway: "192.168.2.9" }];
  const [before, after] = [declare({ vrf: "red", routes }), declare({ vrf: "blue", routes })];
  const last = { desired: before, former: NOTHING };
  const slave = { master: "red", linkinfo: { info_kind: "bridge", info_data: DATA, info_slave_kind: "vrf" } };
  const inRed = { ...slave, linkinfo: { ...slave.linkinfo, info_slave_data: { table: 100 } } };
  const blue = link("blue", { linkinfo: { info_kind: "vrf", info_data: { table: 200 } } });
  const route = { dst: "10.0.0.0/8", table: "100", type: "1", gateway: "192.168.2.9", dev: "br0", flags: [] };
  const answers = bridge.query(after, last).map(({ argv }) => {
    const words = argv.join(" ");
    if (words.endsWith("addr show dev br0")) return link("br0", inRed);
    if (words.endsWith("addr show dev blue")) return blue;
    return words.includes("-4 route") ? said([route]) : said("[]");
  });
  const seen = bridge.parse(answers, after, last);
  expect(text(bridge.ensure(after, seen, last))).toEqual([
    "ip link set dev br0 master blue",
    "ip -4 route add 10.0.0.0/8 via 192.168.2.9 dev br0 table 200 proto 210",
  ]);
  const undo = bridge.ensure(
    seen.state!,
    { state: after, facts: seen.facts },
    { desired: after, former: seen },
  );
  expect(text(undo)).toEqual([
    "ip link set dev br0 master red",
    "ip -4 route add 10.0.0.0/8 via 192.168.2.9 dev br0 table 100 proto 210",
  ]);
});

test("STP goes off before what it would not allow", () => {
  const on = { ...DATA, stp_state: 1 };
  const steps = change(
    declare({ stp: true, forwardDelay: 15 }),
    declare({ stp: false, forwardDelay: 0 }),
    [],
    on,
  );
  expect(steps[0]).toBe("ip link set dev br0 type bridge stp_state 0");
});

test("an address of others that was lost on the way comes back with its lifetime and label", () => {
  const [before, after] = [declare({ addresses: ["10.0.0.1/24"] }), declare({ addresses: ["10.0.0.2/24"] })];
  const address = (local: string, more = {}) => ({
    local,
    prefixlen: 24,
    scope: "global",
    label: "br0",
    ...more,
  });
  const dynamic = { dynamic: true, valid_life_time: 900, preferred_life_time: 500, label: "br0:x" };
  const own = link("br0", {
    linkinfo: { info_kind: "bridge", info_data: DATA },
    addr_info: [address("10.0.0.1"), address("10.0.0.9", dynamic)],
  });
  const last = { desired: before, former: NOTHING };
  const seen = bridge.parse([own, failed(1, "")], after, last);
  expect(text(bridge.ensure(after, seen, last))).toContain(
    "ip -4 addr replace 10.0.0.9/24 brd + dev br0 label br0:x valid_lft 900 preferred_lft 500",
  );
});

test("it is not deleted with what others have on it", () => {
  const d = declare({});
  const listed = said(
    "7: tap0: <UP> mtu 1500 master br0 state UP\\\n8: br0.10@br0: <UP> mtu 1500 state UP\\\n",
  );
  const last = { desired: d, former: NOTHING };
  const own = link("br0", { linkinfo: { info_kind: "bridge", info_data: DATA } });
  const answers = bridge.query(d, last).map(({ argv }) => (argv[0] === "sh" ? listed : own));
  const seen = bridge.parse(answers, d, last);
  expect(bridge.blocked!(seen, last)).toBe("tap0, br0.10 of others are still attached to it");
});

test.each([
  [{ vlanFiltering: true, ports: [{ name: "p1", pvid: 10, vlans: ["5-20"] }] }, "hold 10, which is the pvid"],
  [{ up: false, routes: [{ destination: "10.0.0.0/8", gateway: "10.1.0.1" }] }, "need up: true"],
])("%j is refused", (args, reason) => {
  expect(JSON.stringify(problems(bridge, { name: "br0", up: true, ...args }))).toContain(reason);
});

test("an MTU below 1280 takes IPv6 away: refused where there is some, but for what goes anyway", () => {
  const now = (addresses: readonly string[], state: object = {}) => ({
    state: declare({ mtu: 1500, ...state }),
    facts: { addresses, members: {}, addressOptions: {} } as unknown as Facts,
  });
  const low = declare({ mtu: 1279 });
  expect(() => bridge.ensure(low, now(["10.0.0.1/24", "fd00::1/64"]))).toThrow(
    "mtu: below 1280 there is no IPv6, and br0 would lose fd00::1/64",
  );
  expect(text(bridge.ensure(low, now(["10.0.0.1/24"])))).toEqual(["ip link set dev br0 mtu 1279"]);
  expect(() => bridge.ensure(declare({ mtu: 1280 }), now(["fd00::1/64"]))).not.toThrow();
  expect(() => bridge.ensure(low, now(["fd00::1/64"], { addresses: ["fd00::1/64"] }))).not.toThrow();
  const both = { name: "br0", up: true, mtu: 1279, addresses: ["fd00::1/64"] };
  expect(problems(bridge, both)).toEqual([
    { property: "mtu", reason: "1279: must be 1280 or more for fd00::1/64" },
  ]);
});
