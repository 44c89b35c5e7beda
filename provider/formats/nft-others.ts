import { constants, gunzipSync } from "node:zlib";
import type { Query } from "../kind";
import { type Block, parseBody } from "./nft-block";
import { matches, onlyValue, readRule, speaksOf, type Traffic } from "./nft-traffic";

/**
 * What other tables of the host do with the packets that a table of ours accepts. In nftables an accept ends the one base
 * chain only: each other base chain at the same hook still decides, whatever its priority, and one that drops is enough.
 */

/** Chains of one table, ours or others'. */
export interface Table {
  /** "ip filter" */
  readonly name: string;
  /** Made with the iptables of old, which nft does not list. */
  readonly legacy?: boolean;
  readonly chains: ReadonlyMap<string, Chain>;
}

interface Chain {
  readonly name: string;
  readonly hook?: string;
  readonly policy: "accept" | "drop";
  readonly rules: readonly string[];
}

/** What of ours is accepted, by which rule. */
interface Admitted {
  readonly rule: string;
  readonly traffic: Traffic;
}

/** Characters of it at most, packed: a script may carry two hundred of them, and its answer is bounded. */
const MOST = 24_000;

const LIST = `{
  nft -s -t list ruleset
  for v in ip ip6; do
    { read -r x <"/proc/net/\${v}_tables_names"; } || continue
    for t in "\${v}tables-legacy-save" "\${v}tables-save"; do
      ! command -v "$t" >/dev/null || { echo "legacy $v"; "$t" -t filter; break; }
    done
  done
} 2>/dev/null | gzip -c | base64 | head -c ${MOST}`;

/** All chains of the host, without elements; those of the iptables of old only where it has any. */
export const listOthers: Query = { argv: ["sh", "-c", LIST], free: true };

/** The same where bridged frames pass the chains of the IP families. */
export const listBridged: Query = {
  argv: [
    "sh",
    "-c",
    `x=; { read -r x </proc/sys/net/bridge/bridge-nf-call-iptables; } 2>/dev/null; [ "$x" = 1 ] || exit 0\n${LIST}`,
  ],
  free: true,
};

/** A table that cannot be read, or was cut off, says nothing: unsure is no answer. */
export function parseOthers(packed: string): readonly Table[] {
  const text = unpacked(packed);
  const begin = text.search(/^legacy ip6?$/m);
  const [ruleset, saved] = begin < 0 ? [text, ""] : [text.slice(0, begin), text.slice(begin)];
  const tables = [...ruleset.matchAll(/^table (\S+ \S+) \{[^\n]*\n([\s\S]*?)^\}/gm)].flatMap(
    ([, name, body]) => {
      try {
        const { statements, passages } = parseBody(body!);
        if (statements.some((s) => /^flags .*\bdormant\b/.test(s))) return [];
        return [{ name: name!, chains: chainsOf(passages.map(({ block }) => block)) }];
      } catch {
        return [];
      }
    },
  );
  return [
    ...tables,
    ...saved
      .split(/^(?=legacy ip6?$)/m)
      .filter((part) => part !== "")
      .map(parseSaved),
  ];
}

function unpacked(text: string): string {
  try {
    const options = { finishFlush: constants.Z_SYNC_FLUSH };
    return gunzipSync(Buffer.from(text, "base64"), options).toString();
  } catch {
    return "";
  }
}

export const chainsOf = (blocks: Iterable<Block>): ReadonlyMap<string, Chain> =>
  new Map(
    [...blocks].flatMap(({ kind, name, head, rules = [] }) => {
      if (kind !== "chain") return [];
      const hook = /^type filter hook (\S+)/m.exec(head.join("\n"))?.[1];
      const policy = head.includes("policy drop") ? "drop" : "accept";
      return [[name, { name, ...(hook && { hook }), policy, rules }] as const];
    }),
  );

/** The output of iptables-save, in the words of nft. */
function parseSaved(text: string): Table {
  const [first, ...lines] = text.split("\n");
  const chains = new Map<string, { name: string; hook?: string; policy: Chain["policy"]; rules: string[] }>();
  for (const line of lines) {
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined) {
      const hook = policy === "-" ? {} : { hook: name.toLowerCase() };
      chains.set(name, { name, ...hook, policy: policy === "DROP" ? "drop" : "accept", rules: [] });
    }
    const [, chain, rule] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain !== undefined) chains.get(chain)?.rules.push(translated(rule!));
  }
  return { name: `${first!.slice("legacy ".length)} filter`, legacy: true, chains };
}

