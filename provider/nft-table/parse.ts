import { HostnetError } from "../errors";
import { references, unquote } from "../formats/nft";
import { type Block, type Body, keyOf, parseBody, printBlock } from "../formats/nft-block";
import type { Last, Observed, Query, Result } from "../kind";
import type { NftTable, schema } from "./args";
import { isLively, type Table, tableOf } from "./blocks";
import { observe } from "./observe";
import { FIELDS, type Field, fieldOf, structured } from "./structure";

type Shape = typeof schema.shape;

export interface Facts {
  /** "inet fw" */
  readonly table: string;
  /** The table is there, be it an empty one that a set of its own was put in. */
  readonly present: boolean;
  /** Each block as nft lists it, without counts, and without elements that come and go by themselves. */
  readonly listing: Readonly<Record<string, string>>;
  /** Sets in the table that have a resource of their own. */
  readonly foreign: readonly string[];
}

/** Without counters (-s), with numbers for names (-n): what names mean may differ from host to host, and change. */
const NFT = ["env", "TZ=UTC", "nft", "-s", "-n"];

/** The table without the elements of its sets, and the elements of those that are managed. */
export function query(d: NftTable, last?: Last<Shape, Facts>): readonly Query[] {
  const { family, name } = d;
  const terse = { argv: [...NFT, "-t", "list", "table", family, name] };
  // Where nothing was applied yet, elements of any set may be found, and are to come back one day.
  if (!last) return [terse, { argv: [...NFT, "list", "table", family, name], free: true }];
  const [wanted, before] = [tableOf(d), tableOf(last.desired)];
  const managed = [...new Set([...wanted.blocks.keys(), ...before.blocks.keys()])].filter(
    (key) => elementsManaged(key, wanted) || elementsManaged(key, before),
  );
  const written = writtenBy(wanted, before);
  return [
    terse,
    ...managed.map((key) => {
      const block = (wanted.blocks.get(key) ?? before.blocks.get(key))!;
      const argv = [...NFT, "list", block.kind, family, name, block.name];
      return isLively(block, written) ? { argv, free: true } : { argv };
    }),
  ];
}

const elementsManaged = (key: string, table: Table): boolean => table.blocks.get(key)?.elements !== undefined;
const writtenBy = (...tables: Table[]): ReadonlySet<string> =>
  new Set(
    tables.flatMap(({ blocks }) =>
      [...blocks.values()].flatMap((b) => (b.rules ?? []).flatMap((r) => references(r).written)),
    ),
  );

export function parse(
  results: readonly Result[],
  d: NftTable,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const table = `${d.family} ${d.name}`;
  const body = listed(results[0], table);
  if (!body) return { facts: { table, present: false, listing: {}, foreign: [] } };
  const elements = new Map(
    results
      .slice(1)
      .flatMap((result) =>
        (listed(result, table)?.passages ?? []).map(({ block }) => [keyOf(block), block.elements ?? {}]),
      ),
  );
  const [wanted, own] = [tableOf(d), tableOf(last?.desired ?? d)];
  const declared = (key: string) => own.blocks.get(key) ?? wanted.blocks.get(key);
  const uses = new Set([...(d.uses ?? []), ...(last?.desired.uses ?? [])]);
  const written = writtenBy(own, wanted);

  const listing: Record<string, string> = {};
  const foreign: string[] = [];
  const found = new Map<string, Block>();
  for (const { block } of body.passages) {
    const key = keyOf(block);
    const isSet = block.kind === "set" || block.kind === "map";
    if (isSet && uses.has(block.name) && !declared(key)) {
      foreign.push(block.name);
      continue;
    }
    const lively = isLively(block, written);
    const managed = elementsManaged(key, own) || elementsManaged(key, wanted);
    // Elements of a set that nobody declared are of interest only where the table may have to come back as it was.
    const shown =
      isSet && (managed || (!declared(key) && !last && !lively))
        ? { ...block, elements: elements.get(key) ?? {} }
        : block;
    listing[key] = printBlock(managed && !lively ? shown : block);
    const base = last?.facts?.listing[key];
    const mine = declared(key);
    // What nobody declared but was there right after the apply, nft made by itself: the set of a meter.
    if (mine)
      found.set(
        key,
        observe(
          mine,
          shown,
          base === undefined ? undefined : parseBody(base).passages[0]!.block,
          d.family,
          lively,
        ),
      );
    else if (base !== listing[key]) found.set(key, shown);
  }
  const facts = { table, present: true, listing, foreign: foreign.sort() };
  const comment = body.statements.find((s) => s.startsWith("comment "));
  const dormant = body.statements.some((s) => /^flags .*\bdormant\b/.test(s));
  const nothing = found.size === 0 && comment === undefined && !dormant;
  // An empty table is nobody's: a container that sets of their own were or will be put in.
  if (nothing && !(last && own.blocks.size === 0 && own.comment === undefined)) return { facts };

  const managesSleep = (last?.desired.dormant ?? d.dormant) !== undefined;
  const fields = inFields(
    found,
    last?.desired ?? d,
    own,
    comment === undefined ? undefined : unquote(comment.slice(8)),
  );
  const uses_ = (last?.desired ?? d).uses;
  return {
    state: {
      family: d.family,
      name: d.name,
      ...fields,
      ...(uses_ && { uses: uses_ }),
      ...(managesSleep && { dormant }),
    } as NftTable,
    rest: managesSleep ? {} : { dormant },
    facts,
  };
}

