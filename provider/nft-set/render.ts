import { isDeepStrictEqual } from "node:util";
import { HostnetError } from "../errors";
import { keysOf } from "../formats/keys";
import { deleting, deletions, linesOf, transaction } from "../formats/nft-batch";
import { type Collection, collectionHead } from "../formats/nft-collection";
import { parseRange } from "../formats/nft-range";
import type { Boot, Last, Observed, Step } from "../kind";
import { flagsOf, isMap, type NftSet, type schema } from "./args";
import { commentIn, type Elements, timeoutIn, traitsOf, valueIn } from "./elements";
import { isLong, listOf, load } from "./load";
import { type Facts, flagsIn, HEAD, tableHolds } from "./parse";
import { typesOf } from "./types";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: NftSet, { state, facts }: Seen): readonly Step[] {
  const kept = d.elements ?? state?.elements ?? {};
  if (!state) {
    const made = [container(d, facts), definition("create", d)];
    const filled = add(d, kept);
    // Nothing uses it yet, so its elements may come after it.
    return isLong(d, kept) ? [transaction(made), load(d, filled[0]!)] : [transaction([...made, ...filled])];
  }
  const differing = headDiffers(d, state, facts);
  if (differing.length > 0) {
    if (facts.users.length > 0) throw new HostnetError(fixed(differing, d, state, facts));
    return [transaction([`delete ${place(state)}`, definition("create", d), ...add(d, kept)])];
  }
  const lines = d.elements ? delta(d, state, facts) : [];
  return lines.length > 0 ? [transaction(lines)] : [];
}

const NOTHING: Facts = { dormant: false, head: [], users: [], hooks: [], ended: [] };

/** What a create sends where there is nothing of the set yet. */
export const fresh = (d: NftSet): readonly string[] => linesOf(ensure(d, { facts: NOTHING }));

/** Before the rules that use it. When a long list changes that neither packets nor time change, the host writes it down itself. */
export function boot(d: NftSet): Boot<Facts> {
  const { family, table, elements = {} } = d;
  const lively = flagsOf(d).some((flag) => flag === "dynamic" || flag === "timeout");
  const long = !lively && keysOf(elements).length > LONG;
  return {
    table: `${family} ${table}`,
    order: 0,
    facts: NOTHING,
    ...(long && { listing: ["env", "TZ=UTC", "nft", "list", ...place(d).split(" ")] }),
    // Not "create", for after a reload of nftables it may be there.
    steps: [transaction([`add table ${family} ${table}`, printed("add", d, headOf(d)), ...add(d, elements)])],
  };
}
const LONG = 1000;

/** The set, and the bare table with it when this was the last thing in it. */
export function remove({ state, facts }: Seen, { desired: d }: Last<Shape, Facts>): readonly Step[] {
  // Adding it first, as it is, makes the deletion of an absent one no error.
  const head = facts.head.length > 0 ? facts.head : headOf(state ?? d);
  const set = transaction([container(d, facts), printed("add", d, head), `delete ${place(d)}`]);
  const table = { argv: ["nft", "delete", "table", d.family, d.table], unless: tableHolds(d) };
  return state ? [set, table] : [];
}

const kindOf = (d: NftSet): string => (isMap(d) ? "map" : "set");
const place = (d: NftSet): string => `${kindOf(d)} ${d.family} ${d.table} ${d.name}`;
/** A table that sleeps would be woken by adding it plainly. */
const container = ({ family, table }: NftSet, { dormant }: Facts): string =>
  `add table ${family} ${table}${dormant ? " { flags dormant; }" : ""}`;

const headOf = (d: NftSet): string[] => collectionHead({ ...(d as Collection), flags: flagsOf(d) });
const printed = (verb: string, d: NftSet, head: readonly string[]): string =>
  `${verb} ${place(d)} { ${head.map((line) => `${line}; `).join("")}}`;
/** "create" fails where another was faster: what it made would not be ours. */
const definition = (verb: "create", d: NftSet): string => printed(verb, d, headOf(d));

