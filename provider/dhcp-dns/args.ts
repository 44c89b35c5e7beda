import { z } from "zod";
import { contains, family as familyOf, parseAddress } from "../formats/cidr";
import type { Desired, Problem } from "../kind";
import { address, ifname, issue, mac, setOf } from "../schema";
import { type DhcpOptions, dhcpOptions } from "./options";

/** Addresses that guests get by lease: from the first to the last. */
export interface DhcpRange {
  /** "10.7.0.100" or "2001:db8:7::100". The interface needs an address in the same network. */
  start: string;
  /** Of the same network: for IPv6, of the same /64. */
  end: string;
  /** "45m", "12h", "7d", a number of seconds from 120 on, or "infinite". dnsmasq's default is an hour; for IPv6, a day. */
  leaseTime?: string | number;
  /** For IPv6: guests may also make addresses of their own from the /64 (SLAAC), for some take no lease. @default false */
  slaac?: boolean;
}

/** An address that is kept for one guest. */
export interface StaticLease {
  /** MAC address of the guest; once for each family. */
  mac: string;
  /** In the network of the interface, inside a range or outside; for IPv6, in the /64 of a range. */
  address: string;
  /** Its name, 1 to 63 of a-z 0-9 -, in place of the one that the guest says: in DNS also while the guest is off. */
  name?: string;
}

/**
 * DHCP and DNS for the guests on one interface: a dnsmasq of its own, in a unit of systemd of its own, beside any other
 * dnsmasq or resolver of the host. Needs systemd 247 or newer, and dnsmasq 2.80 or newer, installed there (Debian:
 * dnsmasq-base). Every change restarts it, once its configuration was tested; leases stay.
 */
export interface DhcpDnsFields {
  /** Name of the bridge, VLAN or other link whose addresses it serves at. It must exist. A change replaces. */
  interface: string;
  /**
   * Of IPv4 and IPv6; with one of IPv6, router advertisements too. [] for DNS alone. A host that does not forward IPv6 heeds
   * its own advertisements, and gets one more address there: `net.ipv6.conf.<interface>.accept_ra` = 0 keeps it from that.
   */
  ranges: DhcpRange[];
  /** Addresses that are kept for guests, each by its MAC. They need a range of their family. */
  leases?: StaticLease[];
  /** Domain of the guests, as "lan.example": they are told, names get it, and it is never asked for elsewhere. */
  domain?: string;
  /**
   * Where other names are asked for: "10.0.0.53", "10.0.0.53#5353", "/corp.example/10.0.0.53" for one domain. [] asks
   * nowhere. In a VRF they must be reachable there. @default those of the host's /etc/resolv.conf
   */
  upstreams?: string[];
  /** Addresses by name: { "db.lan.example": "10.7.0.9" }. A name without dots is in `domain`, too. The host's /etc/hosts is not read. */
  records?: Record<string, string | string[]>;
  /**
   * Options of DHCPv4 by dnsmasq's names (`dnsmasq --help dhcp`) or by number: { router: "10.7.0.1", mtu: 1400 }. Several
   * values are a list; [] keeps one back. Left out, `router` and `dns-server` are the interface's own address.
   */
  options?: DhcpOptions;
  /** The same of DHCPv6 (`dnsmasq --help dhcp6`). */
  options6?: DhcpOptions;
  /** Name of the VRF that the interface is in: dnsmasq runs there. */
  vrf?: string;
}

const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const lower = (text: string): string => text.toLowerCase();
const domainName = z
  .string()
  .transform(lower)
  .refine(
    (name) => name.length <= 253 && new RegExp(`^${LABEL}(\\.${LABEL})*$`).test(name),
    "is no name of DNS: labels of 1 to 63 of a-z 0-9 - _, with dots between",
  );
const hostName = z
  .string()
  .transform(lower)
  .refine(
    (name) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name),
    "is no name of a host: 1 to 63 of a-z 0-9 -",
  )
  // Words of dnsmasq's own in the place where a name may stand.
  .refine(
    (name) => !/^(infinite|ignore|\d+[a-z]?)$/.test(name),
    "is taken for a lease time there: take another name",
  );

const UNITS: Readonly<Record<string, number>> = { d: 86400, h: 3600, m: 60, s: 1 };
const leaseTime = z.union([z.string(), z.number()]).transform((given, context) => {
  if (given === "infinite") return given;
  const [, digits, unit = "s"] = /^(\d{1,10})([smhd]?)$/.exec(String(given)) ?? [];
  const seconds = Number(digits) * (UNITS[unit || "s"] ?? 1);
  if (digits === undefined || seconds < 120 || seconds > 0xfffffffe) {
    const message = 'must be "45m", "12h", "7d", seconds from 120 on, or "infinite"';
    issue(context, message, given);
    return z.NEVER;
  }
  const [word, size] = Object.entries(UNITS).find(([, size]) => seconds % size === 0)!;
  return `${seconds / size}${word}`;
});

const range = z.strictObject({
  start: address,
  end: address,
  leaseTime: leaseTime.optional(),
  slaac: z.boolean("must be true or false").optional(),
});
const lease = z.strictObject({ mac, address, name: hostName.optional() });

