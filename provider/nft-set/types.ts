import { parseRange, plainIPv4 } from "../formats/nft-range";

/** What the parts of a key are, by nft's name of the type; undefined where only nft knows. */
interface Type {
  readonly domain?: "ip" | "ip6" | "number";
  readonly max?: bigint;
  readonly pattern?: RegExp;
  readonly as: string;
}

/** Names that every host has in /etc/protocols. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  "ipv6-icmp": 58,
  icmpv6: 58,
  comp: 108,
  sctp: 132,
  udplite: 136,
};

const TYPES: Readonly<Record<string, Type>> = {
  ipv4_addr: { domain: "ip", as: "IPv4 address, prefix or range, as 10.0.0.0/8" },
  ipv6_addr: { domain: "ip6", as: "IPv6 address, prefix or range, as 2001:db8::/32" },
  inet_service: {
    domain: "number",
    max: 65535n,
    as: "port or range of ports, as 80 or 8000-8080; names differ from host to host",
  },
  mark: { domain: "number", max: 4294967295n, as: "mark, as 16 or 0x10" },
  inet_proto: {
    domain: "number",
    max: 255n,
    pattern: new RegExp(`^(${Object.keys(PROTOCOLS).join("|")})$`),
    as: "protocol, as tcp, udp or a number",
  },
  ether_addr: { pattern: /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/, as: "MAC address, as 52:54:00:12:34:56" },
  ifname: { pattern: /^(?!\*)[^\s/":,{}]{1,15}\*?$/, as: "interface name, as eth0" },
};

/** Types of the expressions that `typeof` is mostly about. */
const EXPRESSIONS: readonly (readonly [RegExp, string])[] = [
  [/^ip [sd]addr$|^ct (original|reply) ip [sd]addr$|^arp [sd]addr ip$/, "ipv4_addr"],
  [/^ip6 [sd]addr$|^ct (original|reply) ip6 [sd]addr$/, "ipv6_addr"],
  [/^(tcp|udp|th|sctp|dccp|udplite) [sd]port$/, "inet_service"],
  [/^((meta|ct) )?mark$/, "mark"],
  [/^(meta l4proto|ip protocol)$/, "inet_proto"],
  [/^ether [sd]addr$/, "ether_addr"],
  [/^(meta )?[io]ifname$/, "ifname"],
];

interface Typed {
  readonly type?: string;
  readonly typeof?: string;
}

/** The types of a key's parts, in order. */
export function typesOf({ type, typeof: expression }: Typed): readonly string[] {
  if (type !== undefined) return type.split(" . ");
  return (expression ?? "")
    .split(" . ")
    .map((one) => EXPRESSIONS.find(([pattern]) => pattern.test(one))?.[1] ?? "");
}

/** Why a key is none of such a set. */
export function keyProblem(key: string, types: readonly string[]): string | undefined {
  if (key === "*" || (types.length === 1 && types[0] === "ipv4_addr" && plainIPv4(key))) return undefined;
  const parts = key.split(" . ");
  if (parts.length !== types.length)
    return `has ${parts.length} ${parts.length === 1 ? "part" : "parts"}, the set's type has ${types.length}: write a . b`;
  for (const [n, part] of parts.entries()) {
    const type = TYPES[types[n]!];
    if (type && !isOf(type, part)) return `${parts.length > 1 ? `${part} ` : ""}is no ${type.as}`;
  }
}

function isOf({ domain, max, pattern }: Type, part: string): boolean {
  if (pattern?.test(part)) return true;
  if (!domain) return false;
  const range = parseRange(part);
  return range?.domain === domain && (max === undefined || range.high <= max);
}

/** As nft lists it: protocols by number. */
export const numeric = (key: string, types: readonly string[]): string =>
  types.includes("inet_proto")
    ? key
        .split(" . ")
        .map((part, n) => (types[n] === "inet_proto" ? String(PROTOCOLS[part] ?? part) : part))
        .join(" . ")
    : key;
