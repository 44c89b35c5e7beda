/** What nft 1.0 has no words for: addresses inside neighbour discovery, as the bytes of the packet. */
import { nft } from "pulumi-hostnet";

/** An IPv6 address as a number, "0x20010db8…". */
export function hex(address: string): string {
  const [head = [], tail = []] = address.split("::").map((side) => side.split(":").filter(Boolean));
  const groups = address.includes("::")
    ? [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail]
    : address.split(":");
  return `0x${groups.map((group) => group.padStart(4, "0")).join("")}`;
}

/** Exactly one option behind the address: a link-layer address, source (1) or target (2), with this MAC. */
export const afterOption = (type: 1 | 2, mac: string) =>
  nft.raw(`ip6 length 32 @th,192,16 0x0${type}01 @th,208,48 0x${mac.replaceAll(":", "")}`);
