import { parseBody } from "../formats/nft-block";
import { marked, type NftError, nftErrors } from "../formats/nft-error";
import type { Problem, Result, Step, Trial } from "../kind";
import type { NftTable } from "./args";
import { fresh } from "./render";
import { fieldOf } from "./structure";

/** nft's errors, each on the property of the program that it is about, with its caret; undefined where nft names no place. */
export function explain({ stdin = "" }: Step, { stderr }: Result, d: NftTable): string | undefined {
  const lines = stdin.split("\n");
  const told = nftErrors(stderr).flatMap((error) => tell(lines, error, d) ?? []);
  const errors = told.map(({ property, reason }) => `${property}: ${reason}`);
  return errors.length > 0 ? [...new Set(errors)].join("\n") : undefined;
}

export function trial(d: NftTable): Trial {
  const lines = fresh(d);
  return {
    table: `${d.family} ${d.name}`,
    lines,
    uses: d.uses ?? [],
    tell: (error) => tell(lines, error, d),
    property: "name",
  };
}

/** An error in a line of the batch, as one of the program. */
function tell(
  lines: readonly string[],
  { line, from, to, reason }: NftError,
  d: NftTable,
): Problem | undefined {
  const at = locate(lines, line - 1, d);
  if (!at) return undefined;
  const inText = at.place.line === undefined ? "" : `line ${at.place.line}: `;
  return {
    property: at.place.property,
    reason: `${inText}${reason}\n${marked(at.said, from - at.skipped, to - at.skipped)}`,
  };
}

interface Place {
  readonly property: string;
  /** Of the text. */
  readonly line?: number;
}

interface Located {
  readonly place: Place;
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
  const { property, line: inText } = placeOf(d, collection, name);
  return {
    place: inText === undefined ? { property: `${property}.elements` } : { property, line: inText },
    said: line.trimStart(),
    skipped: start === at ? 0 : 1,
  };
}

const parsed = (d: NftTable, kind: string, name: string) =>
  parseBody(d.text ?? "").passages.find(({ block }) => block.kind === kind && block.name === name);

/** The property, or the line of the text, where the user wrote a block or a chain's rule. */
function placeOf(d: NftTable, kind: string, name: string, rule?: number): Place {
  const inText = parsed(d, kind, name);
  if (inText) {
    const offset = (rule === undefined ? undefined : inText.rules[rule]) ?? inText.start;
    return { property: "text", line: d.text!.slice(0, offset).split("\n").length };
  }
  return { property: `${fieldOf(kind) ?? kind}.${name}${rule === undefined ? "" : `.rules[${rule}]`}` };
}
