import { isDeepStrictEqual } from "node:util";
import { PROTOCOL } from "../formats/link";
import type { Result } from "../kind";
import type { PolicyRoute } from "./args";
import { canonicalMark, PROTOCOLS } from "./selectors";

/** What the host knows of a PolicyRoute beside its routes. */
export type Rule = Omit<PolicyRoute, "name" | "routes">;

export function ruleOf({ name, routes, ...rule }: PolicyRoute): Rule {
  return rule;
}

export const version = (rule: Rule): "-4" | "-6" => (rule.family === "ipv4" ? "-4" : "-6");

type Words = Partial<Record<keyof Rule, readonly string[]>>;

/** Each field in iproute2's words, in the order in which it lists them. */
function words(r: Rule): Words {
  const word = (name: string, value?: string | number) =>
    value === undefined ? undefined : [name, String(value)];
  return {
    invert: r.invert && ["not"],
    from: word("from", r.from),
    to: word("to", r.to),
    tos: word("tos", r.tos && `0x${r.tos.toString(16)}`),
    // A mark of 0 without a mask would match every packet.
    fwmark: word("fwmark", r.fwmark === "0x0" ? "0x0/0xffffffff" : r.fwmark),
    iif: word("iif", r.iif),
    oif: word("oif", r.oif),
    uidRange: word("uidrange", typeof r.uidRange === "number" ? `${r.uidRange}-${r.uidRange}` : r.uidRange),
    ipProtocol: word("ipproto", r.ipProtocol && PROTOCOLS.number(r.ipProtocol)),
    sourcePort: word("sport", r.sourcePort),
    destinationPort: word("dport", r.destinationPort),
    table: word("lookup", r.table),
    l3mdev: r.l3mdev && ["l3mdev"],
    goto: word("goto", r.goto),
    action: r.action && [r.action],
    suppressPrefixLength: word("suppress_prefixlength", r.suppressPrefixLength),
  };
}

const flat = (list: Words): string[] => Object.values(list).flatMap((value) => value ?? []);

/** All of it, for `ip rule add` and `del`: what a delete leaves out it takes for "any". */
export const ruleWords = (rule: Rule): string[] => [
  "pref",
  String(rule.priority),
  ...flat(words(rule)),
  "protocol",
  PROTOCOL,
];

/** "100: not from 10.0.0.0/8 lookup 5", for messages and as the name of a claim. */
export const ruleText = (rule: Rule): string => `${rule.priority}: ${flat(words(rule)).join(" ")}`;

/**
 * Whether the kernel, told to delete `a`, could take `b`: it looks at what `a` says only, and never at `not`
 * nor at the target of a goto. It refuses to add `a` beside such a `b`, too.
 */
export function covers(a: Rule, b: Rule): boolean {
  const { invert, goto, ...said } = words(a);
  const others = words(b);
  const kind = (r: Rule) => [r.family, r.priority, r.action, r.goto !== undefined];
  return (
    isDeepStrictEqual(kind(a), kind(b)) &&
    Object.entries(said).every(
      ([key, value]) => !value || isDeepStrictEqual(value, others[key as keyof Rule]),
    )
  );
}

export const equal = (a: Rule, b: Rule): boolean =>
  a.family === b.family && a.priority === b.priority && isDeepStrictEqual(flat(words(a)), flat(words(b)));

const LISTED = 'ip -N "$1" rule list pref "$2" | grep -E "$3"';

/** Prints the rules that `covers` speaks of, and fails without one; neighbours of the same priority come and go. */
export function listed(rule: Rule): readonly string[] {
  const { invert, goto, action, l3mdev, ipProtocol, fwmark, ...plain } = words(rule);
  const said = Object.values(plain).flatMap((value) =>
    value ? [`${value.join(" ").replaceAll(".", "\\.")} `] : [],
  );
  const pattern = ["", ...said, `proto ${PROTOCOL}`].join("(.* )?").replace("(.* )?", `^${rule.priority}:.*`);
  return ["sh", "-c", LISTED, "sh", version(rule), String(rule.priority), pattern];
}

interface RuleJson extends Record<string, unknown> {
  priority: number;
  src?: string;
  srclen?: number;
  dst?: string;
  dstlen?: number;
  protocol?: string;
}

/** Those of our protocol, in the kernel's order; one that has more than we know of is none of ours. */
export function parseRules({ code, stdout, stderr }: Result, family: Rule["family"]): readonly Rule[] {
  if (code !== 0) throw new Error(`ip could not show the rules: ${stderr.trim()}`);
  const listed: unknown = JSON.parse(stdout.trim() === "" ? "[]" : stdout);
  if (!Array.isArray(listed)) throw new Error("ip did not list the rules");
  return (listed as RuleJson[])
    .filter(({ protocol }) => protocol === PROTOCOL)
    .flatMap((json) => asRule(json, family) ?? []);
}

const ACTIONS: Readonly<Record<string, Rule["action"]>> = {
  "6": "blackhole",
  "7": "unreachable",
  "8": "prohibit",
  blackhole: "blackhole",
  unreachable: "unreachable",
  prohibit: "prohibit",
};

function asRule(json: RuleJson, family: Rule["family"]): Rule | undefined {
  const { priority, src, srclen, dst, dstlen, protocol, iif_detached, oif_detached, unresolved, ...rest } =
    json;
  const network = (address?: string, length?: number) =>
    address === undefined || address === "all"
      ? undefined
      : `${address}/${length ?? (family === "ipv4" ? 32 : 128)}`;
  const { fwmark, fwmask, iif, oif, tos, table, action, ipproto, l3mdev, not, suppress_prefixlen, ...more } =
    rest;
  const {
    sport,
    sport_start,
    sport_end,
    dport,
    dport_start,
    dport_end,
    uid_start,
    uid_end,
    goto,
    ...unknown
  } = more;
  if (Object.keys(unknown).length > 0) return undefined;
  const range = (one: unknown, first: unknown, last: unknown) =>
    (one ??
      (first === undefined ? undefined : first === last ? first : `${first}-${last}`)) as Rule["sourcePort"];
  const mark = fwmask === undefined ? fwmark : `${fwmark ?? 0}/${fwmask}`;
  const rule: Rule = {
    family,
    priority,
    from: network(src, srclen),
    to: network(dst, dstlen),
    fwmark: mark === undefined ? undefined : canonicalMark(String(mark)),
    iif: iif as string | undefined,
    oif: oif as string | undefined,
    ipProtocol: (ipproto && PROTOCOLS.name(String(ipproto).replace(/^ipproto-/, ""))) as Rule["ipProtocol"],
    sourcePort: range(sport, sport_start, sport_end),
    destinationPort: range(dport, dport_start, dport_end),
    tos: tos === undefined ? undefined : Number(tos),
    uidRange: range(undefined, uid_start, uid_end),
    invert: not === undefined ? undefined : true,
    table: table === undefined ? undefined : Number(table),
    l3mdev: l3mdev === undefined ? undefined : true,
    goto: goto as number | undefined,
    action: action === undefined ? undefined : ACTIONS[String(action)],
    suppressPrefixLength: suppress_prefixlen as number | undefined,
  };
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as Rule;
}
