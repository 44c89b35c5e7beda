import { HostnetError } from "../errors";
import { type Link, lasting, parseLink, parseLinks, showLink } from "../formats/link";
import {
  losable,
  parseRoutesOf,
  type RouteText,
  showForeign,
  showRoutesIn,
  showRoutesOf,
  through,
} from "../formats/listed";
import { parseRoutesTo, places, present, type Route, showRoutesTo } from "../formats/route";
import type { Last, Observed, Query, Result } from "../kind";
import type { Interface, schema, Vrf } from "./args";

type Shape = typeof schema.shape;

/** A link that is declared, or was, as it is now. */
export interface Member {
  readonly up: boolean;
  readonly master?: string;
  /** All but the link-local ones. */
  readonly addresses: readonly string[];
  /** What the bounce takes away: the IPv6 addresses, in the order of adding, and the routes. */
  readonly losable: readonly string[];
  readonly routes: readonly RouteText[];
}

export interface Facts {
  readonly ifindex?: number;
  /** What the device has now. Absent when it is. */
  readonly table?: number;
  readonly up: boolean;
  /** Its own, as 127.0.0.1/8: others', for the device to have them again when it is made again. */
  readonly addresses: readonly string[];
  /** Absent ones do not exist on the host. */
  readonly members: Readonly<Record<string, Member>>;
  /** How a member was before it became one: it is given back so. */
  readonly found: Readonly<Record<string, Member>>;
  /** Members that others attached, as a Bridge with `vrf` does, with their routes of the VRF's table. */
  readonly guests: Readonly<Record<string, Member>>;
  /** Who has the declared table, where it is not this VRF. */
  readonly taken?: string;
  /** Addresses of the host in networks that are to be exclusive, and where they are: "192.168.2.7 on eth0". */
  readonly intruders: readonly string[];
  /** Our routes in the declared table, where the device does not have it: it was removed by hand. */
  readonly strays: readonly Route[];
  /** Whether the l3mdev rule is there, without which no VRF routes. */
  readonly rules: Rules;
}

