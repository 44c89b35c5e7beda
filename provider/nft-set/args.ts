import { z } from "zod";
import { keysOf } from "../formats/keys";
import { collection, family, name, words } from "../formats/nft-fields";
import { ownerOf } from "../formats/nft-words";
import type { Desired, Problem } from "../kind";
import { elements, traitsOf, valueIn } from "./elements";
import { keyProblem, typesOf } from "./types";

/** One element, told apart. */
export interface SetElement {
  /** "192.168.2.0/24", "10.0.0.1-10.0.0.9", "80", "tap0", "10.0.0.1 . 80". */
  element: string;
  /** Of a map: "accept", "192.168.3.1", "16". */
  value?: string;
  /** Seconds, or nft's "1h30m". It runs from the `up` that adds the element or changes what stands with it. */
  timeout?: number | string;
  /** At most 128 bytes, without `"`. */
  comment?: string;
}

/**
 * A named set, or with `value` a map, with a life of its own in a table that may be an NftTable's: what rules of that
 * table name is there before them. All but its elements is fixed once rules use it (neither nft nor the kernel changes
 * it then, and deleting it would need others' rules to go): the change is refused, with the chains that use it. Give it
 * a new `name` then: the new set is made first, the rules move over, the old one goes. While no rule uses it, it is made
 * anew in one transaction.
 */
export interface NftSetFields {
  /** Family of the table. A change replaces the set. */
  family: "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";
  /**
   * Name of the table, as plain text: "fw", not the NftTable itself and not its `name` output, for the set comes before
   * the rules that use it. Where there is no such table yet, the set makes a bare one, which goes with the last thing in
   * it. A change replaces the set.
   */
  table: string;
  /** A letter, then letters, digits and `/ \ _ . -`, at most 255; no word of nft. A change replaces the set. @default the resource's name */
  name?: string;
  /** Types of the key, as "ipv4_addr", "ifname . ether_addr", "ipv4_addr . inet_service". Either this or `typeof`. */
  type?: string;
  /** Expression whose type the key has: "ip saddr . tcp dport". */
  typeof?: string;
  /** Makes it a map: type of the values ("verdict", "ipv4_addr", "mark"), with `typeof` an expression. */
  value?: string;
  /**
   * "interval": prefixes and ranges; "timeout": elements may have one; "dynamic": rules add elements; "constant":
   * elements never change. "interval" and "timeout" go by themselves where the elements need them; say them where later
   * elements will, for a set in use cannot get them any more.
   */
  flags?: ("constant" | "interval" | "timeout" | "dynamic")[];
  /** Of elements that have none of their own: seconds, or nft's "1h30m". */
  timeout?: number | string;
  /** How often elements that ran out are cleared away: seconds, or nft's "10s". */
  gcInterval?: number | string;
  /**
   * The most elements that it holds. Needed where rules add them without a timeout. A long list of addresses is loaded
   * faster where it is said: 674,000 in 1.4 instead of 2.2 s on Linux 6.18.
   */
  size?: number;
  /** Counts packets and bytes for each element. Linux 5.7. */
  counter?: boolean;
  /** What the kernel should save. @default "performance" */
  policy?: "performance" | "memory";
  /** At most 128 bytes, without `"`. Linux 5.10. */
  comment?: string;
  /**
   * "10.0.0.0/8", "10.0.0.2 timeout 1h", in a map "eth0 : accept"; objects; or a record from element to what stands with
   * it. Prefixes and ranges that overlap or touch become one; where they say different things (timeout, comment, value),
   * overlapping is refused. Only what differs is added and deleted, in one transaction. Left out, elements are not
   * managed. In a set with the flag "dynamic" or "timeout" elements that rules or others add stay, and no drift; that a
   * timeout ran out is none either. A changed timeout starts anew. 100,000 addresses are 0.5 MB to the host and 4 MB of
   * outputs in the state, ten changed of them 17 kB to the host (bench/sets.ts). A million are made in 9 s, with 1 GB of
   * memory; a look, and so a change, takes half a minute, nearly all of it nft's own listing. Prefixes and ranges: nft
   * reads all of them to change one, and takes 0.1 to 0.4 s to delete one of 100,000. Since Linux 6.17, where more than
   * ten go, or there are more than 200,000, the whole list is sent and takes the place of the old one, in the same
   * single transaction: 2 s. Before, that would miss single packets, as one prefix that takes the place of another that
   * overlaps it may there: it is done only where deleting would take ten minutes. With `counter`, "dynamic" or "timeout"
   * they go one by one, for what packets and time left there is kept. No "*" beside prefixes and ranges.
   */
  elements?: (string | SetElement)[] | Record<string, string>;
}

export const schema = z.strictObject({
  family,
  table: name,
  name,
  ...collection,
  value: words("type of values: as verdict, or ipv4_addr").optional(),
  elements: elements.optional(),
});

export type NftSet = Desired<typeof schema.shape>;

export const isMap = ({ value }: Pick<NftSet, "value">): boolean => value !== undefined;

/** Rules across fields, asked when all of them are known. */
export function refine(d: NftSet): readonly Problem[] {
  const owner = ownerOf(d.family, d.table);
  if (owner)
    return [
      {
        property: "table",
        reason: `"${d.table}": the table ${d.family} ${d.table} belongs to ${owner}; take another`,
      },
    ];
  if ((d.type === undefined) === (d.typeof === undefined))
    return [{ property: "type", reason: "needs either type or typeof" }];
  if (d.elements && "*" in d.elements && flagsOf(d).includes("interval"))
    return [
      {
        property: "elements.*",
        reason:
          "stands for all others, which cannot change beside prefixes and ranges (nft 1.0.6 dies of it): write 0.0.0.0/0 or ::/0, " +
          "or a rule behind the one that uses the set",
      },
    ];
  const types = typesOf(d);
  const problems: Problem[] = [];
  const given = d.elements ?? {};
  if (!isMap(d) && types.length === 1 && types[0] === "ipv4_addr" && traitsOf(given).plain) return [];
  // Lists may be long: nothing is made of what is right.
  for (const key of keysOf(given)) {
    const rest = given[key]!;
    const value = rest === "" ? undefined : valueIn(rest);
    const reason = keyProblem(key, types) ?? valueProblem(d, value);
    if (reason !== undefined) problems.push({ property: `elements.${key}`, reason });
  }
  return problems;
}

function valueProblem(d: NftSet, value: string | undefined): string | undefined {
  if (!isMap(d))
    return value === undefined ? undefined : `has the value ${value}: only a map has, which says value`;
  if (value === undefined) return 'has no value: an element of a map is "key : value"';
  if (/^(jump|goto) /.test(value))
    return `${value}: the chain comes after the set: declare this map in the maps of its NftTable`;
}

/** Those that the program says, and those that its elements need. */
export function flagsOf(d: Pick<NftSet, "flags" | "timeout" | "elements">): string[] {
  const { wide, timed } = traitsOf(d.elements ?? {});
  const needed = [
    ...(d.flags ?? []),
    ...(wide ? ["interval"] : []),
    ...(d.timeout !== undefined || timed ? ["timeout"] : []),
  ];
  return [...new Set(needed)].sort();
}
