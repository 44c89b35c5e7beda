import { z } from "zod";
import type { Claim, Query, Result, Step } from "../kind";
import { address, ifname, integer, mtu, prefix, setOf } from "../schema";
import { family } from "./cidr";
import { PROTOCOL } from "./link";

/** One way of several. At least a gateway or a device. */
export interface Nexthop {
  /** Address of the next router. */
  gateway?: string;
  /** Name of the interface. */
  device?: string;
  /** Share of the flows, 1 to 256; 1 when absent. */
  weight?: number;
}

/** A route, with iproute2's words. It carries a protocol number of ours (210), so that no other is ever touched. */
export interface Route {
  /** Network without host bits: "10.0.0.0/8", "2001:db8::/32"; "0.0.0.0/0" or "::/0" for the default. */
  destination: string;
  /** Address of the next router, of the destination's family. */
  gateway?: string;
  /** Name of the interface. Found by the kernel from `gateway` when absent. */
  device?: string;
  /** Preferred source address of packets that the host itself sends. */
  source?: string;
  /** 0 to 4294967295 (IPv6: from 1), the lower wins. Absent: 0 for IPv4, 1024 for IPv6, as the kernel has it. */
  metric?: number;
  /** "unicast" when absent. The others take neither gateway nor device. */
  type?: "unicast" | "unreachable" | "blackhole" | "prohibit" | "throw";
  /** Chosen by the kernel when absent. IPv4 only. */
  scope?: "global" | "link" | "host";
  /** Bytes, 68 to 65535: the path MTU to the destination. */
  mtu?: number;
  /** The gateway is on the link although no address of the interface says so. */
  onlink?: boolean;
  /** Two ways or more (ECMP), in the place of gateway and device. */
  nexthops?: Nexthop[];
}

const nexthop = z.strictObject({
  gateway: address.optional(),
  device: ifname.optional(),
  weight: integer(1, 256).optional(),
});

const TYPES = ["unicast", "unreachable", "blackhole", "prohibit", "throw"] as const;

export const route = z
  .strictObject({
    destination: prefix,
    gateway: address.optional(),
    device: ifname.optional(),
    source: address.optional(),
    metric: integer(0, 4294967295).optional(),
    type: z.enum(TYPES, `must be one of ${TYPES.join(", ")}`).optional(),
    scope: z.enum(["global", "link", "host"], "must be global, link or host").optional(),
    mtu: mtu.optional(),
    onlink: z.boolean().optional(),
    nexthops: z.array(nexthop).min(1, "must not be empty").optional(),
  })
  .superRefine((r, context) => {
    const problem = (path: string, message: string) =>
      context.addIssue({ code: "custom", path: [path], message });
    for (const key of ["gateway", "source"] as const) {
      const value = r[key];
      if (value && family(value) !== family(r.destination))
        problem(key, `is not of the family of ${r.destination}`);
    }
    const ways = [r.gateway ?? r.device, r.nexthops].filter((way) => way !== undefined).length;
    if (r.type && r.type !== "unicast" && ways > 0) problem("type", "takes no gateway, device or nexthops");
    if (r.metric === 0 && family(r.destination) === 6)
      problem("metric", "is 1024 to the kernel, in IPv6: leave it out, or take another");
    if (r.nexthops?.length === 1) problem("nexthops", "needs two: one way is gateway and device");
    if (ways > 1) problem("nexthops", "takes the place of gateway and device: give one or the other");
  });

const key = (r: Route): string =>
  r.metric === undefined ? r.destination : `${r.destination} metric ${r.metric}`;

/** Canonical: two routes to one destination differ in their metric. */
export const routes = setOf(route, key);

/** Why a route leads nowhere: only where the device is not implied by the resource does it have to be told. */
export function aimless(list: readonly Route[]): { index: number; reason: string }[] {
  return list.flatMap(({ type, gateway, device, nexthops }, index) =>
    (type && type !== "unicast") || gateway || device || nexthops
      ? []
      : [{ index, reason: "needs a gateway, a device, nexthops, or a type such as unreachable" }],
  );
}

/** Our routes only, of both families; `table all`, for a table without a route does not exist and would be an error. */
export const showRoutes = (...filter: string[]): readonly Query[] =>
  ["-4", "-6"].map((version) => ({
    argv: ["ip", "-N", "-j", version, "route", "show", "table", "all", "proto", PROTOCOL, ...filter],
  }));

