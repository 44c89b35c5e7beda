import type * as pulumi from "@pulumi/pulumi";
import type { KernelModulesFields } from "../provider/kernel-modules/args";
import { type Args, HostResource } from "./resource";

export type KernelModulesArgs = Args<KernelModulesFields>;

/**
 * Kernel modules, loaded now and at every boot: what brings the sysctls, the conntrack helpers or the hooks that other
 * resources need. Let those depend on it.
 *
 * ```ts
 * const modules = new KernelModules("modules", { ...host, modules: ["br_netfilter"] });
 * const settings = { "net.bridge.bridge-nf-call-iptables": 0 };
 * new Sysctl("bridged", { ...host, settings }, { dependsOn: modules });
 * ```
 */
export class KernelModules extends HostResource {
  declare readonly name: pulumi.Output<string>;
  /** Those that are loaded or built in. */
  declare readonly modules: pulumi.Output<string[]>;

  constructor(name: string, args: KernelModulesArgs, opts?: pulumi.CustomResourceOptions) {
    super("KernelModules", "kernelModules", ["name"], name, args, opts);
  }
}
