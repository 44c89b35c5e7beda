import { bits, dotted, formatAddress, parseAddress } from "./cidr";

/** From `low` to `high` among the values of one sort. */
export interface Range {
  readonly domain: "ip" | "ip6" | "number";
  readonly low: bigint;
  readonly high: bigint;
}

const NUMBER = "(?:0x[0-9a-fA-F]+|\\d+)";
const NUMBERS = new RegExp(`^(${NUMBER})(?: ?- ?(${NUMBER})|/(\\d{1,2}))?$`);
/** "e0.5" is an interface: dots are of IPv4 only where there are but digits. */
const ADDRESSES = /^(\d[\d.]*\.[\d.]*|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)(?: ?- ?([0-9a-fA-F:.]+)|\/(\d{1,3}))?$/;
const MAC = /^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/;

/** An address, a prefix, a range, a number: what is one in numbers. Throws where it looks like one and is none. */
export function parseRange(text: string): Range | undefined {
  const plain = plainIPv4(text);
  if (plain) return rangeOf(plain);
  const numbers = text.includes(".") || text.includes(":") ? null : NUMBERS.exec(text);
  if (numbers) {
    const [, first, last, length] = numbers;
    // So nft lists ranges of marks: the prefix of a 32-bit number.
    if (length !== undefined) return prefixRange("number", number(first!), 32, Number(length));
    return ordered("number", number(first!), number(last ?? first!));
  }
  const addresses = MAC.test(text) ? null : ADDRESSES.exec(text);
  if (!addresses) return undefined;
  const [, first, last, length] = addresses;
  const { family, value } = parseAddress(first!);
  const domain = family === 4 ? "ip" : "ip6";
  if (length !== undefined) return prefixRange(domain, value, bits(family), Number(length));
  if (last === undefined) return { domain, low: value, high: value };
  const end = parseAddress(last);
  if (end.family !== family) throw new Error("is no range: its ends are of two families");
  return ordered(domain, value, end.value);
}

interface Plain {
  readonly low: number;
  readonly high: number;
}

export const rangeOf = ({ low, high }: Plain): Range => ({
  domain: "ip",
  low: BigInt(low),
  high: BigInt(high),
});

/** As formatRange, in numbers. */
export function formatPlain({ low, high }: Plain): string {
  if (low === high) return dotted(low);
  const size = high - low + 1;
  const hostBits = Math.log2(size);
  return Number.isInteger(hostBits) && low % size === 0
    ? `${dotted(low)}/${32 - hostBits}`
    : `${dotted(low)}-${dotted(high)}`;
}

/** "10.0.0.1" or "10.0.0.0/8", as it is canonical: the bulk of long lists, read without regular expressions. */
export function plainIPv4(text: string): Plain | undefined {
  // One by one: as a list they would be made anew for each of a million texts.
  let low = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  let at = 0;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 48 && code <= 57) {
      // A leading 0 could be octal.
      if (digits > 0 && octet === 0) return undefined;
      octet = octet * 10 + code - 48;
      if (++digits > 3 || octet > 255) return undefined;
    } else if (code === 46 || code === 47) {
      if (digits === 0 || dots > 3) return undefined;
      low = low * 256 + octet;
      octet = 0;
      digits = 0;
      if (code === 47) break;
      dots++;
    } else return undefined;
  }
  if (dots !== 3) return undefined;
  if (at === text.length)
    return digits === 0 ? undefined : { low: low * 256 + octet, high: low * 256 + octet };
  const length = /^[1-9]$|^[12]\d$|^3[01]$/.test(text.slice(at + 1)) ? Number(text.slice(at + 1)) : undefined;
  if (length === undefined || low % 2 ** (32 - length) !== 0) return undefined;
  return { low, high: low + 2 ** (32 - length) - 1 };
}

function number(text: string): bigint {
  if (/^0\d/.test(text)) throw new Error("begins with 0: nft reads it as octal");
  return BigInt(text);
}

function ordered(domain: Range["domain"], low: bigint, high: bigint): Range {
  if (low > high) throw new Error("is no range: its end comes before its beginning");
  return { domain, low, high };
}

function prefixRange(domain: Range["domain"], value: bigint, width: number, length: number): Range {
  if (length > width) throw new Error(`has no prefix length from 0 to ${width}`);
  const host = BigInt(width - length);
  const low = (value >> host) << host;
  if (low !== value) throw new Error(`has host bits set: the network is ${print(domain, low)}/${length}`);
  return { domain, low, high: low + (1n << host) - 1n };
}

const familyOf = (domain: Range["domain"]) => (domain === "ip" ? 4 : 6);
const print = (domain: Range["domain"], value: bigint): string =>
  domain === "number" ? String(value) : formatAddress({ family: familyOf(domain), value });

/** One spelling for each: a prefix where it is one, else a range, else the one value. */
export function formatRange({ domain, low, high }: Range): string {
  if (low === high) return print(domain, low);
  const size = high - low + 1n;
  if (domain !== "number" && (size & (size - 1n)) === 0n && (low & (size - 1n)) === 0n) {
    return `${print(domain, low)}/${bits(familyOf(domain)) - (size.toString(2).length - 1)}`;
  }
  return `${print(domain, low)}-${print(domain, high)}`;
}
