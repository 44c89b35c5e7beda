// What OverlappingSubnets makes of its arguments, as data: the sites, all that is wrong with them, the rules of nftables.
import { isIP } from "node:net";
import {
  canonicalInterface,
  canonicalPrefix,
  contains,
  family,
  networkOf,
} from "../../provider/formats/cidr";
import { nft } from "../nft";
import type { NftTableArgs } from "../nft-table";
import type { OverlappingSite, OverlappingSubnetsArgs } from "./overlapping-subnets";

type Version = 4 | 6;
type ByVersion = ReadonlyMap<Version, string>;

export interface Site {
  readonly name: string;
  readonly id: number;
  /** Name of its VRF. */
  readonly vrf: string;
  /** The link that its packets come in by. */
  readonly link: OverlappingSite["interface"];
  /** Under which the sites see it. */
  readonly seenAs: ByVersion;
  readonly given: OverlappingSite;
}

interface Overlap {
  /** The host's own in every site. */
  readonly addresses: readonly string[];
  /** The network that all sites use. */
  readonly shared: ByVersion;
  readonly priority: number;
  /** In the order of their names. */
  readonly sites: readonly Site[];
}

/** VRFs are asked for a route at this priority. */
const VRFS = 1000;
const NAMES: Readonly<Record<Version, { word: string; type: string }>> = {
  4: { word: "ip", type: "ipv4_addr" },
  6: { word: "ip6", type: "ipv6_addr" },
};

/** Throws all that is wrong, a line each. */
export function readOverlap({
  addresses,
  sites,
  priority = 900,
  connection,
}: OverlappingSubnetsArgs): Overlap {
  const problems: string[] = [];
  const problem = (property: string, reason: string) => problems.push(`${property}: ${reason}`);
  /** By version; what is wrong is told of and left out. */
  const read = (
    property: string,
    texts: readonly string[],
    canonical: (text: string) => string,
  ): ByVersion => {
    const found = new Map<Version, string>();
    if (!Array.isArray(texts)) problem(property, "must be a list of texts");
    else
      texts.forEach((text, n) => {
        try {
          if (typeof text !== "string")
            throw new Error("must be a text that the program knows before it runs");
          const one = canonical(text);
          if (found.has(family(one)))
            problem(`${property}[${n}]`, `${text}: is a second one of IPv${family(one)}`);
          else found.set(family(one), one);
        } catch (error) {
          problem(`${property}[${n}]`, `${text}: ${(error as Error).message}`);
        }
      });
    return found;
  };

  const own = read("addresses", addresses, canonicalInterface);
  const shared = new Map([...own].map(([v, address]) => [v, networkOf(address)]));
  if (addresses.length === 0) problem("addresses", "must hold one or two, as 192.168.2.1/24");
  if (!Number.isInteger(priority) || priority < 1 || priority >= VRFS)
    problem("priority", `${priority}: must be 1 to ${VRFS - 1}, before that of VRFs`);
  // What the kernel would deliver to the host itself, whatever site it is for.
  const host = (connection as { host?: unknown } | undefined)?.host;
  for (const net of shared.values())
    if (typeof host === "string" && isIP(host) > 0 && contains(net, host))
      problem(
        "connection.host",
        `${host}: is in ${net}, the network of the sites, where the host may have no address`,
      );

  const found = Object.entries(sites)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, given]): Site => {
      const { id, vrf = `vrf-${name}`, bridge } = given;
      const at = `sites.${name}`;
      const seenAs = read(`${at}.seenAs`, given.seenAs, canonicalPrefix);
      if (!Number.isInteger(id) || id < 1 || id > 65535 || (id > 252 && id < 256))
        problem(`${at}.id`, `${id}: must be 1 to 65535, but for 253 to 255`);
      if (vrf.length > 15) problem(`${at}.vrf`, `${vrf}: has more than 15 characters: give a shorter one`);
      if ((given.interface === undefined) === (bridge === undefined))
        problem(at, "needs interface or bridge, and not both");
      for (const v of new Set([...shared.keys(), ...seenAs.keys()])) {
        const reason = misfit(v, shared.get(v), seenAs.get(v));
        if (reason) problem(`${at}.seenAs`, reason);
      }
      const link = given.interface ?? (typeof bridge === "object" ? bridge.name : bridge);
      return { name, id, vrf, link, seenAs, given };
    });
  for (const { site, property, value, first } of twice(found))
    problem(`sites.${site}.${property}`, `${value}: is that of sites.${first} too`);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  return { addresses: [...own.values()], shared, priority, sites: found };
}

