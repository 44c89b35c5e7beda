import type * as pulumi from "@pulumi/pulumi";
import type { SysctlFields } from "../provider/sysctl/args";
import { type Args, HostResource } from "./resource";

export type SysctlArgs = Args<SysctlFields>;

/**
 * Kernel settings. What they were goes back when the last resource that sets them is gone. At boot they are set before
 * the links are made that we keep; those of a link wait for it, a minute at most.
 *
 * ```ts
 * const forwarding = new Sysctl("forwarding", { ...host, settings: { "net.ipv4.ip_forward": 1 } });
 * ```
 */
export class Sysctl extends HostResource {
  declare readonly name: pulumi.Output<string>;
  /** By key, as the host prints them. */
  declare readonly settings: pulumi.Output<Record<string, string>>;

  constructor(name: string, args: SysctlArgs, opts?: pulumi.CustomResourceOptions) {
    super("Sysctl", "sysctl", ["name"], name, args, opts);
  }
}