/** The fields that nft and the kernel leave as they are, whatever is declared again. */
function headDiffers(d: NftSet, state: NftSet, facts: Facts): string[] {
  const has = flagsListed(facts, state);
  const needs = flagsOf(d);
  const explicit = state.flags?.filter((flag) => flag === "dynamic" || flag === "constant") ?? [];
  // In use it keeps flags that its elements need no more.
  const kept = facts.users.length > 0 ? explicit : has;
  const flags = needs.every((flag) => has.includes(flag)) && kept.every((flag) => needs.includes(flag));
  const said = (of: NftSet, key: (typeof HEAD)[number]) =>
    key === "policy" ? (of.policy ?? "performance") : key === "counter" ? (of.counter ?? false) : of[key];
  return HEAD.filter((key) =>
    key === "flags" ? !flags : !isDeepStrictEqual(said(d, key), said(state, key)),
  );
}

/** In use they are what the host has; a set that no rule uses is made with just what it needs. */
function flagsListed({ head, users }: Facts, state: NftSet): string[] {
  const needs = flagsOf(state);
  if (users.length === 0) return needs;
  const line = head.find((one) => one.startsWith("flags "));
  return flagsIn({ flags: line?.slice(6).split(/ ?, ?/), timeout: state.timeout });
}

function fixed(differing: readonly string[], d: NftSet, state: NftSet, { users }: Facts): string {
  const shown = (of: NftSet, key: string) => JSON.stringify(of[key as keyof NftSet]) ?? "nothing";
  const changes = differing.map((key) =>
    key === "flags"
      ? `flags: the elements or the program now need ${flagsOf(d).join(", ") || "none"}`
      : `${key}: ${shown(d, key)} instead of ${shown(state, key)}`,
  );
  return (
    `${changes.join("; ")}: a set in use keeps what it is, only its elements change, and ${users.join(", ")} of ` +
    `${d.family} ${d.table} ${users.length > 1 ? "use" : "uses"} it. Give the set a new name: it is made, the rules move over, ` +
    "and this one goes"
  );
}

/**
 * nft lists a set of prefixes before it adds or deletes one of them, and sorts and walks all of it again for each one that
 * it deletes. Seconds of processor time on Linux 6.18, of nft 1.0.6 and of 1.1.3:
 *
 *   prefixes   filled anew   1 added    10 deleted  20 deleted  500 deleted
 *     10,000   0.2   0.1     0.1  0.1   0.4   0.1   0.8   0.2    12    2.6
 *    100,000   1.6   1.4     2.6  2.0   7.0   3.1    11   3.4   200   > 40
 *    300,000   5.5   4.5      16   17    31    19
 *
 * So it is the number of deletions that decides, whatever the size and the version: a few cost less than sending the whole
 * list does, many take minutes. Listing alone grows with the square of the size, which is the other bound. Addresses and
 * concatenations are neither listed nor walked: half of 100,000 go in 0.3 s.
 *
 * But before Linux 6.17 a look-up may meet the old one of two equal prefixes while their exchange is committed, and find
 * nothing: a flood through a set of 10,000 that was filled anew ten times had 2,067 wrong verdicts of 213,816 packets on 6.1
 * ("nft_set_rbtree: continue traversal if element is inactive"), and none of 774,166 on 6.18. There only what would take
 * the first of these versions ten minutes is filled anew.
 */
function refills(kernel: string | undefined, size: number, going: number, left: number): boolean {
  if (isSound(kernel) || left === 0) return left > 200_000 || going > 10;
  return deleting(size, going) > 600;
}

function isSound(kernel = ""): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
  return Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 17);
}

const countOf = (list: Elements): number => keysOf(list).length;
const isSingle = (d: NftSet): boolean => typesOf(d).length === 1;