/** Where a route stands: several resources may have routes in one table, each looks at its own destinations. */
export interface Place {
  readonly destination: string;
  readonly table: number;
}

export function places(list: readonly Route[], tables: readonly number[]): readonly Place[] {
  const destinations = [...new Set(list.map((r) => r.destination))].sort();
  return [...new Set(tables)].flatMap((table) => destinations.map((destination) => ({ destination, table })));
}

/** A table that nobody ever had a route in does not exist, later it is empty: to the guard of a change that is one. */
const LISTED =
  'o=$(ip "$@" 2>&1); c=$?; case $o in *"FIB table does not exist"*) o="[]" c=0 ;; esac; ' +
  '[ $c = 0 ] || exec >&2; printf "%s\\n" "$o"; exit $c';

/** One query for each place: the routes of ours that are there. */
export const showRoutesTo = (list: readonly Place[]): readonly Query[] =>
  list.map(({ destination, table }) => {
    const version = family(destination) === 6 ? "-6" : "-4";
    const filter = ["table", String(table), "proto", PROTOCOL, "exact", destination];
    return { argv: ["sh", "-c", LISTED, "sh", "-N", "-j", version, "route", "show", ...filter] };
  });

export const parseRoutesTo = (results: readonly Result[], list: readonly Place[]): readonly ListedRoute[] =>
  list.flatMap(({ destination, table }, n) => parseFamily(results[n]!, family(destination), table));

/** No other resource may want the same route: whoever came later would lose it with the first. */
export const routeClaims = (list: readonly Route[], table: number, owner: string): Record<string, Claim> =>
  Object.fromEntries(list.map((r) => [`route ${key(r)} of table ${table}`, { value: owner, former: null }]));

/** As `ip -N -j route` lists it. */
interface ListedRoute {
  readonly dst: string;
  readonly family: 4 | 6;
  /** 254 is the main table. */
  readonly table: number;
  readonly type: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
  readonly scope?: string;
  readonly flags: readonly string[];
  readonly mtu?: number;
  readonly nexthops?: readonly { gateway?: string; dev?: string; weight: number }[];
}

const TYPE_NUMBERS: Readonly<Record<string, string>> = {
  "6": "blackhole",
  "7": "unreachable",
  "8": "prohibit",
  "9": "throw",
};
const SCOPES: Readonly<Record<string, string>> = { "0": "global", "253": "link", "254": "host" };

export function parseRoutes([v4, v6]: readonly Result[]): readonly ListedRoute[] {
  return [...parseFamily(v4!, 4), ...parseFamily(v6!, 6)];
}

/** The table is not listed where it is the one asked for. */
function parseFamily({ code, stdout, stderr }: Result, version: 4 | 6, table = 254): ListedRoute[] {
  // A filter for a device that is not there: none of its routes are either.
  if (code === 1 && /Cannot find device/.test(stderr)) return [];
  if (code !== 0) throw new Error(`ip could not show the routes: ${stderr.trim()}`);
  type Json = Omit<ListedRoute, "table"> & { table?: string; metrics?: { mtu?: number }[] };
  return (JSON.parse(stdout || "[]") as Json[]).map((r) => {
    const whole = version === 4 ? "0.0.0.0/0" : "::/0";
    const dst =
      r.dst === "default" ? whole : r.dst.includes("/") ? r.dst : `${r.dst}/${version === 4 ? 32 : 128}`;
    return {
      ...r,
      dst,
      family: version,
      table: Number(r.table ?? table),
      type: TYPE_NUMBERS[r.type] ?? "unicast",
      scope: r.scope === undefined ? undefined : SCOPES[r.scope],
      mtu: r.metrics?.[0]?.mtu,
    };
  });
}

