import { z } from "zod";
import { aimless, type Route, routes } from "../formats/route";
import type { Desired, Problem } from "../kind";
import { ifname, interfaceAddress, prefix, setOf, tableId } from "../schema";

/** A link that is a member of the VRF: a NIC, a veth, a VLAN. */
export interface VrfInterface {
  /** Name of the link. It must exist on the host, and must not be a member of another bridge or VRF. */
  name: string;
  /** Addresses for it, with prefix lengths: "192.168.2.1/24", "2001:db8::1/64". Those it has anyway stay. */
  addresses?: string[];
}

/**
 * A VRF: a routing table with links of its own. Needs the kernel module vrf (Linux 4.8, Debian 9), and iproute2 4.7.
 *
 * The kernel takes every link down and up as it enters or leaves a VRF. Its addresses, and its routes of all tables, are
 * put back at once. Its routes of the main table stand in the VRF's table while it is a member, where the kernel moves the
 * routes of its addresses too, and in the main table again when it is released. Routes with several ways are kept
 * only where all of them lead through the one link. What routing daemons install (BGP, OSPF, IS-IS, Babel) and what
 * router advertisements bring, they bring again by themselves.
 *
 * The rule that sends packets to VRFs (`1000: from all lookup [l3mdev-table]`) is seen to, for IPv4 and IPv6, and leaves
 * with the last VRF if it came with the first of ours.
 */
export interface VrfFields {
  /** Name of the device: 1 to 15 of A-Z a-z 0-9 _ . -. A change replaces the VRF. @default the resource's name */
  name?: string;
  /**
   * Its routing table, 1 to 4294967295 but for 253 to 255. No other VRF and no other tool may use it. The kernel cannot
   * change it in place: the device is deleted and made again in one go, with its members, addresses and routes.
   */
  table: number;
  /**
   * Links that it takes in and sets up, but for those of a Bridge or Vlan, which say so themselves with `vrf`. One that
   * leaves is given back as it was found. Members that others attached stay, and keep their addresses when the VRF is
   * deleted. Entering and leaving takes a link down and up, and the VLANs on top of it: what these have, IPv6 addresses and
   * routes, is back within milliseconds, whoever made them.
   */
  interfaces?: (string | VrfInterface)[];
  /**
   * Routes of its table. A packet that finds none goes on to the main table: where that must not be, add
   * { destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 }, and "::/0" likewise. Routes through a
   * bridge stand in `Bridge.routes`.
   */
  routes?: Route[];
  /**
   * Networks of its links in which the host may have no address outside of VRFs. The kernel would keep the packets for such
   * an address, whatever VRF they are in: the table `local` is asked before that of any VRF. One that is there is refused
   * when the VRF is made, and drift later.
   */
  exclusive?: string[];
}

const member = z.strictObject({ name: ifname, addresses: setOf(interfaceAddress).optional() });

export const schema = z.strictObject({
  name: ifname,
  table: tableId,
  interfaces: setOf(
    z.union([ifname.transform((name) => ({ name })), member]).transform((m) => m as z.output<typeof member>),
    (m) => m.name,
  ).optional(),
  routes: routes.optional(),
  exclusive: setOf(prefix).optional(),
});

export type Vrf = Desired<typeof schema.shape>;
export type Interface = z.output<typeof member>;

export function refine(d: Vrf): readonly Problem[] {
  const interfaces = d.interfaces ?? [];
  return [
    ...interfaces.flatMap(({ name }, n) =>
      name === d.name ? [{ property: `interfaces[${n}]`, reason: `${name} is the VRF itself` }] : [],
    ),
    ...aimless(d.routes ?? []).map(({ index, reason }) => ({ property: `routes[${index}]`, reason })),
  ];
}