/** Why the one cannot stand for the other, address by address. */
function misfit(v: Version, shared: string | undefined, seen: string | undefined): string | undefined {
  const length = (prefix: string) => prefix.split("/")[1];
  if (shared === undefined) return `${seen}: the host has no address of IPv${v} in addresses`;
  if (seen === undefined) return `needs a network of IPv${v}, in the place of ${shared}`;
  if (length(seen) !== length(shared)) return `${seen}: must be a /${length(shared)}, as ${shared} is`;
  return seen === shared ? `${seen}: is the network of the sites themselves` : undefined;
}

/** What no two sites may have in common. Names of links that are not known yet are left to the host. */
function twice(sites: readonly Site[]) {
  const owned = sites.flatMap(({ name, id, vrf, link, seenAs, given }) => [
    { site: name, property: "id", value: id },
    { site: name, property: "vrf", value: vrf },
    ...[...seenAs.values()].map((value) => ({ site: name, property: "seenAs", value })),
    ...(typeof link === "string"
      ? [{ site: name, property: given.interface === undefined ? "bridge" : "interface", value: link }]
      : []),
  ]);
  const links = (property: string) => (property === "bridge" ? "interface" : property);
  return owned.flatMap((one, n) => {
    const earlier = owned
      .slice(0, n)
      .find((o) => links(o.property) === links(one.property) && o.value === one.value && o.site !== one.site);
    return earlier ? [{ ...one, first: earlier.site }] : [];
  });
}

type Table = Pick<NftTableArgs, "family" | "sets" | "maps" | "chains">;

/** Which zone a connection begins in, by the link that its packets come in by. */
const zones = (key: string, sites: readonly Site[]) => ({
  typeof: key,
  value: "ct zone",
  elements: sites.map(({ link, id }) => ({ element: link!, value: String(id) })),
});

/** Zones, marks and addresses of what goes from site to site. What every packet meets is looked up, however many sites. */
export function translation({ shared, sites }: Overlap): Table {
  const versions = [...shared].map(([v, net]) => {
    const seen = sites.map(({ id, seenAs }) => ({ id, outer: seenAs.get(v)! }));
    return { ip: nft.raw(NAMES[v].word), type: NAMES[v].type, net, seen, marks: `marks${v}` };
  });
  const ids = nft.raw(`{ ${sites.map(({ id }) => `${id} : ${id}`).join(", ")} }`);
  const marks = ({ type, seen }: (typeof versions)[number]) => ({
    type,
    value: "mark",
    flags: ["interval" as const],
    elements: seen.map(({ id, outer }) => ({ element: outer, value: String(id) })),
  });
  return {
    family: "inet",
    // Linux 6.1 takes no map in the place of a set.
    sets: { links: { type: "ifname", elements: sites.map(({ link }) => ({ element: link! })) } },
    maps: {
      zones: zones("iifname", sites),
      ...Object.fromEntries(versions.map((version) => [version.marks, marks(version)])),
    },
    chains: {
      // Of the original direction only: replies come from another site, and must find the connection they belong to.
      zones: {
        type: "filter",
        hook: "prerouting",
        priority: "raw",
        rules: [nft`ct original zone set iifname map @zones`],
      },
      // The site that a packet is for: there by its address, back by the zone in which the connection began.
      marks: {
        type: "filter",
        hook: "prerouting",
        priority: "mangle",
        rules: [
          nft`iifname != @links return`,
          ...versions.map(
            ({ ip, net, marks }) =>
              nft`ct direction original ${ip} saddr ${net} meta mark set ${ip} daddr map @${marks}`,
          ),
          ...(sites.length > 0 ? [nft`ct direction reply meta mark set ct original zone map ${ids}`] : []),
        ],
      },
      translateTarget: {
        type: "nat",
        hook: "prerouting",
        priority: "dstnat",
        rules: versions.flatMap(({ ip, net, seen }) =>
          seen.map(({ outer }) => nft`iifname @links ${ip} daddr ${outer} dnat ${ip} prefix to ${net}`),
        ),
      },
      translateSource: {
        type: "nat",
        hook: "postrouting",
        priority: "srcnat",
        rules: versions.flatMap(({ ip, net, seen }) =>
          seen.map(
            ({ id, outer }) => nft`ct original zone ${id} ${ip} saddr ${net} snat ${ip} prefix to ${outer}`,
          ),
        ),
      },
    },
  };
}

/** The same zones for frames in the bridges: where bridges track connections, IP's own rules come too late. */
export function zonesInBridges({ sites }: Overlap): Table | undefined {
  const bridged = sites.filter(({ given }) => given.bridge !== undefined);
  if (bridged.length === 0) return undefined;
  return {
    family: "bridge",
    maps: { zones: zones("meta ibrname", bridged) },
    chains: {
      zones: {
        type: "filter",
        hook: "prerouting",
        priority: -300,
        rules: [nft`ct original zone set meta ibrname map @zones`],
      },
    },
  };
}
