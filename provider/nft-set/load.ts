import { keysOf } from "../formats/keys";
import { plainIPv4 } from "../formats/nft-range";
import type { Step } from "../kind";
import { flagsOf, isMap, type NftSet } from "./args";
import { type Elements, traitsOf } from "./elements";
import { typesOf } from "./types";

/**
 * nft's grammar takes a fifth of the time that a long list needs, whatever the elements look like. As JSON, 674,040
 * addresses take 1.8 instead of 2.3 s on Linux 6.18, and 11.5 instead of 13.6 s in the lab. Only numbers are spelled alike
 * in both, so the same list also serves the file for the next boot, and an nft that was built without JSON.
 */
export const isLong = (d: NftSet, elements: Elements): boolean =>
  keysOf(elements).length > LONG &&
  !isMap(d) &&
  typesOf(d).join() === "ipv4_addr" &&
  !flagsOf(d).includes("interval") &&
  traitsOf(elements).plain;

/** Below it, asking whether nft knows JSON costs more than JSON spares. */
const LONG = 50_000;

const lists = new WeakMap<Elements, string>();

/** Addresses as numbers, 16909060 for 1.2.3.4, a line each: for the change, and for the file for the next boot. */
export function listOf(elements: Elements): string {
  const known = lists.get(elements);
  if (known !== undefined) return known;
  const list = keysOf(elements)
    .map((key) => plainIPv4(key)!.low)
    .join(",\n");
  lists.set(elements, list);
  return list;
}

/** From a file, for where nft cannot read JSON it reads on as if it were its own language: of a pipe nothing is left then. */
const LOAD = `read -r first
if echo '{"nftables": []}' | nft -j -f - 2>/dev/null; then
  f=$(mktemp /run/hostnet/list.XXXXXX) || exit
  { printf '%s%s\\n' "$1" "\${first#*"{ "}"; head -c "$2"; printf ']}}}]}'; } >"$f" && nft -j -f "$f"
  e=$?; rm -f "$f"; exit $e
fi
{ printf '%s\\n' "$first"; cat; } | nft -f -`;

/** One transaction of a command that adds many elements, each on a line of its own, to a set that is there. */
export function load({ family, table, name }: NftSet, command: string): Step {
  const stdin = `${command}\n`;
  const json = JSON.stringify({ nftables: [{ add: { element: { family, table, name, elem: [] } } }] });
  const head = json.slice(0, json.indexOf("[]") + 1);
  const between = stdin.length - (stdin.indexOf("\n") + 1) - " }\n".length;
  return { argv: ["sh", "-c", LOAD, "sh", head, `${between}`], stdin };
}
