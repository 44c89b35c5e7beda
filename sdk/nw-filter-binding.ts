import type * as pulumi from "@pulumi/pulumi";
import type { NwFilterBindingFields } from "../provider/nw-filter-binding/args";
import { type Args, HostResource } from "./resource";

export type NwFilterBindingArgs = Args<NwFilterBindingFields>;

/**
 * Puts a filter of libvirt in front of a port of a bridge, whoever made the port. A change of the filter or of its
 * parameters leaves no moment without it. libvirt forgets its bindings when the host boots: the port is closed until it
 * is there and has its filter again (needs systemd; without it, `refresh` shows what is missing).
 *
 * ```ts
 * new NwFilterBinding("web", { ...host, portDev: "tap0", macAddress: "52:54:00:00:00:05",
 *   filter: "clean-traffic", parameters: { IP: "10.0.0.5" } });
 * ```
 */
export class NwFilterBinding extends HostResource {
  declare readonly portDev: pulumi.Output<string>;
  declare readonly macAddress: pulumi.Output<string>;
  declare readonly filter: pulumi.Output<string>;

  constructor(name: string, args: NwFilterBindingArgs, opts?: pulumi.CustomResourceOptions) {
    super("NwFilterBinding", "nwFilterBinding", [], name, args, opts);
  }
}
