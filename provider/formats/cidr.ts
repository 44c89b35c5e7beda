import { isIPv4, isIPv6 } from "node:net";

/** An address as a number, so that host bits, ranges and equal spellings are arithmetic. */
export interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export const bits = (family: 4 | 6): number => (family === 4 ? 32 : 128);

export function parseAddress(text: string): Address {
  if (isIPv4(text)) return { family: 4, value: v4(text) };
  if (isIPv6(text) && !text.includes("%")) return { family: 6, value: v6(text) };
  throw new Error("is no IP address, as 192.168.2.1 or 2001:db8::1");
}

function v4(text: string): bigint {
  return BigInt(text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0));
}

function v6(text: string): bigint {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const low = dotted ? v4(dotted[2]!) : 0n;
  const hex = dotted ? `${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}` : text;
  const [head = "", tail] = hex.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const zeros = Array<string>(8 - front.length - back.length).fill("0");
  return [...front, ...(tail === undefined ? [] : zeros), ...back].reduce(
    (sum, group) => sum * 65536n + BigInt(`0x${group}`),
    0n,
  );
}

/** Of an IPv4 address as a number. */
export const dotted = (bits: number): string =>
  `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;

export function formatAddress({ family, value }: Address): string {
  if (family === 4) return dotted(Number(value));
  // As the kernel and inet_ntop print it: the mapped form dotted, else RFC 5952.
  if (value >> 32n === 0xffffn) return `::ffff:${formatAddress({ family: 4, value: value & 0xffffffffn })}`;
  const groups = Array.from({ length: 8 }, (_, i) =>
    ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
  );
  const runs = [...groups.join(":").matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.sort((a, b) => b[0].length - a[0].length)[0];
  if (!longest) return groups.join(":");
  const text = groups.join(":");
  const before = text.slice(0, longest.index).replace(/:$/, "");
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, "");
  return `${before}::${after}`;
}

function split(text: string, hint: string): { address: Address; length: number } {
  const [host = "", length, ...more] = text.split("/");
  const address = parseAddress(host);
  if (length === undefined) throw new Error(`needs a prefix length, ${hint}`);
  if (more.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits(address.family)) {
    throw new Error(`has no prefix length from 0 to ${bits(address.family)}`);
  }
  return { address, length: Number(length) };
}

function network(address: Address, length: number): Address {
  const host = BigInt(bits(address.family) - length);
  return { family: address.family, value: (address.value >> host) << host };
}

export const canonicalAddress = (text: string): string => formatAddress(parseAddress(text));

/** 192.168.2.1/24: an interface's own address; its host bits stay. */
export function canonicalInterface(text: string): string {
  const { address, length } = split(text, "as 192.168.2.1/24");
  return `${formatAddress(address)}/${length}`;
}

/** 192.168.2.0/24: a network; host bits are a mistake. A bare address is its own network. */
export function canonicalPrefix(text: string): string {
  const whole = text.includes("/") ? text : `${text}/${bits(parseAddress(text).family)}`;
  const { address, length } = split(whole, "as 192.168.2.0/24");
  const base = network(address, length);
  if (base.value !== address.value) {
    throw new Error(`has host bits set: the network is ${formatAddress(base)}/${length}`);
  }
  return `${formatAddress(base)}/${length}`;
}

/** The network of an interface's own address: 192.168.2.1/24 -> 192.168.2.0/24. */
export function networkOf(text: string): string {
  const { address, length } = split(text, "as 192.168.2.1/24");
  return `${formatAddress(network(address, length))}/${length}`;
}

export const family = (text: string): 4 | 6 => (text.includes(":") ? 6 : 4);

/** Whether an address lies in a network, or in that of an interface's own address; of another family, it does not. */
export function contains(prefix: string, address: string): boolean {
  const [net, one] = [split(prefix, "as 192.168.2.0/24"), parseAddress(address)];
  return (
    net.address.family === one.family &&
    network(net.address, net.length).value === network(one, net.length).value
  );
}

/** Whether two interface addresses lie in one subnet: removing the first may take the second along. */
export function sameSubnet(a: string, b: string): boolean {
  const [one, two] = [split(a, ""), split(b, "")];
  return (
    one.address.family === two.address.family &&
    one.length === two.length &&
    network(one.address, one.length).value === network(two.address, two.length).value
  );
}

/** With whatever prefix lengths. */
export const sameAddress = (a: string, b: string): boolean => a.split("/")[0] === b.split("/")[0];

/**
 * Of the addresses that go, those that must be gone before others come: of IPv6 the kernel has each address but once, and
 * would keep its prefix length.
 */
export const inTheWay = (gone: readonly string[], coming: readonly string[]): string[] =>
  gone.filter((a) => family(a) === 6 && coming.some((c) => sameAddress(c, a)));
