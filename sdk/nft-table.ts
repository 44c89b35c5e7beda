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
function withUses(name: string, args: NftTableArgs): object {
  const sets = [...new Set(within(args))];
  if (sets.length === 0) return args;
  const names = sets.map((set) =>
    pulumi
      .all([set.family, set.table, set.name, args.family, args.name ?? name])
      .apply(([family, table, called, ...own]) => usedName(name, [family, table, called], own)),
  );
  const said = pulumi.output(args.uses as pulumi.Input<string[]> | undefined);
  const uses = pulumi
    .all([said, pulumi.all(names)])
    .apply(([more = [], found]) => [...new Set([...more, ...found])]);
  return { ...args, uses };
}

/** Rules reach the sets of their own table only. */
export function usedName(
  resource: string,
  [family, table, name]: readonly [family: string, table: string, name: string],
  [ownFamily, own]: readonly [family: string, name: string],
): string {
  if (family === ownFamily && table === own) return name;
  throw new pulumi.RunError(
    `NftTable "${resource}": a rule names the set ${name}, which is in the table ${family} ${table}, not in ${ownFamily} ${own}: ` +
      `rules reach the sets of their own table only. Declare the NftSet with family: "${ownFamily}", table: "${own}"` +
      // A resource that was renamed with an alias keeps the object's name, which only the state knows.
      (family === ownFamily
        ? `; or the NftTable with name: "${table}", if the table is called so by now`
        : ""),
  );
}

function within(value: unknown): readonly SetInRule[] {
  if (typeof value !== "object" || value === null || pulumi.Resource.isInstance(value)) return [];
  if (pulumi.Output.isInstance(value) || value instanceof Promise) return setsOf(value);
  return Object.values(value).flatMap(within);
}
