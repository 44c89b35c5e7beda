import { canonicalAddress, parseAddress } from "../formats/cidr";
import type { Values } from "./protocols";

type Canonical = (text: string) => string;

const FRAMES = { arp: 0x0806, rarp: 0x8035, ipv4: 0x0800, ipv6: 0x86dd, vlan: 0x8100 };
const IP = { tcp: 6, udp: 17, udplite: 136, esp: 50, ah: 51, icmp: 1, igmp: 2, sctp: 132, icmpv6: 58 };
const OPCODES = {
  Request: 1,
  Reply: 2,
  Request_Reverse: 3,
  Reply_Reverse: 4,
  DRARP_Request: 5,
  DRARP_Reply: 6,
  DRARP_Error: 7,
  InARP_Request: 8,
  ARP_NAK: 9,
};
const STATES = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "NONE"];
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

/** By kind of value: as libvirt prints it. What it throws ends the sentence that begins with the value. */
const CANONICAL: Readonly<Record<keyof Values, Canonical>> = {
  mac: macAddress,
  macMask: (text) => {
    const mask = macAddress(text);
    if (!isMask(BigInt(`0x${mask.replaceAll(":", "")}`), 48))
      throw new Error("is no mask: ones, then zeros, as ff:ff:ff:00:00:00");
    return mask;
  },
  u8: number(0xff),
  u16: number(0xffff),
  u32: number(0xffffffff),
  limit: number(0xffff, { hex: false }),
  vlan: number(4095),
  dscp: number(63),
  etherType: number(0xffff, { min: 0x600, names: FRAMES }),
  vlanProtocol: number(0xffff, { min: 0x3c, names: FRAMES }),
  ipProtocol: number(0xff, { names: IP }),
  opcode: number(0xffff, { names: OPCODES, hex: "printed in decimal" }),
  ip4: address(4),
  ip4Mask: mask(4),
  ip6: address(6),
  ip6Mask: mask(6),
  ip6Variable: () => {
    throw new Error(
      "libvirt takes only IPv4 addresses there: say the receivers with dstipaddr and dstipmask, or by a variable",
    );
  },
  state: (text) => {
    const found = words(text, STATES, "is no state");
    if (found.includes("NONE") && found.length > 1)
      throw new Error("libvirt forgets every other state beside NONE");
    return found.join(",");
  },
  ipset: (text) => {
    if (!/^[A-Za-z0-9_.:+ -]{1,31}$/.test(text))
      throw new Error("is no name of an IP set: 1 to 31 of A-Z a-z 0-9 _ . : + - and spaces");
    return text;
  },
  ipsetFlags: (text) => {
    if (!/^(src|dst)(,(src|dst)){0,5}$/i.test(text))
      throw new Error('must be one to six of src and dst, as "src,dst"');
    return text.toLowerCase();
  },
  tcpFlags: (text) => {
    const [mask, flags, ...more] = text.split("/");
    if (flags === undefined || more.length > 0)
      throw new Error('must be mask/flags, as "SYN,ACK/SYN" or "ALL/NONE"');
    return `${tcpFlags(mask!)}/${tcpFlags(flags)}`;
  },
  boolean: (text) => {
    if (!/^(true|1|yes|false|0|no)$/.test(text)) throw new Error("must be true or false");
    return String(/^(true|1|yes)$/.test(text));
  },
  comment: (text) => {
    const bytes = Buffer.byteLength(text);
    if (bytes > 256) throw new Error(`has ${bytes} bytes: libvirt cuts a comment after 256`);
    if (/[\p{Cc}\u2028\u2029\ufffe\uffff]|\p{Cs}/u.test(text))
      throw new Error("must be one line without control characters: libvirt does not give them back");
    return text;
  },
  lost: () => {
    throw new Error(
      "libvirt drops IP sets here, now or when it starts next, and matches every packet then: say it with all or all-ipv6",
    );
  },
};

/** What libvirt takes a variable for and then forgets. */
const LITERAL: readonly (keyof Values)[] = ["state", "tcpFlags", "boolean", "lost"];

export function canonicalValue(kind: keyof Values, given: unknown): string {
  const text = textOf(kind, given);
  if (!text.startsWith("$")) return CANONICAL[kind](text);
  if (LITERAL.includes(kind)) throw new Error("libvirt forgets a variable here: write the value itself");
  return variable(text);
}

