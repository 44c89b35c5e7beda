import type * as pulumi from "@pulumi/pulumi";
import type { BridgeFields } from "../provider/bridge/args";
import { type Args, HostResource } from "./resource";

export type BridgeArgs = Args<BridgeFields>;

/**
 * A Linux bridge, with its addresses, routes, ports and VLANs.
 *
 * ```ts
 * const lan = new Bridge("br-lan", { ...host, addresses: ["192.168.2.1/24"], ports: ["eth1"] });
 * ```
 */
export class Bridge extends HostResource {
  declare readonly name: pulumi.Output<string>;
  declare readonly ifindex: pulumi.Output<number>;
  declare readonly macAddress: pulumi.Output<string>;
  declare readonly addresses: pulumi.Output<string[] | undefined>;

  constructor(name: string, args: BridgeArgs, opts?: pulumi.CustomResourceOptions) {
    super("Bridge", "bridge", ["name", "ifindex", "macAddress", "addresses"], name, args, opts);
  }
}
