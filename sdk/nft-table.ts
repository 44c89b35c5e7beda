import type * as pulumi from "@pulumi/pulumi";
import type { NftTableFields } from "../provider/nft-table/args";
import { type Args, HostResource } from "./resource";

export type NftTableArgs = Args<NftTableFields>;

/**
 * A whole nftables table, changed in one transaction: no packet meets a half of it, and what it counted or recorded
 * stays. Other tables are never touched.
 *
 * ```ts
 * new NftTable("guests", {
 *   ...host,
 *   family: "inet",
 *   chains: {
 *     forward: { type: "filter", hook: "forward", priority: "filter", policy: "drop", rules: [
 *       nft`ct state established,related accept`,
 *       nft`iifname ${lan.name} tcp dport ${[80, 443]} accept`,
 *     ] },
 *   },
 * });
 * ```
 */
export class NftTable extends HostResource {
  declare readonly family: pulumi.Output<string>;
  declare readonly name: pulumi.Output<string>;
  /** The table as nft lists it, without counts and without elements that packets add. */
  declare readonly listing: pulumi.Output<string>;

  constructor(name: string, args: NftTableArgs, opts?: pulumi.CustomResourceOptions) {
    super("NftTable", "nftTable", ["name", "listing"], name, args, opts);
  }
}
