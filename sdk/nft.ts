import * as pulumi from "@pulumi/pulumi";
import { isText, type NftText, type NftValue, renderNft } from "../provider/formats/nft-template";
import { readNft } from "./nft-file";

export type { NftText, NftValue };

/** An `NftSet`: in a rule it becomes `@name`. */
export interface SetInRule {
  readonly __hostnet: "NftSet";
  readonly family: pulumi.Output<string>;
  readonly table: pulumi.Output<string>;
  readonly name: pulumi.Output<string>;
}

/** What may stand between `${` and `}`. */
export type NftInput = pulumi.Input<NftValue> | SetInRule | readonly NftInput[];

type Result<T> = [T] extends [NftValue] ? string : pulumi.Input<string>;

/**
 * A rule, or a part of one, in nft's own language, with values put in safely.
 *
 * ```ts
 * nft`iifname ${tap} ip saddr != ${address} drop`     // iifname "tap0" ip saddr != 10.0.0.2 drop
 * nft`tcp dport ${[22, 80]} jump ${chain}`            // tcp dport { 22, 80 } jump guests
 * nft`ip saddr ${banned} drop`                        // ip saddr @banned drop, where banned is an NftSet
 * ```
 *
 * Numbers, addresses, prefixes, ranges and times stand as they are; a name after `@`, `jump` and `goto` is checked;
 * any other text is put in quotes. A list becomes `{ a, b }`; an empty one is an error. What the tag itself made, and
 * `nft.raw(text)`, stands as it is. With an Output among the values the result is an Output.
 */
export function nft<const T extends readonly NftInput[]>(
  strings: TemplateStringsArray,
  ...values: T
): Result<T[number]> {
  const known = values.map(prepared);
  if (!known.some(isPending)) return made(renderNft(strings, known)) as Result<T[number]>;
  const rule = pulumi.all(known as pulumi.Input<unknown>[]).apply((all) => renderNft(strings, all));
  pending.set(rule, values.flatMap(setsIn));
  return rule as unknown as Result<T[number]>;
}

/** Text that stands as it is, unchecked: a verdict, an expression, a whole statement. */
nft.raw = (text: string): NftText => Object.freeze({ __nft: text });

/**
 * A file of the workstation in nft's own language, for `text`: what it includes stands in the place of the `include`, by
 * paths relative to the file that has it. A change of any of them is a change of the program.
 *
 * ```ts
 * new NftTable("filter", { ...host, family: "inet", text: nft.file("/etc/nftables.conf") });
 * ```
 */
nft.file = (path: string): string => readNft(path);

/** The sets that a rule names, so that the table can say that it uses them. */
export const setsOf = (rule: unknown): readonly SetInRule[] =>
  isObject(rule) ? (pending.get(rule) ?? []) : [];

/** A string cannot carry a mark: what the tag made is known by its value, which the program wrote itself. */
const texts = new Set<string>();
const pending = new WeakMap<object, readonly SetInRule[]>();

function made(text: string): string {
  texts.add(text);
  return text;
}

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
const isSet = (value: unknown): value is SetInRule =>
  isObject(value) && (value as SetInRule).__hostnet === "NftSet";
const isOutput = (value: unknown): value is pulumi.Output<unknown> => pulumi.Output.isInstance(value);
const isPending = (value: unknown): boolean =>
  isOutput(value) || value instanceof Promise || (Array.isArray(value) && value.some(isPending));

function setsIn(value: NftInput): SetInRule[] {
  if (isSet(value)) return [value];
  if (Array.isArray(value)) return value.flatMap(setsIn);
  return isObject(value) ? [...(pending.get(value) ?? [])] : [];
}

function prepared(value: NftInput): unknown {
  if (typeof value === "string") return texts.has(value) ? nft.raw(value) : value;
  if (isOutput(value)) return pending.has(value) ? value.apply((text) => nft.raw(text as string)) : value;
  if (Array.isArray(value)) return value.map(prepared);
  if (isSet(value)) return value.name.apply((name) => nft.raw(`@${name}`));
  if (pulumi.Resource.isInstance(value)) {
    throw new pulumi.RunError(
      "nft: a resource cannot stand in a rule, but for an NftSet: write its name, or another of its outputs",
    );
  }
  if (isObject(value) && !isText(value) && !(value instanceof Promise)) {
    throw new pulumi.RunError(
      `nft: ${JSON.stringify(value)} cannot stand in a rule: a text, a number, a list or an NftSet can`,
    );
  }
  return value;
}