export interface Rules {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

const memberNames = (d: Vrf, last?: Last<Shape, Facts>): string[] =>
  [...new Set([...(d.interfaces ?? []), ...(last?.desired.interfaces ?? [])].map(({ name }) => name))].sort();

/** Also those of an adopted VRF that left the program: they go back with it. */
const knownNames = (d: Vrf, last?: Last<Shape, Facts>): string[] => [
  ...new Set([...memberNames(d, last), ...(last?.former.state?.interfaces ?? []).map(({ name }) => name)]),
];

const eitherRoutes = (d: Vrf, last?: Last<Shape, Facts>): Route[] => [
  ...(d.routes ?? []),
  ...(last?.desired.routes ?? []),
];

const routePlaces = (d: Vrf, last?: Last<Shape, Facts>) =>
  places(eitherRoutes(d, last), [d.table, last?.desired.table ?? d.table]);

export function query(d: Vrf, last?: Last<Shape, Facts>): readonly Query[] {
  return [
    showLink(d.name),
    // The surroundings: others' VRFs, members and rules come and go.
    { argv: ["ip", "-d", "-j", "link", "show", "type", "vrf"], free: true },
    { argv: ["ip", "-d", "-j", "addr", "show", "master", d.name], free: true },
    ...["-4", "-6"].map((version) => ({
      argv: ["ip", "-N", "-j", version, "rule", "list", "l3mdev"],
      free: true,
    })),
    showForeign(d.table),
    showRoutesIn(last?.desired.table ?? d.table),
    ...knownNames(d, last).flatMap((name) => [showLink(name), showRoutesOf(name)]),
    ...showRoutesTo(routePlaces(d, last)),
    ...(d.exclusive ?? []).map(showLocal),
  ];
}

/** What the kernel delivers to the host itself; the addresses of VRFs' members are in their tables. */
const showLocal = (prefix: string): Query => ({
  argv: [
    ...["ip", "-N", "-j", prefix.includes(":") ? "-6" : "-4"],
    ...["route", "show", "table", "local", "type", "local", "root", prefix],
  ],
  free: true,
});

type Seven = [Result, Result, Result, Result, Result, Result, Result, ...Result[]];

export function parse(results: readonly Result[], d: Vrf, last?: Last<Shape, Facts>): Observed<Shape, Facts> {
  const [own, vrfs, inside, rule4, rule6, foreign, inTable, ...rest] = results as Result[] as Seven;
  const link = parseLink(own, d.name);
  if (link && link.type !== "vrf")
    throw new HostnetError(`${d.name} is there, but is no VRF: ${link.type ?? "a NIC"}`);
  const table = link?.data.table as number | undefined;
  const [declared, names] = [memberNames(d, last), knownNames(d, last)];
  const members = Object.fromEntries(
    names.flatMap((name, n) => {
      const member = parseLink(rest[2 * n]!, name);
      return member ? [[name, asMember(member, parseRoutesOf(rest[2 * n + 1]!, name))] as const] : [];
    }),
  );
  const tableRoutes = parseRoutesOf(inTable, `table ${table}`);
  const user = userOf(d, parseLinks(vrfs), parseRoutesOf(foreign, `table ${d.table}`));
  const exclusive = d.exclusive ?? [];
  const locals = rest.length - exclusive.length;
  const listed = parseRoutesTo(rest.slice(2 * names.length, locals), routePlaces(d, last));
  const routesIn = (id: number) => present(eitherRoutes(d, last), id, listed);
  const facts: Facts = {
    ifindex: link?.ifindex,
    table,
    up: link?.up ?? false,
    addresses: (link ? lasting(link) : []).map(({ address, options }) => [address, ...options].join(" ")),
    members,
    found: foundFirst(members, last),
    guests: Object.fromEntries(
      (link ? parseLinks(inside) : [])
        .filter(({ name }) => !declared.includes(name))
        .map((guest) => [guest.name, asMember(guest, through(tableRoutes, guest.name, table ?? d.table))]),
    ),
    taken: table === d.table ? undefined : user,
    intruders: rest.slice(locals).flatMap((result) => intruders(result, names)),
    strays: table === d.table ? [] : routesIn(d.table),
    rules: { ipv4: hasRule(rule4), ipv6: hasRule(rule6) },
  };
  if (!link || table === undefined) return { facts };

  const wanted = { ...last?.desired, ...d };
  const interfaces = declared
    .filter((name) => members[name]?.master === d.name)
    .map((name) => observedInterface(name, members[name]!, d, last));
  return {
    state: {
      name: d.name,
      table,
      ...(wanted.interfaces && { interfaces }),
      ...(wanted.routes && { routes: routesIn(table) }),
      ...(wanted.exclusive && { exclusive: wanted.exclusive }),
    },
    facts,
    broken: [
      ...(facts.up ? [] : ["the device is down"]),
      ...(facts.rules.ipv4 ? [] : ["the l3mdev rule for IPv4 is missing: no VRF routes without it"]),
      ...(facts.rules.ipv6 ? [] : ["the l3mdev rule for IPv6 is missing: no VRF routes without it"]),
      ...facts.intruders.map((one) => `${one}: the kernel keeps what is for this address in the VRF`),
    ],
  };
}

const asMember = (link: Link, routes: readonly RouteText[]): Member => ({
  up: link.up,
  master: link.master,
  addresses: lasting(link).map(({ address }) => address),
  losable: losable(link),
  routes,
});

/** As noted when it became a member; after a crash, what the record of the first apply tells. */
function foundFirst(members: Facts["members"], last?: Last<Shape, Facts>): Facts["found"] {
  const earlier = last?.facts?.found ?? last?.former.facts?.found ?? {};
  const declared = (name: string) => last?.desired.interfaces?.some((i) => i.name === name);
  return Object.fromEntries(
    Object.entries(members).map(([name, now]) => [name, (declared(name) && earlier[name]) || now]),
  );
}

function userOf(d: Vrf, vrfs: readonly Link[], [route]: readonly RouteText[]): string | undefined {
  const other = vrfs.find(({ name, data }) => name !== d.name && data.table === d.table);
  if (other) return `the VRF ${other.name}`;
  return route && `another tool, which has put a route there: ${route.replace(/^-\d /, "")}`;
}

/** Links that are to become members have theirs there until they are. */
function intruders({ code, stdout, stderr }: Result, members: readonly string[]): string[] {
  // A host without IPv6 has none of it.
  if (code !== 0 && /not supported/.test(stderr)) return [];
  if (code !== 0) throw new Error(`ip could not show the addresses of the host: ${stderr.trim()}`);
  return (JSON.parse(stdout || "[]") as { dst: string; dev: string }[])
    .filter(({ dev }) => !members.includes(dev))
    .map(({ dst, dev }) => `${dst} on ${dev}`);
}

/** Any that sends every packet to the VRFs, at whatever priority. */
function hasRule({ code, stdout, stderr }: Result): boolean {
  // A host without IPv6 needs none.
  if (code !== 0 && /not supported/.test(stderr)) return true;
  if (code !== 0) throw new Error(`ip could not show the rules: ${stderr.trim()}`);
  const rules = JSON.parse(stdout || "[]") as Record<string, unknown>[];
  return rules.some(
    (r) =>
      "l3mdev" in r && Object.keys(r).every((k) => ["priority", "src", "l3mdev", "protocol"].includes(k)),
  );
}

/** Its addresses that are declared, or were, and are there. */
function observedInterface(name: string, member: Member, d: Vrf, last?: Last<Shape, Facts>): Interface {
  const of = (vrf?: Vrf) => vrf?.interfaces?.find((i) => i.name === name)?.addresses;
  const either = [...new Set([...(of(d) ?? []), ...(of(last?.desired) ?? [])])].sort();
  const wanted = of(d) ?? of(last?.desired);
  return { name, ...(wanted && { addresses: either.filter((a) => member.addresses.includes(a)) }) };
}
