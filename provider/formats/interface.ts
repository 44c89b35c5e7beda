/** What a bridge and a VLAN are alike in: an interface of the host's own, with addresses, routes, and a VRF. */
import { HostnetError, refuseForGood } from "../errors";
import type { Problem, Result, Step, Way } from "../kind";
import { bounce } from "./bounce";
import { contains, inTheWay, sameAddress, sameSubnet } from "./cidr";
import {
  addAddress,
  asAdded,
  deleteAddress,
  deleteBeside,
  isLent,
  type Link,
  lasting,
  setLink,
  staticRecipe,
  stays,
} from "./link";
import {
  inTable,
  keyOf,
  keyOfDeclared,
  moveRoute,
  parseRoutesOf,
  type RouteText,
  restoreRoute,
  tableOf,
} from "./listed";
import { parseRoutes, present, type Route } from "./route";

/** With less the kernel takes a link's IPv6 away, addresses and routes, and gives nothing back. */
const LEAST_IPV6_MTU = 1280;

/** As declared, or as observed. */
export interface Interface {
  readonly name: string;
  readonly addresses?: readonly string[];
  readonly routes?: readonly Route[];
  readonly vrf?: string;
  readonly mtu?: number;
  readonly up?: boolean;
}

export interface InterfaceFacts {
  /** All of them but the link-local ones, whoever gave them, in the order of adding. */
  readonly addresses: readonly string[];
  /** What else is to say of them, by address: those of others are put back with it, but for those that come again. */
  readonly addressOptions: Readonly<Record<string, readonly string[]>>;
  readonly master?: string;
  /** Routing table of the declared VRF, or the main one; absent when the VRF is. */
  readonly table?: number;
  /** Routing table of the VRF that it is in now, or the main one. */
  readonly within?: number;
  /** All routes through it, whoever made them, where they were asked for. */
  readonly passing: readonly RouteText[];
}

export function interfaceProblems(d: Interface, what: string): Problem[] {
  const problems: Problem[] = [];
  (d.routes ?? []).forEach((r, n) => {
    if ((r.device && r.device !== d.name) || r.nexthops || (r.type && r.type !== "unicast")) {
      problems.push({
        property: `routes[${n}]`,
        reason: `must lead through the ${what}: others stand in Vrf.routes or PolicyRoute.routes`,
      });
    }
  });
  const first = [...(d.addresses ?? []), ...(d.routes ?? []).map((r) => r.destination)].find(six);
  if (d.mtu !== undefined && d.mtu < LEAST_IPV6_MTU && first)
    problems.push({ property: "mtu", reason: `${d.mtu}: must be ${LEAST_IPV6_MTU} or more for ${first}` });
  if (d.vrf === d.name) problems.push({ property: "vrf", reason: `is the ${what} itself` });
  return problems;
}

const MAIN = 254;

export function interfaceFacts(d: Interface, link?: Link, vrf?: Link, routes?: Result): InterfaceFacts {
  const addresses = asAdded(link ? lasting(link) : []);
  return {
    addresses: addresses.map(({ address }) => address),
    addressOptions: Object.fromEntries(
      addresses.filter(stays).map(({ address, options }) => [address, options]),
    ),
    master: link?.master,
    table: d.vrf === undefined ? MAIN : (vrf?.data.table as number | undefined),
    within: link?.masterType === "vrf" ? (link.portData.table as number) : MAIN,
    passing: routes ? parseRoutesOf(routes, d.name) : [],
  };
}

/** Where its declared routes are looked for: in the table of the VRF that it is in, if one was ever declared. */
const routesTable = (facts: InterfaceFacts, ...declared: readonly (Interface | undefined)[]): number =>
  declared.some((d) => d?.vrf !== undefined) ? (facts.within ?? MAIN) : MAIN;

/** Where its routes go. */
export function requireTable({ vrf }: Interface, { master, table, within }: InterfaceFacts): number {
  if (vrf === undefined) return MAIN;
  const found = vrf === master ? within : table;
  if (found === undefined) throw new HostnetError(`vrf: ${vrf} is no VRF of the host`);
  return found;
}

/** Addresses of others, which no undo could put back with all that hangs on them. */
export function requireMtu(d: Interface, state: Interface | undefined, facts: InterfaceFacts): void {
  if (d.mtu === undefined || d.mtu >= LEAST_IPV6_MTU) return;
  const leaves = (a: string) => state?.addresses?.includes(a) && !d.addresses?.includes(a);
  const lost = facts.addresses.find((a) => six(a) && !leaves(a));
  if (lost)
    throw new HostnetError(`mtu: below ${LEAST_IPV6_MTU} there is no IPv6, and ${d.name} would lose ${lost}`);
}

