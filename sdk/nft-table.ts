import * as pulumi from "@pulumi/pulumi";
import type { NftTableFields } from "../provider/nft-table/args";
import { type SetInRule, setsOf } from "./nft";
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
    super("NftTable", "nftTable", ["name", "listing"], name, withUses(name, args), opts);
  }
}

/** Every NftSet in its rules is one that the table uses: so it knows to leave it alone, and comes after it. */
export function withUses(name: string, args: NftTableArgs): object {
  const sets = [...new Set(within(args))];
  if (sets.length === 0) return args;
  const table = pulumi.all([args.family, args.name ?? name]);
  const names = sets.map((set) =>
    pulumi.all([set.family, set.table, set.name, table]).apply(([family, its, called, [own, mine]]) => {
      if (family === own && its === mine) return called;
      throw new pulumi.RunError(
        `NftTable "${name}": a rule names the set ${called}, which is in the table ${family} ${its}, not in ${own} ${mine}: ` +
          `rules reach the sets of their own table only. Declare the NftSet with family: "${own}", table: "${mine}"`,
      );
    }),
  );
  const uses = pulumi
    .all([args.uses ?? [], ...names])
    .apply(([said, ...found]) => [...new Set([...said, ...found])]);
  return { ...args, uses };
}

function within(value: unknown): readonly SetInRule[] {
  const sets = setsOf(value);
  if (sets.length > 0 || typeof value !== "object" || value === null || pulumi.Output.isInstance(value))
    return sets;
  return Object.values(value).flatMap(within);
}
