import { z } from "zod";
import { bare, holdsTexts, isBare, keysOf } from "../formats/keys";
import { canonicalStatement, commentProblem, unquote } from "../formats/nft";
import { divide, formatTime, parseElement, parseTime } from "../formats/nft-element";
import { comment, time } from "../formats/nft-fields";
import { formatRange, parseRange, plainIPv4, type Range, rangeOf } from "../formats/nft-range";
import { issue } from "../schema";
import { plainKeys } from "./plain";

/** Element -> what stands with it: "", "timeout 1h comment \"x\"", of a map "accept" or "timeout 1h : accept". */
export type Elements = Readonly<Record<string, string>>;

const item = z.union([
  z.string(),
  z.strictObject({ element: z.string(), value: z.string().optional(), timeout: time.optional(), comment }),
]);

interface Entry {
  /** Where the program wrote it. */
  readonly at: PropertyKey;
  readonly key: string;
  readonly rest: string;
  /** Of a key that is no concatenation: overlapping and adjacent ones become one. */
  readonly range?: Range;
}

/** A record from element to what stands with it: in a preview, one element more is one line more. */
export const elements = z
  .union([z.array(item), z.custom<Elements>(isRecord)], "must be a list of elements, or a record")
  .transform((given, context): Elements => {
    const plain = plainly(given);
    if (plain) return plain;
    const entries: Entry[] = [];
    const add = (at: PropertyKey, text: string) => {
      try {
        entries.push({ at, ...entryOf(text) });
      } catch (error) {
        issue(context, (error as Error).message, given, [at]);
      }
    };
    if (isList(given))
      for (const [n, one] of given.entries()) add(n, typeof one === "string" ? one : elementText(one));
    else for (const key of keysOf(given)) add(key, given[key] === "" ? key : recordText(key, given[key]!));
    try {
      const found: Record<string, string> = {};
      for (const { key, rest } of merged(entries)) found[key] = rest;
      return isList(given) || !says(given, found) ? found : given;
    } catch (error) {
      if (!(error instanceof Clash)) throw error;
      issue(context, error.message, given, [error.at]);
      return {};
    }
  });

/** What is canonical stays what it is, in whatever order: a list is checked, created and changed, and each time may be long. */
function plainly(given: readonly z.output<typeof item>[] | Elements): Elements | undefined {
  if (isList(given)) {
    const plain = plainKeys(given, false);
    return plain && met(bare(plain.keys), plain.wide);
  }
  const keys = keysOf(given);
  const plain = isBare(given) ? plainKeys(keys, true) : undefined;
  return plain && met(plain.keys === keys ? given : bare(plain.keys), plain.wide);
}

const says = (one: Elements, other: Elements): boolean =>
  keysOf(one).length === keysOf(other).length && keysOf(one).every((key) => one[key] === other[key]);
const isList = (given: unknown): given is readonly unknown[] => Array.isArray(given);

/** As z.record, without a copy. */
function isRecord(given: unknown): boolean {
  if (typeof given !== "object" || given === null || Array.isArray(given)) return false;
  return holdsTexts(given);
}

type Item = Exclude<z.output<typeof item>, string>;

function elementText({ element, value, timeout, comment: said }: Item): string {
  const attributes = `${timeout ? ` timeout ${timeout}` : ""}${said === undefined ? "" : ` comment "${said}"`}`;
  return `${element}${attributes}${value === undefined ? "" : ` : ${value}`}`;
}

/** What stands with an element of a set, or before the value of a map's. */
const isAttributes = (rest: string): boolean => /^(timeout \S+)?( ?comment "[^"]*")?$/.test(rest);
export const valueIn = (rest: string): string | undefined =>
  isAttributes(rest) ? undefined : divide(rest, true).value;
export const timeoutIn = (rest: string): string | undefined => /^timeout (\S+)/.exec(rest)?.[1];
export const commentIn = (rest: string): string | undefined =>
  /^(?:timeout \S+ ?)?comment "([^"]*)"/.exec(rest)?.[1];

const unquoted = (text: string): string => text.replace(/"[^"]*"/g, '""');
const recordText = (key: string, rest: string): string =>
  isAttributes(rest) || unquoted(rest).includes(" : ") ? `${key} ${rest}` : `${key} : ${rest}`;

/** The bulk of long lists is addresses and nothing else: those go without the tokenizer. */
const PLAIN = /^[\d.]+(\/\d+)?$|^[0-9a-fA-F.:]*:[0-9a-fA-F.:]*:[0-9a-fA-F.:]*(\/\d+)?$/;

/** "10.0.0.0/8", "eth0 . 80 timeout 1h comment \"x\" : accept": one element in one spelling, as written or as listed. */
export function entryOf(text: string, listed = false): Omit<Entry, "at"> {
  const plain = plainIPv4(text);
  if (plain) return { key: text, rest: "", range: rangeOf(plain) };
  if (PLAIN.test(text)) {
    const range = parseRange(text);
    return range ? { key: formatRange(range), rest: "", range } : { key: text.toLowerCase(), rest: "" };
  }
  if (text.trimStart().startsWith("@"))
    throw new Error(
      "is the name of a set, not an element: elements are values; a rule names a set, as in ip saddr @name",
    );
  const isMap = hasValue(text);
  const { key, rest } = parseElement(text, isMap);
  const { attributes, value } = divide(rest, isMap);
  const parts = key.split(" . ").map(part);
  const said = attributesOf(listed ? attributes.replace(CHANGING, "") : attributes);
  return {
    key: parts.map(({ text }) => text).join(" . "),
    rest:
      value === undefined ? said : said === "" ? canonicalValue(value) : `${said} : ${canonicalValue(value)}`,
    ...(parts.length === 1 && { range: parts[0]!.range }),
  };
}

