export { Bridge, type BridgeArgs } from "./bridge";
export type { Connection, HostArgs, ProxyConnection, SshOptions } from "./host";
