import { type Block, keyOf, parseBody } from "../formats/nft-block";
import type { Last, Query, Result } from "../kind";
import type { schema } from "./args";
import { tableOf } from "./blocks";
import type { Facts } from "./parse";
import { skeleton } from "./render";

type Applied = Last<typeof schema.shape, Facts>;

/**
 * Versions of nft print many rules in other words. Where the host has got another one since the last apply, what was
 * applied is loaded once more, in a namespace of its own, for this one to say how it lists it: that is the baseline then.
 * The sets of other resources are declared as they are; links that rules name are made there.
 */
const SCRIPT = `v=$(nft --version) || exit 0
printf '%s\\n' "$v"
read -r was && [ "$was" != "$v" ] || exit 0
read -r links; read -r sets
{ printf '%s\\n' "table $1 $2 {"; nft -s -n -t list table "$1" "$2" | sed -n "$sets"; echo "}"; cat; } |
  unshare -n sh -c 'for l in $3; do ip link add name "$l" type dummy; done
nft -f - && nft -s -n -t list table "$1" "$2"' sh "$1" "$2" "$links" 2>/dev/null || :`;

/** The version, and what it lists where that is asked for. Without its stdin, as in a guard, it prints the version alone. */
export function relistedQuery(family: string, name: string, last?: Applied): Query {
  const argv = ["env", "TZ=UTC", "sh", "-c", SCRIPT, "sh", family, name];
  if (!last?.facts) return { argv, free: true };
  const { version = "", foreign } = last.facts;
  const names = foreign.map((set) => set.replace(/[/\\.]/g, "\\$&")).join("\\|");
  const sets = names === "" ? "" : `/^\\t[setmap]* \\(${names}\\) {/,/^\\t}/p`;
  const links = linksOf([...tableOf(last.desired).blocks.values()]);
  const lines = [version, links.join(" "), sets, ...skeleton(last.desired)];
  return { argv, stdin: lines.map((line) => `${line}\n`).join(""), free: true };
}

const NAMED = /\b(?:[io]if|devices?)(?: [!=]=?)? (\{[^}]*\}|"[^"]*"|[^\s,;{}"]+)/g;

function linksOf(blocks: readonly Block[]): string[] {
  const texts = blocks.flatMap(({ head, rules = [] }) => [...head, ...rules]);
  const found = texts.flatMap((text) =>
    [...text.matchAll(NAMED)].flatMap(([, names]) => names!.split(/[{}",\s]+/)),
  );
  return [...new Set(found)].filter((name) => /^[A-Za-z][\w.-]{0,14}$/.test(name));
}

interface Relisted {
  readonly version?: string;
  /** By key; absent where it is the version of the last apply, or could not be asked. */
  readonly blocks?: ReadonlyMap<string, Block>;
}

export function relisted(result: Result | undefined): Relisted {
  if (!result) return {};
  const { stdout } = result;
  const [version = ""] = stdout.split("\n", 1);
  const body = /^table \S+ \S+ \{[^\n]*\n([\s\S]*)^\}/m.exec(stdout.slice(version.length + 1))?.[1];
  if (body === undefined) return { version };
  return { version, blocks: new Map(parseBody(body).passages.map(({ block }) => [keyOf(block), block])) };
}
