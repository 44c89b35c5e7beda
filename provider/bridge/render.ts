import { createHash } from "node:crypto";
import { HostnetError } from "../errors";
import {
  convergeAddresses,
  membership,
  passingSteps,
  requireMtu,
  requireTable,
  routesLeft,
  staleFirst,
  through,
} from "../formats/interface";
import { setLink } from "../formats/link";
import { convergeRoutes } from "../formats/route";
import type { Boot, Last, Observed, Step } from "../kind";
import type { Bridge, Port, schema } from "./args";
import type { Facts, Member } from "./parse";
import { announce, giveBack, heed, held, move, recipe, take, takes, unheed } from "./take";
import { parseVlans } from "./vlans";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: Bridge, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const { state, facts } = before;
  for (const port of d.ports ?? []) requirePort(port, d, before, last);
  requireMtu(d, state, facts);
  const table = requireTable(d, facts);
  const moves = membership(d, state, last?.desired);
  const entering = (port: Port) => port.takeAddresses && !takes(state, port.name);
  const attached = (ports: readonly Port[]) =>
    ports.flatMap((port) =>
      attach(
        d,
        port,
        state?.ports?.find((p) => p.name === port.name),
        before,
      ),
    );
  const ports = d.ports ?? [];
  const own = withHeld(d, before, last);
  // Going up takes nothing.
  const bounced = state !== undefined && (moves.length > 0 || (state.up === true && !d.up));
  return [
    ...device(d, state, facts),
    ...released(d, before, last),
    ...attached(ports.filter((port) => !entering(port))),
    ...followed(d, state, last),
    ...vlanSteps(d.name, d.vlans, state?.vlans, ["self"]),
    ...(bounced ? staleFirst(d, state) : []),
    ...moves,
    ...(d.up !== state?.up ? [setLink(d.name, d.up ? "up" : "down")] : []),
    // Only a bridge that is up can have their routes.
    ...attached(ports.filter(entering)),
    // Entering or leaving a VRF, and going down, take the IPv6 addresses.
    ...convergeAddresses(...own, facts, bounced),
    ...(state && moves.length > 0 ? passingSteps(d, state, facts, table) : []),
    ...convergeRoutes(through(d), bounced || !state ? [] : routesLeft(...own, facts), table),
    ...carrying(d, before, last).flatMap((name) => announce(name, facts.found[name]!, d.addresses)),
  ];
}

/** Its ports are as they were found, or as whoever else configures them leaves them. */
export function boot({ name }: Bridge, { machineId, members, found, table }: Facts): Boot<Facts> {
  const free = Object.keys(members).map((name) => [name, { up: false, addresses: [] }]);
  const nothing = { addresses: [], addressOptions: {}, passing: [], taps: [] };
  const facts = { ...nothing, machineId, table, members: Object.fromEntries(free) };
  // What was taken is known; else they are as they are then.
  const taken = Object.entries(found).filter(([, { carried }]) => carried);
  return { order: 30, link: name, facts: { ...facts, found: Object.fromEntries(taken), boots: true } };
}

/** A bridge that still has others' ports or VLANs is not deleted: that would cut off guests that nobody mentioned. */
export function blocked({ facts }: Seen): string | undefined {
  return facts.taps.length === 0 ? undefined : `${facts.taps.join(", ")} of others are still attached to it`;
}

export function remove({ state, facts }: Seen, { desired }: Last<Shape, Facts>): readonly Step[] {
  const ours = (desired.ports ?? []).filter(({ name }) => {
    const member = facts.members[name];
    return member && (member.master === undefined || member.master === desired.name);
  });
  // Whoever has configured the link since is left alone.
  const carrying = ours.filter(({ name }) => facts.found[name]?.carried && !facts.members[name]?.anew);
  return [
    ...ours.flatMap((port) => {
      const found = facts.found[port.name];
      if (carrying.includes(port)) return [giveBack(port.name, found!)];
      return found?.up === false ? [setLink(port.name, "down")] : [];
    }),
    // Late: what fails before it can be undone, but no undo gives a bridge its index back.
    ...(state ? [{ argv: ["ip", "link", "del", "dev", desired.name, "type", "bridge"] }] : []),
    ...carrying.flatMap(({ name }) => announce(name, facts.found[name]!)),
  ];
}

