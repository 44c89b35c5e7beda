import { type Block, type Body, keyOf, parseBody, printBlock } from "../formats/nft-block";
import type { NftTable } from "./args";
import type { Table } from "./blocks";
import { FIELDS, type Field, fieldOf, structured } from "./structure";

/**
 * What was found, in the fields where it was declared; the rest where there is a field for it, else as text. What the
 * program has no field for is no difference between fields, but it is drift all the same: `broken` says so.
 */
export function inFields(
  found: ReadonlyMap<string, Block>,
  words: NftTable,
  own: Table,
  comment: string | undefined,
): { fields: Partial<NftTable>; broken: string[] } {
  const state: Partial<Record<Field, Record<string, unknown>>> = {};
  for (const field of Object.values(FIELDS)) if (words[field]) state[field] = {};
  const body = parseBody(words.text ?? "");
  const inText = new Set(body.passages.map(({ block }) => keyOf(block)));
  const added: Block[] = [];
  const broken: string[] = [];
  for (const [key, block] of found) {
    if (inText.has(key)) continue;
    const field = fieldOf(block.kind);
    const mine = field && words[field]?.[block.name];
    const value = mine && same(block, own.blocks.get(key)) ? mine : structured(block);
    const structure = field && value && (words[field] || words.text === undefined);
    if (structure) state[field] = { ...state[field], [block.name]: value };
    else added.push(block);
    if (!(structure ? words[field] : words.text)) broken.push(`${key} is there`);
  }
  const other = own.comment === comment ? undefined : { comment };
  if (comment !== undefined && words.text === undefined)
    broken.push(`the table's comment "${comment}" is there`);
  const text = asText(words.text, body, found, added, other);
  return { fields: { ...state, ...(text !== undefined && { text }) } as Partial<NftTable>, broken };
}

const same = (a: Block, b: Block | undefined): boolean =>
  b !== undefined &&
  printBlock(a) === printBlock(b) &&
  (a.elements === undefined) === (b.elements === undefined);

/** The user's text, with what is no longer so replaced where it stands. */
function asText(
  text: string | undefined,
  { comments, passages, tables }: Body,
  found: ReadonlyMap<string, Block>,
  added: readonly Block[],
  other: { comment?: string } | undefined,
): string | undefined {
  if (text === undefined && added.length === 0 && !other?.comment) return undefined;
  const print = (block: Block): string => printBlock(block).replace(/^\t/gm, "");
  const comment = other?.comment === undefined ? [] : [`comment "${other.comment}"`];
  const more = [...(comments.length > 0 ? [] : comment), ...added.map(print)];
  const edits = passages.flatMap(({ block, start, end, again = [] }) => {
    const now = found.get(keyOf(block));
    if (now && same(now, block)) return [];
    return [{ start, end, now: now ? print(now) : "" }, ...again.map((once) => ({ ...once, now: "" }))];
  });
  if (other) edits.push(...comments.map((place, n) => ({ ...place, now: comment[n] ?? "" })));
  if (edits.length === 0 && more.length === 0) return text;
  // Where the file has braces around the table, inside of them.
  const end = tables.findLast((t) => t.end !== undefined)?.end;
  let out =
    end === undefined || more.length === 0
      ? (text ?? "")
      : [text!.slice(0, end).trimEnd(), ...more, text!.slice(end)].join("\n");
  for (const { start, end, now } of edits.sort((a, b) => b.start - a.start))
    out = out.slice(0, start) + now + out.slice(end);
  return [out.trim(), ...(end === undefined ? more : [])].filter((part) => part !== "").join("\n");
}
