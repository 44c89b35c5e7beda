import { parseBody } from "../formats/nft-block";
import type { Result, Step } from "../kind";
import type { NftTable } from "./args";
import { fieldOf } from "./structure";

const ERROR = /^(?:\/dev\/stdin|-):(\d+):(\d+)-(\d+): Error: (.+)$/gm;

/** nft's errors, each on the property of the program that it is about, with its caret; undefined where nft names no place. */
export function explain({ stdin = "" }: Step, { stderr }: Result, d: NftTable): string | undefined {
  const lines = stdin.split("\n");
  const errors = [...stderr.matchAll(ERROR)].flatMap(([, line, from, to, reason]) => {
    const at = locate(lines, Number(line) - 1, d);
    return at
      ? [`${at.place}: ${reason}\n${marked(at.said, Number(from) - at.skipped, Number(to) - at.skipped)}`]
      : [];
  });
  return errors.length > 0 ? [...new Set(errors)].join("\n") : undefined;
}

interface Located {
  readonly place: string;
  /** The user's part of the line, and how much of the batch stands before it. */
  readonly said: string;
  readonly skipped: number;
}

/** What a line of the batch is in the program. */
function locate(lines: readonly string[], at: number, d: NftTable): Located | undefined {
  const line = lines[at] ?? "";
  // Elements have a line each, behind that of their command.
  let start = at;
  while (start > 0 && /^[\t}]/.test(lines[start]!)) start--;
  const [head = "", kind = "", name = ""] = /^\w+ (ct \w+|\w+) \S+ \S+ (\S+) ?/.exec(lines[start]!) ?? [];
  if (kind === "rule") {
    const n = lines.slice(0, at).filter((other) => other.startsWith(head)).length;
    return { place: placeOf(d, "chain", name, n), said: line.slice(head.length), skipped: head.length };
  }
  if (kind !== "element")
    return name === "" ? undefined : { place: placeOf(d, kind, name), said: line, skipped: 0 };
  const collection = d.maps?.[name] || parsed(d, "map", name) ? "map" : "set";
  const place = placeOf(d, collection, name);
  return {
    place: place.startsWith("text") ? place : `${place}.elements`,
    said: line.trimStart(),
    skipped: start === at ? 0 : 1,
  };
}

const parsed = (d: NftTable, kind: string, name: string) =>
  parseBody(d.text ?? "").passages.find(({ block }) => block.kind === kind && block.name === name);

/** The property, or the line of the text, where the user wrote a block or a chain's rule. */
function placeOf(d: NftTable, kind: string, name: string, rule?: number): string {
  const inText = parsed(d, kind, name);
  if (inText) {
    const offset = (rule === undefined ? undefined : inText.rules[rule]) ?? inText.start;
    return `text: line ${d.text!.slice(0, offset).split("\n").length}`;
  }
  return `${fieldOf(kind) ?? kind}.${name}${rule === undefined ? "" : `.rules[${rule}]`}`;
}

const WIDTH = 160;

/** A line with carets under what nft means; of a long one the piece around them. */
function marked(line: string, from: number, to: number): string {
  const [first, last] = [Math.max(from, 1), Math.min(Math.max(to, 1), line.length)];
  const cut = first > WIDTH / 2 && line.length > WIDTH ? first - WIDTH / 2 : 0;
  const piece = line.slice(cut, cut + WIDTH);
  const carets = "^".repeat(Math.max(1, Math.min(last - first + 1, piece.length - (first - 1 - cut))));
  return `${piece}\n${" ".repeat(first - 1 - cut)}${carets}`;
}
