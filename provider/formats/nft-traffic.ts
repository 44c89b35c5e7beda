import { canonicalStatement, unquote } from "./nft";

/** Words that a field may have: `tcp dport { 22, 80 }`, `iifname != "lo"`. */
interface Values {
  readonly not: boolean;
  readonly list: readonly string[];
}

/** Packets by what is known of them: field -> values. What is not known may be anything. */
export type Traffic = ReadonlyMap<string, Values>;

/** A rule as it reads from outside. Rules stay opaque: a few common tests are understood. */
export interface Rule {
  readonly tests: Traffic;
  /** Something else is asked of the packet too. */
  readonly narrower: boolean;
  /** Absent: it decides nothing, or nobody knows what. */
  readonly verdict?: "accept" | "drop" | "return" | "jump" | "goto";
  /** Of jump and goto. */
  readonly target?: string;
}

export type Match = "yes" | "no" | "maybe";

const COMMENT = / ?comment "[^"]*"$/;
const VERDICT =
  /(?:^| )(?:xt target ")?(accept|drop|reject|return|jump|goto|ACCEPT|DROP|REJECT)"?(?: (?:with )?([^\s{}"][^{}"]*))?$/;
const SILENT =
  /^(?:counter(?: packets \d+ bytes \d+)?|log(?: (?:prefix "[^"]*"|(?:level|flags|group|snaplen) \S+))*)(?: |$)/;
const TEST =
  /^(?:meta )?(iif|oif|iifname|oifname|l4proto|nfproto|ip protocol|ip6 nexthdr|ct state|ip6? [sd]addr|(?:tcp|udp) [sd]port) (!= )?(\{ [^}]* \}|["\w@:*][^\s,{]*(?:, ?[^\s,]+)*)(?: (?![.|&^<>=]|(?:or|and|xor|v?map) )|$)/;
/** One name for what says the same. */
const FIELD: Readonly<Record<string, string>> = {
  iif: "iifname",
  oif: "oifname",
  "ip protocol": "l4proto",
  "ip6 nexthdr": "l4proto",
};

export function readRule(text: string): Rule {
  let rest = canonicalStatement(text).replace(COMMENT, "");
  const found = VERDICT.exec(rest);
  if (found) rest = rest.slice(0, found.index);
  const tests = new Map<string, Values>();
  for (;;) {
    const silent = SILENT.exec(rest);
    const test = silent ? null : TEST.exec(rest);
    if (!silent && !test) break;
    rest = rest.slice((silent ?? test)![0].length);
    if (!test) continue;
    const key = FIELD[test[1]!] ?? test[1]!;
    const list = test[3]!.replace(/^\{ | \}$/g, "").split(/, ?/);
    // Twice the same field is a range, which is as good as not understood.
    tests.set(key, { not: test[2] !== undefined, list: tests.has(key) ? ["?"] : list.map(unquote) });
  }
  const [, implied] = /^(tcp|udp|icmp|icmpv6) /m.exec([...tests.keys(), rest].join("\n")) ?? [];
  if (implied && !tests.has("l4proto"))
    tests.set("l4proto", { not: false, list: [implied === "icmpv6" ? "ipv6-icmp" : implied] });
  const word = found?.[1]?.toLowerCase().replace("reject", "drop") as Rule["verdict"];
  const target = word === "jump" || word === "goto" ? found?.[2] : undefined;
  return { tests, narrower: rest !== "", ...(word && { verdict: word }), ...(target && { target }) };
}

/** Fields whose values exclude each other where they are not equal. */
const EXACT = ["iifname", "oifname", "l4proto", "nfproto", "ct state"];

function one({ not, list }: Values, known: Values | undefined, field: string): Match {
  if (!known || known.not || [...list, ...known.list].some((value) => /[*?@$]/.test(value))) return "maybe";
  const inside = known.list.filter((value) => list.includes(value)).length;
  const exact = EXACT.includes(field);
  const within: Match = inside === known.list.length ? "yes" : inside === 0 && exact ? "no" : "maybe";
  return not ? ({ yes: "no", no: "yes", maybe: "maybe" } as const)[within] : within;
}

/** Whether the rule applies to all of that traffic, to none of it, or nobody knows. */
export function matches({ tests, narrower }: Rule, traffic: Traffic): Match {
  const each = [...tests].map(([field, wanted]) => one(wanted, traffic.get(field), field));
  if (each.includes("no")) return "no";
  return narrower || each.includes("maybe") ? "maybe" : "yes";
}

/** Whether a rule speaks of that traffic by name: of its link, its port, its address. */
export function speaksOf({ tests }: Rule, traffic: Traffic): boolean {
  const general = ["ct state", "l4proto", "nfproto"];
  const state = tests.get("ct state");
  // Replies only.
  if (state && !traffic.has("ct state") && !state.list.includes("new")) return false;
  return [...tests].some(
    ([field, wanted]) => !general.includes(field) && one(wanted, traffic.get(field), field) === "yes",
  );
}

/** The one value that a field has. */
export function onlyValue(traffic: Traffic, field: string): string | undefined {
  const { not = true, list = [] } = traffic.get(field) ?? {};
  return not || list.length !== 1 || /[@$]/.test(list[0]!) ? undefined : list[0];
}
