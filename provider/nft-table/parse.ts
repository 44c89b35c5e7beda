import { HostnetError } from "../errors";
import { unquote } from "../formats/nft";
import { type Block, type Body, keyOf, parseBody, printBlock } from "../formats/nft-block";
import { ownedQuery, ownedSets } from "../formats/nft-owned";
import type { Last, Observed, Query, Result } from "../kind";
import type { NftTable, schema } from "./args";
import { isLively, type Table, tableOf, writtenBy } from "./blocks";
import { observe } from "./observe";
import { relisted, relistedQuery } from "./relisted";
import { inFields } from "./state";

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
  /** Of nft, which listed it. */
  readonly version?: string;
}

/** Without counters (-s), with numbers for names (-n): what names mean may differ from host to host, and change. */
const NFT = ["env", "TZ=UTC", "nft", "-s", "-n"];

/** What nft lists, whose sets are no part of it, and whether nft is still the same. */
export const query = (d: NftTable, last?: Last<Shape, Facts>): readonly Query[] => [
  ...listings(d, last),
  ownedQuery(d.family, d.name),
  relistedQuery(d.family, d.name, last),
];

/** The table without the elements of its sets, and the elements of those that are managed. */
function listings({ family, name, ...d }: NftTable, last?: Last<Shape, Facts>): readonly Query[] {
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

export function parse(
  results: readonly Result[],
  d: NftTable,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const table = `${d.family} ${d.name}`;
  const body = listed(results[0], table);
  if (!body) return { facts: { table, present: false, listing: {}, foreign: [] } };
  const end = listings(d, last).length;
  const { version, blocks: anew } = relisted(results[end + 1]);
  const lists = results.slice(1, end).flatMap((result) => listed(result, table)?.passages ?? []);
  const elements = new Map(lists.map(({ block }) => [keyOf(block), block.elements ?? {}]));

  const words = last?.desired ?? d;
  const [own, wanted] = [tableOf(words), tableOf(d)];
  const uses = new Set([
    ...(d.uses ?? []),
    ...(words.uses ?? []),
    ...(results[end] ? ownedSets(results[end], d.family, d.name) : []),
  ]);
  const written = writtenBy(own, wanted);
  const listing: Record<string, string> = {};
  const foreign: string[] = [];
  const found = new Map<string, Block>();
  for (const { block } of body.passages) {
    const key = keyOf(block);
    const mine = own.blocks.get(key) ?? wanted.blocks.get(key);
    // One that left the table for a resource of its own is that one's.
    if (isSet(block) && !wanted.blocks.has(key) && uses.has(block.name)) {
      foreign.push(block.name);
      continue;
    }
    const lively = isLively(block, written);
    const managed = elementsManaged(key, own) || elementsManaged(key, wanted);
    // Elements of a set that nobody declared matter only where the table may have to come back as it was found.
    const filled = isSet(block) && (managed || (!mine && !last && !lively));
    const shown = filled ? { ...block, elements: elements.get(key) ?? {} } : block;
    listing[key] = printBlock(managed && !lively ? shown : block);
    const then = last?.facts?.listing[key];
    const again = anew?.get(key);
    const bases = [...(then === undefined ? [] : [blockOf(then)]), ...(again ? [again] : [])];
    if (mine) found.set(key, observe(mine, shown, bases, d.family, lively));
    // What nobody declared but was there right after the apply, nft made by itself: the set of a meter.
    else if (then !== listing[key] && !(again && printBlock(again) === listing[key])) found.set(key, shown);
  }
  const facts = { table, present: true, listing, foreign: foreign.sort(), version };
  const comment = commentOf(body);
  const dormant = body.statements.some((s) => /^flags .*\bdormant\b/.test(s));
  const empty = found.size === 0 && comment === undefined && !dormant;
  // An empty table is nobody's: a container that sets of their own were or will be put in.
  if (empty && !(last && own.blocks.size === 0 && own.comment === undefined)) return { facts };

  const { fields, broken } = inFields(found, words, own, comment);
  const sleep = words.dormant === undefined ? {} : { dormant };
  return {
    state: {
      family: d.family,
      name: d.name,
      ...fields,
      ...(words.uses && { uses: words.uses }),
      ...sleep,
    } as NftTable,
    rest: words.dormant === undefined ? { dormant } : {},
    broken,
    facts,
  };
}

const isSet = ({ kind }: Block): boolean => kind === "set" || kind === "map";
const blockOf = (text: string): Block => parseBody(text).passages[0]!.block;
function commentOf({ statements }: Body): string | undefined {
  const comment = statements.find((s) => s.startsWith("comment "));
  return comment === undefined ? undefined : unquote(comment.slice(8));
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
