import { HostnetError } from "../errors";
import { parseListedVlans, showVlans } from "../formats/bridge-vlan";
import {
  type InterfaceFacts,
  interfaceFacts,
  lentAddresses,
  observedInterface,
  parseAttached,
  showAttached,
} from "../formats/interface";
import { type Link, parseLink, showLink } from "../formats/link";
import { lastingTexts, showRoutesOf } from "../formats/listed";
import { showRoutes } from "../formats/route";
import type { Last, Observed, Query, Result } from "../kind";
import type { schema, Vlan } from "./args";

type Shape = typeof schema.shape;

/** The link that is declared, and what of it is in the way. */
export interface Lower {
  readonly link: string;
  readonly vlanId: number;
  readonly type?: string;
  /** Absent ones do not exist on the host. */
  readonly up?: boolean;
  readonly mtu?: number;
  /** The device that has the id already. */
  readonly taken?: string;
  /** A bridge that filters VLANs, and takes no part in this one. */
  readonly closed: boolean;
}

export interface Facts extends InterfaceFacts {
  readonly ifindex?: number;
  readonly up: boolean;
  /** Its addresses, whoever gave them, in the order of adding: they go with the device when it is made again. */
  readonly lasting: readonly string[];
  /** VLANs and macvlans on top of it. */
  readonly attached: readonly string[];
  readonly lower: Lower;
}

/** What is looked at, by name: each look is a process on the host. */
function looks(d: Vlan, last?: Last<Shape, Facts>): Readonly<Record<string, Query>> {
  const [v4, v6] = showRoutes("dev", d.name) as [Query, Query];
  return {
    own: showLink(d.name),
    // The surroundings: others' addresses on the link, their VLANs and routes come and go.
    lower: { ...showLink(d.link), free: true },
    siblings: { argv: ["sh", "-c", SIBLINGS, "sh", d.link, String(d.vlanId)], free: true },
    passing: showRoutesOf(d.name),
    attached: showAttached(d.name),
    served: { ...showVlans(d.link), free: true },
    ...((d.routes ?? last?.desired.routes) !== undefined && { v4, v6 }),
    ...(d.vrf !== undefined && { vrf: showLink(d.vrf) }),
  };
}

/** Of the VLANs of the link, which may be thousands, those of the id. */
const SIBLINGS = 'ip -d -o link show type vlan | grep -E "@$1: .* id $2 "; :';

export const query = (d: Vlan, last?: Last<Shape, Facts>): readonly Query[] => Object.values(looks(d, last));

export function parse(
  results: readonly Result[],
  d: Vlan,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const answers = Object.fromEntries(Object.keys(looks(d, last)).map((name, n) => [name, results[n]!]));
  const link = parseLink(answers.own!, d.name);
  if (link && link.type !== "vlan")
    throw new HostnetError(`${d.name} is there, but is no VLAN: ${link.type ?? "a NIC"}`);
  const vrf = answers.vrf && d.vrf !== undefined ? parseLink(answers.vrf, d.vrf) : undefined;
  const facts: Facts = {
    ...interfaceFacts(d, link, vrf, answers.passing),
    ifindex: link?.ifindex,
    up: link?.up ?? false,
    lasting: link ? lastingTexts(link) : [],
    attached: parseAttached(answers.attached!.stdout),
    lower: asLower(d, parseLink(answers.lower!, d.link), answers.siblings!, answers.served!),
  };
  if (!link) return { facts };

  const wanted = { ...last?.desired, ...d };
  const scalars = observedScalars(link);
  const managed = Object.entries(scalars).filter(([key]) => key in wanted);
  return {
    state: {
      name: d.name,
      // A link in another namespace has no name here.
      link: link.lower ?? "",
      vlanId: link.data.id as number,
      ...observedInterface(d, last?.desired, facts, [answers.v4, answers.v6]),
      ...Object.fromEntries(managed),
    },
    rest: Object.fromEntries(Object.entries(scalars).filter(([key]) => !(key in wanted))),
    facts,
    broken: [
      ...(facts.up ? [] : ["the device is down"]),
      ...(facts.lower.closed ? [notServed(facts.lower)] : []),
    ],
    warnings: lentAddresses(d, facts),
  };
}

export const notServed = ({ link, vlanId }: Lower): string =>
  `${link} filters VLANs, and takes no part in ${vlanId} itself`;

const observedScalars = ({ mtu, mac, data }: Link) => ({
  protocol: data.protocol as Vlan["protocol"],
  mtu,
  macAddress: mac,
});

function asLower(
  { name, link, vlanId, protocol = "802.1Q" }: Vlan,
  lower: Link | undefined,
  siblings: Result,
  served: Result,
): Lower {
  const taken = siblings.stdout.split("\n").flatMap((line) => {
    const [, sibling, on] = /^\d+: ([^:@]+)@([^:]+): /.exec(line) ?? [];
    return on === link && sibling !== name && line.includes(` protocol ${protocol} id ${vlanId} `)
      ? [sibling!]
      : [];
  });
  const { type, up, mtu, data } = lower ?? {};
  // A bridge of another protocol takes the tag for a part of the frame.
  const filters = type === "bridge" && data?.vlan_filtering === 1 && data.vlan_protocol === protocol;
  // Its own entry of the VLAN must be there, and tagged.
  const closed = filters && parseListedVlans(served, link).vlans.get(vlanId) !== false;
  return { link, vlanId, type, up, mtu, taken: taken[0], closed };
}
