import { closing, print, split, type Token, tokenize } from "./nft";
import { divide, parseElements } from "./nft-element";

/** A chain, set, map or object of a table, in nft's words: the unit in which tables are compared and changed. */
export interface Block {
  /** "chain", "set", "map", "counter", "ct helper"… */
  readonly kind: string;
  readonly name: string;
  /** What it is: "type filter hook input priority 0", "policy drop", "flags interval". */
  readonly head: readonly string[];
  /** Of chains, one each, in order. */
  readonly rules?: readonly string[];
  /** Of sets and maps: element -> its attributes and value. Absent: they are not managed. */
  readonly elements?: Readonly<Record<string, string>>;
}

/** A block where it stands in a text. */
interface Passage {
  readonly block: Block;
  /** Where each of a chain's rules begins. */
  readonly rules: readonly number[];
  readonly start: number;
  readonly end: number;
  /** Where it is declared once more. The block holds what all of them say. */
  readonly again?: readonly Passage[];
}

export interface Body {
  /** What stands outside of blocks: the table's comment, its flags. */
  readonly statements: readonly string[];
  /** Where the table's comment stands. */
  readonly comments: readonly { readonly start: number; readonly end: number }[];
  readonly passages: readonly Passage[];
  /** Tables that the text names, as "inet fw"; of those with braces around the blocks, where they end. */
  readonly tables: readonly { readonly table: string; readonly end?: number }[];
}

export const keyOf = ({ kind, name }: Pick<Block, "kind" | "name">): string => `${kind} ${name}`;

/** Where a base chain is attached; not what a comment says. */
export const hookOf = ({ head }: Pick<Block, "head">): string | undefined =>
  /^type \S+ hook (\S+)/m.exec(head.join("\n"))?.[1];

const HEADER =
  /^(chain|set|map|counter|quota|limit|ct helper|ct timeout|ct expectation|flowtable|secmark|synproxy) (\S+)$/;

/**
 * The inside of `table … { }`, as a person or nft itself writes it, or a file with the table's braces around it.
 * `define`d names are put in.
 */
export function parseBody(text: string): Body {
  const tokens = expand(tokenize(text));
  const statements: string[] = [];
  const comments: { start: number; end: number }[] = [];
  const passages: Passage[] = [];
  const tables: { table: string; end?: number }[] = [];
  /** Where the braces around a table close. */
  const ends = new Set<number>();
  for (let at = 0; at < tokens.length; at++) {
    if (isOneOf(tokens[at], "\n;") || ends.has(at)) continue;
    let open = at;
    while (open < tokens.length && !isOneOf(tokens[open], "{}\n;")) open++;
    const start = print(tokens.slice(at, open));
    const braced = tokens[open]?.text === "{";
    const header = HEADER.exec(start);
    const around = TABLE.exec(start);
    if (around && braced) {
      const close = closing(tokens, open);
      tables.push({ table: withFamily(around[1]!), end: tokens[close]!.start });
      ends.add(close);
      at = open;
    } else if (header && braced) {
      const close = closing(tokens, open);
      const inside = tokens.slice(open + 1, close);
      const block = parseBlock(header[1]!, header[2]!, inside);
      passages.push({
        block,
        rules: ruleStarts(block, inside),
        start: tokens[at]!.start,
        end: tokens[close]!.end,
      });
      at = close;
    } else {
      const end = statementEnd(tokens, at);
      if (end === at) throw new Error("holds a } without its {");
      const said = print(tokens.slice(at, end));
      const opening = passages.length === 0 ? OPENING.exec(said) : null;
      if (opening?.[1]) tables.push({ table: withFamily(opening[1]) });
      if (!opening) statements.push(said);
      if (said.startsWith("comment ")) comments.push({ start: tokens[at]!.start, end: tokens[end - 1]!.end });
      at = end - 1;
    }
  }
  return {
    statements: statements.filter((s) => !s.startsWith("define ")),
    comments,
    passages: together(passages),
    tables,
  };
}

/** nft adds what is declared once more to what is there: files that are put together of several do so. */
function together(passages: readonly Passage[]): Passage[] {
  const found = new Map<string, Passage>();
  for (const more of passages) {
    const key = keyOf(more.block);
    const first = found.get(key);
    found.set(
      key,
      first
        ? {
            ...first,
            block: both(first.block, more.block),
            rules: [...first.rules, ...more.rules],
            again: [...(first.again ?? []), more],
          }
        : more,
    );
  }
  return [...found.values()];
}

