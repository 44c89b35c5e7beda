import { contains, parseAddress } from "../formats/cidr";
import { canonicalStatement, unquote } from "../formats/nft";
import { type Block, hookOf } from "../formats/nft-block";
import type { Way } from "../kind";
import type { NftTable } from "./args";
import { tableOf } from "./blocks";

/** Whether a rule applies to the first packet of a new connection of ours. What is not understood may. */
type Match = "yes" | "no" | "maybe";

/** A test at the begin of a rule, and what it says of the packet. */
interface Test {
  readonly pattern: RegExp;
  readonly says: (words: readonly string[], way: Way) => Match;
}

/** Values as they stand, with nothing to be computed from them: no concatenation, mask, comparison or map. */
const VALUE = String.raw`((?:!= )?)(?!v?map )(\{ [^}]* \}|["\w@:*][^\s,]*(?:, ?[^\s,]+)*)(?: (?!(?:or|and|xor|v?map) |[.|&^<>=])|$)`;
const test = (begin: string, says: Test["says"]): Test => ({
  pattern: new RegExp(`^(?:meta )?${begin} ${VALUE}`),
  says,
});

/** Tests over values: with `!=` in the first group, the values in the second, `one` judges each value. */
const values =
  (one: (value: string, way: Way) => Match): Test["says"] =>
  ([not, all], way) => {
    const list = all!.replace(/^\{ | \}$/g, "").split(/, ?/);
    const each = list.map((value) => (/[@:$]/.test(value) && !isAddress(value) ? "maybe" : one(value, way)));
    const any: Match = each.includes("yes") ? "yes" : each.includes("maybe") ? "maybe" : "no";
    return not ? invert(any) : any;
  };

const invert = (match: Match): Match => (match === "yes" ? "no" : match === "no" ? "yes" : "maybe");
const is = (same: boolean): Match => (same ? "yes" : "no");
const isTcp = values((value) =>
  /^[\d]+$|^[a-z][\w-]*$/.test(value) ? is(value === "tcp" || value === "6") : "maybe",
);

const TESTS: readonly Test[] = [
  test(
    "tcp dport",
    values((value, { port }) =>
      within(value, BigInt(port), (text) => (/^\d+$/.test(text) ? BigInt(text) : undefined)),
    ),
  ),
  test("(?:l4proto|ip protocol|ip6 nexthdr)", isTcp),
  test(
    "ip6? saddr",
    values((value, { client }) => inNetwork(value, client)),
  ),
  test(
    "ip6? daddr",
    values((value, { server }) => inNetwork(value, server)),
  ),
  test(
    "ct state",
    values((value) => (/^[a-z]+$/.test(value) ? is(value === "new") : "maybe")),
  ),
  test(
    "iif(?:name)?",
    values((value, { links }) => arrives(unquote(value), links)),
  ),
];

/** Says nothing about the packet. */
const SILENT =
  /^(?:counter(?: packets \d+ bytes \d+)?|log(?: (?:prefix "[^"]*"|level \w+|flags \w+))*|comment "[^"]*")(?: |$)/;
const OTHER_PROTOCOL = /^(?:udp|udplite|sctp|dccp|esp|ah|comp|igmp|icmp|icmpv6|arp) /;
const VERDICT = /^(accept|drop|reject(?: with .*)?)(?: comment "[^"]*")?$/;
/** Whatever may let a packet through, or send it where that cannot be seen from here. */
const OPEN = /\b(accept|jump|goto|queue|vmap|return|continue|tproxy)\b/;

/**
 * The rule or chain that is certain to drop a new connection like the one that the change travels on. Rules stay opaque:
 * a few common tests are understood, and any other may match, so that in doubt there is no answer.
 */
export function lockout(_before: object, after: NftTable | undefined, way: Way): string | undefined {
  if (!after || after.dormant || !concerns(after.family, way)) return undefined;
  for (const block of tableOf(after).blocks.values()) {
    if (block.kind !== "chain" || hookOf(block) !== "input") continue;
    const found = dropping(block, way);
    if (found !== undefined)
      return `chain ${block.name} of ${after.family} ${after.name} ${found} tcp from ${way.client} to ${way.server} port ${way.port}`;
  }
  return undefined;
}

const concerns = (family: string, { client }: Way): boolean =>
  family === "inet" || family === (client.includes(":") ? "ip6" : "ip");

function dropping({ head, rules = [] }: Block, way: Way): string | undefined {
  for (const rule of rules) {
    const text = canonicalStatement(rule);
    const { match, rest } = matched(text, way);
    if (match === "no") continue;
    const verdict = VERDICT.exec(rest)?.[1];
    if (verdict === undefined && !OPEN.test(rest)) continue;
    if (verdict === undefined || verdict === "accept") return undefined;
    if (match === "yes") return `has the rule "${text}", which drops`;
  }
  return head.includes("policy drop") ? "has policy drop, and no rule that admits" : undefined;
}

/** What the tests at the begin of a rule say together, and what stands behind them. */
function matched(rule: string, way: Way): { match: Match; rest: string } {
  let match: Match = "yes";
  let rest = rule;
  for (;;) {
    const silent = SILENT.exec(rest);
    if (silent) {
      rest = rest.slice(silent[0].length);
      continue;
    }
    if (VERDICT.test(rest) || rest === "") return { match, rest };
    if (OTHER_PROTOCOL.test(rest)) return { match: "no", rest };
    const family = /^ip6? /.exec(rest)?.[0].trim();
    if (family !== undefined && family !== (way.client.includes(":") ? "ip6" : "ip"))
      return { match: "no", rest };
    const known = TESTS.flatMap(({ pattern, says }) => {
      const found = pattern.exec(rest);
      return found ? [{ length: found[0].length, said: says([found[1]!, found[2]!], way) }] : [];
    })[0];
    if (!known) return { match: "maybe", rest };
    if (known.said === "no") return { match: "no", rest };
    if (known.said === "maybe") match = "maybe";
    rest = rest.slice(known.length);
  }
}

const isAddress = (text: string): boolean => /^[0-9a-fA-F:.]+(\/\d+)?$/.test(text) && /[:.]/.test(text);

function within(value: string, wanted: bigint, read: (text: string) => bigint | undefined): Match {
  const [first, last = first] = value.split("-").map((text) => read(text));
  if (first === undefined || last === undefined) return "maybe";
  return is(first <= wanted && wanted <= last);
}

function inNetwork(value: string, address: string): Match {
  try {
    if (value.includes("/")) return is(contains(value, address));
    return within(value, parseAddress(address).value, (text) => parseAddress(text).value);
  } catch {
    return "maybe";
  }
}

/** A packet may show the link that it came in by, or one above it: only a name that is neither is certain. */
function arrives(name: string, links: readonly string[]): Match {
  if (name.includes("*")) return "maybe";
  if (!links.includes(name)) return "no";
  return links.length === 1 ? "yes" : "maybe";
}
