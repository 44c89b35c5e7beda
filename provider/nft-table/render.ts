import { isDeepStrictEqual } from "node:util";
import { HostnetError } from "../errors";
import { mentions, references } from "../formats/nft";
import { linesOf, transaction } from "../formats/nft-batch";
import { type Block, keyOf } from "../formats/nft-block";
import type { Boot, Last, Observed, Step } from "../kind";
import type { NftTable, schema } from "./args";
import { hasFlag, isBase, meaning, type Table, tableOf, writtenBy } from "./blocks";
import { closed, closedUntilBound, isBound, linksOf, opening } from "./closed";
import { elements, isWhole, NONE, printElements } from "./elements";
import type { Facts } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: NftTable, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const steps = changing(d, before, last);
  return steps.length > 0 ? [...steps, ...opened(d, last?.desired)] : [];
}

/** What stood in for it at a boot without its links. */
const opened = (...tables: readonly (NftTable | undefined)[]): readonly Step[] =>
  tables.flatMap((d) => (d && isBound(d) && closedUntilBound(d) ? [opening(d)] : [])).slice(0, 1);

function changing(d: NftTable, { state, rest, facts }: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const table = `${d.family} ${d.name}`;
  const want = tableOf(d);
  const have = tableOf(state ?? {});
  const slept = state?.dormant ?? rest?.dormant ?? false;
  const sleeps = d.dormant ?? (last?.desired.dormant === undefined && slept);
  if (!state)
    return [transaction([header(table, sleeps, want.comment), ...changes(table, d.family, want, have)])];
  if (want.comment !== have.comment) return remade(table, d.family, sleeps, want, facts);
  const { leftovers, strays } = goneMeters(d, want, have, facts);
  const lines = changes(table, d.family, want, have, facts.listing, leftovers);
  const now = (asleep: boolean, more: readonly string[]) => transaction([header(table, asleep), ...more]);
  if (slept === sleeps) return lines.length > 0 ? [now(slept, lines), ...strays] : [];
  // The kernel takes no new chains while it puts a table to sleep: so it sleeps first, and wakes last.
  const asleep = lines.length > 0 ? [now(true, lines), ...strays] : [];
  return sleeps ? [now(true, []), ...asleep] : [...asleep, now(false, [])];
}

const NOTHING: Facts = { table: "", present: false, listing: {}, foreign: [] };

/** What a create sends where there is nothing of the table yet. */
export const fresh = (d: NftTable): readonly string[] => linesOf(ensure(d, { facts: NOTHING }));

/** The same without the elements of its sets. */
export const skeleton = (d: NftTable): readonly string[] =>
  linesOf(
    ensure(d, { facts: NOTHING }).map((step) => ({
      ...step,
      stdin: step.stdin?.replace(/^add element .*\n(\t.*\n)*\}\n/gm, ""),
    })),
  );

/** After its sets. One that is bound to links cannot come before them. */
export function boot(d: NftTable): Boot<Facts> {
  if (isBound(d))
    return { order: 50, when: "ruleset", facts: NOTHING, closed: closedUntilBound(d), again: bindings(d) };
  const table = `${d.family} ${d.name}`;
  return {
    table,
    order: 1,
    facts: NOTHING,
    closed: closed(d),
    anew: `add table ${table}; delete table ${table}`,
  };
}

/** Chains that went with a link, or lack it now that it is there again: made anew, each by itself. */
function bindings(d: NftTable): Step[] {
  const [table, all] = [`${d.family} ${d.name}`, tableOf(d)];
  const bound = [...all.blocks].filter(([, block]) => block.kind === "chain" && linksOf(block).length > 0);
  return bound.map(([key, block]) => {
    const others = { ...all, blocks: new Map([...all.blocks].filter(([other]) => other !== key)) };
    const name = `chain ${table} ${block.name}`;
    return {
      ...transaction([
        ...["add", "flush", "delete"].map((verb) => `${verb} ${name}`),
        ...changes(table, d.family, all, others),
      ]),
      unless: ["sh", "-c", HAS_LINKS, "sh", d.family, d.name, block.name, ...linksOf(block)],
    };
  });
}
const HAS_LINKS =
  'l=$(nft list chain "$1" "$2" "$3" | tr -cs "[:alnum:]_.:@-" "\\n"); shift 3; ' +
  'for d; do printf "%s\\n" "$l" | grep -qxF -e "$d" || exit; done';

/** A table that others' sets still live in stays, without what is ours; so does one that was bare before a change. */
export function remove(before: Seen, { desired }: Last<Shape, Facts>): readonly Step[] {
  return [...removing(before, desired), ...opened(desired)];
}

function removing(before: Seen, { family, name }: NftTable): readonly Step[] {
  const { state, facts } = before;
  const wasBare = facts.present && Object.keys(facts.listing).length === 0 && !isEmpty(state);
  if (facts.foreign.length > 0 || (wasBare && state)) return state ? ensure({ family, name }, before) : [];
  // Adding it first makes the deletion of an absent one no error.
  return state || facts.present
    ? [transaction([`add table ${family} ${name}`, `delete table ${family} ${name}`])]
    : [];
}