function requirePort(
  { name, takeAddresses }: Port,
  d: Bridge,
  { state, facts }: Seen,
  last?: Last<Shape, Facts>,
): void {
  const member = facts.members[name];
  if (!member) throw new HostnetError(`ports: ${name} does not exist on the host`);
  const { master, addresses, carried, lease } = member;
  const takesMore = takeAddresses && !takes(state, name) && addresses.length > 0;
  if (takesMore && carried && lease) {
    throw new HostnetError(
      `ports: ${name} has its addresses by DHCP (${lease}), and they would end with the lease. Make them static first. ${recipe(carried)}`,
    );
  }
  const ways = takesMore && carried?.routes.find((text) => / (nexthop|nhid) /.test(text));
  if (ways) throw new HostnetError(`ports: ${name} has a route that cannot be taken over: ${ways.slice(3)}`);
  // What was taken stays only where somebody answers for it. On the way back the link carried it itself.
  if (!takeAddresses && addresses.length === 0 && takes(last?.desired, name)) {
    const left = held(last?.desired, { [name]: facts.found[name]! }).filter((a) => !d.addresses?.includes(a));
    if (left.length > 0) {
      throw new HostnetError(
        `ports: without takeAddresses ${d.name} has no claim to ${left.join(", ")} of ${name}: name them in addresses, or take ${name} out of the ports`,
      );
    }
  }
  if (master === d.name) return;
  if (master)
    throw new HostnetError(
      `ports: ${name} is a member of ${master}: release it there first (in one up: dependsOn on what gives it up)`,
    );
  if (addresses.length > 0 && !takeAddresses) {
    throw new HostnetError(
      `ports: ${name} carries ${addresses.join(", ")}, which a port cannot keep: with takeAddresses: true the bridge takes them over`,
    );
  }
}

/** The kernel's words for the fields, with times in hundredths of a second. */
function options(d: Partial<Bridge>): Record<string, string | undefined> {
  const text = (value?: string | number | boolean) =>
    value === undefined ? undefined : String(Number(value));
  const hundredths = (seconds?: number) => (seconds === undefined ? undefined : String(seconds * 100));
  return {
    vlan_filtering: text(d.vlanFiltering),
    vlan_protocol: d.vlanProtocol,
    vlan_default_pvid: text(d.defaultPvid),
    priority: text(d.priority),
    max_age: hundredths(d.maxAge),
    hello_time: hundredths(d.helloTime),
    forward_delay: hundredths(d.forwardDelay),
    stp_state: text(d.stp),
    ageing_time: hundredths(d.ageingTime),
    mcast_snooping: text(d.multicastSnooping),
    group_fwd_mask: text(d.groupForwardMask),
  };
}

function device(d: Bridge, state: Bridge | undefined, { machineId }: Facts): Step[] {
  const now = options(state ?? {});
  const set = Object.entries(options(d)).flatMap(([word, value]) =>
    value !== undefined && value !== now[word] ? [word, value] : [],
  );
  if (!state) {
    // An address of its own from the start: else udev gives it one seconds later, or it follows the lowest port.
    const own = d.macAddress ?? stableMac(machineId, d.name);
    // An MTU from creation, or one that is set to what it is already, follows the ports; one that is changed stays.
    const other = d.mtu === 1500 ? ["mtu", "1499"] : [];
    // A kernel without VLANs refuses to hear of them, even that there are to be none.
    const plain = set.filter((word, n) => word !== "vlan_filtering" && set[n - 1] !== "vlan_filtering");
    const given = d.vlanFiltering ? set : plain;
    return [
      { argv: ["ip", "link", "add", "name", d.name, "address", own, ...other, "type", "bridge", ...given] },
      ...(d.mtu ? [setLink(d.name, "mtu", String(d.mtu))] : []),
    ];
  }
  // The kernel sets all else before it turns STP off, and refuses what STP does not allow.
  const first = set.length > 2 && d.stp === false && now.stp_state !== "0" ? ["stp_state", "0"] : [];
  return [
    ...(d.macAddress && d.macAddress !== state.macAddress ? [setLink(d.name, "address", d.macAddress)] : []),
    ...(d.mtu && d.mtu !== state.mtu ? [setLink(d.name, "mtu", String(d.mtu))] : []),
    ...[first, set].flatMap((some) => (some.length > 0 ? [setLink(d.name, "type", "bridge", ...some)] : [])),
  ];
}

/** An MTU that was never set by us follows the ports as they come in. */
function followed(d: Bridge, state: Bridge | undefined, last?: Last<Shape, Facts>): Step[] {
  const comes = d.ports?.some(({ name }) => !state?.ports?.some((p) => p.name === name));
  if (!state || !d.mtu || d.mtu === last?.desired.mtu || !comes) return [];
  return [setLink(d.name, "mtu", String(d.mtu))];
}

