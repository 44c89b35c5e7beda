import { bounce } from "../formats/bounce";
import { inTheWay, sameSubnet } from "../formats/cidr";
import { addAddress, batch, deleteAddress, deleteBeside, setLink } from "../formats/link";
import {
  addressOf,
  inTable,
  keyOf,
  moveRoute,
  placeOf,
  restoreAddress,
  restoreRoute,
  tableOf,
} from "../formats/listed";
import type { Step } from "../kind";
import type { Interface } from "./args";
import type { Facts } from "./parse";

const MAIN = 254;

/**
 * In with a link, and back with what the kernel took from it on the way. Its routes of the main table, and those that
 * it has in the VRF's table now, go to the VRF's `table`; `declared` ones are seen to elsewhere.
 */
export function enter(
  name: string,
  vrf: string,
  table: number,
  facts: Facts,
  declared: ReadonlySet<string>,
): Step[] {
  const member = (facts.members[name] ?? facts.guests[name])!;
  const inside = member.master === vrf;
  // A hand that took it out has lost what the bounce takes: that is known from when it was found.
  const known = inside ? [member] : [facts.found[name] ?? member, member];
  const moved = (text: string) =>
    tableOf(text) === MAIN || (inside && tableOf(text) === facts.table) ? inTable(text, table) : text;
  const routes = known
    .flatMap((m) => m.routes.map(moved))
    .filter((text) => !(tableOf(text) === table && declared.has(keyOf(text))));
  const addresses = known.flatMap((m) => m.losable);
  return [
    setLink(name, "master", vrf),
    setLink(name, "up"),
    // A link that is down is not bounced, has no routes, and keeps its addresses.
    ...(member.up ? distinct(addresses, addressOf).flatMap((text) => restoreAddress(text, name)) : []),
    ...(member.up ? distinct(routes, placeOf).map((text) => restoreRoute(text, name)) : []),
  ];
}

const distinct = (list: readonly string[], key: (text: string) => string): string[] =>
  [...new Map([...list].reverse().map((text) => [key(text), text])).values()].reverse();

/** Its declared addresses: those that were there before us stay when they leave the program. */
export function addressSteps(
  wanted: Interface,
  now: Interface | undefined,
  facts: Facts,
  vrf: string,
): Step[] {
  const { name } = wanted;
  const member = facts.members[name]!;
  // As the undo of a delete: it was seen inside, and has since lost what was not there before us.
  const outside = member.master === vrf ? (facts.found[name] ?? member) : member;
  const there = now ? (now.addresses ?? []) : outside.addresses;
  const missing = (wanted.addresses ?? []).filter((a) => !there.includes(a));
  const kept = [...new Set([...member.addresses, ...(wanted.addresses ?? [])])];
  const gone = stale(wanted, now, facts);
  const first = inTheWay(gone, missing);
  const stays = kept.filter((a) => !gone.includes(a));
  return [
    ...first.map((a) => deleteAddress(a, name)),
    ...missing.map((a) => addAddress(a, name)),
    ...gone.filter((a) => !first.includes(a)).map((a) => deleteBeside(stays, a, name)),
  ];
}

const stale = (
  wanted: Interface | undefined,
  now: Interface | undefined,
  { members, found }: Facts,
): string[] =>
  (now?.addresses ?? []).filter(
    (a) =>
      !wanted?.addresses?.includes(a) && !(found[now!.name] ?? members[now!.name])?.addresses.includes(a),
  );

/** On the way out: a deleted IPv4 address takes the others of its subnet along when it is the first of them: they come back. */
function deleteAddresses(name: string, gone: readonly string[], kept: readonly string[]): Step[] {
  const lost = (a: string) => !a.includes(":") && !gone.includes(a) && gone.some((g) => sameSubnet(g, a));
  return [...gone.map((a) => deleteAddress(a, name)), ...kept.filter(lost).map((a) => addAddress(a, name))];
}

/**
 * Out with a link, as it was found: its own addresses and routes again, ours gone.
 *
 * @param inside whether it is a member, or a hand has taken it out and only the rest is to be done
 */
export function leave(now: Interface, facts: Facts, vrf: string, inside: boolean): Step[] {
  const { name } = now;
  const member = facts.members[name];
  const found = facts.found[name] ?? member;
  // Gone from the host, or already somewhere else.
  if (!member || !found || (member.master !== undefined && member.master !== vrf)) return [];
  const ours = stale(undefined, now, facts);
  const stays = (text: string) => !(member.master === vrf && tableOf(text) === facts.table);
  const routes = inside ? member.routes.filter(stays) : [];
  const there = new Set((inside ? routes : member.routes).map(placeOf));
  const back = found.routes.filter((text) => tableOf(text) === MAIN && !there.has(placeOf(text)));
  const known = new Set(found.losable.map(addressOf));
  const addresses = (inside ? member.losable : missing(found.losable, member.losable)).filter(
    (text) => !ours.includes(addressOf(text)) && (found.up || known.has(addressOf(text))),
  );
  const steps = [
    ...deleteAddresses(name, ours, member.addresses),
    ...(inside ? [setLink(name, "nomaster")] : []),
    ...(found.up ? [] : [setLink(name, "down")]),
    ...addresses.flatMap((text) => restoreAddress(text, name)),
    ...(found.up ? routes.map((text) => restoreRoute(text, name)) : []),
  ];
  return [
    ...(steps.length > 0 ? [inside ? bounce([name], steps) : batch(steps)] : []),
    ...(found.up ? back.map((text) => moveRoute(text, name)) : []),
  ];
}

const missing = (wanted: readonly string[], there: readonly string[]): string[] =>
  wanted.filter((text) => !there.map(addressOf).includes(addressOf(text)));