const OPTIONS: readonly (readonly [option: RegExp, words: string])[] = [
  [/^(! )?-i (\S+)/, 'iifname $1"$2"'],
  [/^(! )?-o (\S+)/, 'oifname $1"$2"'],
  [/^(! )?-s (\S+)/, "ip saddr $1$2"],
  [/^(! )?-d (\S+)/, "ip daddr $1$2"],
  [/^(! )?-p (\S+)/, "meta l4proto $1$2"],
  [/^-m (?:conntrack|state|comment|tcp|udp)(?= |$)/, ""],
  [/^--comment (?:"[^"]*"|\S+)/, ""],
  [/^--(?:ct)?state (\S+)/, "ct state $1"],
  [/^-j (ACCEPT|DROP|REJECT|RETURN)(?= |$)/, "$1"],
  [/^--reject-with \S+/, ""],
  [/^-j (\S+)/, "jump $1"],
  [/^-g (\S+)/, "goto $1"],
];

function translated(rule: string): string {
  const words: string[] = [];
  for (let rest = rule; rest !== ""; rest = rest.trimStart()) {
    const [option, said] = OPTIONS.find(([pattern]) => pattern.test(rest)) ?? [/^\S+/, '"?"'];
    const found = option.exec(rest)!;
    const text = said.replace(/\$(\d)/g, (_, n) => (found[Number(n)] ?? "").replace("! ", "!= "));
    words.push(/^(?:ACCEPT|DROP|REJECT|RETURN|ct state .*)$/.test(text) ? text.toLowerCase() : text);
    rest = rest.slice(found[0].length);
  }
  return words.filter((word) => word !== "").join(" ");
}

/** As deep as the kernel lets chains jump. */
const DEEPEST = 16;

/** What a base chain accepts, with the chains that it jumps to: by each rule. */
export function admitted(
  chains: ReadonlyMap<string, Chain>,
  name: string,
  way: Traffic = new Map(),
  depth = 0,
): readonly Admitted[] {
  return (chains.get(name)?.rules ?? []).flatMap((text) => {
    const { tests, verdict, target } = readRule(text);
    const traffic = new Map([...way, ...tests]);
    const within = (chain: string) => (depth < DEEPEST ? admitted(chains, chain, traffic, depth + 1) : []);
    if (verdict === "accept") return [{ rule: text, traffic }];
    if (target !== undefined) return within(target);
    const map = /\bvmap \{(.*)\}/.exec(text)?.[1];
    if (map === undefined || /^ct state vmap/.test(text)) return [];
    const jumps = [...map.matchAll(/\b(?:jump|goto) ([^\s,}]+)/g)].flatMap(([, chain]) => within(chain!));
    return [...(/: accept\b/.test(map) ? [{ rule: text, traffic }] : []), ...jumps];
  });
}

/** Where the packets end that another's chain drops. */
interface Drop {
  readonly chain: string;
  /** "policy drop", or the rule. */
  readonly why: string;
}

/** Undefined: it comes back from the chain undecided; "open": it passes, or somebody has thought of it. */
function decide(
  chains: ReadonlyMap<string, Chain>,
  name: string,
  traffic: Traffic,
  depth = 0,
): "open" | Drop | undefined {
  for (const text of chains.get(name)?.rules ?? []) {
    const rule = readRule(text);
    const match = matches(rule, traffic);
    if (match === "no" || rule.verdict === undefined) continue;
    if (rule.verdict === "accept" && (match === "yes" || speaksOf(rule, traffic))) return "open";
    // What may leave the chain here may not meet the rest of it.
    if (match === "maybe" && rule.verdict === "return") return undefined;
    if (match === "maybe") continue;
    if (rule.verdict === "drop") return { chain: name, why: text.replace(/\bcounter /, "") };
    if (rule.verdict === "return") return undefined;
    const inside = depth < DEEPEST ? decide(chains, rule.target!, traffic, depth + 1) : "open";
    if (inside || rule.verdict === "goto") return inside;
  }
  return undefined;
}

/** Which families see packets of which. */
const sees = (other: string, family: string): boolean =>
  other === family ||
  (other === "inet" && /^ip6?$/.test(family)) ||
  (family === "inet" && /^ip6?$/.test(other));

function possible(family: string, traffic: Traffic): boolean {
  const fields = [...traffic.keys()];
  const l4 = traffic.get("l4proto")?.list;
  if (family === "ip") return !fields.some((f) => f.startsWith("ip6 ")) && l4?.join() !== "ipv6-icmp";
  if (family === "ip6") return !fields.some((f) => f.startsWith("ip ")) && l4?.join() !== "icmp";
  return true;
}

/** Who keeps the chain, by the names that he gives. */
function toolOf({ name, chains }: Table, base: string, { chain }: Drop): string | undefined {
  const jumps = (chains.get(base)?.rules ?? []).flatMap((text) => readRule(text).target ?? []);
  const names = chain === base ? jumps : [chain];
  if (name.endsWith(" firewalld")) return "firewalld";
  if (names.some((n) => n.startsWith("DOCKER")) || / docker/.test(name)) return "docker";
  if (names.some((n) => n.startsWith("ufw"))) return "ufw";
  if (name.endsWith(" libvirt_network") || chain.startsWith("LIBVIRT_")) return "libvirt";
  return /^ip6? filter$/.test(name) ? "iptables" : undefined;
}