function textOf(kind: keyof Values, given: unknown): string {
  const lists = kind === "state" || kind === "ipsetFlags";
  if (lists && Array.isArray(given) && given.every((item) => typeof item === "string"))
    return given.join(",");
  if (kind === "boolean" && typeof given === "boolean") return String(given);
  if (typeof given === "number" && !["mac", "comment", "ipset"].includes(kind)) return String(given);
  if (typeof given === "string") return given;
  throw new Error(kind === "boolean" ? "must be true or false" : "must be a text");
}

/** $A, $A[1] the second of its values, $A[@1] each of them together with those of the same number. */
function variable(text: string): string {
  const [, name, at, index] = /^\$([A-Za-z0-9_]+)(?:\[\s*(@?)\s*(\d+)\s*\]\s*)?$/.exec(text) ?? [];
  if (name === undefined) throw new Error('is no variable: "$NAME", "$NAME[0]" or "$NAME[@1]"');
  if (index === undefined) return `$${name}`;
  if (Number(index) > (at ? 1000 : 0xffffffff))
    throw new Error(`has a number above ${at ? 1000 : 0xffffffff}`);
  return at && Number(index) === 0 ? `$${name}` : `$${name}[${at}${Number(index)}]`;
}

interface NumberOptions {
  readonly min?: number;
  readonly names?: Readonly<Record<string, number>>;
  readonly hex?: boolean | "printed in decimal";
}

/** libvirt keeps a hexadecimal number as one, and calls a number by its name. */
function number(max: number, { min = 0, names = {}, hex = true }: NumberOptions = {}): Canonical {
  const known = Object.keys(names);
  const range = `${known.length > 0 ? `must be ${known.join(", ")} or ` : "must be "}a number from ${min} to ${max}`;
  return (text) => {
    const name = known.find((one) => one.toLowerCase() === text.toLowerCase());
    if (name !== undefined) return name;
    const decimal = /^\d+$/.test(text);
    if (!decimal && !(hex && /^(0x)?[0-9a-f]+$/i.test(text))) throw new Error(range);
    const value = decimal ? Number(text) : Number.parseInt(text.replace(/^0x/i, ""), 16);
    if (value < min || value > max) throw new Error(range);
    const called = known.find((one) => names[one] === value);
    return called ?? (decimal || hex === "printed in decimal" ? String(value) : `0x${value.toString(16)}`);
  };
}

function macAddress(text: string): string {
  if (!/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(text))
    throw new Error("is no MAC address, as 52:54:00:12:34:56");
  return text
    .toLowerCase()
    .split(":")
    .map((byte) => byte.padStart(2, "0"))
    .join(":");
}

function address(family: 4 | 6): Canonical {
  return (text) => {
    const { family: found, value } = parseAddress(text);
    if (found !== family) throw new Error(`is no IPv${family} address`);
    // As inet_ntop prints the old IPv4-compatible form.
    if (family === 6 && value >> 32n === 0n && value >> 16n !== 0n)
      return `::${canonicalAddress([24n, 16n, 8n, 0n].map((n) => (value >> n) & 255n).join("."))}`;
    return canonicalAddress(text);
  };
}

/** A number of bits, as libvirt prints it, or an address. */
function mask(family: 4 | 6): Canonical {
  const width = family === 4 ? 32 : 128;
  return (text) => {
    if (/^\d+$/.test(text)) {
      if (Number(text) > width) throw new Error(`must be 0 to ${width}`);
      return String(Number(text));
    }
    const { family: found, value } = parseAddress(text);
    if (found !== family) throw new Error(`is no mask of an IPv${family} network`);
    if (!isMask(value, width)) throw new Error("is no mask: ones, then zeros");
    return String(value.toString(2).replace(/0+$/, "").length);
  };
}

const isMask = (value: bigint, width: number): boolean =>
  /^1*0*$/.test(value.toString(2).padStart(width, "0"));

function words(text: string, known: readonly string[], wrong: string): string[] {
  const given = text
    .toUpperCase()
    .split(/[,\s]+/)
    .filter((word) => word !== "");
  const odd = given.find((word) => !known.includes(word));
  if (given.length === 0 || odd !== undefined) throw new Error(`${wrong}: ${known.join(", ")}`);
  return known.filter((word) => given.includes(word));
}

function tcpFlags(text: string): string {
  const given = words(text, [...TCP_FLAGS, "ALL", "NONE"], "must be flags");
  if (given.includes("ALL")) return "ALL";
  const flags = given.filter((word) => word !== "NONE");
  return flags.length === TCP_FLAGS.length ? "ALL" : flags.join(",") || "NONE";
}
