import { z } from "zod";
import { issue } from "../schema";

const NUMBERS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  sctp: 132,
};

/** IP protocols by name where they have one here: hosts need not have /etc/protocols. */
export const PROTOCOLS = {
  names: Object.keys(NUMBERS),
  number: (protocol: string | number): number => NUMBERS[protocol] ?? Number(protocol),
  name(protocol: string | number): string | number {
    const text = String(protocol).toLowerCase();
    const known = Object.entries(NUMBERS).find(([name, number]) => name === text || String(number) === text);
    return known?.[0] ?? (/^\d+$/.test(text) ? Number(text) : text);
  },
};

const parseNumber = (text: string | undefined): number =>
  /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text ?? "") ? Number(text) : Number.NaN;

const hex = (value: number): string => `0x${value.toString(16)}`;
const ALL = 0xffffffff;

/** 100, 0x64 and 0x64/0xffffffff are one and the same: "0x64". */
export function canonicalMark(text: string): string {
  const [mark, mask = hex(ALL), ...more] = text.split("/");
  const [value, bits] = [parseNumber(mark), parseNumber(mask)];
  if (more.length > 0 || !(value <= ALL && bits <= ALL)) {
    throw new Error("is no mark: must be 0 to 0xffffffff, with a mask as 0x64/0xff where not all bits count");
  }
  if (bits === 0) throw new Error("matches every packet: leave it out");
  if (BigInt(value) & ~BigInt(bits)) throw new Error("has bits outside its mask");
  return bits === ALL ? hex(value) : `${hex(value)}/${hex(bits)}`;
}

/** One number, or two as "1000-2000"; the same two are one. */
export function range(min: number, max: number, what: string) {
  const message = `must be a ${what} from ${min} to ${max}, or a range as ${Math.min(1000, max)}-${Math.min(2000, max)}`;
  return z.union([z.number(message), z.string(message)], message).transform((value, context) => {
    const [, from, to = from] = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(String(value)) ?? [];
    const [first, last] = [Number(from), Number(to)];
    if (!(first >= min && first <= last && last <= max)) {
      issue(context, message, value);
      return z.NEVER;
    }
    return first === last ? first : `${first}-${last}`;
  });
}