/** What its tool is told to let pass there too. */
function advice(tool: string | undefined, hook: string, traffic: Traffic, tables: readonly Table[]): string {
  const option = (field: string, ...words: string[]) => {
    const value = onlyValue(traffic, field);
    return value === undefined ? [] : [...words, value];
  };
  const protocol = ["tcp", "udp"].find((name) => onlyValue(traffic, `${name} dport`));
  const port = option(`${protocol} dport`);
  const state = traffic.get("ct state")?.list ?? [];
  const replies = state.length > 0 && !state.includes("new");
  if (tool === "docker" || tool === "iptables") {
    const which = [
      ...option("iifname", "-i"),
      ...option("oifname", "-o"),
      ...option("ip saddr", "-s"),
      ...option("ip daddr", "-d"),
      ...(port.length > 0 ? ["-p", protocol!, "--dport", ...port] : []),
      ...(replies ? ["-m conntrack --ctstate", state.join().toUpperCase()] : []),
    ];
    const [six, four] = ["ip6 filter", "ip filter"].map((name) =>
      tables.some((table) => table.name === name),
    );
    const command = `${four ? "iptables" : "ip6tables"}${tables.some(({ legacy }) => legacy) ? "-legacy" : ""}`;
    const chain = tool === "docker" ? "DOCKER-USER" : hook.toUpperCase();
    const words = (which.length > 0 ? which : ["-i", "<link>"]).join(" ");
    return `${command} -I ${chain} ${words} -j ACCEPT${six && four ? " (and with ip6tables)" : ""}`;
  }
  if (tool === "ufw") {
    const to = onlyValue(traffic, "ip daddr") ?? (port.length > 0 ? "any" : undefined);
    const which = [
      ...option("iifname", "in on"),
      ...option("oifname", "out on"),
      ...option("ip saddr", "from"),
      ...(to === undefined ? [] : ["to", to]),
      ...(port.length > 0 ? ["port", ...port, "proto", protocol!] : []),
    ];
    return `ufw ${hook === "input" ? "" : "route "}allow ${(which.length > 0 ? which : ["in on", "<link>"]).join(" ")}`;
  }
  if (tool === "firewalld" && hook === "input")
    return "open it in firewalld's zone of its link (firewall-cmd --permanent --zone=… --add-port=…)";
  if (tool === "firewalld")
    return "a policy of firewalld with target ACCEPT between the zones of its links (firewall-cmd --permanent --new-policy …)";
  if (tool === "libvirt")
    return 'a network of libvirt with <forward mode="open"/>, to which libvirt adds no rules';
  return "a rule in that chain";
}

/** A base chain of another that drops what is accepted here. */
interface Obstacle {
  /** Of ours, the first whose packets end there. */
  readonly rule: string;
  /** How many more of ours. */
  readonly more: number;
  /** "chain FORWARD of ip filter and ip6 filter (docker: policy drop)" */
  readonly place: string;
  /** Who keeps it, where that is known. */
  readonly tool?: string;
  /** What lets it pass there too. */
  readonly advice: string;
}

/** Each base chain of the others at that hook that drops something of what is accepted; tables of one tool told once. */
export function obstacles(
  family: string,
  hook: string,
  accepted: readonly Admitted[],
  others: readonly Table[],
): readonly Obstacle[] {
  const found = new Map<string, { drop: Drop; tool?: string; by: Set<Admitted>; tables: Set<Table> }>();
  for (const table of others) {
    const other = table.name.split(" ")[0]!;
    const bases = [...table.chains.values()].filter((chain) => chain.hook === hook);
    for (const base of sees(other, family) ? bases : []) {
      for (const by of accepted.filter(({ traffic }) => possible(other, traffic))) {
        const end = decide(table.chains, base.name, by.traffic);
        if (end === "open" || (!end && base.policy === "accept")) continue;
        const drop = end ?? { chain: base.name, why: "policy drop" };
        const tool = toolOf(table, base.name, drop);
        const key = JSON.stringify([drop, tool ?? table.name, table.legacy]);
        const known = found.get(key) ?? { drop, by: new Set(), tables: new Set(), ...(tool && { tool }) };
        found.set(key, known);
        known.by.add(by);
        known.tables.add(table);
      }
    }
  }
  return [...found.values()].map(({ drop, tool, by, tables }) => {
    const names = [...tables].map(({ name, legacy }) => `${name}${legacy ? " (legacy)" : ""}`).join(" and ");
    const said = [...new Set([...by].map(({ traffic }) => advice(tool, hook, traffic, [...tables])))];
    return {
      rule: [...by][0]!.rule,
      more: by.size - 1,
      place: `chain ${drop.chain} of ${names} (${tool ? `${tool}: ` : ""}${drop.why})`,
      ...(tool && { tool }),
      advice: said.slice(0, 3).join("; "),
    };
  });
}
