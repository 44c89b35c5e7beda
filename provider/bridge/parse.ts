import { HostnetError } from "../errors";
import { type ListedVlans, parseListedVlans, showVlans, type Vlans } from "../formats/bridge-vlan";
import {
  type InterfaceFacts,
  interfaceFacts,
  lentAddresses,
  observedInterface,
  parseAttached,
  showAttached,
} from "../formats/interface";
import { type Link, lasting, parseLink, showLink } from "../formats/link";
import { lastingTexts, showRoutesOf } from "../formats/listed";
import { showRoutes } from "../formats/route";
import type { Last, Observed, Query, Result } from "../kind";
import type { Bridge, Port, schema } from "./args";
import { type Carried, carriedBy, type Found, has, leaseOf, merged, showLease, takes } from "./take";
import { formatVlans, parseVlans } from "./vlans";

type Shape = typeof schema.shape;

export interface Member {
  readonly up: boolean;
  readonly master?: string;
  /** Addresses but for the link-local ones: a port that carries some is refused. */
  readonly addresses: readonly string[];
  readonly vlans?: readonly string[];
  readonly pvid?: number;
  /** Of one with `takeAddresses`, by now or before. */
  readonly carried?: Carried;
  /** What says that its addresses are by DHCP. */
  readonly lease?: string;
  /** It carries addresses that it had not when they were taken: somebody has configured it since. */
  readonly anew?: boolean;
}

export interface Facts extends InterfaceFacts {
  readonly machineId: string;
  readonly ifindex?: number;
  readonly macAddress?: string;
  /** Of the links that are declared, or were: absent ones do not exist on the host. */
  readonly members: Readonly<Record<string, Member>>;
  /** How a member was before it became one: it is given back so. */
  readonly found: Readonly<Record<string, Found>>;
  /** Ports that others attached, and VLANs on top of it. */
  readonly taps: readonly string[];
  /** It is made as the host boots, and its ports may carry what nobody has looked at. */
  readonly boots?: boolean;
}

const portNames = (d: Bridge, last?: Last<Shape, Facts>): string[] =>
  [...new Set([...(d.ports ?? []), ...(last?.desired.ports ?? [])].map(({ name }) => name))].sort();

/** Also those of an adopted bridge that left the program: they go back with it. */
const knownNames = (d: Bridge, last?: Last<Shape, Facts>): readonly string[] => [
  ...new Set([...portNames(d, last), ...(last?.former.state?.ports ?? []).map(({ name }) => name)]),
];

const takers = (d: Bridge, last?: Last<Shape, Facts>): readonly string[] =>
  portNames(d, last).filter((name) => [d, last?.desired].some((bridge) => takes(bridge, name)));

/** What is looked at, by name: only what is declared, or was, for each look is a process on the host. */
function looks(d: Bridge, last?: Last<Shape, Facts>): Readonly<Record<string, Query>> {
  const declared = (key: keyof Bridge) => d[key] !== undefined || last?.desired[key] !== undefined;
  const [v4, v6] = showRoutes("dev", d.name) as [Query, Query];
  const vlans = declared("vlanFiltering");
  const ports = knownNames(d, last).flatMap((name) => [
    [`port ${name}`, showLink(name)],
    ...(vlans ? [[`vlans ${name}`, showVlans(name)]] : []),
  ]);
  const taking = takers(d, last);
  const taken = taking.flatMap((name) => [
    [`routes ${name}`, showRoutesOf(name)],
    [`lease ${name}`, showLease(name)],
  ]);
  return {
    own: showLink(d.name),
    // Also for one that we know: it may have gone from the host, and gets the address that it had.
    ...(d.macAddress === undefined && { machine: { argv: ["cat", "/etc/machine-id"], free: true } }),
    ...(declared("routes") && { v4, v6 }),
    ...(vlans && { vlans: showVlans(d.name) }),
    ...(d.vrf !== undefined && { vrf: showLink(d.vrf) }),
    ...Object.fromEntries(ports),
    ...Object.fromEntries(taken),
    ...((taking.length > 0 || declared("vrf")) && { passing: showRoutesOf(d.name) }),
    ...(last && { taps: showAttached(d.name) }),
  };
}

export const query = (d: Bridge, last?: Last<Shape, Facts>): readonly Query[] =>
  Object.values(looks(d, last));

