import { HostnetError } from "../errors";
import { mentions, references } from "../formats/nft";
import { type Block, printElement } from "../formats/nft-block";
import { divide } from "../formats/nft-element";
import type { Last, Observed, Step } from "../kind";
import type { NftTable, schema } from "./args";
import { hasFlag, isBase, isLively, meaning, type Table, tableOf } from "./blocks";
import type { Facts } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

/** One transaction: all of it or nothing, and no packet meets a half of it. */
const transaction = (lines: readonly string[]): Step => ({
  argv: ["env", "TZ=UTC", "nft", "-f", "-"],
  stdin: lines.map((line) => `${line}\n`).join(""),
});

export function ensure(
  d: NftTable,
  { state, rest, facts }: Seen,
  last?: Last<Shape, Facts>,
): readonly Step[] {
  const table = `${d.family} ${d.name}`;
  const want = tableOf(d);
  const have = tableOf(state ?? {});
  const slept = state?.dormant ?? rest?.dormant ?? false;
  const sleeps = d.dormant ?? (last?.desired.dormant === undefined && slept);
  if (!state)
    return [transaction([header(table, sleeps, want.comment), ...changes(table, d.family, want, have, [])])];
  if (want.comment !== have.comment) return remade(table, d.family, sleeps, want, facts);
  const lines = changes(table, d.family, want, have, leftovers(want, have, facts));
  const now = (asleep: boolean, more: readonly string[]) => transaction([header(table, asleep), ...more]);
  if (slept === sleeps) return lines.length > 0 ? [now(slept, lines)] : [];
  // The kernel takes no new chains while it puts a table to sleep: so it sleeps first, and wakes last.
  const asleep = lines.length > 0 ? [now(true, lines)] : [];
  return sleeps ? [now(true, []), ...asleep] : [...asleep, now(false, [])];
}

/** A table that others' sets still live in stays, without what is ours. */
export function remove(before: Seen, { desired: { family, name } }: Last<Shape, Facts>): readonly Step[] {
  const { state, facts } = before;
  const bare = facts.present && Object.keys(facts.listing).length === 0;
  if (facts.foreign.length > 0 || (bare && state)) return state ? ensure({ family, name }, before) : [];
  // Adding it first makes the deletion of an absent one no error.
  return state || facts.present
    ? [transaction([`add table ${family} ${name}`, `delete table ${family} ${name}`])]
    : [];
}

function header(table: string, dormant: boolean, comment?: string): string {
  const inside = `${comment === undefined ? "" : `comment "${comment}"; `}${dormant ? "flags dormant; " : ""}`;
  return inside === "" ? `add table ${table}` : `add table ${table} { ${inside}}`;
}

/** nft ignores a changed comment of a table in silence, so the table is made anew. */
function remade(table: string, family: string, dormant: boolean, want: Table, { foreign }: Facts): Step[] {
  if (foreign.length > 0) {
    throw new HostnetError(
      `text: the table's comment cannot change while other sets live in it: ${foreign.join(", ")}`,
    );
  }
  const fresh = changes(table, family, want, { blocks: new Map() }, []);
  return [
    transaction([
      `add table ${table}`,
      `delete table ${table}`,
      header(table, dormant, want.comment),
      ...fresh,
    ]),
  ];
}

/** What nft made by itself for a rule that is going: newer versions keep a meter as a set. */
function leftovers(want: Table, have: Table, { listing }: Facts): string[] {
  const meters = new Set(texts(want).flatMap((text) => references(text).meters));
  return Object.keys(listing).filter((key) => {
    const name = key.slice(key.lastIndexOf(" ") + 1);
    return !want.blocks.has(key) && !have.blocks.has(key) && key.startsWith("set ") && !meters.has(name);
  });
}

const texts = ({ blocks }: Table): string[] => [...blocks.values()].flatMap((block) => block.rules ?? []);

type Change = "same" | "new" | "gone" | "remade" | "redeclared";

