export { Bridge, type BridgeArgs } from "./bridge";
export {
  type OverlappingSite,
  type OverlappingSiteBridge,
  OverlappingSubnets,
  type OverlappingSubnetsArgs,
} from "./components/overlapping-subnets";
export {
  type HttpRedirect,
  type PublishedPort,
  RoutedNetwork,
  type RoutedNetworkArgs,
} from "./components/routed-network";
export { DhcpDns, type DhcpDnsArgs } from "./dhcp-dns";
export type { Confirm, Connection, HostArgs, Probe, ProxyConnection, SshOptions } from "./host";
export { KernelModules, type KernelModulesArgs } from "./kernel-modules";
export { type NftInput, type NftText, nft } from "./nft";
export { NftSet, type NftSetArgs } from "./nft-set";
export { NftTable, type NftTableArgs } from "./nft-table";
export {
  filterref,
  NwFilter,
  type NwFilterArgs,
  type NwFilterMatch,
  type NwFilterRef,
  type NwFilterRule,
} from "./nw-filter";
export { NwFilterBinding, type NwFilterBindingArgs } from "./nw-filter-binding";
export { PolicyRoute, type PolicyRouteArgs } from "./policy-route";
export { Sysctl, type SysctlArgs } from "./sysctl";
export { Vlan, type VlanArgs } from "./vlan";
export { Vrf, type VrfArgs } from "./vrf";
