import { HostnetError } from "../errors";
import { keysOf } from "../formats/keys";
import { references, tokenize } from "../formats/nft";
import { type Block, type Body, hookOf, parseBody } from "../formats/nft-block";
import { type Collection, MAP_LINES, readLines, SET_LINES } from "../formats/nft-collection";
import type { Last, Observed, Query, Result } from "../kind";
import { flagsOf, isMap, type NftSet, type schema } from "./args";
import { type Elements, entryOf, timeoutIn } from "./elements";
import { numeric, typesOf } from "./types";

type Shape = typeof schema.shape;
export type Applied = Last<Shape, Facts>;

export interface Facts {
  /** The table is asleep. */
  readonly dormant: boolean;
  /** What the set is, as nft lists it: of its own words some come back in others. */
  readonly head: readonly string[];
  /** Chains whose rules name it. */
  readonly users: readonly string[];
  /** Where packets meet those chains. */
  readonly hooks: readonly string[];
  /** Declared elements that ran out. */
  readonly ended: readonly string[];
  /** Release of the kernel, where it decides how prefixes are changed. */
  readonly kernel?: string;
}

/** A part of the ruleset, without the elements of sets; `list table` would read all of them on nft below 1.1. */
const PART = `l=$(TZ=UTC nft -s -n -t list ruleset "$1") || exit; printf '%s\\n' "$l" | sed -n "$2"`;
/** Succeeds unless the table is there and holds nothing. */
const HOLDS = `l=$(nft -t list ruleset "$1") || exit 0; [ "$(printf '%s\\n' "$l" | sed -n "$2" | wc -l)" != 2 ]`;

const literal = (text: string): string => text.replace(/[/\\.]/g, "\\$&");
const ofTable = ({ family, table }: NftSet, inner = "p"): string =>
  `/^table ${family} ${literal(table)} {/,/^}/${inner}`;
const ofSet = (d: NftSet): string => {
  const name = literal(d.name);
  return ofTable(d, `{/^\\t[setmap]* ${name} {/,/^\\t}/p;}`);
};

export const tableHolds = (d: NftSet): readonly string[] => ["sh", "-c", HOLDS, "sh", d.family, ofTable(d)];

/**
 * Right after a change, long lists are not read back: nft took all of them or none, and reading them takes as long as
 * loading them.
 */
const LONG = 10_000;

/** The set by itself; then its table, which others change; then the elements, which packets change. */
export function query(d: NftSet, last?: Applied, changed = false): readonly Query[] {
  const part = (which: string) => ["sh", "-c", PART, "sh", d.family, which];
  const managed = !last || d.elements !== undefined || last.desired.elements !== undefined;
  const long = changed && keysOf(d.elements ?? {}).length > LONG;
  const list = [
    "env",
    "TZ=UTC",
    "nft",
    "-s",
    "-n",
    "list",
    isMap(d) ? "map" : "set",
    d.family,
    d.table,
    d.name,
  ];
  return [
    { argv: part(ofSet(d)) },
    { argv: part(ofTable(d)), free: true },
    ...(asksKernel(d, last) ? [{ argv: ["cat", "/proc/sys/kernel/osrelease"], free: true }] : []),
    ...(managed && !long ? [{ argv: list, free: true }] : []),
  ];
}

/** Only a change of prefixes depends on it. */
const asksKernel = (d: NftSet, last?: Applied): boolean =>
  last !== undefined && flagsOf(d).includes("interval");