/** Undefined only when nft says that there is no such table or set; anything else that is odd throws. */
function listed(result: Result | undefined, table: string): Body | undefined {
  if (!result) throw new Error("nft was not asked");
  const { code, stdout, stderr } = result;
  if (code === 1 && /^Error: (Could not process rule: )?No such file or directory/m.test(stderr))
    return undefined;
  if (code !== 0)
    throw new HostnetError(`nft could not list ${table}: ${stderr.trim() || `exit code ${code}`}`);
  const found = /^(?:#.*\n)*table (\S+ \S+) \{(?: *#.*)?\n([\s\S]*)\}\s*$/.exec(stdout);
  if (found?.[1] !== table)
    throw new Error(`nft listed something else than ${table}: ${stdout.slice(0, 200)}`);
  const body = parseBody(found[2]!);
  const odd = body.statements.find((s) => !/^(comment "[^"]*"|flags [a-z, ]+)$/.test(s));
  if (odd !== undefined) throw new Error(`nft listed ${table} with something unknown: ${odd.slice(0, 200)}`);
  return body;
}

/** What was found, in the fields where it was declared; the rest where there is a field for it, else as text. */
function inFields(
  found: ReadonlyMap<string, Block>,
  words: NftTable,
  own: Table,
  comment: string | undefined,
): Partial<NftTable> {
  const state: Partial<Record<Field, Record<string, unknown>>> = {};
  for (const field of Object.values(FIELDS)) if (words[field]) state[field] = {};
  const { passages } = parseBody(words.text ?? "");
  const inText = new Set(passages.map(({ block }) => keyOf(block)));
  const added: Block[] = [];
  for (const [key, block] of found) {
    const field = fieldOf(block.kind);
    if (inText.has(key)) continue;
    const mine = field && words[field]?.[block.name];
    const value = mine && same(block, own.blocks.get(key)) ? mine : structured(block);
    if (field && value && (words[field] || words.text === undefined))
      state[field] = { ...state[field], [block.name]: value };
    else added.push(block);
  }
  const text = asText(words.text, passages, found, added, own.comment === comment ? undefined : { comment });
  return { ...state, ...(text !== undefined && { text }) } as Partial<NftTable>;
}

const same = (a: Block, b: Block | undefined): boolean =>
  b !== undefined &&
  printBlock(a) === printBlock(b) &&
  (a.elements === undefined) === (b.elements === undefined);

/** The user's text, with what is no longer so replaced where it stands. */
function asText(
  text: string | undefined,
  passages: Body["passages"],
  found: ReadonlyMap<string, Block>,
  added: readonly Block[],
  other: { comment?: string } | undefined,
): string | undefined {
  if (text === undefined && added.length === 0 && !other?.comment) return undefined;
  const print = (block: Block): string => printBlock(block).replace(/^\t/gm, "");
  let out = text ?? "";
  for (const { block, start, end } of [...passages].reverse()) {
    const now = found.get(keyOf(block));
    if (now && same(now, block)) continue;
    out = out.slice(0, start) + (now ? print(now) : "") + out.slice(end);
  }
  if (other) out = out.replace(/^comment "[^"]*";?/m, "");
  const more = [...(other?.comment === undefined ? [] : [`comment "${other.comment}"`]), ...added.map(print)];
  return [out.trim(), ...more].filter((part) => part !== "").join("\n");
}