export function parse(
  results: readonly Result[],
  d: Bridge,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const names = Object.keys(looks(d, last));
  const answers = new Map(names.map((name, n) => [name, results[n]]));
  const link = parseLink(answers.get("own")!, d.name);
  if (link && link.type !== "bridge")
    throw new HostnetError(`${d.name} is there, but is no bridge: ${link.type ?? "a NIC"}`);
  const vlansOf = (look: string, name: string): ListedVlans => {
    const listed = answers.get(look);
    return listed ? parseListedVlans(listed, name) : { vlans: new Map() };
  };
  const ports = portNames(d, last);
  const members = knownNames(d, last).flatMap((name) => {
    const link = parseLink(answers.get(`port ${name}`)!, name);
    if (!link) return [];
    const routes = answers.get(`routes ${name}`);
    const carried = routes && carriedBy(link, routes);
    const lease = carried && leaseOf(link, carried, answers.get(`lease ${name}`)!);
    const first = noted(name, last)?.carried;
    const anew = first && carried && !has(first, { ...carried, routes: [] });
    return [{ member: link, vlans: vlansOf(`vlans ${name}`, name), carried, lease, anew }];
  });
  const vrf = d.vrf === undefined ? undefined : parseLink(answers.get("vrf")!, d.vrf);
  const facts: Facts = {
    ...interfaceFacts(d, link, vrf, answers.get("passing")),
    machineId: answers.get("machine")?.stdout.trim() ?? "",
    ifindex: link?.ifindex,
    macAddress: link?.mac,
    members: Object.fromEntries(
      members.map(({ member, vlans, ...more }) => [member.name, { ...asMember(member, vlans), ...more }]),
    ),
    found: Object.fromEntries(
      members.map(({ member, carried }) => [member.name, foundFirst(member, carried, last)]),
    ),
    taps: parseAttached(answers.get("taps")?.stdout).filter((name) => !ports.includes(name)),
  };
  if (!link) return { facts };

  const wanted = { ...last?.desired, ...d };
  const { passing } = facts;
  const attachedPorts = members
    .filter(({ member }) => member.master === d.name && ports.includes(member.name))
    .map(({ member, vlans }) => {
      const { carried } = facts.found[member.name]!;
      const free = !facts.members[member.name]!.carried?.addresses.length;
      const taken = free && has({ addresses: lastingTexts(link), routes: passing }, carried);
      return observedPort(member, vlans, taken, d, last);
    });
  const scalars = observedScalars(link);
  const selfVlans = vlansOf("vlans", d.name).vlans;
  const vlans = declaredVlans(d.vlans, last?.desired.vlans, selfVlans);
  const managed = Object.entries(scalars).filter(([key]) => key in wanted);
  return {
    state: {
      name: d.name,
      ...observedInterface(d, last?.desired, facts, [answers.get("v4"), answers.get("v6")]),
      ...(wanted.ports && { ports: attachedPorts }),
      ...(wanted.vlans && { vlans }),
      ...Object.fromEntries(managed),
    } as Bridge,
    rest: Object.fromEntries(Object.entries(scalars).filter(([key]) => !(key in wanted))) as Partial<Bridge>,
    facts,
    warnings: lentAddresses(d, facts),
  };
}

const asMember = (link: Link, { vlans, pvid }: ListedVlans): Member => ({
  up: link.up,
  master: link.master,
  addresses: lasting(link).map(({ address }) => address),
  vlans: formatVlans(vlans),
  pvid,
});

/** As noted when it became a port; after a crash, what the record of the first apply tells. */
function noted(name: string, last?: Last<Shape, Facts>): Found | undefined {
  const was = last?.desired.ports?.some((p) => p.name === name);
  return was ? (last?.facts ?? last?.former.facts)?.found[name] : undefined;
}

function foundFirst(member: Link, carried?: Carried, last?: Last<Shape, Facts>): Found {
  const first = noted(member.name, last);
  const all = carried ? merged(first?.carried, carried) : first?.carried;
  return { up: first?.up ?? member.up, ...(all && { carried: all }) };
}

/** The VLANs that are declared and there, tagged as declared. */
function declaredVlans(
  wanted: readonly string[] = [],
  before: readonly string[] = [],
  there: Vlans,
): string[] {
  const either = new Map([...parseVlans(before), ...parseVlans(wanted)]);
  return formatVlans(new Map([...there].filter(([id]) => either.has(id))));
}

function observedPort(
  { name, portData }: Link,
  { vlans, pvid }: ListedVlans,
  taken: boolean,
  d: Bridge,
  last?: Last<Shape, Facts>,
): Port {
  const [now, before] = [d, last?.desired].map((bridge) => bridge?.ports?.find((p) => p.name === name));
  const wanted = { ...before, ...now };
  const seen: Port = {
    name,
    isolated: portData.isolated as boolean,
    hairpin: portData.hairpin as boolean,
    learning: portData.learning as boolean,
    flood: portData.flood as boolean,
    neighSuppress: portData.neigh_suppress as boolean,
    cost: portData.cost as number,
    priority: portData.priority as number,
    guard: portData.guard as boolean,
    rootBlock: portData.root_block as boolean,
    pvid,
    vlans: declaredVlans(now?.vlans, before?.vlans, vlans),
    takeAddresses: wanted.takeAddresses && taken,
  };
  return Object.fromEntries(
    Object.entries(seen).filter(([key, value]) => key in wanted && value !== undefined),
  ) as Port;
}

function observedScalars({ up, mtu, mac, data }: Link): Partial<Bridge> {
  const seconds = (key: string) => (data[key] as number) / 100;
  const on = (key: string) => data[key] === 1;
  const all = {
    mtu,
    macAddress: mac,
    up,
    stp: on("stp_state"),
    priority: data.priority as number,
    forwardDelay: seconds("forward_delay"),
    helloTime: seconds("hello_time"),
    maxAge: seconds("max_age"),
    ageingTime: seconds("ageing_time"),
    vlanFiltering: on("vlan_filtering"),
    vlanProtocol: data.vlan_protocol as Bridge["vlanProtocol"],
    defaultPvid: data.vlan_default_pvid as number,
    multicastSnooping: on("mcast_snooping"),
    groupForwardMask: Number(data.group_fwd_mask),
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined),
  ) as Partial<Bridge>;
}
