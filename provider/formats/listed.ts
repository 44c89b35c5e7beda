import type { Query, Result, Step } from "../kind";
import { addingVerb, asAdded, type Link, type LinkAddress, lasting, stays } from "./link";
import type { Route } from "./route";

/** A route of a member as the host lists it, which is what `ip route add` takes: "-4 10.0.0.0/8 via 10.1.0.9 table 7". */
export type RouteText = string;

/**
 * Those that the kernel, router advertisements or routing daemons bring again by themselves: redirect, kernel, ra, zebra,
 * bird, babel, openr, bgp, isis, ospf, rip, eigrp. A full BGP table must not travel with every look.
 */
export const BY_THEMSELVES = "proto (1|2|9|11|12|42|99|18[6-9]|192)";
const OURS_OR_THE_KERNELS = "proto (2|210)";

const BETWEEN = "ipv6";
const LISTING = `p=$1; shift; { ip -N -o -4 "$@"; echo ${BETWEEN}; ip -N -o -6 "$@"; } | grep -vE " $p( |$)"; :`;
/** Not part of a guard: DHCP and others may change them at any time. */
const show = (without: string, ...filter: string[]): Query => ({
  argv: ["sh", "-c", LISTING, "sh", without, "route", "show", "table", ...filter],
  free: true,
});

export const showRoutesOf = (dev: string): Query => show(BY_THEMSELVES, "all", "dev", dev);
export const showRoutesIn = (table: number): Query => show(BY_THEMSELVES, String(table));
/** All in a table that is neither ours nor the kernel's. */
export const showForeign = (table: number): Query => show(OURS_OR_THE_KERNELS, String(table));

/** What only a listing says of a route. */
export const LISTING_FLAGS = [
  ...["linkdown", "dead", "pervasive", "offload", "trap"],
  ...["rt_offload", "rt_trap", "offload_failed", "rt_offload_failed"],
];
/** No such device or table, or a host without IPv6. */
const NOTHING = /Cannot find device|FIB table does not exist|not supported/;
const ROUTE = /^-\d (\d+ )?(default|[\da-f.:]+(\/\d+)?)( |$)/;

/** Gateways are reached by routes without one: those come first. */
export const gatewaysLast = (routes: readonly RouteText[]): readonly RouteText[] => [
  ...routes.filter((text) => !/ via /.test(text)),
  ...routes.filter((text) => / via /.test(text)),
];

/** One route a line, in the order of adding, without what only the listing says. */
export function parseRoutesOf({ stdout, stderr }: Result, what: string): readonly RouteText[] {
  const [v4 = "", v6] = stdout.split(`${BETWEEN}\n`);
  if (v6 === undefined || (stderr !== "" && !NOTHING.test(stderr))) {
    throw new Error(`ip could not show the routes of ${what}: ${stderr.trim()}`);
  }
  const lines = (version: string, listed: string) =>
    listed.split("\n").flatMap((line) => (line.trim() === "" ? [] : [clean(`${version} ${line}`)]));
  const all = [...lines("-4", v4), ...lines("-6", v6)];
  const odd = all.find((text) => !ROUTE.test(text));
  if (odd !== undefined) throw new Error(`ip showed an odd route of ${what}: ${odd}`);
  return gatewaysLast(all);
}

const clean = (line: string): RouteText =>
  line
    .trim()
    .split(/\s+/)
    .filter((word) => !LISTING_FLAGS.includes(word))
    .map((word) => word.replace(/^(\d+)sec$/, "$1"))
    .join(" ");

/** Of those of a table, the ones through a device alone, as its own listing would have them. */
export const through = (routes: readonly RouteText[], dev: string, table: number): readonly RouteText[] =>
  routes
    .filter((text) => word(text, "dev") === dev && !/ nexthop /.test(text))
    .map((text) => inTable(text.replace(/ dev \S+/, ""), table));

const word = (text: RouteText, name: string): string | undefined =>
  new RegExp(` ${name} (\\S+)`).exec(text)?.[1];

/** The main table is not listed. */
export const tableOf = (text: RouteText): number => Number(word(text, "table") ?? 254);

export const inTable = (text: RouteText, table: number): RouteText =>
  `${text.replace(/ table \S+/, "")}${table === 254 ? "" : ` table ${table}`}`;

/** What may stand in a table but once: the destination and the metric. */
export function keyOf(text: RouteText): string {
  const destination = /^-\d (?:\d+ )?(\S+)/.exec(text)![1]!;
  return keyed(whole(destination, text), word(text, "metric"));
}

/** But once on a host. */
export const placeOf = (text: RouteText): string => `${keyOf(text)} ${tableOf(text)}`;

export const keyOfDeclared = ({ destination, metric }: Route): string => keyed(destination, metric);

const keyed = (destination: string, metric?: number | string): string =>
  `${destination} ${metric ?? (destination.includes(":") ? 1024 : 0)}`;

const whole = (destination: string, text: RouteText): string =>
  destination === "default" ? (text.startsWith("-6") ? "::/0" : "0.0.0.0/0") : destination;

const routeStep = (verb: string, text: RouteText, dev: string): Step => {
  const [version, ...words] = text.split(" ");
  return { argv: ["ip", version!, "route", verb, ...words.map((w) => whole(w, text)), "dev", dev] };
};

/** Where it stood before: nothing else can be in its place. */
export const restoreRoute = (text: RouteText, dev: string): Step => routeStep("replace", text, dev);

/** Into another table, unless one to its destination with its metric is there, which is not ours to replace. */
export function moveRoute(text: RouteText, dev: string): Step {
  const [destination, metric] = keyOf(text).split(" ");
  const exact = ["route", "show", "table", String(tableOf(text)), "exact", destination!, "metric", metric!];
  return {
    ...routeStep("add", text, dev),
    unless: ["sh", "-c", 'ip "$@" | grep -q .', "sh", text.slice(0, 2), ...exact],
  };
}

/** An address as `ip addr add` takes it. */
const addressText = ({ address, peer, broadcast, options }: LinkAddress): string => {
  const words = (word: string, value?: string) => (value === undefined ? [] : [word, value]);
  return [address, ...words("peer", peer), ...words("brd", broadcast), ...options].join(" ");
};

/** All but the link-local ones, in the order of adding. */
export const lastingTexts = (link: Link): readonly string[] =>
  asAdded(lasting(link)).filter(stays).map(addressText);

/** The IPv6 addresses, which do not outlive the bounce, in the order of adding. */
export const losable = ({ addresses }: Link): readonly string[] =>
  asAdded(addresses)
    .filter((a) => a.address.includes(":") && stays(a))
    .map(addressText);

export const addressOf = (text: string): string => text.split(" ")[0]!;

/** With `nodad` it answers at once; a flag that it did not have is then taken away again, where the kernel can. */
export function restoreAddress(text: string, dev: string): readonly Step[] {
  const [address, ...options] = text.split(" ") as [string, ...string[]];
  const v6 = address.includes(":");
  const step = (verb: string, flags: readonly string[]) => ({
    argv: ["ip", v6 ? "-6" : "-4", "addr", verb, address, ...flags, "dev", dev],
  });
  const verb = addingVerb(address);
  if (!v6 || options.includes("nodad")) return [step(verb, options)];
  return [step(verb, ["nodad", ...options]), ...(verb === "add" ? [] : [step("change", options)])];
}
