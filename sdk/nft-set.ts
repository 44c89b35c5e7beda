import * as pulumi from "@pulumi/pulumi";
import type { NftSetFields } from "../provider/nft-set/args";
import { type Args, HostResource } from "./resource";

export type NftSetArgs = Args<NftSetFields>;

/**
 * A named set, or map, with a life of its own: it is full before the first rule names it, and its elements change one by
 * one, without an empty moment. What packets recorded in it stays.
 *
 * ```ts
 * const banned = new NftSet("banned", { ...host, family: "inet", table: "fw", type: "ipv4_addr", elements: ["192.0.2.0/24"] });
 * new NftTable("fw", { ...host, family: "inet", chains: {
 *   input: { type: "filter", hook: "input", priority: "filter", rules: [nft`ip saddr ${banned} drop`] },
 * } });
 * ```
 */
export class NftSet extends HostResource {
  declare readonly family: pulumi.Output<string>;
  declare readonly table: pulumi.Output<string>;
  declare readonly name: pulumi.Output<string>;

  constructor(name: string, args: NftSetArgs, opts?: pulumi.CustomResourceOptions) {
    for (const key of ["family", "table"] as const) refuseTable(name, key, args[key]);
    super("NftSet", "nftSet", ["name"], name, args, opts);
  }

  /** How the nft tag knows it. */
  get __hostnet(): "NftSet" {
    return "NftSet";
  }
}

/** The rules of a table come after the sets that they name, so no set can wait for the table. */
function refuseTable(name: string, key: string, value: unknown): void {
  const from: unknown[] = pulumi.Output.isInstance(value) ? [...resourcesOf(value)] : [value];
  if (!from.some(isTable)) return;
  const what = from.includes(value) ? "an NftTable" : "an output of an NftTable";
  throw new pulumi.RunError(
    `NftSet "${name}": ${key} is ${what}: the set comes before the rules that use it, and makes a bare table where there ` +
      `is none yet. Write ${key === "table" ? 'the table\'s plain name, as table: "fw"' : 'the family itself, as family: "inet"'}`,
  );
}

/** What an Output comes from: Pulumi knows it at once, though its types do not say so. */
const resourcesOf = (output: unknown): Set<pulumi.Resource> =>
  (output as { resources(): Set<pulumi.Resource> }).resources();
const isTable = (value: unknown): boolean =>
  pulumi.Resource.isInstance(value) &&
  (value as { __pulumiType?: string }).__pulumiType === "pulumi-nodejs:dynamic/hostnet:NftTable";
