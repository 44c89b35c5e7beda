import type * as pulumi from "@pulumi/pulumi";
import type { PolicyRouteFields } from "../provider/policy-route/args";
import { type Args, HostResource } from "./resource";

export type PolicyRouteArgs = Args<PolicyRouteFields>;

/**
 * One ip rule, and the routes of its table.
 *
 * ```ts
 * new PolicyRoute("guests-by-vpn", {
 *   ...host,
 *   family: "ipv4",
 *   priority: 100,
 *   from: "192.168.50.0/24",
 *   table: 7,
 *   routes: [{ destination: "0.0.0.0/0", device: "wg0" }],
 * });
 * ```
 */
export class PolicyRoute extends HostResource {
  declare readonly name: pulumi.Output<string>;
  declare readonly family: pulumi.Output<"ipv4" | "ipv6">;
  declare readonly priority: pulumi.Output<number>;
  declare readonly table: pulumi.Output<number | undefined>;

  constructor(name: string, args: PolicyRouteArgs, opts?: pulumi.CustomResourceOptions) {
    super("PolicyRoute", "policyRoute", ["name", "table"], name, args, opts);
  }
}