/** The kernel fills in what was left out: only what is declared is compared. */
export function matches(r: Route, table: number, l: ListedRoute): boolean {
  const equal = (declared: unknown, listed: unknown) => declared === undefined || declared === listed;
  const ways = r.nexthops?.every((n) =>
    l.nexthops?.some(
      (m) => equal(n.gateway, m.gateway) && equal(n.device, m.dev) && (n.weight ?? 1) === m.weight,
    ),
  );
  return (
    l.table === table &&
    l.dst === r.destination &&
    l.type === (r.type ?? "unicast") &&
    equal(r.gateway, l.gateway) &&
    equal(r.device, l.dev) &&
    equal(r.source, l.prefsrc) &&
    equal(r.metric, l.metric) &&
    equal(r.mtu, l.mtu) &&
    (r.scope === undefined || l.scope === undefined || r.scope === l.scope) &&
    (!r.onlink || l.flags.includes("onlink")) &&
    (ways ?? true) &&
    (r.nexthops?.length ?? 0) === (l.nexthops?.length ?? 0)
  );
}

/**
 * Those of the declared routes that are there, in canonical order, each once. Of one that somebody changed, as it is now: it
 * carries our number still, and stands where the declared one belongs.
 */
export function present(declared: readonly Route[], table: number, listed: readonly ListedRoute[]): Route[] {
  const isDeclared = (l: ListedRoute) => declared.some((r) => matches(r, table, l));
  const there = declared.flatMap((r) => {
    if (listed.some((l) => matches(r, table, l))) return [r];
    const changed = listed.find((l) => l.table === table && isAt(r, l) && !isDeclared(l));
    return changed ? [asListed(r, changed)] : [];
  });
  const distinct = new Map(there.map((r) => [JSON.stringify(words(r, table)), r]));
  return [...distinct.values()].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The kernel has one route for a destination and a metric. */
const isAt = (r: Route, l: ListedRoute): boolean =>
  l.dst === r.destination && (l.metric ?? 0) === (r.metric ?? (l.family === 6 ? 1024 : 0));

/** In the fields of a route, as far as they are needed to make it again. */
function asListed(r: Route, l: ListedRoute): Route {
  const { type, gateway, prefsrc: source, mtu, nexthops } = l;
  const device = r.device !== undefined || (type === "unicast" && !gateway && !nexthops) ? l.dev : undefined;
  const found = {
    destination: r.destination,
    type: type === "unicast" ? undefined : (type as Route["type"]),
    gateway,
    device,
    source,
    metric: r.metric,
    mtu,
    onlink: l.flags.includes("onlink") || undefined,
    nexthops: nexthops?.map((n) => ({ gateway: n.gateway, device: n.dev, weight: n.weight })),
  };
  return Object.fromEntries(
    Object.entries(found).filter(([, value]) => value !== undefined),
  ) as unknown as Route;
}

function words(r: Route, table: number): string[] {
  const option = (word: string, value: unknown) => (value === undefined ? [] : [word, String(value)]);
  return [
    ...(r.type && r.type !== "unicast" ? [r.type] : []),
    r.destination,
    ...option("via", r.gateway),
    ...option("dev", r.device),
    ...option("table", table),
    ...option("proto", PROTOCOL),
    ...option("scope", r.scope),
    ...option("src", r.source),
    ...option("metric", r.metric),
    ...option("mtu", r.mtu),
    ...(r.onlink ? ["onlink"] : []),
    ...(r.nexthops ?? []).flatMap((n) => [
      "nexthop",
      ...option("via", n.gateway),
      ...option("dev", n.device),
      ...option("weight", n.weight),
    ]),
  ];
}

const step = (verb: string, r: Route, table: number): Step => ({
  argv: ["ip", family(r.destination) === 6 ? "-6" : "-4", "route", verb, ...words(r, table)],
});

export const deleteRoute = (r: Route, table: number): Step => step("del", r, table);

/**
 * From the routes of ours that are there to the wanted ones. `replace` overwrites foreign routes whatever their
 * protocol, so it stands only where the route in the way is ours: then no packet is lost in between.
 */
export function convergeRoutes(wanted: readonly Route[], found: readonly Route[], table: number): Step[] {
  const text = (r: Route) => JSON.stringify(words(r, table));
  const is = (r: Route) => found.some((f) => text(f) === text(r));
  const missing = wanted.filter((r) => !is(r));
  const stale = found.filter((f) => !wanted.some((r) => text(r) === text(f)));
  const inTheWay = (r: Route) => stale.find((f) => key(f) === key(r));
  const gone = stale.filter((f) => !missing.some((r) => key(r) === key(f)));
  return [
    ...missing.map((r) => step(inTheWay(r) ? "replace" : "add", r, table)),
    ...gone.map((r) => deleteRoute(r, table)),
  ];
}
