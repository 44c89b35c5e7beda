/**
 * libvirt's table of protocols, each with its attributes in the order in which libvirt prints them, and what kind of
 * value each takes (values.ts). Types, checks, and both directions of XML come from here.
 */

const comment = {
  /** A remark, to 256 bytes. */
  comment: "comment",
} as const;

const macs = {
  /** MAC address of the sender: "52:54:00:12:34:56" or "$MAC". */
  srcmacaddr: "mac",
  /** Which bits of `srcmacaddr` count: "ff:ff:ff:00:00:00". */
  srcmacmask: "macMask",
  /** MAC address of the receiver. */
  dstmacaddr: "mac",
  /** Which bits of `dstmacaddr` count. */
  dstmacmask: "macMask",
} as const;

const ports = {
  /** First port of the sender, 0 to 65535; without `srcportend` the only one. */
  srcportstart: "u16",
  /** Last port of the sender. */
  srcportend: "u16",
  /** First port of the receiver, 0 to 65535; without `dstportend` the only one. */
  dstportstart: "u16",
  /** Last port of the receiver. */
  dstportend: "u16",
} as const;

const addresses4 = {
  /** IPv4 address of the sender: "10.0.0.5" or "$IP". */
  srcipaddr: "ip4",
  /** Network of `srcipaddr`: 24 or "255.255.255.0". */
  srcipmask: "ip4Mask",
  /** IPv4 address of the receiver. */
  dstipaddr: "ip4",
  /** Network of `dstipaddr`: 24 or "255.255.255.0". */
  dstipmask: "ip4Mask",
} as const;

const addresses6 = {
  /** IPv6 address of the sender: "2001:db8::5" or "$IPV6". */
  srcipaddr: "ip6",
  /** Network of `srcipaddr`: 64 or "ffff:ffff:ffff:ffff::". */
  srcipmask: "ip6Mask",
  /** IPv6 address of the receiver. */
  dstipaddr: "ip6",
  /** Network of `dstipaddr`: 64 or "ffff:ffff:ffff:ffff::". */
  dstipmask: "ip6Mask",
} as const;

const dscp = {
  /** Differentiated services code point, 0 to 63. */
  dscp: "dscp",
} as const;

const tracking = {
  ...dscp,
  /** Matches above that number of connections, 0 to 65535; where it accepts or drops, is the rule's to say. */
  "connlimit-above": "limit",
  /** States of the connection: "ESTABLISHED,RELATED" or ["ESTABLISHED", "RELATED"]; "NONE" turns libvirt's own off. */
  state: "state",
} as const;

const layer3 = {
  /** MAC address of the sender. */
  srcmacaddr: "mac",
  ...addresses4,
  /** First IPv4 address of a range of senders. */
  srcipfrom: "ip4",
  /** Last IPv4 address of a range of senders. */
  srcipto: "ip4",
  /** First IPv4 address of a range of receivers. */
  dstipfrom: "ip4",
  /** Last IPv4 address of a range of receivers. */
  dstipto: "ip4",
  ...tracking,
} as const;

const layer3v6 = {
  /** MAC address of the sender. */
  srcmacaddr: "mac",
  ...addresses6,
  /** First IPv6 address of a range of senders. */
  srcipfrom: "ip6",
  /** Last IPv6 address of a range of senders. */
  srcipto: "ip6",
  /** First IPv6 address of a range of receivers. */
  dstipfrom: "ip6",
  /** Last IPv6 address of a range of receivers: a variable, for libvirt takes IPv4 addresses only there. */
  dstipto: "ip6Variable",
  ...tracking,
} as const;

/** libvirt keeps a set only where any IP protocol is meant. */
const set = {
  /** Name of an IP set of the host, to 31 of A-Z a-z 0-9 _ . : + - and spaces, or a variable. Needs `ipsetflags`. */
  ipset: "ipset",
  /** What is looked up in `ipset`: "src", "dst", or to six of them: "src,dst". */
  ipsetflags: "ipsetFlags",
} as const;

