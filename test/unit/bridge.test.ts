import { bridge } from "../../provider/bridge";
import type { Bridge } from "../../provider/bridge/args";
import type { Facts } from "../../provider/bridge/parse";
import { difference } from "../../provider/compare";
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
const NOTHING = { facts: { found: {} } as unknown as Facts };

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

test("an odd answer about VLANs is an error, never that there are none", () => {
  const d = filtering({ vlans: [10] });
  const last = { desired: d, former: NOTHING };
  const at = bridge.query(d, last).findIndex(({ argv }) => argv.join(" ") === "bridge -j vlan show dev p1");
  const answers = [...results(d, d, port(1, [10]), DATA)];
  const told = (stderr: string) => () => bridge.parse(answers.with(at, failed(255, stderr)), d, last);
  expect(told("RTNETLINK answers: Operation not permitted\n")).toThrow(
    "bridge could not show the VLANs of p1: RTNETLINK answers: Operation not permitted",
  );
  expect(told('Cannot find device "p1"\n')).not.toThrow();
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
    if (words.includes("table all dev br0"))
      return said("10.5.0.0/16 via 192.168.2.5 table 100 proto 4\nipv6\n");
    return words.includes("-4 route") ? said([route]) : said("[]");
  });
  const seen = bridge.parse(answers, after, last);
  expect(text(bridge.ensure(after, seen, last))).toEqual([
    "bounce br0",
    "  link set dev br0 master blue",
    'ip -4 route add 10.5.0.0/16 via 192.168.2.5 proto 4 table 200 dev br0 | unless sh -c ip "$@" | grep -q . sh -4 route show table 200 exact 10.5.0.0/16 metric 0',
    "ip -4 route add 10.0.0.0/8 via 192.168.2.9 dev br0 table 200 proto 210",
  ]);
  const undo = bridge.ensure(
    seen.state!,
    { state: after, facts: seen.facts },
    { desired: after, former: seen },
  );
  expect(text(undo)).toEqual([
    "bounce br0",
    "  link set dev br0 master red",
    "ip -4 route replace 10.5.0.0/16 via 192.168.2.5 table 100 proto 4 dev br0",
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

describe("takeAddresses", () => {
  const ROUTES =
    "default via 192.0.2.9 proto 4 metric 5\n10.9.0.0/16 via 192.0.2.9 table 77 proto 4\nipv6\n::/0 via fd00::9 proto 4 metric 30 pref medium\n";
  const address = (local: string, prefixlen: number, more = {}) => ({
    local,
    prefixlen,
    scope: "global",
    ...more,
  });
  const OWN = [
    address("192.0.2.1", 24, { broadcast: "192.0.2.255", label: "p1" }),
    address("192.0.2.5", 24, { label: "p1:x" }),
    address("fd00::1", 64),
    address("fe80::1", 64, { scope: "link" }),
  ];
  const ALL = ["192.0.2.1/24", "192.0.2.5/24", "fd00::1/64"];

  interface World {
    readonly bridge?: object;
    readonly port?: object;
    readonly routes?: string;
    readonly passing?: string;
    readonly lease?: string;
  }
  const BEFORE: World = { port: { addr_info: OWN }, routes: ROUTES };
  const bridged = (addresses: object[]) => ({
    linkinfo: { info_kind: "bridge", info_data: DATA },
    addr_info: addresses,
  });
  const TAKEN: World = { bridge: bridged(OWN), port: { master: "br0" }, passing: ROUTES };

  function look(world: World, d: Bridge, last?: Last) {
    const answers = bridge.query(d, last).map(({ argv }) => {
      const words = argv.join(" ");
      if (words.endsWith("addr show dev br0"))
        return world.bridge ? link("br0", world.bridge) : failed(1, 'Device "br0" does not exist.');
      if (words.endsWith("addr show dev p1")) return link("p1", world.port ?? {});
      if (words.includes("table all dev p1")) return said(world.routes ?? "ipv6\n");
      if (words.includes("table all dev br0")) return said(world.passing ?? "ipv6\n");
      if (words.includes("/run/systemd/netif/leases")) return said(world.lease ?? "");
      return words.startsWith("cat") ? said("id\n") : said("");
    });
    return bridge.parse(answers, d, last);
  }
  type Last = Parameters<typeof bridge.remove>[1];
  const taking = (more: object = {}) => declare({ ports: [{ name: "p1", takeAddresses: true }], ...more });
  const plain = (more: object = {}) => declare({ ports: ["p1"], ...more });

  /** What an apply of `taking` left. */
  function left(d = taking()): Last {
    const former = look(BEFORE, d);
    const { facts } = look(TAKEN, d, { desired: d, former });
    return { desired: d, former, facts: bridge.keep!(facts, former.facts) };
  }

  const heeds = (print: string) =>
    expect.stringMatching(new RegExp(`^sh -c .*${print}.*accept_ra.* sh p1 br0$`));
  const MOVE = [
    "ip -force -batch -",
    "  link set dev p1 master br0",
    "  link set dev p1 up",
    "  addr replace 192.0.2.1/24 brd 192.0.2.255 dev br0",
    "  addr replace 192.0.2.5/24 dev br0",
    "  addr replace fd00::1/64 nodad dev br0",
    "  addr flush dev p1 scope global",
    "  route replace 0.0.0.0/0 via 192.0.2.9 proto 4 metric 5 dev br0",
    "  route replace 10.9.0.0/16 via 192.0.2.9 table 77 proto 4 dev br0",
    "  route replace ::/0 via fd00::9 proto 4 metric 30 pref medium dev br0",
  ];
  const TAKE = [heeds("echo 2"), ...MOVE];
  const GIVE = [
    "ip -force -batch -",
    "  link set dev p1 nomaster",
    "  addr replace 192.0.2.1/24 brd 192.0.2.255 dev p1",
    "  addr replace 192.0.2.5/24 label p1:x dev p1",
    "  addr replace fd00::1/64 nodad dev p1",
    "  addr change fd00::1/64 dev p1",
    "  route replace 0.0.0.0/0 via 192.0.2.9 proto 4 metric 5 dev p1",
    "  route replace 10.9.0.0/16 via 192.0.2.9 table 77 proto 4 dev p1",
    "  route replace ::/0 via fd00::9 proto 4 metric 30 pref medium dev p1",
  ];
  const told = expect.stringMatching(/^sh -c .* sh p1 192.0.2.1 192.0.2.5$/);

  test("create: all of it in one process, once the bridge is up; what is declared too is there then", () => {
    const d = taking({ addresses: ["10.0.0.1/24", "192.0.2.1/24"] });
    expect(text(bridge.ensure(d, look(BEFORE, d)))).toEqual([
      expect.stringMatching(/^ip link add name br0 address \S+ type bridge$/),
      "ip link set dev br0 up",
      ...TAKE,
      "ip -4 addr replace 10.0.0.1/24 brd + dev br0",
    ]);
  });

  test("nothing is left to do, and what was taken is no drift", () => {
    const seen = look(TAKEN, taking(), left());
    expect(difference(taking(), seen.state!, Object.keys(taking()))).toEqual([]);
    expect(bridge.ensure(taking(), seen, left())).toEqual([]);
  });

  test("drift: an address or a route is gone, or the port carries one again: all of it is taken again", () => {
    const worlds: World[] = [
      { ...TAKEN, bridge: bridged(OWN.slice(1)) },
      { ...TAKEN, passing: ROUTES.replace(/^default.*\n/, "") },
      { ...TAKEN, port: { master: "br0", addr_info: OWN.slice(0, 1) } },
    ];
    for (const world of worlds) {
      const seen = look(world, taking(), left());
      expect(difference(taking(), seen.state!, ["ports"])).toEqual([
        "ports: p1 takeAddresses=true is missing",
        "ports: p1 takeAddresses=false is there",
      ]);
      expect(text(bridge.ensure(taking(), seen, left()))).toEqual(TAKE);
    }
  });

  test("remove, with the record alone too, but not where somebody has configured the link anew", () => {
    const gone = ["ip link del dev br0 type bridge", told];
    expect(text(bridge.remove(look(TAKEN, taking(), left()), left()))).toEqual([...GIVE, ...gone]);
    const { facts: _, ...record } = left();
    expect(text(bridge.remove(look(TAKEN, taking(), record), record))).toEqual([...GIVE, ...gone]);
    expect(text(bridge.remove(look({}, taking(), record), record))).toEqual([...GIVE, told]);
    const anew: World = { port: { addr_info: [address("192.0.2.77", 24)] } };
    expect(bridge.remove(look(anew, taking(), record), record)).toEqual([]);
  });

  test("a port that leaves the program gets all back, but for what the bridge declares", () => {
    const seen = (d: Bridge) => look(TAKEN, d, left());
    expect(text(bridge.ensure(declare({}), seen(declare({})), left()))).toEqual([
      ...GIVE,
      heeds("default"),
      "ip -6 addr del fd00::1/64 dev br0",
      "ip -4 addr del 192.0.2.5/24 dev br0",
      "ip -4 addr del 192.0.2.1/24 dev br0",
      told,
    ]);
    const d = declare({ addresses: ["192.0.2.1/24"] });
    const steps = text(bridge.ensure(d, seen(d), left()));
    expect(steps).not.toContain("  addr replace 192.0.2.1/24 brd 192.0.2.255 dev p1");
    expect(steps).not.toContain("ip -4 addr del 192.0.2.1/24 dev br0");
    expect(steps).toContain("  addr replace 192.0.2.5/24 label p1:x dev p1");
    // The way back.
    const reached = { state: declare({}), facts: seen(declare({})).facts };
    const back = bridge.ensure(taking(), reached, { desired: declare({}), former: seen(declare({})) });
    expect(text(back)).toEqual(TAKE);
  });

  test("the field alone leaves only once the addresses are declared; the link still gets them back at the end", () => {
    expect(() => bridge.ensure(plain(), look(TAKEN, plain(), left()), left())).toThrow(
      "ports: without takeAddresses br0 has no claim to 192.0.2.1/24, 192.0.2.5/24, fd00::1/64 of p1: name them in addresses",
    );
    const d = plain({ addresses: ALL });
    const seen = look(TAKEN, d, left());
    expect(bridge.ensure(d, seen, left())).toEqual([]);
    const next: Last = { desired: d, former: left().former, facts: seen.facts };
    expect(text(bridge.remove(look(TAKEN, d, next), next)).slice(0, GIVE.length)).toEqual(GIVE);
  });

  test("the undo of a create, and of a port that comes to take", () => {
    const before = look(BEFORE, taking());
    const reached = { state: taking(), facts: before.facts };
    const last = { desired: taking(), facts: before.facts, former: before };
    expect(text(bridge.remove(reached, last))).toEqual([...GIVE, "ip link del dev br0 type bridge", told]);
    const world: World = { ...BEFORE, bridge: bridged([]) };
    const seen = look(world, taking(), { desired: declare({}), former: before });
    const undo = bridge.ensure(
      seen.state!,
      { state: taking(), facts: seen.facts },
      { ...last, former: seen },
    );
    expect(text(undo).slice(0, GIVE.length)).toEqual(GIVE);
  });

  test("refused by name: without it, by DHCP, routes of several ways", () => {
    const told = (world: World, message: string | RegExp, d = taking()) =>
      expect(() => bridge.ensure(d, look(world, d))).toThrow(message);
    told(
      BEFORE,
      "ports: p1 carries 192.0.2.1/24, 192.0.2.5/24, fd00::1/64, which a port cannot keep: with takeAddresses: true",
      plain(),
    );
    const recipe =
      /DHCP=no, Address=192.0.2.1\/24.*Gateway=192.0.2.9.*dhcp4: false, addresses: \[192.0.2.1\/24.*to: default, via: "192.0.2.9"/;
    const leased = { dynamic: true, valid_life_time: 900, preferred_life_time: 900 };
    const dynamic = { port: { addr_info: [address("192.0.2.1", 24, leased)] }, routes: ROUTES };
    told(dynamic, /p1 has its addresses by DHCP \(192.0.2.1\/24 has a lifetime\)/);
    told(dynamic, recipe);
    told({ ...BEFORE, lease: "/run/dhclient.p1.pid\n" }, /by DHCP \(there is \/run\/dhclient.p1.pid\)/);
    told(
      { ...BEFORE, routes: ROUTES.replace("proto 4 metric 5", "proto 16") },
      /by DHCP \(its route to default/,
    );
    const ways = "default proto 4 nexthop via 192.0.2.9 weight 1 nexthop via 192.0.2.8 weight 1\nipv6\n";
    told(
      { ...BEFORE, routes: ways },
      "ports: p1 has a route that cannot be taken over: default proto 4 nexthop",
    );
    // A router's advertisements come again on the bridge: what they gave goes along for its time.
    const advertised = address("fd00::aa", 64, { ...leased, mngtmpaddr: true });
    const d = taking();
    const steps = text(bridge.ensure(d, look({ ...BEFORE, port: { addr_info: [...OWN, advertised] } }, d)));
    expect(steps).toContain(
      "  addr replace fd00::aa/64 nodad mngtmpaddr valid_lft 900 preferred_lft 900 dev br0",
    );
  });

  test("at boot whatever the port carries then is taken, and what is known", () => {
    const { facts } = bridge.boot!(taking(), look(TAKEN, taking(), left()).facts);
    const steps = text(bridge.ensure(taking(), { facts }));
    expect(steps.slice(0, 2)).toEqual([
      expect.stringContaining("ip link add name br0"),
      "ip link set dev br0 up",
    ]);
    expect(steps.join("\n")).toMatch(/addr show dev "\$1" scope global.*sh p1 br0 proto \(1\|2/s);
    expect(steps.slice(-MOVE.length)).toEqual(MOVE);
  });

  test("it is no lockout while the address stays, or goes back", () => {
    const way = { client: "192.0.2.9", clientPort: 5, server: "192.0.2.1", port: 22, links: ["br0", "p1"] };
    const seen = look(TAKEN, taking(), left());
    expect(bridge.exposure(seen, undefined)!.links).toContain("p1");
    expect(bridge.lockout!(seen, undefined, way)).toBeUndefined();
    expect(bridge.lockout!(seen, declare({}), way)).toBeUndefined();
    expect(bridge.lockout!(look(BEFORE, taking()), taking(), { ...way, links: ["p1"] })).toBeUndefined();
    expect(bridge.lockout!(seen, undefined, { ...way, server: "10.0.0.1" })).toMatch(
      /br0, which is to be deleted/,
    );
  });

  test.each([
    [{ up: false }, "does not go with up: false"],
    [{ vrf: "red" }, "does not go with vrf"],
  ])("not with %j", (args, reason) => {
    const ports = [{ name: "p1", takeAddresses: true }];
    expect(problems(bridge, { name: "br0", up: true, ports, ...args })).toContainEqual({
      property: "ports[0].takeAddresses",
      reason: expect.stringContaining(reason),
    });
  });
});
