import { marked, type NftError } from "../formats/nft-error";
import type { Problem, Trial } from "../kind";
import type { NftSet } from "./args";
import { fresh } from "./render";

export function trial(d: NftSet): Trial {
  const lines = fresh(d);
  const line = lines[DEFINITION]!;
  return {
    table: `${d.family} ${d.table}`,
    lines,
    makes: { name: d.name, line },
    uses: [],
    tell: (error) => tell(lines, error, d),
    property: d.type === undefined ? "typeof" : "type",
  };
}

/** The table, then the set, then a line for each element, the first one behind its command. */
const DEFINITION = 1;

function tell(
  lines: readonly string[],
  { line, from, to, reason }: NftError,
  d: NftSet,
): Problem | undefined {
  const key = Object.keys(d.elements ?? {})[line - 1 - DEFINITION - 1];
  const said = lines[line - 1];
  if (key === undefined || said === undefined) return undefined;
  const command = /^add element [^{]*\{ /.exec(said)?.[0].length ?? 0;
  const shown = said.slice(command).replace(/,$| \}$/, "");
  return { property: `elements.${key}`, reason: `${reason}\n${marked(shown, from - command, to - command)}` };
}
