import * as pulumi from "@pulumi/pulumi";
import type { DhcpDnsFields } from "../../provider/dhcp-dns/args";
import { Bridge } from "../bridge";
import { DhcpDns } from "../dhcp-dns";
import { NftTable } from "../nft-table";
import type { Args } from "../resource";
import { Sysctl } from "../sysctl";
import { forwarding, refused } from "./component";
import {
  apart,
  checked,
  forward,
  type HttpRedirect,
  type PublishedPort,
  postrouting,
  prerouting,
  type Routed,
} from "./routed-rules";
import { subnetsOf } from "./subnet";

export type { HttpRedirect, PublishedPort };

/** A network of guests behind the host, which is their router, their resolver and their firewall. */
export interface RoutedNetworkFields
  extends Pick<DhcpDnsFields, "leases" | "domain" | "upstreams" | "records" | "options" | "options6"> {
  /** Name of the bridge that guests are attached to, 1 to 15 of A-Z a-z 0-9 _ . -. @default the component's name */
  bridge?: string;
  /**
   * The guests' network, "10.7.0.0/24"; or one of IPv4 and one of IPv6, a /64. Its first address is the host's. A network
   * of IPv6 that the world knows keeps its addresses; others leave with that of the host.
   */
  subnet: string | string[];
  /** Link by which guests get out. Left out, they reach each other and the host. */
  uplink?: string;
  /** What guests get by lease. @default the upper half of an IPv4 network; 4096 addresses of an IPv6 one, beside SLAAC */
  ranges?: DhcpDnsFields["ranges"];
  /** Ports of the host that lead to guests: for whoever comes by the uplink, and for guests; not for the host itself. */
  publish?: PublishedPort[];
  /**
   * Where every guest's HTTP (TCP port 80) goes instead, whatever server it asks for. HTTP of a family that has no target
   * is refused. What guests of one bridge ask of each other is bridged, and not redirected.
   */
  redirectHttp?: HttpRedirect;
  /**
   * Guests reach each other by no frame and no packet, but for the ports that are published or that HTTP is redirected to.
   * (A port may also be `isolated` by whoever attaches it.) @default false
   */
  isolated?: boolean;
  /** More rules for what is forwarded from and to the guests, in nft's words, before it is decided. */
  rules?: string[];
}

/** Whether guests are apart decides what there is, so it must be known. */
export type RoutedNetworkArgs = Omit<Args<RoutedNetworkFields>, "isolated"> &
  Pick<RoutedNetworkFields, "isolated">;

/**
 * A bridge without a physical port, the host as its router: addresses, leases, names, NAT, published ports and an HTTP
 * redirect. New connections to guests come in by published ports only; what other links forward is left alone. The host
 * begins to forward (net.ipv4.ip_forward; net.ipv6.conf.all.forwarding with IPv6, after which an uplink that has its own
 * route by router advertisements needs accept_ra = 2).
 *
 * ```ts
 * const guests = new RoutedNetwork("br-guests", { ...host, subnet: "10.7.0.0/24", uplink: "eth0", domain: "guests.example",
 *   leases: [{ mac: "52:54:00:00:00:05", address: "10.7.0.5", name: "web" }],
 *   publish: [{ port: 8080, to: "10.7.0.5", toPort: 80 }] });
 * ```
 */
export class RoutedNetwork extends pulumi.ComponentResource {
  /** Name of the bridge, for whoever attaches guests: known once it is there. */
  readonly bridge: pulumi.Output<string>;
  /** The host's addresses in the network, which guests have as router and resolver. */
  readonly gateways: pulumi.Output<string[]>;

  constructor(name: string, args: RoutedNetworkArgs, opts?: pulumi.ComponentResourceOptions) {
    super("hostnet:index:RoutedNetwork", name, {}, opts);
    const { connection, ssh, confirm, adopt, persist, acceptMachine, isolated = false, ...fields } = args;
    const host = { connection, ssh, confirm, adopt, persist, acceptMachine };
    const bridgeName = pulumi.output(fields.bridge ?? name);
    const subnets = pulumi
      .output(fields.subnet)
      .apply((given) => refused("RoutedNetwork", name, () => subnetsOf(given as string | string[])));
    const routed = pulumi
      .all([bridgeName, subnets, fields.uplink, fields.publish, fields.redirectHttp, fields.rules])
      .apply(([bridge, subnets, uplink, publish = [], redirectHttp, rules = []]) =>
        refused("RoutedNetwork", name, () =>
          checked({ bridge, subnets, uplink, publish, redirectHttp, isolated, rules } as Routed),
        ),
      );
    const own = { parent: this };
    const table = pulumi.interpolate`routed-${bridgeName}`;

    // The rules first: they name the bridge, and wait for it.
    const rules = new NftTable(
      name,
      {
        ...host,
        family: "inet",
        name: table,
        counters: { refused: {}, spoofed: {} },
        chains: {
          prerouting: {
            type: "nat",
            hook: "prerouting",
            priority: "dstnat",
            rules: routed.apply(prerouting),
          },
          postrouting: {
            type: "nat",
            hook: "postrouting",
            priority: "srcnat",
            rules: routed.apply(postrouting),
          },
          forward: { type: "filter", hook: "forward", priority: "filter", rules: routed.apply(forward) },
        },
      },
      own,
    );
    const between = isolated
      ? [
          new NftTable(
            `${name}-apart`,
            {
              ...host,
              family: "bridge",
              name: table,
              chains: {
                forward: {
                  type: "filter",
                  hook: "forward",
                  priority: "filter",
                  rules: routed.apply(apart),
                },
              },
            },
            own,
          ),
        ]
      : [];
    const lan = new Bridge(
      name,
      { ...host, name: bridgeName, addresses: subnets.apply((all) => all.map(({ address }) => address)) },
      { ...own, dependsOn: [rules, ...between] },
    );
    new Sysctl(
      name,
      { ...host, name: table, settings: subnets.apply((all) => forwarding(all.map(({ family }) => family))) },
      { ...own, dependsOn: lan },
    );
    new DhcpDns(
      name,
      {
        ...host,
        interface: lan.name,
        ranges: fields.ranges ?? subnets.apply((all) => all.map(({ range }) => range)),
        leases: fields.leases,
        domain: fields.domain,
        upstreams: fields.upstreams,
        records: fields.records,
        options: fields.options,
        options6: fields.options6,
      } as ConstructorParameters<typeof DhcpDns>[1],
      own,
    );
    this.bridge = lan.name;
    this.gateways = subnets.apply((all) => all.map(({ gateway }) => gateway));
    this.registerOutputs({ bridge: this.bridge, gateways: this.gateways });
  }
}
