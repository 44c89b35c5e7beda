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

/** Lists these rules, and more: of the same priority, from and to the same networks or networks in them. */
export function neighbours(rule: Rule): readonly string[] {
  const { from = [], to = [] } = words(rule);
  return ["ip", "-N", "-j", version(rule), "rule", "list", "pref", String(rule.priority), ...from, ...to];
}

/** One rule of `ip -N -j rule`; names stand for true by being there. */
interface RuleJson {
  readonly priority: number;
  readonly not?: null;
  readonly src?: string;
  readonly srclen?: number;
  readonly dst?: string;
  readonly dstlen?: number;
  readonly tos?: string;
  readonly fwmark?: string;
  readonly fwmask?: string;
  readonly iif?: string;
  readonly oif?: string;
  readonly uid_start?: number;
  readonly uid_end?: number;
  /** "ipproto-6", and "6" where iproute2 is newer. */
  readonly ipproto?: string;
  readonly sport?: number;
  readonly sport_start?: number;
  readonly sport_end?: number;
  readonly dport?: number;
  readonly dport_start?: number;
  readonly dport_end?: number;
  readonly table?: string;
  readonly l3mdev?: null;
  readonly goto?: number;
  readonly action?: string;
  readonly suppress_prefixlen?: number;
  readonly protocol?: string;
}

const KNOWN = new Set(
  (
    "priority not src srclen dst dstlen tos fwmark fwmask iif oif uid_start uid_end ipproto sport sport_start sport_end " +
    "dport dport_start dport_end table l3mdev goto action suppress_prefixlen protocol " +
    // What the links and the rules beside it are like today.
    "iif_detached oif_detached unresolved"
  ).split(" "),
);
/** Told by newer kernels of every port. */
const WHOLE_PORT: Readonly<Record<string, string>> = { sport_mask: "0xffff", dport_mask: "0xffff" };

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
  if (Object.entries(json).some(([key, value]) => !KNOWN.has(key) && WHOLE_PORT[key] !== value))
    return undefined;
  const network = (address?: string, length = family === "ipv4" ? 32 : 128) =>
    address === undefined || address === "all" ? undefined : `${address}/${length}`;
  const range = (first?: number, last?: number) => (first === last ? first : `${first}-${last}`);
  const { fwmark = "0", fwmask, ipproto, tos, table, action } = json;
  const marked = json.fwmark !== undefined || fwmask !== undefined;
  const rule: Rule = {
    family,
    priority: json.priority,
    from: network(json.src, json.srclen),
    to: network(json.dst, json.dstlen),
    fwmark: marked ? canonicalMark(fwmask === undefined ? fwmark : `${fwmark}/${fwmask}`) : undefined,
    iif: json.iif,
    oif: json.oif,
    ipProtocol: ipproto && (PROTOCOLS.name(ipproto.replace(/^ipproto-/, "")) as Rule["ipProtocol"]),
    sourcePort: json.sport ?? range(json.sport_start, json.sport_end),
    destinationPort: json.dport ?? range(json.dport_start, json.dport_end),
    tos: tos && Number(tos),
    uidRange: range(json.uid_start, json.uid_end),
    invert: json.not === undefined ? undefined : true,
    table: table && Number(table),
    l3mdev: json.l3mdev === undefined ? undefined : true,
    goto: json.goto,
    action: action && ACTIONS[action],
    suppressPrefixLength: json.suppress_prefixlen,
  } as Rule;
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as Rule;
}
