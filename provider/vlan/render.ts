import { HostnetError } from "../errors";
import {
  convergeAddresses,
  membership,
  othersRoutes,
  passingSteps,
  requireMtu,
  requireTable,
  routesLeft,
  staleFirst,
  through,
} from "../formats/interface";
import { batch, setLink } from "../formats/link";
import { addressOf, restoreAddress, restoreRoute } from "../formats/listed";
import { convergeRoutes } from "../formats/route";
import type { Boot, Claim, Last, Observed, Step } from "../kind";
import type { schema, Vlan } from "./args";
import { type Facts, type Lower, notServed } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: Vlan, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const { state, facts } = before;
  requireLower(d, facts.lower);
  requireMtu(d, state, facts);
  const table = requireTable(d, facts);
  const moves = membership(d, state, last?.desired);
  const again = state !== undefined && isOther(d, state);
  const bounced = state !== undefined && moves.length > 0;
  if (again && facts.attached.length > 0) {
    throw new HostnetError(
      `link, vlanId and protocol cannot change while ${facts.attached.join(", ")} of others is on top of it`,
    );
  }
  const inPlace = [
    ...device(d, state, facts),
    ...(bounced ? staleFirst(d, state) : []),
    ...moves,
    ...(state && facts.up ? [] : [setLink(d.name, "up")]),
  ];
  const now = again ? { ...d, addresses: d.addresses?.filter((a) => facts.addresses.includes(a)) } : state;
  return [
    ...linkUp(d, facts.lower),
    ...(again ? [remade(d, before, state, bounced)] : inPlace),
    ...convergeAddresses(d, now, facts, bounced && !again),
    ...(bounced ? passingSteps(d, state, facts, table) : []),
    ...convergeRoutes(through(d), again || bounced ? [] : routesLeft(d, state, facts), table),
    ...(state && state.link !== d.link ? linkDown(state.link, before) : []),
  ];
}

export function remove(before: Seen, { desired }: Last<Shape, Facts>): readonly Step[] {
  const link = before.state?.link ?? desired.link;
  const there = before.facts.lower.link !== link || before.facts.lower.up !== undefined;
  return [...(before.state ? [deleteDevice(desired.name)] : []), ...(there ? linkDown(link, before) : [])];
}

/** A VLAN that others have something on is not deleted: that would go with it. */
export function blocked({ facts }: Seen): string | undefined {
  return facts.attached.length === 0 ? undefined : `${facts.attached.join(", ")} of others is on top of it`;
}

/** That the link is up, which all VLANs of ours on it share. */
export const claims = ({ link }: Vlan, before?: Seen): Record<string, Claim> => ({
  [claimOf(link)]: { value: "up", former: { up: before?.facts.lower.up } },
});

/** A NIC is there by then; what is on a bridge comes after the bridges, what is on another VLAN at the second try. */
export function boot({ name }: Vlan, { lower, table }: Facts): Boot<Facts> {
  const nothing = { up: false, addresses: [], addressOptions: {}, lasting: [], passing: [], attached: [] };
  const order = lower.type === "bridge" ? 35 : 25;
  return { order, link: name, facts: { ...nothing, table, lower: { ...lower, up: false } } };
}

const claimOf = (link: string): string => `link ${link} up`;

/** What iproute2 cannot change in place. */
const isOther = (d: Vlan, state: Vlan): boolean =>
  d.link !== state.link ||
  d.vlanId !== state.vlanId ||
  (d.protocol !== undefined && state.protocol !== undefined && d.protocol !== state.protocol);

/** Only of the link and id that were looked at: the way back leads to those that were there before. */
function requireLower(d: Vlan, lower: Lower): void {
  if (d.link !== lower.link || d.vlanId !== lower.vlanId) return;
  if (lower.up === undefined) throw new HostnetError(`link: ${d.link} does not exist on the host`);
  if (lower.taken !== undefined)
    throw new HostnetError(
      `vlanId: ${d.vlanId} of ${d.link} is taken by ${lower.taken}: remove it, or use another`,
    );
  if (lower.closed) {
    throw new HostnetError(
      `link: ${notServed(lower)}: add ${d.vlanId} to the vlans of that Bridge (bridge vlan add dev ${d.link} vid ${d.vlanId} self)`,
    );
  }
  if (d.mtu !== undefined && lower.mtu !== undefined && d.mtu > lower.mtu)
    throw new HostnetError(`mtu: ${d.mtu} is more than ${d.link} has, ${lower.mtu}`);
}

/** On the way back it may be down again by now. */
const linkUp = ({ link }: Vlan, lower: Lower): Step[] =>
  link === lower.link && lower.up ? [] : [setLink(link, "up")];

/** With the last of ours on it, where it was found down. */
function linkDown(link: string, { facts: { lower }, shared }: Seen): Step[] {
  const found = (shared?.[claimOf(link)] ?? (lower.link === link ? lower : undefined)) as
    | { up?: boolean }
    | undefined;
  return found?.up === false ? [{ ...setLink(link, "down"), released: [claimOf(link)] }] : [];
}

/** With the index that it had, where it had one. */
function addDevice(d: Vlan, { ifindex }: Facts): Step {
  const words = (word: string, value?: string | number) => (value === undefined ? [] : [word, String(value)]);
  const own = [...words("index", ifindex), ...words("address", d.macAddress), ...words("mtu", d.mtu)];
  const tag = [...words("protocol", d.protocol), "id", String(d.vlanId)];
  return { argv: ["ip", "link", "add", "link", d.link, "name", d.name, ...own, "type", "vlan", ...tag] };
}

const deleteDevice = (name: string): Step => ({ argv: ["ip", "link", "del", "dev", name, "type", "vlan"] });

function device(d: Vlan, state: Vlan | undefined, facts: Facts): Step[] {
  if (!state) return [addDevice(d, facts)];
  return [
    ...(d.macAddress && d.macAddress !== state.macAddress ? [setLink(d.name, "address", d.macAddress)] : []),
    ...(d.mtu && d.mtu !== state.mtu ? [setLink(d.name, "mtu", String(d.mtu))] : []),
  ];
}

/** One process: what goes with the device is back within milliseconds, and nothing can be cut in between. */
function remade(d: Vlan, { rest, facts }: Seen, state: Vlan, bounced: boolean): Step {
  const master = d.vrf ?? (bounced ? undefined : facts.master);
  const leaves = (text: string) =>
    state.addresses?.includes(addressOf(text)) && !d.addresses?.includes(addressOf(text));
  const routes = master === facts.master ? othersRoutes(d, state, facts) : [];
  return batch([
    deleteDevice(d.name),
    addDevice({ ...d, protocol: d.protocol ?? rest?.protocol }, facts),
    ...(master === undefined ? [] : [setLink(d.name, "master", master)]),
    setLink(d.name, "up"),
    ...facts.lasting.filter((text) => !leaves(text)).flatMap((text) => restoreAddress(text, d.name)),
    ...routes.map((text) => restoreRoute(text, d.name)),
  ]);
}
