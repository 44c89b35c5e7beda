import { HostnetError } from "../errors";
import { bounce } from "../formats/bounce";
import { setLink } from "../formats/link";
import { keyOf, keyOfDeclared, restoreAddress, tableOf } from "../formats/listed";
import { convergeRoutes, deleteRoute, type Route } from "../formats/route";
import type { Boot, Last, Observed, Step } from "../kind";
import type { Interface, schema, Vrf } from "./args";
import { addressSteps, enter, leave } from "./member";
import type { Facts, Rules } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

/** Key and value of the claim that all our VRFs of a host share: the value is the rule's priority. */
export const RULE = "l3mdev rule";
export const PRIORITY = "1000";

export function ensure(d: Vrf, { state, facts }: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const wanted = d.interfaces ?? [];
  for (const { name } of wanted) requireMember(name, d.name, facts);
  if (facts.table !== d.table && facts.taken !== undefined) {
    throw new HostnetError(`table: ${d.table} is in use by ${facts.taken}`);
  }
  if (!state && facts.intruders.length > 0) {
    throw new HostnetError(
      `exclusive: the host has ${facts.intruders.join(", ")}: take it away, or into a VRF`,
    );
  }
  const made = state?.table !== d.table;
  const inside = (name: string) => state?.interfaces?.find((i) => i.name === name);
  const entering = wanted.map(({ name }) => name).filter((name) => made || !inside(name));
  const leaving = (state?.interfaces ?? []).filter(({ name }) => !wanted.some((i) => i.name === name));
  const declared = new Set([...(d.routes ?? []), ...(state?.routes ?? [])].map(keyOfDeclared));
  const into = (name: string) => enter(name, d.name, d.table, facts, declared);
  const moved = [...entering, ...leaving.map(({ name }) => name)];
  return [
    ...(state && made ? (state.routes ?? []).map((r) => deleteRoute(r, state.table)) : []),
    ...releases(d, { state, facts }, last, d.name),
    ...(made ? deviceSteps(d, { state, facts }, [...Object.keys(facts.guests), ...entering], into) : []),
    ...(made
      ? []
      : [
          ...(facts.up ? [] : [setLink(d.name, "up")]),
          ...ruleSteps(facts.rules),
          ...entering.map((name) => bounce([name], into(name))),
        ]),
    ...wanted.flatMap((i) => addressSteps(i, inside(i.name), facts, d.name)),
    ...convergeRoutes(d.routes ?? [], standing(d, state, facts, moved), d.table),
  ];
}

export function remove({ state, facts, shared }: Seen, last: Last<Shape, Facts>): readonly Step[] {
  const { name, table } = last.desired;
  const found = (shared?.[RULE] as Rules | null | undefined) ?? facts.rules;
  return [
    ...(state?.routes ?? facts.strays).map((r) => deleteRoute(r, state?.table ?? table)),
    ...releases(undefined, { state, facts }, last, name),
    ...(state ? deleteWith(name, facts.guests) : []),
    ...FAMILIES.flatMap((v) => (found[FAMILY[v]] ? [] : [deleteRule(v)])),
  ];
}

/** Its members are as they were found. */
export function boot({ name }: Vrf, { members, found }: Facts): Boot<Facts> {
  const outside = Object.entries(members).map(([member, now]) => [
    member,
    { ...(found[member] ?? now), master: undefined },
  ]);
  const nothing = {
    addresses: [],
    found: {},
    guests: {},
    intruders: [],
    strays: [],
    rules: { ipv4: false, ipv6: false },
  };
  return { order: 20, link: name, facts: { ...nothing, up: false, members: Object.fromEntries(outside) } };
}

function requireMember(name: string, vrf: string, { members }: Facts): void {
  const member = members[name];
  if (!member) throw new HostnetError(`interfaces: ${name} does not exist on the host`);
  if (member.master === undefined || member.master === vrf) return;
  throw new HostnetError(
    `interfaces: ${name} is a member of ${member.master}: release it there first (in one up: dependsOn on what gives it up)`,
  );
}

