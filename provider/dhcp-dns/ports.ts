import { family as familyOf } from "../formats/cidr";
import type { DhcpDns } from "./args";

/** Somebody who listens where dnsmasq would. */
export interface Holder {
  readonly address: string;
  /** The socket is bound to a link. */
  readonly device?: string;
  readonly port: number;
  /** "named (pid 12)", as far as the host says. */
  readonly process: string;
}

export const LISTENERS = ["ss", "-Hlntup", "( sport = :53 or sport = :67 or sport = :547 )"];

/** Of what ss lists, all but the process of our own unit. */
export function holders(listing: string, own: string): Holder[] {
  return listing.split("\n").flatMap((line) => {
    const words = line.trim().split(/\s+/);
    const [, address, device, port] = /^(.*?)(?:%([^\]:]+))?:(\d+)$/.exec(words[4] ?? "") ?? [];
    const [, name, pid] = /users:\(\("(.*?)",pid=(\d+)/.exec(line) ?? [];
    if (address === undefined || (pid !== undefined && pid === own)) return [];
    const process = name === undefined ? "a process that the host does not name" : `${name} (pid ${pid})`;
    return [{ address: address.replace(/^\[|\]$/g, ""), device, port: Number(port), process }];
  });
}

const ANY = ["*", "0.0.0.0", "::"];

/** Who keeps dnsmasq from its ports, in a sentence: at an address of the link, or at all addresses. */
export function taken(
  d: DhcpDns,
  addresses: readonly string[],
  listening: readonly Holder[],
): string | undefined {
  const serves = (family: 4 | 6) => d.ranges.some(({ start }) => familyOf(start) === family);
  const ports = [53, ...(serves(4) ? [67] : []), ...(serves(6) ? [547] : [])];
  const links = [undefined, d.interface, d.vrf];
  const own = addresses.map((address) => address.split("/")[0]);
  const holder = listening.find(
    ({ address, device, port }) =>
      ports.includes(port) && links.includes(device) && (ANY.includes(address) || own.includes(address)),
  );
  return (
    holder &&
    `port ${holder.port} is taken: ${holder.process} listens at ${ANY.includes(holder.address) ? "every address" : holder.address}` +
      `${holder.device === undefined ? "" : ` of ${holder.device}`}`
  );
}