const lostSet = { ipset: "lost", ipsetflags: "lost" } as const;

const icmp = {
  /** Type of the message, 0 to 255. */
  type: "u8",
  /** Code of the message, 0 to 255. */
  code: "u8",
} as const;

const arp = {
  ...macs,
  /** Hardware type, 0 to 65535. */
  hwtype: "u16",
  /** Protocol type, 0 to 65535. */
  protocoltype: "u16",
  /** Operation: "Request", "Reply", "Request_Reverse", … or a number. */
  opcode: "opcode",
  /** MAC address of the sender, in the message. */
  arpsrcmacaddr: "mac",
  /** MAC address that is asked for, in the message. */
  arpdstmacaddr: "mac",
  /** IPv4 address of the sender, in the message. */
  arpsrcipaddr: "ip4",
  /** Network of `arpsrcipaddr`. */
  arpsrcipmask: "ip4Mask",
  /** IPv4 address that is asked for, in the message. */
  arpdstipaddr: "ip4",
  /** Network of `arpdstipaddr`. */
  arpdstipmask: "ip4Mask",
  /** Unasked announcements. */
  gratuitous: "boolean",
  ...comment,
} as const;

const tcp = {
  ...ports,
  /** Number of a TCP option, 0 to 255. */
  option: "u8",
} as const;

export const PROTOCOLS = {
  /** Any frame, by its MAC addresses. */
  mac: {
    ...macs,
    /** Protocol in the frame: "arp", "rarp", "ipv4", "ipv6", "vlan", or a number from 0x600. */
    protocolid: "etherType",
    ...comment,
  },
  /** A frame in a VLAN. */
  vlan: {
    ...macs,
    /** Id of the VLAN, 0 to 4095. */
    vlanid: "vlan",
    /** Protocol inside the VLAN: "arp", "ipv4", … or a number from 0x3c. */
    "encap-protocol": "vlanProtocol",
    ...comment,
  },
  /** A message of the spanning tree. */
  stp: {
    /** MAC address of the sender. */
    srcmacaddr: "mac",
    /** Which bits of `srcmacaddr` count. */
    srcmacmask: "macMask",
    /** Type of the message. */
    type: "u8",
    /** Flags of the message. */
    flags: "u8",
    /** Priority of the root; with -hi the lowest of a range. */
    "root-priority": "u16",
    "root-priority-hi": "u16",
    /** MAC address of the root. */
    "root-address": "mac",
    "root-address-mask": "macMask",
    /** Cost of the way to the root; with -hi the lowest of a range. */
    "root-cost": "u32",
    "root-cost-hi": "u32",
    /** Priority of the sender; with -hi the lowest of a range. */
    "sender-priority": "u16",
    "sender-priority-hi": "u16",
    /** MAC address of the sender, in the message. */
    "sender-address": "mac",
    "sender-address-mask": "macMask",
    /** Port of the sender; with -hi the lowest of a range. */
    port: "u16",
    "port-hi": "u16",
    /** Age of the message. libvirt's documentation calls it msg-age. */
    age: "u16",
    "age-hi": "u16",
    "max-age": "u16",
    "max-age-hi": "u16",
    "hello-time": "u16",
    "hello-time-hi": "u16",
    "forward-delay": "u16",
    "forward-delay-hi": "u16",
    ...comment,
  },
  /** ARP. */
  arp,
  /** RARP. */
  rarp: arp,
  /** IPv4, in the bridge: without connection tracking. */
  ip: {
    ...macs,
    ...addresses4,
    /** Protocol in the packet: "tcp", "udp", "icmp", … or a number. Ports need tcp, udp, sctp or 33 (dccp). */
    protocol: "ipProtocol",
    ...ports,
    ...dscp,
    ...comment,
  },
  /** IPv6, in the bridge: without connection tracking. */
  ipv6: {
    ...macs,
    ...addresses6,
    /** Protocol in the packet: "tcp", "udp", "icmpv6", … or a number. Ports need tcp, udp, sctp or 33 (dccp). */
    protocol: "ipProtocol",
    ...ports,
    /** First ICMPv6 type, 0 to 255; without `typeend` the only one. */
    type: "u8",
    /** Last ICMPv6 type. */
    typeend: "u8",
    /** First ICMPv6 code, 0 to 255; without `codeend` the only one. */
    code: "u8",
    /** Last ICMPv6 code. */
    codeend: "u8",
    ...comment,
  },
  /** TCP. */
  tcp: {
    ...layer3,
    ...lostSet,
    ...tcp,
    /** Which flags count, and which of them are set: "SYN,ACK/SYN", "ALL/NONE". */
    flags: "tcpFlags",
    ...comment,
  },
  /** UDP. */
  udp: { ...layer3, ...lostSet, ...ports, ...comment },
  /** UDP-Lite. */
  udplite: { ...layer3, ...lostSet, ...comment },
  /** IPsec ESP. */
  esp: { ...layer3, ...lostSet, ...comment },
  /** IPsec AH. */
  ah: { ...layer3, ...lostSet, ...comment },
  /** SCTP. */
  sctp: { ...layer3, ...lostSet, ...ports, ...comment },
  /** ICMP. */
  icmp: { ...layer3, ...lostSet, ...icmp, ...comment },
  /** IGMP. */
  igmp: { ...layer3, ...lostSet, ...comment },
  /** Any protocol over IPv4. */
  all: { ...layer3, ...set, ...comment },
  /** TCP over IPv6. */
  "tcp-ipv6": { ...layer3v6, ...lostSet, ...tcp, ...comment },
  /** UDP over IPv6. */
  "udp-ipv6": { ...layer3v6, ...lostSet, ...ports, ...comment },
  /** UDP-Lite over IPv6. */
  "udplite-ipv6": { ...layer3v6, ...lostSet, ...comment },
  /** IPsec ESP over IPv6. */
  "esp-ipv6": { ...layer3v6, ...lostSet, ...comment },
  /** IPsec AH over IPv6. */
  "ah-ipv6": { ...layer3v6, ...lostSet, ...comment },
  /** SCTP over IPv6. */
  "sctp-ipv6": { ...layer3v6, ...lostSet, ...ports, ...comment },
  /** ICMPv6. */
  icmpv6: { ...layer3v6, ...lostSet, ...icmp, ...comment },
  /** Any protocol over IPv6. */
  "all-ipv6": { ...layer3v6, ...set, ...comment },
} as const;

