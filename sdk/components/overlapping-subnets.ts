import * as pulumi from "@pulumi/pulumi";
import { Bridge, type BridgeArgs } from "../bridge";
import type { HostArgs } from "../host";
import { NftTable } from "../nft-table";
import { PolicyRoute } from "../policy-route";
import { Sysctl } from "../sysctl";
import { Vrf } from "../vrf";
import { forwarding, refused } from "./component";
import { readOverlap, type Site, translation, zonesInBridges } from "./overlap";

/** A bridge for the guests of a site: its name, and any field of a `Bridge` but those that the site gives it. */
export type OverlappingSiteBridge = Omit<
  BridgeArgs,
  keyof HostArgs | "name" | "addresses" | "routes" | "vrf" | "up"
> & { name: string };

/** A network that uses the shared addresses, and how the other sites see it. */
export interface OverlappingSite {
  /**
   * Table of the site's VRF, mark of the packets to the site, and zone in connection tracking of the connections from it: 1
   * to 65535, but for 253 to 255. No other site, and no other tool of the host, may use it for one of these.
   */
  id: number;
  /**
   * The networks under which all sites see this one, one for each of `addresses` and as long: "192.168.3.0/24". Nodes of
   * the sites need a route to them by the host. No two sites may have the same.
   */
  seenAs: readonly string[];
  /**
   * The link that the site is plugged into, a NIC, a veth, a VLAN, which no other resource owns. The VRF takes it in, and
   * it gets `addresses`. Either this or `bridge`.
   */
  interface?: pulumi.Input<string>;
  /**
   * Makes a bridge for the site, in its VRF and with `addresses`: its name, or its fields. Taps come and go as they like.
   * The zones of bridged sites are set in the bridge family too, so that they hold where others filter in bridges by
   * connection; with it, the kernel tracks the connections in all bridges of the host (Linux 5.3).
   */
  bridge?: string | OverlappingSiteBridge;
  /** Name of the VRF device, 1 to 15 of A-Z a-z 0-9 _ . -. A change replaces it. @default "vrf-" and the site's name */
  vrf?: string;
}

export interface OverlappingSubnetsArgs extends HostArgs {
  /**
   * The host's own addresses in every site, one of IPv4, one of IPv6, or both: "192.168.2.1/24". Their networks are what
   * all sites share. Elsewhere the host must have no address in them, for the kernel would keep its packets for itself:
   * `connection.host` is refused there by the program, any other by the host, when a site is made (`Vrf.exclusive`).
   */
  addresses: readonly string[];
  /** By name, which is part of the names of the resources: a site comes, goes and changes without the others. */
  sites: Readonly<Record<string, OverlappingSite>>;
  /** Of the ip rules, 1 to 999: before the rule 1000, by which VRFs look for routes. @default 900 */
  priority?: number;
}

/**
 * Networks that use the same addresses reach each other, each under a network of its own, without namespaces: a VRF
 * for each keeps the equal subnets apart, a mark carries a packet into the table of the site that it is for, prefix NAT
 * translates address by address, and a zone in connection tracking for each tells apart connections that look the same.
 * Everything else stays inside the site. A site sees itself under its own `seenAs`, too.
 *
 * It turns on forwarding of the host, for the versions that `addresses` has. With IPv6, a link of the host that lives
 * on router advertisements needs `net.ipv6.conf.<link>.accept_ra` = 2 before that.
 *
 * ```ts
 * new OverlappingSubnets("sites", {
 *   ...host,
 *   addresses: ["192.168.2.1/24"],
 *   sites: {
 *     berlin: { id: 100, interface: "eth1", seenAs: ["192.168.3.0/24"] },
 *     paris: { id: 200, interface: "eth2", seenAs: ["192.168.4.0/24"] },
 *     lab: { id: 300, bridge: "br-lab", seenAs: ["192.168.5.0/24"] },
 *   },
 * });
 * ```
 *
 * What may pass between the sites, a table of your own decides at the hook forward: by `oifname`, and by
 * `ct original zone`, which is the id of the site that a connection came from.
 */
export class OverlappingSubnets extends pulumi.ComponentResource {
  /** By the site's name. */
  readonly vrfs: Readonly<Record<string, Vrf>>;
  /** By the name of the site, where it has one. */
  readonly bridges: Readonly<Record<string, Bridge>>;

  constructor(name: string, args: OverlappingSubnetsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("hostnet:index:OverlappingSubnets", name, {}, opts);
    const { addresses: _, sites: __, priority: ___, ...host } = args;
    const overlap = refused("OverlappingSubnets", name, () => readOverlap(args));
    const { sites, shared } = overlap;
    const addresses = [...overlap.addresses];
    const parent = { parent: this };
    const each = <T>(make: (site: Site) => T | undefined): Record<string, T> =>
      Object.fromEntries(
        sites.flatMap((site) => {
          const made = make(site);
          return made === undefined ? [] : [[site.name, made]];
        }),
      );

    this.vrfs = each(
      ({ name: site, id, vrf, given }) =>
        new Vrf(
          `${name}-${site}`,
          {
            ...host,
            name: vrf,
            table: id,
            ...(given.interface !== undefined && { interfaces: [{ name: given.interface, addresses }] }),
            // Of both versions, whichever the sites use: nothing may go on to the main table, and leave by the uplink.
            routes: ["0.0.0.0/0", "::/0"].map((destination) => ({
              destination,
              type: "unreachable" as const,
              metric: 4278198272,
            })),
            exclusive: [...shared.values()],
          },
          parent,
        ),
    );
    this.bridges = each(({ name: site, vrf, given: { bridge } }) => {
      if (bridge === undefined) return undefined;
      const fields = typeof bridge === "string" ? { name: bridge } : bridge;
      const more = { parent: this, dependsOn: this.vrfs[site]! };
      return new Bridge(`${name}-${site}`, { ...host, ...fields, vrf, addresses }, more);
    });
    const links = [...Object.values(this.vrfs), ...Object.values(this.bridges)];
    const rules = sites.flatMap(({ name: site, id }) =>
      [...shared.keys()].map((version) => {
        const family = version === 4 ? ("ipv4" as const) : ("ipv6" as const);
        return new PolicyRoute(
          `${name}-${site}-${family}`,
          { ...host, family, priority: overlap.priority, fwmark: id, table: id },
          { parent: this, dependsOn: this.vrfs[site]! },
        );
      }),
    );
    // Nothing is translated before it has its way, and nothing forwarded for us before it is kept apart.
    const bridged = zonesInBridges(overlap);
    if (bridged) new NftTable(`${name}-bridges`, { ...host, name, ...bridged }, parent);
    new NftTable(
      name,
      { ...host, name, ...translation(overlap) },
      { parent: this, dependsOn: [...links, ...rules] },
    );
    new Sysctl(
      `${name}-forwarding`,
      { ...host, settings: forwarding(shared.keys()) },
      { parent: this, dependsOn: links },
    );
    this.registerOutputs({ vrfs: Object.fromEntries(sites.map(({ name: site, vrf }) => [site, vrf])) });
  }
}
