import { HostnetError } from "../errors";
import { type Link, parseLink, showLink } from "../formats/link";
import { parseRoutes, present, showRoutes } from "../formats/route";
import type { Last, Observed, Query, Result } from "../kind";
import type { Bridge, Port, schema } from "./args";
import { formatVlans, type ListedVlans, parseListedVlans, parseVlans, type Vlans } from "./vlans";

type Shape = typeof schema.shape;

export interface Member {
  readonly up: boolean;
  readonly master?: string;
  /** Addresses but for the link-local ones: a port that carries some is refused. */
  readonly addresses: readonly string[];
  readonly vlans?: readonly string[];
  readonly pvid?: number;
}

export interface Facts {
  readonly machineId: string;
  readonly ifindex?: number;
  readonly macAddress?: string;
  /** All of them but the link-local ones, whoever gave them. */
  readonly addresses: readonly string[];
  /** Of the links that are declared, or were: absent ones do not exist on the host. */
  readonly members: Readonly<Record<string, Member>>;
  /** How a member was before it became one: it is given back so. */
  readonly found: Readonly<Record<string, { readonly up: boolean }>>;
  /** Ports that others attached. */
  readonly taps: readonly string[];
  /** Routing table of its routes; absent when its VRF is. */
  readonly table?: number;
  readonly master?: string;
}

const portNames = (d: Bridge, last?: Last<Shape, Facts>): string[] =>
  [...new Set([...(d.ports ?? []), ...(last?.desired.ports ?? [])].map(({ name }) => name))].sort();

export function query(d: Bridge, last?: Last<Shape, Facts>): readonly Query[] {
  return [
    { argv: ["cat", "/etc/machine-id"], free: true },
    showLink(d.name),
    ...showRoutes("dev", d.name),
    { argv: ["bridge", "-j", "vlan", "show", "dev", d.name] },
    { argv: ["ip", "-j", "link", "show", "master", d.name], free: true },
    showLink(d.vrf ?? d.name),
    ...portNames(d, last).flatMap((name) => [
      showLink(name),
      { argv: ["bridge", "-j", "vlan", "show", "dev", name] },
    ]),
  ];
}

export function parse(results: readonly Result[], d: Bridge, last?: Last<Shape, Facts>): Observed<Shape, Facts> {
  const [machine, own, v4, v6, selfVlans, taps, vrf, ...rest] = results as [Result, Result, Result, Result, Result, Result, Result, ...Result[]];
  const link = parseLink(own, d.name);
  if (link && link.type !== "bridge") throw new HostnetError(`${d.name} is there, but is no bridge: ${link.type ?? "a NIC"}`);
  const names = portNames(d, last);
  const members = names.flatMap((name, n) => {
    const member = parseLink(rest[2 * n]!, name);
    return member ? [{ member, vlans: parseListedVlans(rest[2 * n + 1]!.stdout, name) }] : [];
  });
  const master = link?.master;
  const table = d.vrf === undefined ? 254 : (parseLink(vrf, d.vrf)?.data.table as number | undefined);
  const facts: Facts = {
    machineId: machine.stdout.trim(),
    ifindex: link?.ifindex,
    macAddress: link?.mac,
    addresses: carried(link),
    members: Object.fromEntries(members.map(({ member, vlans }) => [member.name, asMember(member, vlans)])),
    found: Object.fromEntries(
      members.map(({ member }) => [member.name, last?.facts?.found[member.name] ?? { up: member.up }]),
    ),
    taps: link ? attached(taps).filter((name) => !names.includes(name)) : [],
    table,
    master,
  };
  if (!link) return { facts };

  const wanted = { ...last?.desired, ...d };
  const ports = members
    .filter(({ member }) => member.master === d.name)
    .map(({ member, vlans }) => observedPort(member, vlans, declared(member.name, d, last)));
  const scalars = observedScalars(link);
  const either = <K extends "addresses" | "routes">(key: K) => [...(d[key] ?? []), ...(last?.desired[key] ?? [])];
  const addresses = [...new Set(either("addresses") as string[])].filter((a) => facts.addresses.includes(a)).sort();
  const routes = present(either("routes") as NonNullable<Bridge["routes"]>, table ?? -1, parseRoutes([v4, v6]));
  const self = declaredVlans(d.vlans, last?.desired.vlans, parseListedVlans(selfVlans.stdout, d.name).vlans);
  const managed = Object.entries(scalars).filter(([key]) => key in wanted);
  return {
    state: {
      name: d.name,
      ...(wanted.addresses && { addresses }),
      ...(wanted.routes && { routes }),
      ...(wanted.ports && { ports }),
      ...(wanted.vlans && { vlans: self }),
      ...(wanted.vrf && master && { vrf: master }),
      ...Object.fromEntries(managed),
    } as Bridge,
    rest: Object.fromEntries(Object.entries(scalars).filter(([key]) => !(key in wanted))) as Partial<Bridge>,
    facts,
  };
}

const carried = (link?: Link): string[] =>
  (link?.addresses ?? []).filter(({ scope }) => scope !== "link").map(({ address }) => address);

const asMember = (link: Link, { vlans, pvid }: ListedVlans): Member => ({
  up: link.up,
  master: link.master,
  addresses: carried(link),
  vlans: formatVlans(vlans),
  pvid,
});

function attached({ code, stdout }: Result): string[] {
  return code === 0 ? (JSON.parse(stdout || "[]") as { ifname?: string }[]).flatMap(({ ifname }) => ifname ?? []) : [];
}

function declared(name: string, d: Bridge, last?: Last<Shape, Facts>): Port {
  const of = (bridge?: Bridge) => bridge?.ports?.find((p) => p.name === name);
  return { ...of(last?.desired), ...of(d) } as Port;
}

/** The VLANs that are declared and there, tagged as declared. */
function declaredVlans(wanted: readonly string[] = [], before: readonly string[] = [], there: Vlans): string[] {
  const either = new Map([...parseVlans(before), ...parseVlans(wanted)]);
  return formatVlans(new Map([...there].filter(([id]) => either.has(id))));
}

function observedPort({ name, portData }: Link, { vlans, pvid }: ListedVlans, wanted: Port): Port {
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
    vlans: declaredVlans(wanted.vlans, [], vlans),
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
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as Partial<Bridge>;
}
