import { z } from "zod";
import { interfaceProblems } from "../formats/interface";
import { type Route, routes } from "../formats/route";
import type { Desired, Problem } from "../kind";
import { ifname, integer, interfaceAddress, mac, mtu, setOf } from "../schema";
import { parseVlans, vlanList } from "./vlans";

/** A link that the bridge takes in: a NIC, a veth, a VLAN. Flags that are left out are not managed. */
export interface BridgePort {
  /** Name of the link. It must exist on the host; a hypervisor's taps need not be declared. */
  name: string;
  /**
   * The bridge takes over what the link carries: its addresses, and the routes through it, of every table; so an uplink
   * becomes the port of a bridge, also the one that the change itself comes in by. A port that carries addresses is
   * refused without it. ip rules that name the link stay as they are.
   *
   * All goes in one moment, and is given back when the port leaves the program, and with the bridge; an address that
   * `addresses` has too then stays with the bridge. What was taken is no drift; that it is missing, or that the link has
   * addresses again, is. The field alone can leave the program once `addresses` has all that was taken.
   *
   * Addresses by DHCP are refused, for they end with their lease: make them static first, or let the DHCP client work on
   * the bridge. Those of router advertisements come again on the bridge, which heeds them where the link does though the
   * host routes (accept_ra 2). The bridge keeps a MAC of its own: it still
   * takes in what is sent to the link's, and neighbours learn the new one from its first packets; where a switch or a
   * provider knows but the link's, give that as `macAddress`. When the link has them again, it tells so to neighbours of
   * IPv4 (of addresses that are not the first of their subnet only where arping is installed); those of IPv6 ask anew
   * after some seconds. With `stp` no packet passes for twice the `forwardDelay`.
   *
   * After a boot the host's own configuration may give the link its addresses again: the bridge takes them as soon as it
   * is made. Better take them out of it: whoever configures the link later, or again, as systemd-networkd does when it
   * restarts, takes the way from the bridge. Not with `vrf` or `up: false`.
   */
  takeAddresses?: boolean;
  /** 1 to 4094: the VLAN of untagged frames, in and out. Needs `vlanFiltering`. */
  pvid?: number;
  /** Further VLANs of the port than `pvid`: 10, "10-20", { id: 30, untagged: true }. Needs `vlanFiltering`. Others stay. */
  vlans?: (number | string | { id: number; untagged?: boolean })[];
  /** Isolated ports do not reach each other, only the others. Linux 4.18. */
  isolated?: boolean;
  /** Frames may leave by the port they came in by. */
  hairpin?: boolean;
  /** Learns source addresses. */
  learning?: boolean;
  /** Frames to unknown addresses leave by it. */
  flood?: boolean;
  /** Answers ARP and neighbour discovery in the guests' place. Linux 4.15. */
  neighSuppress?: boolean;
  /** 1 to 65535: STP path cost. */
  cost?: number;
  /** 0 to 63: STP port priority. */
  priority?: number;
  /** BPDU guard: a BPDU that comes in shuts the port. */
  guard?: boolean;
  /** The port never becomes the root port. */
  rootBlock?: boolean;
}

/** A Linux bridge. Fields that are left out are not managed, but for `up`. */
export interface BridgeFields {
  /** Name of the bridge: 1 to 15 of A-Z a-z 0-9 _ . -. A change replaces the bridge. @default the resource's name */
  name?: string;
  /**
   * Its own addresses with prefix lengths: "192.168.2.1/24", "2001:db8::1/64". Others stay. One that is there with a lifetime,
   * as a DHCP client gives it, is a warning: it goes with the lease.
   */
  addresses?: string[];
  /** Routes through the bridge, in the main table, or in that of its `vrf`. */
  routes?: Route[];
  /**
   * Name of the VRF device that it is a member of. When it changes the kernel takes the bridge down and up: what
   * is lost with that is back at once, and the routes of others through it go along to the table that it has then.
   */
  vrf?: string;
  /** Links that it takes in. Ports that others attach at run time, as a hypervisor does, are not touched. */
  ports?: (string | BridgePort)[];
  /** Bytes, 68 to 65535, and 1280 or more where there is IPv6. Left out, it follows the lowest of the ports. */
  mtu?: number;
  /** Left out, one is made from the host's machine-id and the name, once: it never follows the ports. */
  macAddress?: string;
  /** A bridge that is down has no routes. @default true */
  up?: boolean;
  /** Spanning tree. The kernel's default is false. */
  stp?: boolean;
  /** 0 to 65535: STP bridge priority. The kernel's default is 32768. */
  priority?: number;
  /** Seconds, 0 to 30, with STP 2 to 30. The kernel's default is 15. */
  forwardDelay?: number;
  /** Seconds, 1 to 10. The kernel's default is 2. */
  helloTime?: number;
  /** Seconds, 6 to 40. The kernel's default is 20. */
  maxAge?: number;
  /** Seconds, 0 to 1000000, after which a learnt address is forgotten. The kernel's default is 300. */
  ageingTime?: number;
  /** Ports have VLANs. The kernel's default is false. */
  vlanFiltering?: boolean;
  /** Tag of the VLANs. The kernel's default is "802.1Q". */
  vlanProtocol?: "802.1Q" | "802.1ad";
  /** 0 to 4094: the VLAN of ports that have no `pvid` of their own; 0 for none. The kernel's default is 1. */
  defaultPvid?: number;
  /** VLANs that the host itself takes part in: 10, "10-20", { id: 30, untagged: true }. Others stay. */
  vlans?: (number | string | { id: number; untagged?: boolean })[];
  /** IGMP and MLD snooping. The kernel's default is true. */
  multicastSnooping?: boolean;
  /** Bits of the link-local groups 01:80:C2:00:00:0X that are forwarded, 0 to 65528; the lowest three cannot be. */
  groupForwardMask?: number;
}