/** Into the VRF that is declared, or out of the one that was: whatever else it is a member of, it stays. */
export function membership(d: Interface, state?: Interface, last?: Interface): Step[] {
  const moved = (...how: string[]) =>
    state ? bounce([d.name], [setLink(d.name, ...how)]) : setLink(d.name, ...how);
  if (d.vrf !== undefined) return state?.vrf === d.vrf ? [] : [moved("master", d.vrf)];
  return last?.vrf !== undefined && state?.vrf === last.vrf ? [moved("nomaster")] : [];
}

/** The routes through it but for those that are declared, or were: these are seen to by themselves. */
export function othersRoutes(
  d: Interface,
  state: Interface,
  { within, passing }: InterfaceFacts,
): RouteText[] {
  const declared = new Set([...(d.routes ?? []), ...(state.routes ?? [])].map(keyOfDeclared));
  return passing.filter((text) => !(tableOf(text) === within && declared.has(keyOf(text))));
}

/**
 * Others' routes through it, which it loses as it enters or leaves a VRF: those of the table that it leaves go to the one
 * that it has from now on.
 */
export function passingSteps(d: Interface, state: Interface, facts: InterfaceFacts, table: number): Step[] {
  const moves = (text: RouteText) => tableOf(text) === facts.within && facts.within !== table;
  return othersRoutes(d, state, facts).map((text) =>
    moves(text) ? moveRoute(inTable(text, table), d.name) : restoreRoute(text, d.name),
  );
}

/**
 * The fields that are declared, or were, as they are there.
 *
 * @param listed the routes through it, where they were asked for
 */
export function observedInterface(
  d: Interface,
  last: Interface | undefined,
  facts: InterfaceFacts,
  listed: readonly (Result | undefined)[],
): { addresses?: string[]; routes?: Route[]; vrf?: string } {
  const wanted = { ...last, ...d };
  const addresses = [...new Set([...(d.addresses ?? []), ...(last?.addresses ?? [])])];
  const results = listed.filter((result) => result !== undefined);
  const either = [...(d.routes ?? []), ...(last?.routes ?? [])];
  // Those of one device are listed without it.
  const there = results.length > 0 ? parseRoutes(results).map((l) => ({ ...l, dev: l.dev ?? d.name })) : [];
  return {
    ...(wanted.addresses && { addresses: addresses.filter((a) => facts.addresses.includes(a)).sort() }),
    ...(wanted.routes && { routes: present(either, routesTable(facts, d, last), there) }),
    ...(wanted.vrf && facts.master && { vrf: facts.master }),
  };
}

/**
 * Declared addresses that are there with a lifetime: a DHCP client's. No change of ours would last: as long as it runs it sets
 * the lifetime again, and with its lease it takes the address away, also one that was made permanent meanwhile.
 */
export function lentAddresses(d: Interface, { addressOptions }: InterfaceFacts): string[] {
  const lent = (d.addresses ?? []).filter((a) => isLent(addressOptions[a] ?? []));
  return lent.map(
    (a) =>
      `${a} has a lifetime, as a DHCP client gives it, and goes with the lease, whatever is declared here: make it static ` +
      `(${staticRecipe([a])}), or leave it out of addresses`,
  );
}

const six = (address: string): boolean => address.includes(":");

/** The last that was added first: a primary address would take its secondaries along. */
const staleOf = (d: Interface, state?: Interface, { addresses }: Partial<InterfaceFacts> = {}): string[] => {
  const at = (address: string) => addresses?.indexOf(address) ?? -1;
  const stale = (state?.addresses ?? []).filter((a) => !d.addresses?.includes(a));
  return stale.reverse().sort((a, b) => at(b) - at(a));
};

/** The IPv6 addresses that leave it, before a bounce: after that they may be gone already, or not. */
export const staleFirst = (d: Interface, state?: Interface): Step[] =>
  staleOf(d, state)
    .filter(six)
    .map((a) => deleteAddress(a, d.name));