export type Protocol = keyof typeof PROTOCOLS;
export const protocolNames = Object.keys(PROTOCOLS) as Protocol[];
export const isProtocol = (name: string): name is Protocol => Object.hasOwn(PROTOCOLS, name);
/** By attribute: the kind of its value, in libvirt's order. */
export const attributesOf = (protocol: Protocol): Readonly<Record<string, keyof Values>> =>
  PROTOCOLS[protocol];

type State = "NEW" | "ESTABLISHED" | "RELATED" | "INVALID" | "NONE";
type Look = "src" | "dst";

/** What a program may give for each kind of value. A variable, "$IP", "$IP[0]" or "$IP[@1]", may stand for most. */
export interface Values {
  readonly mac: string;
  readonly macMask: string;
  readonly u8: number | string;
  readonly u16: number | string;
  readonly u32: number | string;
  readonly limit: number | string;
  readonly vlan: number | string;
  readonly dscp: number | string;
  readonly etherType: number | string;
  readonly vlanProtocol: number | string;
  readonly ipProtocol: number | string;
  readonly opcode: number | string;
  readonly ip4: string;
  readonly ip4Mask: number | string;
  readonly ip6: string;
  readonly ip6Mask: number | string;
  readonly ip6Variable: `$${string}`;
  readonly state: State | readonly State[] | `${State},${State}` | `${State},${State},${State}`;
  readonly ipset: string;
  readonly ipsetFlags: Look | readonly Look[] | `${Look},${string}` | `$${string}`;
  readonly tcpFlags: `${string}/${string}`;
  readonly boolean: boolean;
  readonly comment: string;
  readonly lost: undefined;
}
