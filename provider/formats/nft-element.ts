import { canonicalAddress, canonicalPrefix } from "./cidr";
import { closing, print, split, statementProblem, type Token, tokenize, unquote } from "./nft";

/** An element of a set or map: its key, and what stands with it: attributes, and after " : " a map's value. */
export interface Element {
  readonly key: string;
  readonly rest: string;
}

const ATTRIBUTES = new Set(["timeout", "expires", "comment", "counter", "limit", "quota", "ct", "last"]);

/** "1.1.1.1 timeout 1h", "80 comment \"web\" : accept". Canonical, and throws where it is no element. */
export function parseElement(text: string, isMap: boolean): Element {
  const problem = statementProblem(text);
  if (problem) throw new Error(problem);
  const tokens = tokenize(text);
  if (split(tokens, ",").length > 1) throw new Error("holds a comma: each element is a string of its own");
  return element(tokens, isMap);
}

/** `{ a, b : c }` as nft lists and takes it. */
export function parseElements(tokens: readonly Token[], isMap: boolean): Record<string, string> {
  if (tokens[0]?.text !== "{" || closing(tokens, 0) !== tokens.length - 1)
    throw new Error("elements must be { … }");
  const found = listed(tokens).map((part) => element(part, isMap));
  return Object.fromEntries(found.sort(byKey).map(({ key, rest }) => [key, rest]));
}

/** A list in a list is what a variable makes of itself in `{ $some, $more }`. */
const listed = (tokens: readonly Token[]): Token[][] =>
  split(tokens.slice(1, -1), ",")
    .map((part) => part.filter((t) => t.text !== "\n"))
    .flatMap((part) => (part.length === 0 ? [] : part[0]!.text === "{" ? listed(part) : [part]));

export const byKey = (a: Element, b: Element): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

function element(tokens: readonly Token[], isMap: boolean): Element {
  const colon = isMap ? tokens.findIndex((t) => t.kind === "word" && /^:($|[^:])|[^:]:$/.test(t.text)) : -1;
  if (!isMap && tokens.some((t) => t.text === ":"))
    throw new Error("has a value, which only elements of a map have");
  if (isMap && colon < 0) throw new Error('has no value: an element of a map is "key : value"');
  const [before, after] = colon < 0 ? [tokens, []] : [tokens.slice(0, colon), tokens.slice(colon + 1)];
  // "80: accept" and "80 :accept" are as good as "80 : accept".
  const glued = colon < 0 ? ":" : tokens[colon]!.text;
  const keyTokens =
    glued.endsWith(":") && glued !== ":"
      ? [...before, { ...tokens[colon]!, text: glued.slice(0, -1) }]
      : before;
  const valueTokens =
    glued.startsWith(":") && glued !== ":" ? [{ ...tokens[colon]!, text: glued.slice(1) }, ...after] : after;
  const from = keyTokens.findIndex((t) => t.kind === "word" && ATTRIBUTES.has(t.text));
  const key = canonicalKey(print(from < 0 ? keyTokens : keyTokens.slice(0, from)));
  if (key === "") throw new Error("has no key");
  const attributes = from < 0 ? "" : canonicalTimes(print(keyTokens.slice(from)));
  if (!isMap) return { key, rest: attributes };
  const value = print(valueTokens).trim();
  if (value === "") throw new Error('has no value: an element of a map is "key : value"');
  return { key, rest: attributes === "" ? value : `${attributes} : ${value}` };
}

/** Addresses in one spelling. A prefix with host bits is a mistake; nft would cut them silently. */
function canonicalKey(key: string): string {
  return key
    .split(" . ")
    .map((part) => {
      if (/^[0-9a-fA-F:.]*[.:][0-9a-fA-F:.]*\/\d+$/.test(part)) return short(canonicalPrefix(part));
      const range = /^([0-9a-fA-F:.]*[.:][0-9a-fA-F:.]*) ?- ?([0-9a-fA-F:.]*[.:][0-9a-fA-F:.]*)$/.exec(part);
      if (range) return `${address(range[1]!)}-${address(range[2]!)}`;
      return address(part);
    })
    .join(" . ");
}

const short = (prefix: string): string => prefix.replace(/(?<=\..*)\/32$|(?<=:.*)\/128$/, "");

function address(text: string): string {
  try {
    return canonicalAddress(text);
  } catch {
    return text;
  }
}

const UNITS: readonly (readonly [unit: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];
const TIME = /^(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?$/;

/** Milliseconds of "1d2h3m4s", "90s", "500ms"; undefined if it is no time. */
export function parseTime(text: string): number | undefined {
  const found = TIME.exec(text);
  return found ? UNITS.reduce((sum, [, ms], n) => sum + ms * Number(found[n + 1] ?? 0), 0) : undefined;
}

/** As nft prints it: 5400000 -> "1h30m". */
export function formatTime(ms: number): string {
  let left = ms;
  const parts = UNITS.map(([unit, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count > 0 ? `${count}${unit}` : "";
  });
  return parts.join("") || "0s";
}

const canonicalTimes = (text: string): string =>
  text.replace(/\b(timeout|expires) (\S+)/g, (whole, word: string, time: string) => {
    const ms = parseTime(time);
    return ms === undefined ? whole : `${word} ${formatTime(ms)}`;
  });

/** A key or value for comparing with what nft lists: without quotes, numbers decimal, MAC addresses small. */
export function loose(text: string): string {
  return tokenize(text)
    .map(({ text: word }) => {
      if (/^0x[0-9a-fA-F]+$/.test(word)) return BigInt(word).toString();
      if (/^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/.test(word)) return word.toLowerCase();
      return unquote(word);
    })
    .join(" ");
}

/** What stands with an element, told apart. */
export function divide(rest: string, isMap: boolean): { attributes: string; value?: string } {
  if (!isMap) return { attributes: rest };
  const colon = tokenize(rest).find((t) => t.kind === "word" && t.text === ":");
  if (!colon) return { attributes: "", value: rest };
  return { attributes: rest.slice(0, colon.start).trim(), value: rest.slice(colon.end).trim() };
}

/** Without what packets change: expiry, counters, limits. */
export function looseRest(rest: string, isMap: boolean): string {
  const { attributes, value = "" } = divide(rest, isMap);
  const kept = [/\btimeout \S+/, /\bcomment "[^"]*"/].map((pattern) => pattern.exec(attributes)?.[0] ?? "");
  return [...kept, loose(value)].join(" ");
}
