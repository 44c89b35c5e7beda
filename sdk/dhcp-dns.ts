import type * as pulumi from "@pulumi/pulumi";
import type { DhcpDnsFields } from "../provider/dhcp-dns/args";
import { type Args, HostResource } from "./resource";

export type DhcpDnsArgs = Args<DhcpDnsFields>;

/**
 * DHCP and DNS for the guests on a bridge or another link, by a dnsmasq of its own. It must let them in: UDP 67 and 53, TCP
 * 53, and UDP 547 for DHCPv6, where the host has a firewall on input.
 *
 * ```ts
 * new DhcpDns("guests", { ...host, interface: lan.name, domain: "lan.example",
 *   ranges: [{ start: "192.168.7.100", end: "192.168.7.199" }],
 *   leases: [{ mac: "52:54:00:00:00:05", address: "192.168.7.5", name: "web" }] });
 * ```
 */
export class DhcpDns extends HostResource {
  declare readonly interface: pulumi.Output<string>;
  declare readonly domain: pulumi.Output<string | undefined>;

  constructor(name: string, args: DhcpDnsArgs, opts?: pulumi.CustomResourceOptions) {
    super("DhcpDns", "dhcpDns", ["domain"], name, args, opts);
  }
}