export function parse(results: readonly Result[], d: NftSet, last?: Applied): Observed<Shape, Facts> {
  const asked = asksKernel(d, last);
  const [own, around, ...rest] = results;
  const [kernel, list] = asked ? rest : [undefined, ...rest];
  const table = body(around, d);
  const found = body(own, d, true)?.passages.find(({ block }) => block.name === d.name)?.block;
  const dormant = table?.statements.some((s) => /^flags .*\bdormant\b/.test(s)) ?? false;
  const facts = {
    dormant,
    head: found?.head ?? [],
    ...usersOf(table, d.name),
    ended: [],
    ...(kernel && { kernel: kernel.stdout.trim() }),
  };
  if (!found) return { facts };
  if ((found.kind === "map") !== isMap(d))
    throw new HostnetError(
      `value: ${d.table} has a ${found.kind} named ${d.name}: a set cannot become a map, nor a map a set; take another name`,
    );
  const words = last?.desired ?? d;
  const { fields, broken } = headIn(found, words, last?.facts?.head);
  const { observed, ended } =
    list && (words.elements || d.elements || !last)
      ? inElements(list, found, words, d)
      : { observed: words.elements, ended: [] };
  const { family, table: where, name } = d;
  return {
    state: { family, table: where, name, ...fields, ...(observed && { elements: observed }) } as NftSet,
    broken,
    facts: { ...facts, ended },
  };
}

