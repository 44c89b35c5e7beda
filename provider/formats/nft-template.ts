import { parseAddress } from "./cidr";
import { nameProblem, unresolved } from "./nft";
import { parseTime } from "./nft-element";

/** Text of nft's language that stands as it is. */
export interface NftText {
  readonly __nft: string;
}

/** What may stand between `${` and `}` once it is known. */
export type NftValue = string | number | bigint | NftText | readonly NftValue[];

export const isText = (value: unknown): value is NftText =>
  typeof value === "object" && value !== null && typeof (value as NftText).__nft === "string";

/** A template as nft's text. What is put in can never be more than the one value that it is meant to be. */
export function renderNft(strings: readonly string[], values: readonly unknown[]): string {
  return strings.reduce((text, part, n) => text + put(text, values[n - 1]) + part);
}

function put(before: string, value: unknown): string {
  const quoted = (before.match(/"/g) ?? []).length % 2 === 1;
  try {
    if (quoted) return within(value);
    const place = /(@|\b(?:jump|goto)\s+)$/.exec(before)?.[1];
    if (place !== undefined) return name(value, place);
    return Array.isArray(value) ? list(value) : bare(value);
  } catch (error) {
    throw new Error(`nft: after \`${before.slice(-60)}\`: ${(error as Error).message}`);
  }
}

function within(value: unknown): string {
  const text = isText(value) ? value.__nft : scalar(value);
  if (/["\n\r]/.test(text))
    throw new Error(`${JSON.stringify(text)} holds a " or a line break, which nft's quotes cannot`);
  return text;
}

function name(value: unknown, place: string): string {
  const text = isText(value) ? value.__nft.replace(/^@/, "") : scalar(value);
  const problem = nameProblem(text);
  if (problem) throw new Error(`${problem}, but one must follow ${place.trim()}`);
  return text;
}

function list(values: readonly unknown[]): string {
  if (values.length === 0) throw new Error("the list is empty, and nft has no empty set: leave the rule out");
  if (values.some(Array.isArray)) throw new Error("a list in a list");
  if (values.some((value) => isText(value) && value.__nft.startsWith("@")))
    throw new Error("a set cannot stand in a list: write a rule for each set");
  return `{ ${values.map(bare).join(", ")} }`;
}

/** Addresses, numbers, times and the like stand as they are, all else in quotes. */
function bare(value: unknown): string {
  if (isText(value)) return value.__nft;
  const text = scalar(value);
  if (isLiteral(text)) return text;
  if (text === "") throw new Error("the text is empty");
  if (/^@[A-Za-z]/.test(text))
    throw new Error(
      `"${text}" is but a text: write the NftSet itself, \${banned}, or for a set of the table @\${"${text.slice(1)}"}`,
    );
  return `"${within(text)}"`;
}

function scalar(value: unknown): string {
  if (typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value)))
    return String(value);
  if (typeof value !== "string") {
    throw new Error(
      `${Array.isArray(value) ? "a list" : String(JSON.stringify(value))} cannot stand there: a text or a whole number can`,
    );
  }
  const problem = unresolved(value);
  if (problem) throw new Error(problem);
  return value;
}

const LITERALS = [
  /^-?\d+$/,
  /^0x[0-9a-fA-F]+$/,
  /^\d+\s*-\s*\d+$/,
  /^\d+\/(second|minute|hour|day|week)$/,
  /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/,
];

function isLiteral(text: string): boolean {
  if (LITERALS.some((literal) => literal.test(text)) || (parseTime(text) ?? 0) > 0) return true;
  const port = /^(?:\[(.+)\]|([\d.]+)):\d+(?:-\d+)?$/.exec(text);
  if (port) return isAddress(port[1] ?? port[2]!);
  const [, first, last, length] = /^([^\s/-]+)(?:\s*-\s*([^\s/-]+)|\/(\d{1,3}))?$/.exec(text) ?? [];
  return (
    first !== undefined &&
    isAddress(first) &&
    (last === undefined || isAddress(last)) &&
    Number(length ?? 0) <= 128
  );
}

function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    return false;
  }
}