/** Locally administered, the same on every creation: neighbours keep what they learnt. */
function stableMac(machineId: string, name: string): string {
  const [first, ...more] = createHash("sha256")
    .update(`hostnet ${machineId} ${name}`)
    .digest()
    .subarray(0, 6);
  return [(first! & 0xfc) | 0x02, ...more].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Ports that left the program are given back as they were found; nobody else's are touched. */
function released(d: Bridge, before: Seen, last?: Last<Shape, Facts>): Step[] {
  const { state, facts } = before;
  const stays = (name: string) => d.ports?.some((p) => p.name === name);
  const given = carrying(d, before, last);
  const left = (state?.ports ?? []).filter(
    ({ name }) => !stays(name) && !given.includes(name) && last?.desired.ports?.some((p) => p.name === name),
  );
  return [
    ...given.flatMap((name) => [
      giveBack(name, facts.found[name]!, d.addresses, stays(name) ? d.name : undefined),
      unheed(name, d.name),
    ]),
    ...left.flatMap(({ name }) => [
      setLink(name, "nomaster"),
      ...(facts.found[name]?.up === false ? [setLink(name, "down")] : []),
    ]),
  ];
}

/** Links that get back what the bridge took: they left the program, or are put back by the undo of what had them taken. */
function carrying(d: Bridge, { state, facts }: Seen, last?: Last<Shape, Facts>): string[] {
  const names = (state ? (last?.desired.ports ?? []) : []).map(({ name }) => name);
  return names.filter((name) => {
    const member = facts.members[name];
    if (!member || !facts.found[name]?.carried || takes(d, name)) return false;
    if (d.ports?.some((p) => p.name === name)) return takes(state, name) && member.addresses.length > 0;
    const inside = state?.ports?.some((p) => p.name === name);
    return inside || (member.master === undefined && !member.anew);
  });
}

/** What it has of its ports is there with them, and is as little to be deleted as what is declared. */
function withHeld(d: Bridge, { state, facts }: Seen, last?: Last<Shape, Facts>): [Bridge, Bridge] {
  const own = held(d, facts.found);
  const left = held(last?.desired, facts.found).filter((a) => facts.addresses.includes(a));
  const union = (...lists: (readonly string[] | undefined)[]) => [...new Set(lists.flatMap((l) => l ?? []))];
  return [
    { ...d, addresses: union(d.addresses, own) },
    { ...(state ?? d), addresses: union(state?.addresses, held(state, facts.found), left, own) },
  ];
}

const SLAVE: Readonly<Record<string, keyof Port>> = {
  isolated: "isolated",
  hairpin: "hairpin",
  learning: "learning",
  flood: "flood",
  neigh_suppress: "neighSuppress",
  cost: "cost",
  priority: "priority",
  guard: "guard",
  root_block: "rootBlock",
};

function attach(d: Bridge, port: Port, now: Port | undefined, before: Seen): Step[] {
  const { name } = port;
  const { members } = before.facts;
  const flags = Object.entries(SLAVE).flatMap(([word, key]) => {
    const value = port[key];
    if (value === undefined || value === now?.[key]) return [];
    return [word, typeof value === "boolean" ? (value ? "on" : "off") : String(value)];
  });
  const taking = port.takeAddresses && !now?.takeAddresses;
  return [
    ...(taking ? taken(name, d.name, before.facts) : []),
    ...(now || taking ? [] : [setLink(name, "master", d.name)]),
    // On the way back of a failed change it was up before, and may not be now.
    ...((now && members[name]?.up) || taking ? [] : [setLink(name, "up")]),
    ...(flags.length > 0 ? [setLink(name, "type", "bridge_slave", ...flags)] : []),
    ...portVlans(port, now, pvidOf(d, now, before, members[name])),
  ];
}

function taken(name: string, bridge: string, { members, found, boots }: Facts): Step[] {
  const nothing = { addresses: [], routes: [] };
  return [
    heed(name, bridge),
    ...(boots ? [move(name, bridge)] : []),
    take(name, bridge, found[name]?.carried ?? nothing, members[name]?.carried),
  ];
}

/** The VLAN of its untagged frames by now: the bridge's default when it was attached, which moves with the default. */
function pvidOf(
  d: Bridge,
  now: Port | undefined,
  { state, rest }: Seen,
  member?: Member,
): number | undefined {
  const was = { ...rest, ...state }.defaultPvid;
  const next = d.defaultPvid ?? was ?? 1;
  if (!now) return next;
  const pvid = now.pvid ?? member?.pvid;
  return pvid === was ? next : pvid;
}

/** A `pvid` of its own takes the port out of the VLAN that it has been in so far. */
function portVlans({ name, pvid, vlans }: Port, now: Port | undefined, pvidNow?: number): Step[] {
  if (pvid === undefined) return vlanSteps(name, vlans, now?.vlans, []);
  const leaves = pvidNow && pvidNow !== pvid && !parseVlans(vlans ?? []).has(pvidNow);
  // Last: a VLAN that is added without the word is nobody's pvid any more.
  return [
    ...vlanSteps(name, vlans, now?.vlans, [], pvid),
    ...(pvid !== pvidNow ? [vlan("add", name, pvid, ["pvid", "untagged"])] : []),
    ...(leaves ? [vlan("del", name, pvidNow, [])] : []),
  ];
}

const vlan = (verb: string, dev: string, id: number | string, words: readonly string[]): Step => ({
  argv: ["bridge", "vlan", verb, "dev", dev, "vid", String(id), ...words],
});

function vlanSteps(
  dev: string,
  wanted: readonly string[] = [],
  now: readonly string[] = [],
  words: readonly string[],
  pvid?: number,
): Step[] {
  const kept = parseVlans(wanted);
  const stale = [...parseVlans(now).keys()].filter((id) => !kept.has(id) && id !== pvid);
  const missing = wanted.filter((item) => !now.includes(item));
  return [
    ...missing.map((item) => {
      const [range, untagged] = item.split(" ");
      return vlan("add", dev, range!, [...(untagged ? ["untagged"] : []), ...words]);
    }),
    ...stale.map((id) => vlan("del", dev, id, words)),
  ];
}