/** The inside of the table in a part of the ruleset; of a set by itself there is no table around. */
function body(result: Result | undefined, d: NftSet, bare = false): Body | undefined {
  if (!result) throw new Error("nft was not asked");
  const { code, stdout, stderr } = result;
  if (code !== 0)
    throw new HostnetError(`nft could not list the ruleset: ${stderr.trim() || `exit code ${code}`}`);
  if (stdout.trim() === "") return undefined;
  if (bare) return parseBody(stdout);
  const [, name, inside] = /^table (\S+ \S+) \{(?: *#.*)?\n([\s\S]*)\}\s*$/.exec(stdout) ?? [];
  if (name !== `${d.family} ${d.table}`)
    throw new Error(`nft listed something else than ${d.family} ${d.table}: ${stdout.slice(0, 200)}`);
  return parseBody(inside!);
}

/** Who names it, straight or through maps and chains that lead there, does not matter: the table's hooks do then. */
function usersOf(table: Body | undefined, name: string): Pick<Facts, "users" | "hooks"> {
  const chains = (table?.passages ?? []).flatMap(({ block }) => (block.kind === "chain" ? [block] : []));
  const using = chains.filter(({ rules = [] }) =>
    rules.some((rule) => rule.includes(`@${name}`) && references(rule).sets.includes(name)),
  );
  const straight = using.every((chain) => hookOf(chain) !== undefined);
  const hooks = (straight ? using : chains).flatMap((chain) => hookOf(chain) ?? []);
  return { users: using.map((chain) => chain.name), hooks: [...new Set(hooks)].sort() };
}

export const HEAD = [
  "type",
  "typeof",
  "value",
  "flags",
  "timeout",
  "gcInterval",
  "size",
  "counter",
  "policy",
  "comment",
] as const satisfies readonly (keyof NftSet & keyof Collection)[];
const DEFAULTS: Partial<Record<string, unknown>> = { counter: false, policy: "performance" };

/** Flags that a set has, although nothing in it needs them any more, harm nothing, and cannot be taken away. */
const HARMLESS = ["interval", "timeout"];

/** The kind of set in the user's words, as far as it still says the same. */
function headIn(found: Block, words: NftSet, base: readonly string[] | undefined) {
  const pick = (of: object): Partial<NftSet> =>
    Object.fromEntries(Object.entries(of).filter(([key]) => (HEAD as readonly string[]).includes(key)));
  if (base && base.length > 0 && base.join("\n") === found.head.join("\n"))
    return { fields: pick(words), broken: [] };
  const lines = found.kind === "map" ? MAP_LINES : SET_LINES;
  const odd = found.head.filter((line) => !readLines([line], lines) || line === "auto-merge");
  const said = readLines(
    found.head.filter((line) => !odd.includes(line)),
    lines,
  ) as Collection;
  const has = flagsIn(said);
  const needs = flagsOf(words);
  const flags =
    needs.every((flag) => has.includes(flag)) &&
    has.every((flag) => needs.includes(flag) || HARMLESS.includes(flag));
  const fields: Record<string, unknown> = { ...said, ...(flags ? { flags: words.flags } : { flags: has }) };
  for (const key of Object.keys(DEFAULTS)) {
    const value = fields[key] ?? DEFAULTS[key];
    fields[key] = words[key as "policy"] === undefined && value === DEFAULTS[key] ? undefined : value;
  }
  const extra = HEAD.filter((key) => fields[key] !== undefined && words[key] === undefined);
  return {
    fields: pick(JSON.parse(JSON.stringify(fields))),
    broken: [
      ...extra.map((key) => `${key} ${fields[key]} is there`),
      ...odd.map((line) => `${line} is there`),
    ],
  };
}

export const flagsIn = ({ flags = [], timeout }: Pick<Collection, "flags" | "timeout">): string[] =>
  [...new Set([...flags, ...(timeout === undefined ? [] : ["timeout"])])].sort();

/**
 * What is there, in the user's spelling. Where packets and time come in (flags dynamic and timeout), only what was
 * declared counts: what they added is no drift, nor what ran out.
 */
function inElements(
  list: Result,
  found: Block,
  words: NftSet,
  d: NftSet,
): { observed: Elements; ended: string[] } {
  const types = typesOf(words);
  const spelled = new Map(
    types.includes("inet_proto")
      ? Object.keys({ ...words.elements, ...d.elements }).map((key) => [numeric(key, types), key])
      : [],
  );
  const listed: Record<string, string> = {};
  for (const text of listedElements(list)) {
    const { key, rest } = entryOf(text, true);
    listed[spelled.get(key) ?? key] = rest;
  }
  const lines = found.kind === "map" ? MAP_LINES : SET_LINES;
  const head = (readLines(
    found.head.filter((line) => /^(flags|timeout) /.test(line)),
    lines,
  ) ?? {}) as Collection;
  const flags = flagsIn(head);
  const dynamic = flags.includes("dynamic");
  const mine = words.elements ?? {};
  // The set's own timeout is listed with an element or not, as versions will.
  const plain = (rest: string) =>
    timeoutIn(rest) === head.timeout ? rest.replace(/^timeout \S+ ?/, "") : rest;
  const same = (a: string, b: string) => dynamic || plain(a) === plain(b);
  const observed: Record<string, string> = {};
  const ended: string[] = [];
  if (!dynamic && !flags.includes("timeout")) {
    return { observed: listed, ended: [] };
  }
  for (const [key, rest] of Object.entries(mine)) {
    const now = listed[key];
    if (now !== undefined) observed[key] = same(now, rest) ? rest : now;
    else if (timeoutIn(rest) !== undefined || head.timeout !== undefined) {
      observed[key] = rest;
      ended.push(key);
    }
  }
  for (const key of keysOf(d.elements ?? {}))
    if (!(key in mine) && listed[key] !== undefined) observed[key] = listed[key];
  return { observed, ended };
}

/** The elements as nft prints them, one text each. Long lists make a scan of their own worth it. */
function listedElements({ code, stdout, stderr }: Result): string[] {
  if (code !== 0)
    throw new HostnetError(`nft could not list the elements: ${stderr.trim() || `exit code ${code}`}`);
  const start = stdout.search(/^\t\telements = \{/m);
  if (start < 0) return [];
  const inside = stdout.slice(stdout.indexOf("{", start) + 1);
  const parts = inside.includes('"') ? split(inside) : inside.slice(0, inside.indexOf("}")).split(",");
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

/** At commas, up to the brace; neither counts in quotes. */
function split(text: string): string[] {
  const tokens = tokenize(
    text.slice(0, text.lastIndexOf("}", text.lastIndexOf("}", text.lastIndexOf("}") - 1) - 1)),
  );
  const parts: string[] = [];
  let from = 0;
  for (const { kind, text: mark, start, end } of tokens) {
    if (kind !== "mark" || mark !== ",") continue;
    parts.push(text.slice(from, start));
    from = end;
  }
  return [...parts, text.slice(from, tokens.at(-1)?.end ?? 0)];
}