/** Its members are let go, and those that a hand has taken out get what they have lost. */
function releases(
  d: Vrf | undefined,
  { state, facts }: Seen,
  last: Last<Shape, Facts> | undefined,
  vrf: string,
): Step[] {
  const stays = ({ name }: Interface) => d?.interfaces?.some((i) => i.name === name);
  const inside = (state?.interfaces ?? []).filter((i) => !stays(i));
  const outside = (last?.desired.interfaces ?? []).filter(
    (i) => !stays(i) && !inside.some(({ name }) => name === i.name),
  );
  return [
    ...inside.flatMap((i) => leave(i, facts, vrf, true)),
    ...outside.flatMap(({ name, addresses }) => {
      const there = addresses?.filter((a) => facts.members[name]?.addresses.includes(a));
      return leave({ name, addresses: there }, facts, vrf, false);
    }),
  ];
}

const deleteDevice = (name: string): Step => ({ argv: ["ip", "link", "del", "dev", name, "type", "vrf"] });

/** Members that others attached are let go by it, and have their addresses again. */
function deleteWith(name: string, guests: Facts["guests"]): Step[] {
  const members = Object.entries(guests);
  if (members.length === 0) return [deleteDevice(name)];
  const back = members.flatMap(([guest, { losable }]) =>
    losable.flatMap((text) => restoreAddress(text, guest)),
  );
  return [bounce(Object.keys(guests), [deleteDevice(name), ...back])];
}

/** A device that is made again comes with its members in one process: what they lose is back within milliseconds. */
function deviceSteps(
  d: Vrf,
  { state, facts }: Seen,
  members: readonly string[],
  into: (member: string) => Step[],
): Step[] {
  const { name, table } = d;
  const add = [
    { argv: ["ip", "link", "add", "name", name, "type", "vrf", "table", String(table)] },
    setLink(name, "up"),
    ...facts.addresses.flatMap((text) => restoreAddress(text, name)),
  ];
  // Gateways are found in a VRF only once the rule is there, which the kernel adds with the first VRF alone.
  const rules = ruleSteps({ ipv4: false, ipv6: false });
  if (!state) return [...add, ...rules, ...members.map((member) => bounce([member], into(member)))];
  return [...rules, bounce(members, [deleteDevice(name), ...add, ...members.flatMap(into)])];
}

const FAMILIES = ["-4", "-6"] as const;
const FAMILY = { "-4": "ipv4", "-6": "ipv6" } as const;

/** With the kernel's own protocol: others, as networkd, leave such rules alone. */
function ruleSteps(there: Rules): Step[] {
  const probe = 'ip "$1" rule list l3mdev | grep -q "from all lookup .l3mdev-table."';
  return FAMILIES.filter((v) => !there[FAMILY[v]]).map((v) => ({
    argv: ["ip", v, "rule", "add", "pref", PRIORITY, "l3mdev", "protocol", "kernel"],
    unless: ["sh", "-c", probe, "sh", v],
  }));
}

/** With the last VRF of all, ours and others', and only where it is still there. */
function deleteRule(version: "-4" | "-6"): Step {
  const probe = 'ip link show type vrf | grep -q . || ! ip "$1" rule list pref "$2" | grep -q l3mdev-table';
  return {
    argv: ["ip", version, "rule", "del", "pref", PRIORITY, "l3mdev", "protocol", "kernel"],
    unless: ["sh", "-c", probe, "sh", version, PRIORITY],
    released: [RULE],
  };
}

/** Our routes of the table that stay: those through a link that is bounced do not. */
function standing(d: Vrf, state: Vrf | undefined, facts: Facts, moved: readonly string[]): Route[] {
  const made = state?.table !== d.table;
  const there = made ? (facts.table === d.table ? [] : facts.strays) : (state.routes ?? []);
  const lost = moved
    .flatMap((name) => facts.members[name]?.routes ?? [])
    .filter((text) => tableOf(text) === d.table);
  const keys = new Set(lost.map(keyOf));
  return there.filter((r) => !keys.has(keyOfDeclared(r)));
}