/** The order matters: nothing is deleted while something still names it, nothing is named before it is there. */
function changes(
  table: string,
  family: string,
  want: Table,
  have: Table,
  leftover: readonly string[],
): string[] {
  const keys = [...new Set([...have.blocks.keys(), ...want.blocks.keys()])];
  const all = keys.map((key) => {
    const [before, after] = [have.blocks.get(key), want.blocks.get(key)];
    return { before, after, block: (after ?? before)!, change: compare(family, before, after) };
  });
  const lost = new Set(
    all.filter(({ change }) => change === "gone" || change === "remade").map(({ block }) => block.name),
  );
  const naming = (text: string): boolean =>
    lost.size > 0 && [...mentions(text)].some((word) => lost.has(word));

  const chains = all.filter(({ block }) => block.kind === "chain");
  const sets = all.filter(({ block }) => block.kind === "set" || block.kind === "map");
  const objects = all.filter(
    ({ block }) => block.kind !== "chain" && block.kind !== "set" && block.kind !== "map",
  );
  const refilled = chains.filter(({ before, after, change }) => {
    if (change === "new") return true;
    const moved =
      change === "gone" || change === "remade" || before!.rules!.join("\n") !== after!.rules!.join("\n");
    return moved || [...before!.rules!, ...after!.rules!].some(naming);
  });
  const written = new Set(texts(want).flatMap((text) => references(text).written));
  const moves = sets.map(({ before, after, change }) =>
    change === "gone"
      ? NONE
      : elements(table, change === "same" ? before : undefined, after!, naming, written),
  );

  const name = ({ block }: { block: Block }) => `${table} ${block.name}`;
  const define = ({ block }: { block: Block }) => definition(table, block);
  const is =
    (...wanted: Change[]) =>
    ({ change }: { change: Change }) =>
      wanted.includes(change);
  /** Added first, as it was: then deleting what a half-run has deleted already is no error. */
  const drop = ({ before, block, change }: (typeof all)[number]) => [
    ...(change === "gone" ? [definition(table, before!)] : []),
    `delete ${block.kind} ${table} ${block.name}`,
  ];
  return [
    ...chains.filter(is("gone")).map((c) => `add chain ${name(c)}`),
    ...chains.filter(is("new", "redeclared")).map(define),
    // New ones too: should they be there after all, as in the undo of what never happened, no rule is there twice.
    ...refilled.map((c) => `flush chain ${name(c)}`),
    ...moves.flatMap(({ stale }) => stale),
    ...sets.filter(is("gone", "remade")).flatMap(drop),
    ...leftover.map((key) => `delete ${key.replace(" ", ` ${table} `)}`),
    ...chains.filter(is("gone", "remade")).map((c) => `delete chain ${name(c)}`),
    ...objects.filter(is("gone", "remade")).flatMap(drop),
    ...objects.filter(is("new", "remade", "redeclared")).map(define),
    ...chains.filter(is("remade")).map(define),
    ...sets.filter(is("new", "remade")).map(define),
    ...moves.flatMap(({ fresh }) => fresh),
    ...refilled.flatMap((c) => (c.after?.rules ?? []).map((rule) => `add rule ${name(c)} ${rule}`)),
  ];
}

/** A head that nft changes when it is declared again, or one that it would ignore or refuse: then it is made anew. */
function compare(family: string, before: Block | undefined, after: Block | undefined): Change {
  if (!before) return "new";
  if (!after) return "gone";
  if (meaning(before, family) === meaning(after, family)) return "same";
  const fixed = (block: Block) => {
    const kept = (line: string) =>
      block.kind === "quota" ? line.startsWith("comment ") : !line.startsWith("policy ");
    return meaning({ ...block, head: block.head.filter(kept) }, family);
  };
  const declarable =
    (after.kind === "chain" || after.kind === "quota") &&
    isBase(before) === isBase(after) &&
    fixed(before) === fixed(after);
  return declarable ? "redeclared" : "remade";
}

function definition(table: string, { kind, name, head, ...rest }: Block): string {
  const base = isBase({ kind, name, head, ...rest });
  // Without a policy nft keeps the one that is there.
  const policy = base && !head.some((line) => line.startsWith("policy ")) ? ["policy accept"] : [];
  const inside = [...head, ...policy].map((line) => `${line}; `).join("");
  return `add ${kind} ${table} ${name}${inside === "" ? "" : ` { ${inside}}`}`;
}

interface Moves {
  readonly stale: readonly string[];
  readonly fresh: readonly string[];
}
const NONE: Moves = { stale: [], fresh: [] };

/** The elements that differ, and those that name what is made anew. `before` is absent where the set itself is new. */
function elements(
  table: string,
  before: Block | undefined,
  after: Block,
  naming: (text: string) => boolean,
  written: ReadonlySet<string>,
): Moves {
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

  // What auto-merge made one is no element that could be deleted.
  const merged = after.head.includes("auto-merge") && !isLively(after, written);
  if (merged && stale.length > 0) {
    return { stale: [`flush set ${table} ${after.name}`], fresh: say("add", all(Object.keys(wanted))) };
  }
  // Deleting what ran out, or what a half-run has deleted, is an error: so it is added first. An interval is not, for
  // adding it could overlap with its successor.
  const tolerant = stale.filter((key) => {
    const timed =
      divide(was[key]!, isMap).attributes.startsWith("timeout ") ||
      after.head.some((l) => l.startsWith("timeout "));
    return timed || (!hasFlag(after, "interval") && !(key in wanted));
  });
  return {
    stale: [
      ...say(
        "add",
        tolerant.map((key) => print(key, was[key]!)),
      ),
      ...say("delete", stale),
    ],
    fresh: say("add", all(fresh)),
  };
}
