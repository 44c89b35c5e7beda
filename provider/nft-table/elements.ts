import { deleting, deletions } from "../formats/nft-batch";
import { type Block, printElement } from "../formats/nft-block";
import { divide } from "../formats/nft-element";
import { formatRange, parseRange, type Range } from "../formats/nft-range";
import { hasFlag, isLively } from "./blocks";

interface Moves {
  readonly stale: readonly string[];
  readonly fresh: readonly string[];
}
export const NONE: Moves = { stale: [], fresh: [] };

/**
 * Intervals beside "*", which stands for all others: nft 1.0.6 dies of any command that adds to them or deletes from them.
 * They are declared with the set, which is made anew for every change.
 */
export const isWhole = (block: Block | undefined): boolean =>
  block?.elements !== undefined && "*" in block.elements && hasFlag(block, "interval");

export const printElements = ({ kind, elements = {} }: Block): string[] =>
  Object.entries(elements).map(([key, rest]) => printElement(key, rest, kind === "map"));

/**
 * Seconds that a change may take to delete prefixes. Beyond, the set is filled anew, though Linux before 6.17 misses single
 * packets then (nft-set/render.ts): for long lists that change there is NftSet.
 */
const LONG = 30;

/** Prefixes, of which nothing is counted that would be lost. */
const isWalked = (block: Block): boolean =>
  hasFlag(block, "interval") && !block.head.some((line) => / \. |^(counter|quota|limit|last)\b/.test(line));

/** The elements that differ, and those that name what is made anew. `before` is absent where the set itself is new. */
export function elements(
  table: string,
  before: Block | undefined,
  after: Block,
  naming: (text: string) => boolean,
  written: ReadonlySet<string>,
): Moves {
  if (isWhole(after)) return NONE;
  const isMap = after.kind === "map";
  const [was, wanted] = [before?.elements ?? {}, after.elements ?? {}];
  const print = (key: string, rest: string) => printElement(key, rest, isMap);
  const renewed = (key: string) =>
    key in wanted && (was[key] !== wanted[key] || naming(print(key, wanted[key]!)));
  const stale = Object.keys(was).filter((key) => !(key in wanted) || renewed(key));
  const fresh = Object.keys(wanted).filter((key) => !(key in was) || renewed(key));
  const say = (verb: string, list: readonly string[]) =>
    list.length > 0 ? [`${verb} element ${table} ${after.name} {\n\t${list.join(",\n\t")}\n}`] : [];
  const all = (keys: readonly string[]) => keys.map((key) => print(key, wanted[key]!));

  const merges = after.head.includes("auto-merge");
  const torn = merges ? tear(Object.keys(was), stale) : undefined;
  const long = isWalked(after) && deleting(Object.keys(was).length, stale.length) > LONG;
  if (stale.length > 0 && !isLively(after, written) && ((merges && !torn) || long)) {
    return {
      stale: [`flush ${after.kind} ${table} ${after.name}`],
      fresh: say("add", all(Object.keys(wanted))),
    };
  }
  // Deleting what ran out, or what a half-run has deleted, is an error: so it is added first. An interval is not, for
  // adding it could overlap with its successor; nor is what gets another value, for it is there in any case.
  const times = after.head.some((line) => line.startsWith("timeout "));
  const isTimed = (key: string) => times || divide(was[key]!, isMap).attributes.startsWith("timeout ");
  const tolerant = stale.filter((key) => isTimed(key) || (!hasFlag(after, "interval") && !(key in wanted)));
  const former = tolerant.map((key) => print(key, was[key]!));
  const drop = (keys: readonly string[]) => deletions(keys, (some) => say("delete", some).join(""));
  if (!torn) return { stale: [...say("add", former), ...drop(stale)], fresh: say("add", all(fresh)) };
  const isFresh = new Set(fresh);
  const rest = Object.keys(wanted).filter((key) => !isFresh.has(key) && pieceOf(torn, key));
  return {
    stale: [...say("add", former), ...drop(torn.map(formatRange))],
    fresh: say("add", all([...fresh, ...rest])),
  };
}

/**
 * The pieces that auto-merge made of elements, of which some are to go: nft 1.0.6 deletes no part of one. Undefined where
 * that cannot be told.
 */
function tear(keys: readonly string[], stale: readonly string[]): readonly Range[] | undefined {
  if (stale.length === 0) return undefined;
  const ranges = keys.map(rangeOf).filter((range) => range !== undefined);
  if (ranges.length < keys.length) return undefined;
  const pieces: Range[] = [];
  for (const range of ranges.sort((a, b) => (a.low < b.low ? -1 : 1))) {
    const last = pieces.at(-1);
    if (!last || range.low > last.high + 1n) pieces.push(range);
    else if (range.high > last.high) pieces[pieces.length - 1] = { ...last, high: range.high };
  }
  const torn = new Set(stale.map((key) => pieceOf(pieces, key)!));
  return pieces.filter((piece) => torn.has(piece));
}

/** That where the key begins. They lie apart, in order. */
function pieceOf(pieces: readonly Range[], key: string): Range | undefined {
  const low = rangeOf(key)?.low;
  if (low === undefined) return undefined;
  let [from, to] = [0, pieces.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (pieces[middle]!.high < low) from = middle + 1;
    else to = middle;
  }
  return pieces[from] && pieces[from]!.low <= low ? pieces[from] : undefined;
}

function rangeOf(key: string): Range | undefined {
  try {
    return parseRange(key);
  } catch {
    return undefined;
  }
}