/** @param bounced it was taken down, which takes the IPv6 addresses; those of `staleFirst` are deleted */
export function convergeAddresses(
  d: Interface,
  state: Interface | undefined,
  facts: InterfaceFacts,
  bounced: boolean,
): Step[] {
  const { name, addresses: wanted = [] } = d;
  const there = state?.addresses ?? [];
  const stale = staleOf(d, state, facts);
  const missing = wanted.filter((a) => !there.includes(a));
  // A deleted primary address takes its secondaries along: they come back.
  const kept = [...new Set([...facts.addresses, ...wanted])].filter((a) => !stale.includes(a));
  const lost = (a: string) =>
    (bounced && six(a) && !missing.includes(a)) || stale.some((s) => !six(s) && sameSubnet(s, a));
  // On the way back a primary address is missing that was there before its secondaries: it comes before them again.
  const order = facts.addresses.filter((a) => !six(a) && wanted.includes(a));
  const late = order.filter(
    (a, n) => there.includes(a) && order.slice(0, n).some((m) => missing.includes(m) && sameSubnet(m, a)),
  );
  const gone = stale.filter((a) => !(bounced && six(a)));
  const first = inTheWay(gone, missing);
  const others = [...kept, ...late];
  return [
    ...first.map((a) => deleteAddress(a, name)),
    ...missing.map((a) => addAddress(a, name)),
    ...[...late, ...gone.filter((a) => !first.includes(a))].map((a) => deleteBeside(others, a, name)),
    ...kept
      .filter((a) => late.includes(a) || lost(a))
      .flatMap((a) => (wanted.includes(a) ? addAddress(a, name) : putBack(a, name, facts))),
  ];
}

/** An address of others, as it was: with its lifetime, label and metric. */
function putBack(address: string, dev: string, { addressOptions }: InterfaceFacts): Step[] {
  const options = addressOptions[address];
  const { argv } = addAddress(address, dev);
  return options ? [{ argv: [...argv, ...options.filter((word) => word !== "nodad")] }] : [];
}

/** Its routes as the kernel has them: through the interface. */
export const through = (d?: Interface): Route[] => (d?.routes ?? []).map((r) => ({ ...r, device: d!.name }));

/**
 * Those of ours that are left when its addresses are what they are to be: of IPv4 the kernel takes those whose source has gone,
 * and all of them with the last address.
 */
export function routesLeft(d: Interface, state: Interface | undefined, facts: InterfaceFacts): Route[] {
  const gone = staleOf(d, state, facts).filter((a) => !six(a));
  if (gone.length === 0) return through(state);
  const left = [...facts.addresses, ...(d.addresses ?? [])].filter((a) => !six(a) && !gone.includes(a));
  // With another prefix length it stays an address of the host.
  const among = (list: readonly string[], source: string) => list.some((a) => sameAddress(a, source));
  const stands = ({ source }: Route) =>
    left.length > 0 && (source === undefined || !among(gone, source) || among(left, source));
  return through(state).filter((r) => six(r.destination) || stands(r));
}

/** Networks that a change leads elsewhere. */
export function changedPrefixes(before?: Interface, after?: Interface): string[] {
  const networks = (d?: Interface) => [
    ...(d?.addresses ?? []),
    ...(d?.routes ?? []).map(({ destination }) => destination),
  ];
  const [now, then] = [networks(before), networks(after)];
  return [...now.filter((n) => !then.includes(n)), ...then.filter((n) => !now.includes(n))];
}

export function interfaceLockout(
  state: Interface | undefined,
  after: Interface | undefined,
  { links, server, client, gateway }: Way,
): string | undefined {
  if (!state || links[0] !== state.name) return undefined;
  const down = after?.up === false;
  // With the link go the routes of others, and to another table with its place in a VRF.
  const fate = !after ? "deleted" : down ? "down" : after.vrf !== state.vrf ? "moved" : undefined;
  if (fate && gateway && !state.routes?.some(({ destination }) => contains(destination, client)))
    refuseForGood(`the route by ${gateway} runs over ${state.name}, which is to be ${fate}`);
  if (!after) return `it runs over ${state.name}, which is to be deleted`;
  if (down) return `it runs over ${state.name}, which is to be down (up: false)`;
  const own = (address: string) => sameAddress(address, server);
  const leaves = state.addresses?.find((address) => own(address) && !after.addresses?.some(own));
  return leaves && `it goes to ${leaves}, which is no more among the addresses of ${state.name}`;
}

/** What stands on top of it and would go with it: its ports, and the VLANs and macvlans, a line each. */
export const showAttached = (name: string) => ({
  argv: ["sh", "-c", 'ip -o link show | grep -F -e " master $1 " -e "@$1:"; :', "sh", name],
  free: true,
});

export const parseAttached = (stdout = ""): string[] =>
  stdout.split("\n").flatMap((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? []);
