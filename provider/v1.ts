/**
 * The stable entry: users' states refer to `require('pulumi-hostnet/v1').<kind>` for ever. What is exported here is
 * never renamed or removed.
 */
import { bridge as bridgeKind } from "./bridge";
import { RunHosts } from "./hosts";
import { lifecycle } from "./lifecycle";
import { nftTable as nftTableKind } from "./nft-table";
import { sysctl as sysctlKind } from "./sysctl";

const hosts = new RunHosts();

export const bridge = lifecycle(bridgeKind, hosts);
export const nftTable = lifecycle(nftTableKind, hosts);
export const sysctl = lifecycle(sysctlKind, hosts);
