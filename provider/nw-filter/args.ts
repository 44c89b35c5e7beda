import { z } from "zod";
import { type FilterParameters, filterName } from "../formats/filterref";
import { libvirtUri, uuid } from "../formats/libvirt";
import type { Desired, Problem } from "../kind";
import { canonical } from "../schema";
import { entry } from "./entries";
import { chainName, chainPriority, type Filter, parseFilter, renderFilter, standardPriority } from "./filter";
import { lossesOf } from "./losses";
import type { PROTOCOLS, Protocol, Values } from "./protocols";

type Attributes<P extends Protocol> = (typeof PROTOCOLS)[P];

/** What a packet of one protocol must have, all of it; with match "no", what it must not have. */
export type NwFilterMatch<P extends Protocol> = {
  /** "no": matches what has none of these attributes. @default "yes" */
  match?: "yes" | "no";
} & {
  -readonly [A in keyof Attributes<P>]?: Attributes<P>[A] extends keyof Values
    ? Values[Attributes<P>[A]]
    : never;
};

type Matches<P extends Protocol> = {
  -readonly [K in P]: NwFilterMatch<K> | readonly NwFilterMatch<K>[];
} & { [K in Exclude<Protocol, P>]?: undefined };

interface RuleFields {
  /** "return" ends the chain, "continue" goes on with the next rule. "reject" is "drop" for protocols of the bridge. */
  action: "accept" | "drop" | "reject" | "return" | "continue";
  /** As the guest sees it: "in" to it, "out" from it. */
  direction: "in" | "out" | "inout";
  /** -1000 to 1000: the lower, the earlier. @default 500 */
  priority?: number;
  /** false: libvirt does not add the connection's state by itself. @default true */
  statematch?: boolean;
  filter?: undefined;
  parameters?: undefined;
}

/**
 * A rule: what happens to packets of one protocol, which is the key: { action: "accept", direction: "in", tcp: {
 * dstportstart: 22 } }. Several matches of one protocol stand in a list. Without a protocol, all packets are meant.
 */
export type NwFilterRule = RuleFields &
  ({ [P in Protocol]: Matches<P> }[Protocol] | { [P in Protocol]?: undefined });

/** The rules of another filter, at this place. Filters may not refer to each other in a circle. */
export interface NwFilterRef {
  /** Name of the filter: `other.name`, so that it is there first, or one that comes with libvirt, as "clean-traffic". */
  filter: string;
  /** What stands for its variables: { IP: ["10.0.0.5", "10.0.0.6"] } for "$IP". Of A-Z a-z 0-9 _ . : only. */
  parameters?: FilterParameters;
  action?: undefined;
  direction?: undefined;
}

/** A network filter of libvirt. Either `entries`, with `chain` and `priority`, or `xml`. */
export interface NwFilterFields {
  /** 1 to 100 of A-Z a-z 0-9 _ . -. A change replaces the filter. @default the resource's name */
  name?: string;
  /** "root", or a name that begins with mac, vlan, stp, arp, rarp, ipv4 or ipv6, to 12 characters. @default "root" */
  chain?: string;
  /** -1000 to 1000: which chain comes first. libvirt's default follows from the chain: ipv4 -700, arp -500, … */
  priority?: number;
  /** Left out, one is made from the name. It stays for life: libvirt takes a redefinition only with the same. */
  uuid?: string;
  /** How virsh reaches libvirt; all of one host share their filters. @default "qemu:///system" */
  uri?: string;
  /** Rules, and references to other filters, in order. */
  entries?: (NwFilterRule | NwFilterRef)[];
  /** The filter as a file for `virsh nwfilter-define`; its name must be that of the resource. */
  xml?: string;
}

export const schema = z.strictObject({
  name: filterName,
  chain: chainName.optional(),
  priority: chainPriority.optional(),
  uuid: uuid.optional(),
  uri: libvirtUri.optional(),
  entries: z.array(entry).optional(),
  xml: canonical((text) => renderFilter(parseFilter(text))).optional(),
});

export type NwFilter = Desired<typeof schema.shape>;

/** What is to stand on the host; of the UUID only what the program says. */
export function filterOf({ name, chain = "root", priority, entries = [], xml, ...d }: NwFilter): Filter {
  if (xml === undefined)
    return { name, uuid: d.uuid, chain, priority: priority ?? standardPriority(chain), entries };
  const filter = parseFilter(xml);
  return { ...filter, uuid: filter.uuid ?? d.uuid };
}

export function refine(d: NwFilter): readonly Problem[] {
  const losses = lossesOf(filterOf(d)).map(({ entry, property, reason }) => {
    if (d.xml !== undefined)
      return {
        property: "xml",
        reason: entry === undefined ? reason : `entry ${entry + 1}: ${property}: ${reason}`,
      };
    return { property: entry === undefined ? property! : `entries[${entry}].${property}`, reason };
  });
  return [...(d.xml === undefined ? ofFields(d) : ofXml(d, d.xml)), ...losses];
}

function ofFields(d: NwFilter): Problem[] {
  const itself = (d.entries ?? []).findIndex((one) => "filter" in one && one.filter === d.name);
  return [
    ...(d.entries === undefined ? [{ property: "entries", reason: "is required, or xml" }] : []),
    ...(itself >= 0 ? [{ property: `entries[${itself}].filter`, reason: "is the filter itself" }] : []),
  ];
}

function ofXml(d: NwFilter, xml: string): Problem[] {
  const { name, uuid: own, entries } = parseFilter(xml);
  const twice = (["chain", "priority", "entries"] as const).filter((key) => d[key] !== undefined);
  return [
    ...twice.map((property) => ({ property, reason: "stands in xml already: leave it out" })),
    ...(name === d.name
      ? []
      : [
          {
            property: "xml",
            reason: `its name is ${name}, that of the resource ${d.name}: give name: "${name}"`,
          },
        ]),
    ...(own !== undefined && d.uuid !== undefined && own !== d.uuid
      ? [{ property: "uuid", reason: `xml says ${own}: leave it out` }]
      : []),
    ...(entries.some((one) => "filter" in one && one.filter === d.name)
      ? [{ property: "xml", reason: "refers to the filter itself" }]
      : []),
  ];
}
