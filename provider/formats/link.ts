import type { Result, Step } from "../kind";

/**
 * The protocol number of our routes and rules: how the kernel itself tells them from everybody else's. Records keep
 * it, so it never changes. Unassigned in iproute2's rt_protos and in the kernel's rtnetlink.h.
 */
export const PROTOCOL = "210";

/** One device of `ip -d -j addr show`. */
export interface Link {
  readonly name: string;
  readonly ifindex: number;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  readonly master?: string;
  /** "bridge", "vrf", "dummy"; absent for hardware. */
  readonly type?: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly masterType?: string;
  readonly portData: Readonly<Record<string, unknown>>;
  readonly addresses: readonly LinkAddress[];
}

export interface LinkAddress {
  readonly address: string;
  readonly scope: string;
  /** Given by DHCP or router advertisement: not ours to move. */
  readonly dynamic: boolean;
}

/** `-d` for the kind of link, no `-s`: counters would change by themselves. */
export const showLink = (name: string) => ({ argv: ["ip", "-d", "-j", "addr", "show", "dev", name] });

interface LinkJson {
  ifindex: number;
  ifname: string;
  flags: string[];
  mtu: number;
  address: string;
  master?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: Record<string, unknown>;
    info_slave_kind?: string;
    info_slave_data?: Record<string, unknown>;
  };
  addr_info: { local: string; prefixlen: number; scope: string; dynamic?: boolean }[];
}

/** Undefined only when the kernel says that there is no such device; anything else that is odd throws. */
export function parseLink({ code, stdout, stderr }: Result, name: string): Link | undefined {
  if (code === 1 && /does not exist|Cannot find device/.test(stderr)) return undefined;
  if (code !== 0) throw new Error(`ip could not show ${name}: ${stderr.trim()}`);
  const found = (JSON.parse(stdout) as Partial<LinkJson>[]).find((link) => link.ifname === name) as LinkJson;
  if (!found) throw new Error(`ip did not show ${name}`);
  const { linkinfo } = found;
  return {
    name: found.ifname,
    ifindex: found.ifindex,
    up: found.flags.includes("UP"),
    mtu: found.mtu,
    mac: found.address,
    master: found.master,
    type: linkinfo?.info_kind,
    data: linkinfo?.info_data ?? {},
    masterType: linkinfo?.info_slave_kind,
    portData: linkinfo?.info_slave_data ?? {},
    addresses: found.addr_info.map(({ local, prefixlen, scope, dynamic }) => ({
      address: `${local}/${prefixlen}`,
      scope,
      dynamic: dynamic ?? false,
    })),
  };
}

/** Names always follow a keyword: iproute2 takes `br` for `broadcast`. */
export const setLink = (name: string, ...what: string[]): Step => ({
  argv: ["ip", "link", "set", "dev", name, ...what],
});

const version = (address: string): string => (address.includes(":") ? "-6" : "-4");

/** `replace`, so that an address that is there already is no failure. */
export function addAddress(address: string, dev: string): Step {
  // Without duplicate address detection: the address would answer only after a second. A v4 one wants its broadcast.
  const how = address.includes(":") ? ["nodad"] : /\/3[12]$/.test(address) ? [] : ["brd", "+"];
  return { argv: ["ip", version(address), "addr", "replace", address, ...how, "dev", dev] };
}

export const deleteAddress = (address: string, dev: string): Step => ({
  argv: ["ip", version(address), "addr", "del", address, "dev", dev],
});