function isEmpty(state: NftTable | undefined): boolean {
  const { blocks, comment } = tableOf(state ?? {});
  return blocks.size === 0 && comment === undefined && !state?.dormant;
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
  const anew = changes(table, family, want, { blocks: new Map() });
  return [
    transaction([
      `add table ${table}`,
      `delete table ${table}`,
      header(table, dormant, want.comment),
      ...anew,
    ]),
  ];
}

/**
 * Newer versions of nft keep a meter as a set, which stays when the meter's rule goes. Those that change go, too: the size and
 * the key are the set's, and what it holds keeps the rate that it was made with. An undo meets sets that were not there when
 * the host was looked at, and may not be there on older versions: these are strays.
 */
function goneMeters(d: NftTable, want: Table, have: Table, { listing }: Facts) {
  const [before, after] = [metersOf(have), metersOf(want)];
  const gone = [...before.keys()].filter(
    (name) => after.get(name) !== before.get(name) && !have.blocks.has(`set ${name}`),
  );
  const stays = (name: string) =>
    after.has(name) || [`set ${name}`, `map ${name}`].some((key) => want.blocks.has(key));
  const listed = (name: string) => `set ${name}` in listing;
  return {
    leftovers: gone.filter(listed).map((name) => `set ${name}`),
    strays: gone.filter((name) => !listed(name) && !stays(name)).map((name) => strayOf(d, name)),
  };
}

const strayOf = ({ family, name }: NftTable, meter: string): Step => ({
  argv: ["nft", "delete", "set", family, name, meter],
  unless: ["sh", "-c", '! nft list set "$@"', "sh", family, name, meter],
});

/** By name, what each says. */
const metersOf = (table: Table): ReadonlyMap<string, string | undefined> =>
  new Map(
    texts(table)
      .filter((text) => text.includes("meter"))
      .flatMap((text) =>
        references(text).meters.map((name) => [
          name,
          [...text.matchAll(/\bmeter\s+(\S+)\s+[^{}]*\{[^{}]*\}/g)].find(([, named]) => named === name)?.[0],
        ]),
      ),
  );

const texts = ({ blocks }: Table): string[] => [...blocks.values()].flatMap((block) => block.rules ?? []);

type Change = "same" | "new" | "gone" | "remade" | "redeclared";

/** The order matters: nothing is deleted while something still names it, nothing is named before it is there. */
function changes(
  table: string,
  family: string,
  want: Table,
  have: Table,
  listing: Facts["listing"] = {},
  leftover: readonly string[] = [],
): string[] {
  const keys = [...new Set([...have.blocks.keys(), ...want.blocks.keys()])];
  const compared = keys.map((key) => {
    const [before, after] = [have.blocks.get(key), want.blocks.get(key)];
    return { before, after, block: (after ?? before)!, change: compare(family, before, after) };
  });
  const lost = new Set<string>();
  const lose = ({ change, block }: (typeof compared)[number]) => {
    if (change === "gone" || change === "remade") lost.add(block.name);
  };
  compared.forEach(lose);
  const naming = (text: string): boolean =>
    lost.size > 0 && [...mentions(text)].some((word) => lost.has(word));
  const all = compared.map((one) => {
    const moved =
      one.change === "same" && isWhole(one.before) && Object.values(one.before!.elements!).some(naming);
    return moved ? { ...one, change: "remade" as const } : one;
  });
  all.forEach(lose);

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
  const written = writtenBy(want);
  const wrote = writtenBy(have);
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
  /**
   * Added first: then deleting what a half-run has deleted already is no error. Without elements, for nft 1.0.6 dies of `*`
   * beside intervals that are there already.
   */
  const drop = ({ before, block, change }: (typeof all)[number]) => [
    ...(change === "gone"
      ? [definition(table, { ...asMade(before!, listing[keyOf(before!)], wrote), elements: {} })]
      : []),
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
  if ((isWhole(before) || isWhole(after)) && !isDeepStrictEqual(before.elements, after.elements))
    return "remade";
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

/**
 * With the flags that it has on the host, for the kernel refuses others: nft makes a set (no map) "dynamic" where a rule beside
 * it writes it, whatever its declaration says. What an undo meets is not listed.
 */
function asMade(block: Block, listed: string | undefined, written: ReadonlySet<string>): Block {
  if (block.kind !== "set" && block.kind !== "map") return block;
  const said = block.head.find((line) => line.startsWith("flags "));
  const dynamic = block.kind === "set" && written.has(block.name) && !hasFlag(block, "dynamic");
  const guessed = dynamic ? `${said === undefined ? "flags " : `${said},`}dynamic` : said;
  const flags = listed === undefined ? guessed : /^\t\t(flags .+)$/m.exec(listed)?.[1];
  return { ...block, head: [...block.head.filter((line) => line !== said), ...(flags ? [flags] : [])] };
}

function definition(table: string, block: Block): string {
  const { kind, name, head } = block;
  const base = isBase(block);
  // Without a policy nft keeps the one that is there.
  const policy = base && !head.some((line) => line.startsWith("policy ")) ? ["policy accept"] : [];
  const whole = isWhole(block) ? [`elements = { ${printElements(block).join(", ")} }`] : [];
  const inside = [...head, ...policy, ...whole].map((line) => `${line}; `).join("");
  return `add ${kind} ${table} ${name}${inside === "" ? "" : ` { ${inside}}`}`;
}
