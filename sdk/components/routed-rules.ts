import { contains, family as familyOf, parseAddress } from "../../provider/formats/cidr";
import { nft } from "../nft";
import type { Subnet } from "./subnet";

/** A port of the host that leads to a guest. */
export interface PublishedPort {
  /** @default "tcp" */
  protocol?: "tcp" | "udp";
  /** 1 to 65535, at every address of the host that the uplink leads to. */
  port: number;
  /** Address of the guest, which best has a static lease. */
  to: string;
  /** Port of the guest. @default the same */
  toPort?: number;
  /** Networks that may use it, "198.51.100.0/24"; of the family of `to`. @default all */
  from?: string[];
}

/** Where the guests' HTTP goes instead: to an address, or to a port of the host. */
export interface HttpRedirect {
  /** An address, or one of each family: of a guest on this bridge, or of a server that the host reaches. Left out: the host. */
  to?: string | string[];
  /** There. @default 80 */
  port?: number;
}

export interface Routed {
  readonly bridge: string;
  readonly uplink?: string;
  readonly subnets: readonly Subnet[];
  readonly publish: readonly PublishedPort[];
  readonly redirectHttp?: HttpRedirect;
  readonly isolated: boolean;
  readonly rules: readonly string[];
}

const ip = (address: string): "ip" | "ip6" => (familyOf(address) === 4 ? "ip" : "ip6");
const endpoint = (address: string, port: number) =>
  nft.raw(`${ip(address)} to ${familyOf(address) === 4 ? address : `[${address}]`}:${port}`);
const list = (given?: string | readonly string[]): readonly string[] => [given ?? []].flat();

/** Where new connections of and to the guests are led. */
export function prerouting(routed: Routed): string[] {
  const { bridge, uplink, publish } = routed;
  const published = publish.map(({ protocol = "tcp", port, to, toPort = port, from = [] }) => {
    const sources = from.length > 0 ? nft.raw(nft`${nft.raw(ip(to))} saddr ${from} `) : nft.raw("");
    // From guests too, who know the host's address.
    return nft`iifname ${[uplink!, bridge]} ${sources}fib daddr type local ${nft.raw(protocol)} dport ${port} dnat ${endpoint(to, toPort)}`;
  });
  return [...published, ...redirected(routed)];
}

function redirected({ bridge, subnets, redirectHttp }: Routed): string[] {
  if (!redirectHttp) return [];
  const { port = 80 } = redirectHttp;
  const targets = list(redirectHttp.to);
  const here = nft.raw(`redirect to :${port}`);
  if (targets.length === 0)
    return [
      nft`iifname ${bridge} fib daddr type local tcp dport 80 ${here}`,
      ...([4, 6] as const).flatMap((family) => {
        const own = networksOf(subnets, family);
        return own.length > 0 ? [nft`iifname ${bridge} ${elsewhere(own)} tcp dport 80 ${here}`] : [];
      }),
    ];
  return targets.flatMap((to) => {
    const own = networksOf(subnets, familyOf(to));
    // Not its own, which would come back to it for ever.
    const from = nft.raw(nft`iifname ${bridge} ${nft.raw(ip(to))} saddr != ${to}`);
    const there = nft.raw(nft`tcp dport 80 dnat ${endpoint(to, port)}`);
    if (own.length === 0) return [nft`${from} ${there}`];
    return [nft`${from} fib daddr type local ${there}`, nft`${from} ${elsewhere(own)} ${there}`];
  });
}

const networksOf = (subnets: readonly Subnet[], family: 4 | 6): string[] =>
  subnets.filter((subnet) => subnet.family === family).map(({ network }) => network);

/** Not from guest to guest: that comes by here where br_netfilter hands bridged packets to these rules. */
const elsewhere = (own: readonly string[]) => nft.raw(nft`${nft.raw(ip(own[0]!))} daddr != ${own}`);

/** Whose address packets leave with. Networks of IPv6 that the world knows keep theirs. */
export function postrouting({ bridge, uplink, subnets }: Routed): string[] {
  const hidden =
    uplink === undefined ? [] : subnets.filter((s) => s.family === 4 || contains("fc00::/7", s.gateway));
  return [
    // From one guest to another by way of the host: the answer must take the same way. By source, not by the link that it
    // came in by, which there is none of where br_netfilter hands bridged packets to these rules.
    ...subnets.map(
      ({ gateway, network }) =>
        nft`oifname ${bridge} ${nft.raw(ip(gateway))} saddr ${network} ct status dnat masquerade`,
    ),
    ...hidden.map(
      ({ gateway, network }) => nft`oifname ${uplink!} ${nft.raw(ip(gateway))} saddr ${network} masquerade`,
    ),
  ];
}

/**
 * For guests apart, in the bridge family. With bridge-nf-call-iptables = 1, which Docker sets, the kernel bridges what was led
 * from one guest to another, so that those ports are left open here.
 */
