import { type Block, hookOf } from "../formats/nft-block";
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
export function closed(d: NftTable): string | undefined {
  if (d.dormant || d.family === "arp") return undefined;
  const chains = [...tableOf(d).blocks.values()].flatMap((block) => {
    const type = block.head.find((line) => line.startsWith("type filter "));
    return type !== undefined && decides(block)
      ? [`chain ${block.name} { ${type}; policy drop; ${wayIn(d.family, hookOf(block)!).join("; ")}; }`]
      : [];
  });
  const table = `table ${d.family} ${d.name}`;
  return chains.length === 0 ? undefined : `create ${table}; ${table} { ${chains.join("; ")}; }`;
}

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
