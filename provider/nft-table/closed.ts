import { type Block, hookOf } from "../formats/nft-block";
import type { Step } from "../kind";
import type { NftTable } from "./args";
import { tableOf } from "./blocks";

const IN = ["ingress", "prerouting", "input"];
const OUT = ["output", "postrouting", "egress"];
/** A chain without any of these lets everything pass, and so does a host without it. */
const DECIDES = /\b(drop|reject|queue|jump|goto|vmap)\b/;

/**
 * What stands in for a table that cannot be loaded at boot, in one line: the chains that decide over packets drop them all,
 * but for what logging in to `$ssh` takes. Not where there is such a table all the same.
 */
export const closed = (d: NftTable): string | undefined => made(d.name, { [d.family]: closedChains(d) });

/** nft refuses it without its links, before Linux 6.16. */
export const isBound = (d: NftTable): boolean =>
  [...tableOf(d).blocks.values()].some(({ head }) => head.some((line) => BOUND.test(line)));
const BOUND = /^(?:type .* )?devices? (?:= )?(.*?)(?: priority .*)?$/;

/**
 * What stands in for a table that is bound to links, until they are there: its other chains as above, and what comes in by a
 * link, or leaves by it, where its chain decides over that. By the names of the links, hence where those need not exist.
 */
export function closedUntilBound(d: NftTable): string | undefined {
  const bound = filters(d).filter((block) => linksOf(block).length > 0);
  const at = (hook: string) => [...new Set(bound.filter((block) => hookOf(block) === hook).flatMap(linksOf))];
  const links = { prerouting: at("ingress"), postrouting: at("egress") };
  const chains = (family: string) =>
    Object.entries(links).flatMap(([hook, names]) =>
      names.length > 0 ? [closedLinks(family, hook, names)] : [],
    );
  const own = (family: string) => (family === d.family ? closedChains(d) : []);
  return made(standIn(d), {
    [d.family]: own(d.family),
    inet: [...chains("inet"), ...own("inet")],
    bridge: [...chains("bridge"), ...own("bridge")],
  });
}

/** Takes the stand-in away, where there is one. */
export const opening = (d: NftTable): Step => ({ argv: ["sh", "-c", OPEN, "sh", standIn(d)] });
const OPEN =
  't=$(nft list tables) || exit; printf "%s\\n" "$t" | grep -xF -e "table inet $1" -e "table bridge $1" -e "table ip $1" ' +
  '-e "table ip6 $1" | sed "s/^/delete /" | nft -f -';

const standIn = ({ family, name }: NftTable): string => `hostnet-closed-${family}-${name}`;

function made(name: string, families: Readonly<Record<string, readonly string[]>>): string | undefined {
  const tables = Object.entries(families).flatMap(([family, chains]) =>
    chains.length > 0
      ? [`create table ${family} ${name}; table ${family} ${name} { ${chains.join("; ")}; }`]
      : [],
  );
  return tables.length > 0 ? tables.join("; ") : undefined;
}

/** Chains that decide over packets. */
const filters = (d: NftTable): Block[] =>
  d.dormant || d.family === "arp"
    ? []
    : [...tableOf(d).blocks.values()].filter((block) => typeOf(block) !== undefined && decides(block));
const typeOf = ({ head }: Block): string | undefined => head.find((line) => line.startsWith("type filter "));
export const linksOf = ({ head }: Block): string[] =>
  head.flatMap((line) => BOUND.exec(line)?.[1]?.match(/[^\s{},"]+/g) ?? []);

const closedChains = (d: NftTable): string[] =>
  filters(d)
    .filter((block) => linksOf(block).length === 0)
    .map((block) => closedChain(block.name, typeOf(block)!, wayIn(d.family, hookOf(block)!)));

/** Before everything else, so that no packet of theirs passes. */
const closedLinks = (family: string, hook: string, links: readonly string[]): string =>
  closedChain(`closed-${hook}`, `type filter hook ${hook} priority -400`, [
    `${hook === "prerouting" ? "iifname" : "oifname"} != { ${links.map((name) => `"${name}"`).join(", ")} } accept`,
    ...wayIn(family, hook),
  ]);

const closedChain = (name: string, type: string, rules: readonly string[]): string =>
  `chain ${name} { ${type}; policy drop; ${rules.join("; ")}; }`;

const decides = ({ head, rules = [] }: Block): boolean =>
  [...head.filter((line) => line.startsWith("policy ")), ...rules].some((line) => DECIDES.test(line));

function wayIn(family: string, hook: string): string[] {
  const direction = IN.includes(hook) ? ["iifname", "dport"] : OUT.includes(hook) ? ["oifname", "sport"] : [];
  const [link, port] = direction;
  if (link === undefined) return ["counter"];
  return [
    `${link} "lo" accept`,
    `tcp ${port} $ssh accept`,
    "udp dport { 67, 68, 546, 547 } accept",
    ...(family === "ip"
      ? []
      : [
          "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
        ]),
    ...(family === "bridge" || family === "netdev" ? ["ether type arp accept"] : []),
  ];
}