const flag = z.boolean("must be true or false").optional();

const port = z.strictObject({
  name: ifname,
  takeAddresses: flag,
  pvid: integer(1, 4094).optional(),
  vlans: vlanList.optional(),
  isolated: flag,
  hairpin: flag,
  learning: flag,
  flood: flag,
  neighSuppress: flag,
  cost: integer(1, 65535).optional(),
  priority: integer(0, 63).optional(),
  guard: flag,
  rootBlock: flag,
});

export const schema = z.strictObject({
  name: ifname,
  addresses: setOf(interfaceAddress).optional(),
  routes: routes.optional(),
  vrf: ifname.optional(),
  ports: setOf(
    z.union([ifname.transform((name) => ({ name })), port]).transform((p) => p as z.output<typeof port>),
    (p) => p.name,
  ).optional(),
  mtu: mtu.optional(),
  macAddress: mac.optional(),
  up: z.boolean("must be true or false").default(true),
  stp: flag,
  priority: integer(0, 65535).optional(),
  forwardDelay: integer(0, 30).optional(),
  helloTime: integer(1, 10).optional(),
  maxAge: integer(6, 40).optional(),
  ageingTime: integer(0, 1000000).optional(),
  vlanFiltering: flag,
  vlanProtocol: z.enum(["802.1Q", "802.1ad"], 'must be "802.1Q" or "802.1ad"').optional(),
  defaultPvid: integer(0, 4094).optional(),
  vlans: vlanList.optional(),
  multicastSnooping: flag,
  groupForwardMask: integer(0, 65528)
    .refine((mask) => (mask & 7) === 0, "holds one of the lowest three bits, which the kernel refuses")
    .optional(),
});

export type Bridge = Desired<typeof schema.shape>;
export type Port = z.output<typeof port>;

export function refine(d: Bridge): readonly Problem[] {
  const problems: Problem[] = [];
  const ports = d.ports ?? [];
  if (d.stp && d.forwardDelay !== undefined && d.forwardDelay < 2) {
    problems.push({ property: "forwardDelay", reason: `${d.forwardDelay}: must be 2 to 30 with stp` });
  }
  if (!d.vlanFiltering) {
    const needing = ports.findIndex((p) => p.pvid !== undefined || p.vlans !== undefined);
    if (needing >= 0)
      problems.push({ property: `ports[${needing}]`, reason: "has VLANs, which need vlanFiltering: true" });
    if (d.vlans) problems.push({ property: "vlans", reason: "need vlanFiltering: true" });
  }
  ports.forEach(({ name, pvid, vlans, takeAddresses }, n) => {
    if (pvid !== undefined && parseVlans(vlans ?? []).has(pvid))
      problems.push({
        property: `ports[${n}].vlans`,
        reason: `hold ${pvid}, which is the pvid: leave it out`,
      });
    const bounced = !d.up ? "up: false" : d.vrf !== undefined ? "vrf" : undefined;
    if (takeAddresses && bounced)
      problems.push({
        property: `ports[${n}].takeAddresses`,
        reason: `does not go with ${bounced}, which would take away the routes`,
      });
    if (name === d.name) problems.push({ property: `ports[${n}]`, reason: `${name} is the bridge itself` });
  });
  if (!d.up && d.routes?.length) problems.push({ property: "routes", reason: "need up: true" });
  return [...problems, ...interfaceProblems(d, "bridge")];
}
