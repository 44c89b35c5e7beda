import type * as pulumi from "@pulumi/pulumi";
import type { VlanFields } from "../provider/vlan/args";
import { type Args, HostResource } from "./resource";

export type VlanArgs = Args<VlanFields>;

/**
 * A VLAN device: the frames of a link that carry one tag, as an interface of the host.
 *
 * ```ts
 * const guests = new Vlan("eth1.10", { ...host, link: "eth1", vlanId: 10, addresses: ["192.168.10.1/24"] });
 * ```
 */
export class Vlan extends HostResource {
  declare readonly name: pulumi.Output<string>;
  declare readonly link: pulumi.Output<string>;
  declare readonly vlanId: pulumi.Output<number>;
  declare readonly ifindex: pulumi.Output<number>;

  constructor(name: string, args: VlanArgs, opts?: pulumi.CustomResourceOptions) {
    super("Vlan", "vlan", ["name", "ifindex"], name, args, opts);
  }
}