const upstream = z.string().transform((text, context) => {
  const [, domain, server = "", port] = /^(?:\/([^/]*)\/)?([^#]*)(?:#(\d{1,5}))?$/.exec(text) ?? [];
  const parsed = address.safeParse(server);
  const named = domain === undefined ? undefined : domainName.safeParse(domain);
  if (!parsed.success || named?.success === false || Number(port ?? 53) > 65535 || Number(port ?? 53) === 0) {
    const message = 'is no upstream, as "10.0.0.53", "10.0.0.53#5353" or "/corp.example/10.0.0.53"';
    issue(context, message, text);
    return z.NEVER;
  }
  return `${named ? `/${named.data}/` : ""}${parsed.data}${port === undefined ? "" : `#${Number(port)}`}`;
});

const records = z.unknown().transform((raw, context) => {
  const problem = (message: string, path: (string | number)[] = []) => issue(context, message, raw, path);
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    problem('must be addresses by name, as { "db.lan.example": "10.7.0.9" }');
    return z.NEVER;
  }
  const entries = Object.entries(raw).map(([given, value]): [string, string[]] => {
    const name = domainName.safeParse(given);
    if (!name.success) problem(name.error.issues[0]!.message, [given]);
    const list = setOf(address).safeParse(Array.isArray(value) ? value : [value]);
    if (!list.success) {
      const [issue] = list.error.issues;
      problem(issue!.message, Array.isArray(value) ? [given, ...(issue!.path as number[])] : [given]);
    } else if (list.data.length === 0) problem("must have an address", [given]);
    return [name.data ?? given, list.data ?? []];
  });
  const twice = entries.find(([name], n) => entries.findIndex(([other]) => other === name) < n);
  if (twice) problem(`${twice[0]} is listed twice`);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
});

export const schema = z.strictObject({
  interface: ifname,
  ranges: setOf(range, (r) => r.start),
  leases: setOf(lease, (l) => `${l.mac} in IPv${familyOf(l.address)}`).optional(),
  domain: domainName.optional(),
  upstreams: setOf(upstream).optional(),
  records: records.optional(),
  options: dhcpOptions(4).optional(),
  options6: dhcpOptions(6).optional(),
  vrf: ifname.optional(),
  /** As in HostArgs, which says what it may be: here it is also where its files lie. */
  persist: z.unknown().transform((given) => given !== false),
});

export type DhcpDns = Desired<typeof schema.shape>;
export type Range = z.output<typeof range>;

/** Of how many addresses. */
export const sizeOf = ({ start, end }: Range): bigint =>
  parseAddress(end).value - parseAddress(start).value + 1n;

/** DHCPv6 and SLAAC know no other size of network. */
const inOne64 = (a: string, b: string): boolean => contains(`${a}/64`, b);

export function refine(d: DhcpDns): readonly Problem[] {
  return [
    ...d.ranges.flatMap((r, n) => rangeProblems(r, n, d.ranges)),
    ...leaseProblems(d),
    ...nameProblems(d),
    ...vrfProblems(d),
  ];
}

function rangeProblems(r: Range, n: number, all: readonly Range[]): Problem[] {
  const property = `ranges[${n}]`;
  const six = familyOf(r.start) === 6;
  if (six !== (familyOf(r.end) === 6)) return [{ property, reason: "start and end are of two families" }];
  if (sizeOf(r) < 1n) return [{ property, reason: `${r.start} comes after ${r.end}` }];
  const into = (other: Range, address: string) => {
    if (familyOf(other.start) !== familyOf(address)) return false;
    const { value } = parseAddress(address);
    return parseAddress(other.start).value <= value && value <= parseAddress(other.end).value;
  };
  const other = all.find((o, m) => m !== n && (into(o, r.start) || (m < n && into(o, r.end))));
  return [
    ...(other ? [{ property, reason: `overlaps with ${other.start} to ${other.end}` }] : []),
    ...(six && !inOne64(r.start, r.end) ? [{ property, reason: "must lie in one /64" }] : []),
    ...(!six && sizeOf(r) > 65536n ? [{ property, reason: "must have 65536 addresses or fewer" }] : []),
    ...(!six && r.slaac ? [{ property: `${property}.slaac`, reason: "is for IPv6" }] : []),
  ];
}

function leaseProblems({ leases = [], ranges }: DhcpDns): Problem[] {
  return leases.flatMap(({ mac, address, name }, n) => {
    const property = `leases[${n}]`;
    const earlier = leases.slice(0, n);
    const six = familyOf(address) === 6;
    const fits = ranges.some(
      ({ start }) => familyOf(start) === familyOf(address) && (!six || inOne64(start, address)),
    );
    const needs = six ? "needs a range in the same /64" : "needs a range of IPv4";
    return [
      ...(fits ? [] : [{ property, reason: `${address} ${needs}` }]),
      ...(earlier.some((other) => other.address === address)
        ? [{ property: `${property}.address`, reason: `${address} is listed twice` }]
        : []),
      ...(name !== undefined && earlier.some((other) => other.name === name && other.mac !== mac)
        ? [{ property: `${property}.name`, reason: `${name} is another guest's` }]
        : []),
      ...(earlier.some((other) => other.mac === mac && other.name !== name)
        ? [{ property: `${property}.name`, reason: `${mac} has another name in its other lease` }]
        : []),
    ];
  });
}

function nameProblems({ leases = [], records = {}, domain }: DhcpDns): Problem[] {
  return leases.flatMap(({ name }, n) => {
    const record = [name, `${name}.${domain}`].find((one) => one !== undefined && one in records);
    return record === undefined
      ? []
      : [{ property: `leases[${n}].name`, reason: `${record} is among the records` }];
  });
}

const vrfProblems = (d: DhcpDns): Problem[] =>
  d.vrf === d.interface ? [{ property: "vrf", reason: "is the interface itself" }] : [];
