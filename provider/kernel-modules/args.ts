import { z } from "zod";
import type { Desired } from "../kind";
import { label, setOf } from "../schema";

/**
 * Kernel modules, loaded as modprobe(8) does. Each is loaded at boot too, by a file of ours under /etc/modules-load.d,
 * unless `persist` is false. Parameters of modules are not managed: they belong into /etc/modprobe.d.
 */
export interface KernelModulesFields {
  /** A label: 1 to 100 of A-Z a-z 0-9 _ . -, unique on the host. A change replaces. @default the resource's name */
  name?: string;
  /**
   * Names without path or ".ko": ["br_netfilter", "nf_conntrack_ftp"]; "-" and "_" are the same. One that the kernel has
   * built in counts as loaded. Several resources, of several stacks too, may want one module. With the last of them it is
   * unloaded, if it was not loaded before the first and nothing uses it. What came along with it stays, idle, until the
   * next boot; so does a module that makes links ("bridge", "dummy"), for they would go with it.
   */
  modules: string[];
}

/** The kernel's own limit is 55 bytes. */
const moduleName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_-]{0,54}$/,
    'is no name of a module: 1 to 55 of A-Z a-z 0-9 _ -, without path, ".ko" or parameters, as "br_netfilter"',
  )
  .transform((name) => name.replaceAll("-", "_"));

export const schema = z.strictObject({
  name: label,
  modules: setOf(moduleName).refine((list) => list.length > 0, "must not be empty"),
  /** As in HostArgs, which says what it may be: here it is also what stands in /etc/modules-load.d. */
  persist: z.unknown().transform((given) => given !== false),
});

export type KernelModules = Desired<typeof schema.shape>;
