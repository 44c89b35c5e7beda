import { align } from "../formats/align";
import type { Block } from "../formats/nft-block";
import { loose, looseRest } from "../formats/nft-element";
import { hasFlag, meaning } from "./blocks";

/**
 * A listed block in the user's own words, as far as it still says the same: nft lists almost no rule as it was written,
 * so what equals the listing right after the last apply is what the user wrote then. `bases`: that listing, and that of
 * another version of nft, where the host has got one.
 */
export function observe(
  own: Block,
  listed: Block,
  bases: readonly Block[],
  family: string,
  lively: boolean,
): Block {
  const sameHead =
    bases.some((base) => base.head.join("\n") === listed.head.join("\n")) ||
    meaning(own, family) === meaning(listed, family);
  const said = (line: string) => meaning({ ...own, head: [line] }, family);
  const head = listed.head.map((line) => own.head.find((mine) => said(mine) === said(line)) ?? line);
  return {
    kind: own.kind,
    name: own.name,
    // What is the default, and was left out, stays out.
    head: sameHead ? own.head : head.filter((line) => said(line) !== "" || own.head.some(about(line))),
    ...(listed.rules && { rules: rules(own.rules ?? [], listed.rules, bases) }),
    ...(listed.elements && { elements: elements(own, listed, bases[0], lively) }),
  };
}

const about = (line: string) => (other: string) => other.split(" ")[0] === line.split(" ")[0];

/** Line by line, so that a rule deleted by hand shows as that one rule. */
function rules(
  own: readonly string[],
  listed: readonly string[],
  bases: readonly Block[],
): readonly string[] {
  const then = bases.length > 0 ? bases.map((base) => base.rules ?? []) : [own];
  const origins = then
    .filter((base) => base.length === own.length)
    .map((base) => align(base.map(spelled), listed.map(spelled)));
  return listed.map((line, n) => own[origins.find((origin) => origin[n] !== undefined)?.[n] ?? -1] ?? line);
}

/** The default, which nft 1.1 lists and older ones do not. */
const spelled = (rule: string): string => rule.replace(/ burst 5 packets\b/g, "");

/**
 * An element is the user's when its key reads the same. Where it does not (a service by name, neighbours or one within
 * another made one by auto-merge), it is there as long as everything that the last apply left without an owner is still there.
 */
function elements(
  own: Block,
  listed: Block,
  base: Block | undefined,
  lively: boolean,
): Record<string, string> {
  const isMap = own.kind === "map";
  const mine = own.elements ?? {};
  const now = new Map(
    Object.entries(listed.elements ?? {}).map(([key, rest]) => [loose(key), { key, rest }]),
  );
  const then = new Map(Object.entries(base?.elements ?? {}).map(([key, rest]) => [loose(key), rest]));
  const keys = new Map(Object.keys(mine).map((key) => [loose(key), key]));
  const nameless = [...then].filter(([key]) => !keys.has(key));
  const whole = base?.elements !== undefined && nameless.every(([key, rest]) => now.get(key)?.rest === rest);
  const timed = hasFlag(listed, "timeout") || listed.head.some((line) => line.startsWith("timeout "));

  const found: [string, string][] = [];
  for (const [plain, key] of keys) {
    const there = now.get(plain);
    const rest = mine[key]!;
    if (there) {
      const same = there.rest === then.get(plain) || looseRest(there.rest, isMap) === looseRest(rest, isMap);
      found.push([key, same ? rest : there.rest]);
    } else if (timed || (then.has(plain) ? false : whole || (lively && !isLiteral(plain)))) {
      // It ran out by itself, or is there under another name.
      found.push([key, rest]);
    }
  }
  for (const [plain, { key, rest }] of now) {
    const known = keys.has(plain) || (whole && then.has(plain));
    if (!known && !lively) found.push([key, rest]);
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** Numbers and addresses: nft lists them as they are. */
const isLiteral = (key: string): boolean => key.split(" . ").every((part) => /^[0-9a-fA-F:./-]+$/.test(part));