/** What goes, what comes, and whether the whole list takes the place of the old one. */
function changeOf(d: NftSet, state: NftSet, facts: Facts) {
  const [was, wanted] = [state.elements ?? {}, d.elements!];
  const stale = pick(was, (key, rest) => wanted[key] !== rest);
  const added = pick(wanted, (key, rest) => was[key] !== rest);
  const flags = flagsListed(facts, state);
  const interval = flags.includes("interval");
  const lively = flags.includes("dynamic") || flags.includes("timeout");
  // What packets and time left there would be lost; concatenations are kept otherwise, and nft does not read them.
  const walked = interval && isSingle(d);
  const size = countOf(was);
  const anew =
    walked && !lively && !d.counter && refills(facts.kernel, size, countOf(stale), countOf(wanted));
  return { stale, added, interval, lively, size, anew };
}

const MOST_PATIENCE = 6000;

/** Prefixes that are deleted one by one, or would be by the undo, on a host that is ten times as slow. */
export function patience({ state, facts }: Seen, d?: NftSet): number {
  if (!d?.elements || !state || !isSingle(d) || !flagsListed(facts, state).includes("interval")) return 0;
  const { stale, added, size, anew } = changeOf(d, state, facts);
  const most = Math.max(countOf(stale), countOf(added));
  return anew ? 0 : Math.min(Math.ceil(deleting(size, most) * 10), MOST_PATIENCE);
}

function delta(d: NftSet, state: NftSet, facts: Facts): string[] {
  const { stale, added, interval, lively, anew } = changeOf(d, state, facts);
  if (countOf(stale) + countOf(added) === 0) return [];
  if (anew) return [`flush ${place(d)}`, ...add(d, d.elements!)];
  // What packets and time take may be gone by now: adding it first makes its deletion no error. Not so in intervals, where
  // it could overlap with its successor.
  const gone = pick(stale, (key) => !(interval && facts.ended.includes(key)));
  return [...add(d, lively && !interval ? stale : {}), ...drop(d, gone), ...add(d, added)];
}

/** Lists may be long: nothing is made of what is not picked. */
function pick(from: Elements, wanted: (key: string, rest: string) => boolean): Elements {
  const found: Record<string, string> = {};
  for (const key of keysOf(from)) if (wanted(key, from[key]!)) found[key] = from[key]!;
  return found;
}

function add(d: NftSet, elements: Elements): string[] {
  if (isLong(d, elements)) return [command("add", d, listOf(elements))];
  const keys = keysOf(elements);
  const list = traitsOf(elements).plain
    ? keys
    : keys.map((key) => printElement(key, elements[key]!, isMap(d)));
  return list.length > 0 ? [command("add", d, joined(list))] : [];
}

const drop = (d: NftSet, elements: Elements): string[] =>
  deletions(Object.keys(elements).map(printKey), (keys) => command("delete", d, joined(keys)));

const joined = (list: readonly string[]): string => list.join(",\n");
const command = (verb: "add" | "delete", d: NftSet, list: string): string =>
  `${verb} element ${d.family} ${d.table} ${d.name} { ${list} }`;

/** The attributes of a map's element stand behind its key. */
function printElement(key: string, rest: string, map: boolean): string {
  if (rest === "") return printKey(key);
  const [timeout, comment, value] = [timeoutIn(rest), commentIn(rest), map ? valueIn(rest) : undefined];
  return [
    printKey(key),
    ...(timeout === undefined ? [] : [`timeout ${timeout}`]),
    ...(comment === undefined ? [] : [`comment "${comment}"`]),
    ...(value === undefined ? [] : [`: ${value}`]),
  ].join(" ");
}

/** Most keys are: there may be a hundred thousand of them. */
const PLAIN = /^\d[\d.]*([/-][\d.]+)?$/;

/** Names in quotes, for one could be a word of nft's. */
const printKey = (key: string): string =>
  key
    .split(" . ")
    .map((part) =>
      part === "*" || PLAIN.test(part) || /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/.test(part) || parseRange(part)
        ? part
        : `"${part}"`,
    )
    .join(" . ");