export function apart({ bridge, subnets, publish, redirectHttp }: Routed): string[] {
  const { port = 80 } = redirectHttp ?? {};
  const inside = list(redirectHttp?.to).filter((to) => subnets.some(({ network }) => contains(network, to)));
  const led = [
    ...inside.map((to) => ["tcp", to, port] as const),
    ...publish.map(({ protocol = "tcp", to, port, toPort = port }) => [protocol, to, toPort] as const),
  ];
  const open = led.flatMap(([protocol, to, port]) => {
    const [family, transport] = [nft.raw(ip(to)), nft.raw(protocol)];
    return [
      nft`meta ibrname ${bridge} ${family} daddr ${to} ${transport} dport ${port} accept`,
      nft`meta ibrname ${bridge} ${family} saddr ${to} ${transport} sport ${port} accept`,
    ];
  });
  return [...new Set(open), nft`meta ibrname ${bridge} counter drop`];
}

/** What of and to the guests is forwarded; nothing else is decided here. */
export function forward(routed: Routed): string[] {
  const { bridge, uplink, isolated, rules } = routed;
  return [
    nft`iifname != ${bridge} oifname != ${bridge} accept`,
    ...([4, 6] as const).flatMap((family) => spoofed(routed, family)),
    "ct state established,related accept",
    ...unredirected(routed),
    "ct status dnat accept",
    ...rules,
    // What connection tracking cannot place is not masqueraded: it would leave with the guest's own address.
    ...(uplink === undefined ? [] : [nft`iifname ${bridge} oifname ${uplink} ct state != invalid accept`]),
    ...(isolated ? [] : [nft`iifname ${bridge} oifname ${bridge} accept`]),
    "counter name refused drop",
  ];
}

/** From one guest to another it is theirs, as where no br_netfilter hands bridged packets to these rules: link-local ones too. */
function spoofed({ bridge, subnets, isolated }: Routed, family: 4 | 6): string[] {
  const own = networksOf(subnets, family);
  const word = nft.raw(family === 4 ? "ip" : "ip6");
  const from = nft.raw(isolated ? nft`iifname ${bridge}` : nft`iifname ${bridge} oifname != ${bridge}`);
  if (own.length > 0) return [nft`${from} ${word} saddr != ${own} counter name spoofed drop`];
  return [nft`${from} meta nfproto ${nft.raw(family === 4 ? "ipv4" : "ipv6")} counter name spoofed drop`];
}

/** HTTP of a family that has no target must not get past it: refused at once, so that the guest takes the other. */
function unredirected({ bridge, subnets, redirectHttp }: Routed): string[] {
  const targets = list(redirectHttp?.to);
  if (targets.length === 0) return [];
  const families = [...new Set(subnets.map(({ family }) => family))];
  return families
    .filter((family) => !targets.some((to) => familyOf(to) === family))
    .map(
      (family) =>
        nft`iifname ${bridge} meta nfproto ${nft.raw(family === 4 ? "ipv4" : "ipv6")} tcp dport 80 reject with tcp reset`,
    );
}

/** Throws where the wishes do not fit together. */
export function checked(routed: Routed): Routed {
  const problem = problemOf(routed);
  if (problem !== undefined) throw new Error(problem);
  return routed;
}

function problemOf({ bridge, uplink, subnets, publish, redirectHttp }: Routed): string | undefined {
  if (uplink === bridge) return "uplink: is the bridge itself";
  if (publish.length > 0 && uplink === undefined) return "publish: needs an uplink";
  const within = (address: string) => subnets.some(({ network }) => contains(network, address));
  const targets = list(redirectHttp?.to);
  const addresses = [
    ...publish.map(({ to }) => ["publish", to]),
    ...targets.map((to) => ["redirectHttp", to]),
  ];
  for (const [property, address] of addresses as [string, string][]) {
    const wrong = wrongAddress(address);
    if (wrong) return `${property}: ${JSON.stringify(address)}: ${wrong}`;
    if (subnets.some(({ gateway }) => gateway === address))
      return `${property}: ${address} is the host's own${property === "publish" ? "" : ": leave out `to`"}`;
  }
  const outside = publish.find(({ to }) => !within(to));
  if (outside)
    return `publish: ${outside.to} is no address of ${subnets.map(({ network }) => network).join(", ")}`;
  const keys = publish.map(({ protocol = "tcp", port, to }) => `${protocol} ${port} ${ip(to)}`);
  const twice = keys.find((key, n) => keys.indexOf(key) < n);
  if (twice) return `publish: ${twice.split(" ").slice(0, 2).join(" ")} is listed twice`;
  const ports = [...publish.flatMap(({ port, toPort = port }) => [port, toPort]), redirectHttp?.port ?? 80];
  const wrong = ports.find((port) => !Number.isInteger(port) || port < 1 || port > 65535);
  return wrong === undefined ? undefined : `${wrong}: a port is a whole number from 1 to 65535`;
}

function wrongAddress(address: string): string | undefined {
  try {
    parseAddress(address);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
