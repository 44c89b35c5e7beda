import { z } from "zod";
import { interfaceProblems } from "../formats/interface";
import { type Route, routes } from "../formats/route";
import type { Desired, Problem } from "../kind";
import { ifname, integer, interfaceAddress, mac, mtu, setOf } from "../schema";

/**
 * A VLAN device: the frames of a link that carry one tag, as an interface of the host. It is always up. Fields that are
 * left out are not managed. Needs the kernel module 8021q, which the kernel loads by itself.
 */
export interface VlanFields {
  /** Name of the device: 1 to 15 of A-Z a-z 0-9 _ . -. A change replaces it. @default the resource's name */
  name?: string;
  /**
   * Name of the link whose frames are tagged: a NIC, a veth, a bridge, another VLAN. It must exist on the host. One that
   * is down is set up, for a VLAN cannot be up without it, and down again with the last of ours on it. A bridge that
   * filters VLANs must take part in this one itself, tagged: name it in `Bridge.vlans`, else the VLAN is refused.
   *
   * The kernel cannot change link, vlanId and protocol in place: the device is deleted and made again in one go, with its
   * index, its addresses, its place in a bridge or VRF and the routes that others lead through it. That is refused
   * while another VLAN or a macvlan is on top of it.
   */
  link: string;
  /**
   * 1 to 4094, what iproute2 calls `id`, a name that is Pulumi's own. Each only once on a link (and `protocol`): one that
   * another device has is refused, and that is named.
   */
  vlanId: number;
  /** The tag: "802.1ad" for the outer one of two. The kernel's default is "802.1Q". */
  protocol?: "802.1Q" | "802.1ad";
  /**
   * Its own addresses with prefix lengths: "192.168.2.1/24", "2001:db8::1/64". Others stay. One that is there with a lifetime,
   * as a DHCP client gives it, is a warning: it goes with the lease.
   */
  addresses?: string[];
  /** Routes through the VLAN, in the main table, or in that of its `vrf`. */
  routes?: Route[];
  /**
   * Name of the VRF device that it is a member of. When it changes the kernel takes the VLAN down and up: what
   * is lost with that is back at once, and the routes of others through it go along to the table that it has then.
   */
  vrf?: string;
  /** Bytes, 68 to the link's, and 1280 or more where there is IPv6. Left out, it is the link's when the VLAN is made. */
  mtu?: number;
  /** Left out, it is the link's. */
  macAddress?: string;
}

export const schema = z.strictObject({
  name: ifname,
  link: ifname,
  vlanId: integer(1, 4094),
  protocol: z.enum(["802.1Q", "802.1ad"], 'must be "802.1Q" or "802.1ad"').optional(),
  addresses: setOf(interfaceAddress).optional(),
  routes: routes.optional(),
  vrf: ifname.optional(),
  mtu: mtu.optional(),
  macAddress: mac.optional(),
});

export type Vlan = Desired<typeof schema.shape>;

export function refine(d: Vlan): readonly Problem[] {
  return [
    ...(d.link === d.name ? [{ property: "link", reason: "is the VLAN itself" }] : []),
    ...interfaceProblems(d, "VLAN"),
  ];
}
