/**
 * The stable entry: users' states refer to `require('pulumi-hostnet/v1').<kind>` for ever. What is exported here is
 * never renamed or removed.
 */
import { bridge as bridgeKind } from "./bridge";
import { dhcpDns as dhcpDnsKind } from "./dhcp-dns";
import { RunHosts } from "./hosts";
import { kernelModules as kernelModulesKind } from "./kernel-modules";
import { lifecycle } from "./lifecycle";
import { nftSet as nftSetKind } from "./nft-set";
import { nftTable as nftTableKind } from "./nft-table";
import { nwFilter as nwFilterKind } from "./nw-filter";
import { nwFilterBinding as nwFilterBindingKind } from "./nw-filter-binding";
import { policyRoute as policyRouteKind } from "./policy-route";
import { sysctl as sysctlKind } from "./sysctl";
import { vlan as vlanKind } from "./vlan";
import { vrf as vrfKind } from "./vrf";

const hosts = new RunHosts();

export const bridge = lifecycle(bridgeKind, hosts);
export const dhcpDns = lifecycle(dhcpDnsKind, hosts);
export const kernelModules = lifecycle(kernelModulesKind, hosts);
export const nftSet = lifecycle(nftSetKind, hosts);
export const nftTable = lifecycle(nftTableKind, hosts);
export const nwFilter = lifecycle(nwFilterKind, hosts);
export const nwFilterBinding = lifecycle(nwFilterBindingKind, hosts);
export const policyRoute = lifecycle(policyRouteKind, hosts);
export const sysctl = lifecycle(sysctlKind, hosts);
export const vlan = lifecycle(vlanKind, hosts);
export const vrf = lifecycle(vrfKind, hosts);
