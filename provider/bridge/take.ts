import { batch, isLent, type Link, setLink, staticRecipe } from "../formats/link";
import {
  addressOf,
  BY_THEMSELVES,
  gatewaysLast,
  lastingTexts,
  parseRoutesOf,
  placeOf,
  type RouteText,
  restoreAddress,
  restoreRoute,
} from "../formats/listed";
import type { Query, Result, Step } from "../kind";
import type { Bridge } from "./args";

/** What a port carries of its own, as `ip addr add` and `ip route add` take it. */
export interface Carried {
  /** But for the link-local ones, in the order of adding. */
  readonly addresses: readonly string[];
  /** Of all tables, but for those that the kernel makes by itself. */
  readonly routes: readonly RouteText[];
}

/** How a link was before it became a port: it is given back so. */
export interface Found {
  readonly up: boolean;
  /** Of a port with `takeAddresses`: what the bridge has of it. */
  readonly carried?: Carried;
}

export const takes = (bridge: Bridge | undefined, name: string): boolean =>
  bridge?.ports?.some((p) => p.name === name && p.takeAddresses) ?? false;

export const carriedBy = (link: Link, routes: Result): Carried => ({
  addresses: lastingTexts(link),
  routes: parseRoutesOf(routes, link.name),
});

/** Whether one has all that the other carried: the addresses, and a route wherever that had one. */
export function has(bridge: Carried, carried: Carried = { addresses: [], routes: [] }): boolean {
  const [addresses, routes] = [bridge.addresses.map(addressOf), bridge.routes.map(placeOf)];
  return (
    carried.addresses.every((text) => addresses.includes(addressOf(text))) &&
    carried.routes.every((text) => routes.includes(placeOf(text)))
  );
}

/** The addresses that a bridge has of its ports. */
export const held = (bridge: Bridge | undefined, found: Readonly<Record<string, Found>>): string[] =>
  (bridge?.ports ?? []).flatMap(({ name, takeAddresses }) =>
    takeAddresses ? (found[name]?.carried?.addresses.map(addressOf) ?? []) : [],
  );

/** Signs of a DHCP client that runs for the link: its lease or its process. */
export const showLease = (name: string): Query => ({ argv: ["sh", "-c", LEASE, "sh", name], free: true });
const LEASE =
  'read -r i <"/sys/class/net/$1/ifindex"; ls -d "/run/systemd/netif/leases/${i:-none}" "/run/dhclient.$1.pid" ' +
  '"/run/dhclient-$1.pid" "/run/udhcpc.$1.pid" "/run/udhcpc-$1.pid" "/run/dhcpcd/$1.pid" "/run/dhcpcd-$1.pid" ' +
  '"/run/dhcpcd/$1-4.pid"; :';

/** Why the addresses would end with a lease: what says so. Those of router advertisements come again on the bridge. */
export function leaseOf({ addresses }: Link, { routes }: Carried, { stdout }: Result): string | undefined {
  const leased = addresses.find(({ options }) => isLent(options));
  if (leased) return `${leased.address} has a lifetime`;
  const route = routes.find((text) => / proto 16( |$)/.test(text));
  if (route) return `its route to ${route.split(" ")[1]} is of DHCP`;
  const file = stdout.split("\n")[0];
  return file ? `there is ${file}` : undefined;
}

/** How to make it static. */
export function recipe({ addresses, routes }: Carried): string {
  const gateways = routes.flatMap((text) => /^-\d default via (\S+)/.exec(text)?.[1] ?? []);
  return staticRecipe(addresses.map(addressOf), gateways);
}

/** It has a lifetime: a router advertisement brings it again, on whatever link. */
const ends = (text: string): boolean => / valid_lft /.test(text);

/** What was found first, and what the host's own configuration has put there again since: the later of two of one kind. */
export function merged(first: Carried | undefined, now: Carried): Carried {
  const later = <T>(lists: readonly (readonly T[])[], key: (item: T) => string): T[] => [
    ...new Map(lists.flat().map((item) => [key(item), item])).values(),
  ];
  return {
    addresses: later([first?.addresses ?? [], now.addresses.filter((text) => !ends(text))], addressOf),
    routes: gatewaysLast(later([first?.routes ?? [], now.routes], placeOf)),
  };
}

/**
 * In with the port, and all that it carries to the bridge, in one process. The bridge has the addresses before the port
 * loses them, so that no route goes with them; each route then takes the place of the port's own.
 */