/** Of a head, the first word counts, but of policies the last: so does nft. */
function both(first: Block, more: Block): Block {
  const isPolicy = (line: string) => first.kind === "chain" && line.startsWith("policy ");
  const policy = more.head.find(isPolicy);
  const rules = [...(first.rules ?? []), ...(more.rules ?? [])];
  const elements = Object.entries({ ...first.elements, ...more.elements });
  return {
    ...first,
    head: policy === undefined ? first.head : [...first.head.filter((line) => !isPolicy(line)), policy],
    ...(first.rules && { rules }),
    ...((first.elements ?? more.elements) && {
      elements: Object.fromEntries(elements.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))),
    }),
  };
}

/** At the mark, or the brace of what is around, that ends the statement. */
function statementEnd(tokens: readonly Token[], from: number): number {
  let at = from;
  while (at < tokens.length && !isOneOf(tokens[at], "};\n"))
    at = isOneOf(tokens[at], "{") ? closing(tokens, at) + 1 : at + 1;
  return at;
}

const TABLE = /^(?:(?:add|create) )?table (\S+(?: \S+)?)$/;
/** How a file begins that replaces the table, which is what happens in any case. */
const OPENING = /^(?:flush ruleset(?: \S+)?|(?:(?:add|create|delete|destroy|flush) )?table (\S+(?: \S+)?))$/;
const withFamily = (table: string): string => (table.includes(" ") ? table : `ip ${table}`);

const isOneOf = (token: Token | undefined, marks: string): boolean =>
  token?.kind === "mark" && marks.includes(token.text);

/** `$name` becomes what `define name = …` says, as nft would do: then each block says by itself what it means. */
function expand(tokens: Token[]): Token[] {
  const defined = new Map<string, string>();
  tokens.forEach(({ kind, text }, at) => {
    const [name, equals, ...value] = tokens.slice(
      at + 1,
      kind === "word" && text === "define" ? statementEnd(tokens, at) : at,
    );
    if (name && equals?.text === "=") defined.set(name.text, substitute(print(value), defined));
  });
  if (defined.size === 0) return tokens;
  return tokens.flatMap((token) =>
    token.kind === "word" && token.text.includes("$")
      ? tokenize(substitute(token.text, defined)).map((part, n) => ({
          ...part,
          start: token.start,
          end: token.end,
          spaced: n === 0 ? token.spaced : part.spaced,
        }))
      : [token],
  );
}

/** As far as nft reads a name: `$net/24` is the variable "net/24". */
export const VARIABLE = /\$([A-Za-z_.][A-Za-z0-9/_.-]*)/g;
const substitute = (text: string, defined: ReadonlyMap<string, string>): string =>
  text.replace(VARIABLE, (whole, name: string) => defined.get(name) ?? whole);

const CHAIN_HEAD = /^(type \S+ hook .*|policy (accept|drop)|comment "[^"]*"|flags offload|devices? .*)$/;

function parseBlock(kind: string, name: string, inside: readonly Token[]): Block {
  const statements = split(inside, "\n;");
  if (kind === "chain") {
    const printed = statements.map(print);
    const isHead = (s: string) => CHAIN_HEAD.test(s);
    return { kind, name, head: printed.filter(isHead), rules: printed.filter((s) => !isHead(s)) };
  }
  const given =
    kind === "set" || kind === "map" ? statements.find(([word]) => word!.text === "elements") : undefined;
  const head = statements.filter((s) => s !== given).map(print);
  return given
    ? { kind, name, head, elements: parseElements(given.slice(2), kind === "map") }
    : { kind, name, head };
}

const ruleStarts = ({ kind }: Block, inside: readonly Token[]): number[] =>
  kind === "chain"
    ? split(inside, "\n;").flatMap((rule) => (CHAIN_HEAD.test(print(rule)) ? [] : [rule[0]!.start]))
    : [];

/** As nft lists it, but with a line for each element. */
export function printBlock({ kind, name, head, rules, elements }: Block): string {
  const list = Object.entries(elements ?? {}).map(
    ([key, rest]) => `\t\t\t${printElement(key, rest, kind === "map")}`,
  );
  const lines = [
    ...head.map((line) => `\t\t${line}`),
    ...(rules ?? []).map((line) => `\t\t${line}`),
    ...(list.length > 0 ? ["\t\telements = {", list.join(",\n"), "\t\t}"] : []),
  ];
  return [`\t${kind} ${name} {`, ...lines, "\t}"].join("\n");
}

/** An element as nft takes it. A map's value follows its attributes: "timeout 1h : 5" or just "5". */
export function printElement(key: string, rest: string, isMap: boolean): string {
  if (rest === "") return key;
  if (!isMap) return `${key} ${rest}`;
  const { attributes } = divide(rest, true);
  return attributes === "" ? `${key} : ${rest}` : `${key} ${rest}`;
}
