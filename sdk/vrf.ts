import type * as pulumi from "@pulumi/pulumi";
import type { VrfFields } from "../provider/vrf/args";
import { type Args, HostResource } from "./resource";

export type VrfArgs = Args<VrfFields>;

/**
 * A VRF: a routing table with links of its own, so that the same addresses may stand on both sides of it.
 *
 * ```ts
 * const blue = new Vrf("vrf-blue", { ...host, table: 100, interfaces: ["eth1"] });
 * ```
 */
export class Vrf extends HostResource {
  declare readonly name: pulumi.Output<string>;
  declare readonly table: pulumi.Output<number>;
  declare readonly ifindex: pulumi.Output<number>;

  constructor(name: string, args: VrfArgs, opts?: pulumi.CustomResourceOptions) {
    super("Vrf", "vrf", ["name", "ifindex"], name, args, opts);
  }
}