export function take(name: string, bridge: string, first: Carried, now?: Carried): Step {
  const passing = (now?.addresses ?? []).filter(ends);
  return batch([
    setLink(name, "master", bridge),
    setLink(name, "up"),
    ...[...first.addresses, ...passing].map((text) => addTo(bridge, text)),
    { argv: ["ip", "addr", "flush", "dev", name, "scope", "global"] },
    ...first.routes.map((text) => restoreRoute(text, bridge)),
  ]);
}

/**
 * A router heeds advertisements only with 2, which the port may have and a new bridge has not: the default route that comes
 * by them would be gone for good.
 */
export const heed = (name: string, bridge: string): Step => heeding(name, bridge, "echo 2");
/** As it was when it was made. */
export const unheed = (name: string, bridge: string): Step =>
  heeding(name, bridge, 'command cat "$f/default/accept_ra"');
const heeding = (name: string, bridge: string, print: string): Step => ({
  argv: [
    "sh",
    "-c",
    `f=/proc/sys/net/ipv6/conf; [ ! -e "$f" ] || { read -r a <"$f/$1/accept_ra"; [ "$a" != 2 ] || ${print} >"$f/$2/accept_ra"; }`,
    "sh",
    name,
    bridge,
  ],
});

/** A label begins with the name of the device. And at once: the address is known to be nobody else's. */
function addTo(dev: string, text: string): Step {
  const [address = "", ...options] = text.replace(/ label \S+/, "").split(" ");
  const six = address.includes(":");
  const words = six && !options.includes("nodad") ? ["nodad", ...options] : options;
  return { argv: ["ip", six ? "-6" : "-4", "addr", "replace", address, ...words, "dev", dev] };
}

/** What goes back to a port: addresses that are to stay with the bridge do not, nor do the routes then. */
function backTo({ carried }: Found, stays: readonly string[] = []): Carried {
  const { addresses = [], routes = [] } = carried ?? {};
  const back = addresses.filter((text) => !stays.includes(addressOf(text)));
  return { addresses: back, routes: back.length === addresses.length ? routes : [] };
}

/**
 * Out with the port, with what the bridge had of it.
 *
 * @param master of which it stays a port
 */
export function giveBack(name: string, found: Found, stays?: readonly string[], master?: string): Step {
  const { addresses, routes } = backTo(found, stays);
  return batch([
    ...(master === undefined
      ? [setLink(name, "nomaster"), ...(found.up ? [] : [setLink(name, "down")])]
      : []),
    ...addresses.flatMap((text) => restoreAddress(text, name)),
    ...routes.map((text) => restoreRoute(text, name)),
  ]);
}

/** When the bridge has them no more: the neighbours know them by its MAC, which nobody takes in now. */
export function announce(name: string, found: Found, stays?: readonly string[]): Step[] {
  const own = backTo(found, stays).addresses.map((text) => addressOf(text).replace(/\/.*/, ""));
  const bare = own.filter((address) => !address.includes(":"));
  return bare.length > 0 ? [{ argv: ["sh", "-c", ANNOUNCE, "sh", name, ...bare] }] : [];
}

/**
 * For the first address of a subnet the kernel asks in that one's own name, by which all learn it; of others only arping
 * tells. Neighbours of IPv6 ask anew by themselves, after some seconds.
 */
const ANNOUNCE =
  'd=$1; shift; for a; do ip -4 neigh replace "$a" dev "$d" use; done; ' +
  'command -v arping && { for a; do arping -q -U -c 1 -w 1 -I "$d" "$a" & done; wait; }; :';

/**
 * After a boot the host's own configuration may have put others there than the record knows: all of them move, as they
 * are then.
 */
export const move = (name: string, bridge: string): Step => ({
  argv: ["sh", "-c", MOVE, "sh", name, bridge, BY_THEMSELVES],
});
const MOVE = `for v in -4 -6; do
  how="brd +"; [ $v = -4 ] || how=nodad
  ip $v -o addr show dev "$1" scope global | while read -r _ _ _ a _; do ip $v addr replace $a $how dev "$2"; done
  ip -N $v -o route show table all dev "$1" | grep -vE " $3( |$)" | sed 's/ linkdown//; s/ dead//' |
    while read -r r; do ip $v route replace $r dev "$2"; done
done; :`;
