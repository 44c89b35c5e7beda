export { Bridge, type BridgeArgs } from "./bridge";
export type { Connection, HostArgs, ProxyConnection, SshOptions } from "./host";
export { NftTable, type NftTableArgs } from "./nft-table";
export { Sysctl, type SysctlArgs } from "./sysctl";