const hasValue = (text: string): boolean => /(^|[^:]): | :($|[^:])/.test(unquoted(text));

function part(given: string): { text: string; range?: Range } {
  const range = parseRange(given);
  if (range) return { text: formatRange(range), range };
  const text = unquote(given);
  return { text: /^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/.test(text) ? text.toLowerCase() : text };
}

function canonicalValue(value: string): string {
  const parts = value.split(" . ").map((one) => {
    try {
      return part(one).text;
    } catch {
      return one;
    }
  });
  return canonicalStatement(parts.join(" . "));
}

/** What packets and time change is listed with an element, but no part of it. */
const CHANGING = /\bexpires \S+|\bcounter( packets \d+ bytes \d+)?/g;

/** In one order. */
function attributesOf(text: string): string {
  const said = text.replace(/\bcomment "[^"]*"/, "");
  const timeout = /\btimeout (\S+)/.exec(said)?.[1];
  const left = said.replace(/\btimeout \S+/, "").trim();
  if (left !== "") throw new Error(`has "${left}": an element takes timeout and comment`);
  const ms = timeout === undefined ? 0 : parseTime(timeout);
  if (ms === undefined) throw new Error(`has no timeout as 1h30m: ${timeout}`);
  const words = /\bcomment "([^"]*)"/.exec(text)?.[1];
  const problem = words === undefined ? undefined : commentProblem(words);
  if (problem) throw new Error(problem);
  return [
    ...(ms > 0 ? [`timeout ${formatTime(ms)}`] : []),
    ...(words === undefined ? [] : [`comment "${words}"`]),
  ].join(" ");
}

class Clash extends Error {
  constructor(
    readonly at: PropertyKey,
    message: string,
  ) {
    super(message);
  }
}

/** Whether a key, or a part of it, is a prefix, a range or a name with `*`: then the set needs the flag "interval". */
const isWide = (key: string): boolean =>
  /^\d[\d.]*[/-]\d[\d.]*$/.test(key) ||
  (/[/*-]/.test(key) &&
    key
      .split(" . ")
      .some((text) => /.\*$/.test(text) || (/[/-]/.test(text) && parseRange(text) !== undefined)));

interface Traits {
  /** A prefix, a range or a name with `*` is in it. */
  readonly wide: boolean;
  /** An element has a timeout of its own. */
  readonly timed: boolean;
  /** Addresses and prefixes of IPv4, and nothing with them. */
  readonly plain: boolean;
}
/** Of lists that were met: they may be long, and are asked about often. */
const traits = new WeakMap<Elements, Traits>();

function met(elements: Elements, wide: boolean): Elements {
  traits.set(elements, { wide, timed: false, plain: true });
  return elements;
}

export function traitsOf(elements: Elements): Traits {
  const known = traits.get(elements);
  if (known) return known;
  let [wide, timed, plain] = [false, false, true];
  for (const key of keysOf(elements)) {
    const rest = elements[key]!;
    const range = rest === "" ? plainIPv4(key) : undefined;
    wide ||= range ? range.low !== range.high : isWide(key);
    timed ||= rest !== "" && timeoutIn(rest) !== undefined;
    plain &&= range !== undefined;
    if (wide && timed) break;
  }
  const found = { wide, timed, plain };
  traits.set(elements, found);
  return found;
}

/** Sorted; what overlaps or touches is one, so that what differs between two lists can be said exactly. */
function merged(entries: readonly Entry[]): Entry[] {
  const ranges = inOrder(
    entries.filter((entry): entry is Entry & { range: Range } => entry.range !== undefined),
  );
  const touching = ranges.some(({ range }) => range.low !== range.high);
  const result: (Entry & { range: Range })[] = [];
  for (const entry of ranges) {
    const before = result.at(-1);
    const { range } = entry;
    if (before && before.range.domain === range.domain && range.low <= before.range.high + 1n) {
      const overlaps = range.low <= before.range.high;
      if (overlaps && before.rest !== entry.rest) throw clash(entry, before);
      if (before.rest === entry.rest && (overlaps || touching)) {
        if (range.high > before.range.high) {
          const whole = { ...before.range, high: range.high };
          result[result.length - 1] = { ...before, range: whole, key: formatRange(whole) };
        }
        continue;
      }
    }
    result.push(entry);
  }
  const others = new Map<string, Entry>();
  for (const entry of entries) {
    if (entry.range) continue;
    const double = others.get(entry.key);
    if (double && double.rest !== entry.rest) throw clash(entry, double);
    others.set(entry.key, entry);
  }
  const words = [...others.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return [...result, ...words];
}

/** Numbers are compared much faster than BigInts, and say the same where they differ. */
function inOrder<T extends { readonly range: Range }>(entries: readonly T[]): T[] {
  const keyed = entries.map((entry) => ({ entry, domain: entry.range.domain, low: Number(entry.range.low) }));
  const exactly = (a: Range, b: Range) => Number(a.low > b.low) - Number(a.low < b.low);
  keyed.sort((a, b) => {
    if (a.domain !== b.domain) return a.domain < b.domain ? -1 : 1;
    return a.low - b.low || exactly(a.entry.range, b.entry.range);
  });
  return keyed.map(({ entry }) => entry);
}

function clash(one: Entry, other: Entry): Clash {
  const said = ({ key, rest }: Entry) => (rest === "" ? `${key} with nothing` : `${key} with ${rest}`);
  return new Clash(one.at, `${said(one)} overlaps ${said(other)}: what overlaps must say the same`);
}
