import type { Result, Step } from "../kind";
import { sameSubnet } from "./cidr";

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
  /** The link that it is on top of, as a VLAN is; absent where that is in another namespace. */
  readonly lower?: string;
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
  /** Given by DHCP or router advertisement, or rotated by the kernel: not ours to move. */
  readonly dynamic: boolean;
  /** What `ip addr add` needs beside the address to make it again as it is. */
  readonly options: readonly string[];
  /** IPv4 only. */
  readonly broadcast?: string;
  /** The other end, with its prefix length, where that is not the address's own network. */
  readonly peer?: string;
}

/** In the order in which they were added: of IPv6 the kernel lists the last first. */
export const asAdded = (addresses: readonly LinkAddress[]): readonly LinkAddress[] => {
  const six = ({ address }: LinkAddress) => address.includes(":");
  return [...addresses.filter((a) => !six(a)), ...addresses.filter(six).reverse()];
};

/** Its addresses but for the link-local ones. */
export const lasting = ({ addresses }: Link): readonly LinkAddress[] =>
  addresses.filter(({ scope }) => scope !== "link");

/** But for those that autoconfiguration rotates, which come again by themselves. */
export const stays = ({ dynamic, options }: LinkAddress): boolean =>
  !dynamic || options.includes("valid_lft");

/** It ends with a lease. What a router advertised has a lifetime too, and is renewed by it, on whatever link. */
export const isLent = (options: readonly string[]): boolean =>
  options.includes("valid_lft") && !options.includes("mngtmpaddr");

/** How to make addresses static, in the words of those who configure links. */
export function staticRecipe(addresses: readonly string[], gateways: readonly string[] = []): string {
  const networkd = [
    "DHCP=no",
    ...addresses.map((a) => `Address=${a}`),
    ...gateways.map((g) => `Gateway=${g}`),
  ];
  const ways = gateways.map((g) => `{ to: default, via: "${g}" }`);
  return (
    `networkd: ${networkd.join(", ")} in [Network]; netplan: dhcp4: false, ` +
    `addresses: [${addresses.join(", ")}]${ways.length > 0 ? `, routes: [${ways.join(", ")}]` : ""}`
  );
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
  link?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: Record<string, unknown>;
    info_slave_kind?: string;
    info_slave_data?: Record<string, unknown>;
  };
  /** Only of `ip addr`. */
  addr_info?: AddressJson[];
}

interface AddressJson {
  local: string;
  broadcast?: string;
  /** Of the other end. */
  address?: string;
  prefixlen: number;
  scope: string;
  dynamic?: boolean;
  temporary?: boolean;
  nodad?: boolean;
  noprefixroute?: boolean;
  mngtmpaddr?: boolean;
  home?: boolean;
  metric?: number;
  /** Who gave it, where the kernel notes that (since Linux 5.18) and iproute2 tells. */
  protocol?: string;
  /** The name of the device, where none was given. IPv4 only. */
  label?: string;
  valid_life_time?: number;
  preferred_life_time?: number;
}

/** Undefined only when the kernel says that there is no such device; anything else that is odd throws. */
export function parseLink({ code, stdout, stderr }: Result, name: string): Link | undefined {
  if (code === 1 && /does not exist|Cannot find device/.test(stderr)) return undefined;
  if (code !== 0) throw new Error(`ip could not show ${name}: ${stderr.trim()}`);
  const found = parseLinks({ code, stdout, stderr }).find((link) => link.name === name);
  if (!found) throw new Error(`ip did not show ${name}`);
  return found;
}

/** All that a filter let through: iproute2 prints `{}` for each of the others. */
export function parseLinks({ code, stdout, stderr }: Result): readonly Link[] {
  if (code !== 0) throw new Error(`ip could not show the links: ${stderr.trim()}`);
  return (JSON.parse(stdout || "[]") as LinkJson[]).filter(({ ifname }) => ifname !== undefined).map(asLink);
}

function asLink(found: LinkJson): Link {
  const { linkinfo } = found;
  return {
    name: found.ifname,
    ifindex: found.ifindex,
    up: found.flags.includes("UP"),
    mtu: found.mtu,
    mac: found.address,
    master: found.master,
    lower: found.link,
    type: linkinfo?.info_kind,
    data: linkinfo?.info_data ?? {},
    masterType: linkinfo?.info_slave_kind,
    portData: linkinfo?.info_slave_data ?? {},
    addresses: (found.addr_info ?? []).map((address) => parseAddress(address, found.ifname)),
  };
}

function parseAddress(a: AddressJson, dev: string): LinkAddress {
  const flags = (["nodad", "noprefixroute", "mngtmpaddr", "home"] as const).filter((flag) => a[flag]);
  const lifetime =
    a.dynamic && !a.temporary
      ? ["valid_lft", String(a.valid_life_time), "preferred_lft", String(a.preferred_life_time)]
      : // Deprecated, and for ever.
        a.preferred_life_time === 0
        ? ["preferred_lft", "0"]
        : [];
  return {
    address: `${a.local}/${a.prefixlen}`,
    broadcast: a.broadcast,
    peer: a.address === undefined ? undefined : `${a.address}/${a.prefixlen}`,
    scope: a.scope,
    dynamic: (a.dynamic || a.temporary) ?? false,
    options: [
      ...flags,
      ...(a.label === undefined || a.label === dev ? [] : ["label", a.label]),
      ...(a.metric === undefined ? [] : ["metric", String(a.metric)]),
      ...(a.protocol === undefined ? [] : ["proto", a.protocol]),
      ...lifetime,
    ],
  };
}

/** How members were found stays known, of each as it was before the change that took it in. */
export const keepFound = <F extends { readonly found: Readonly<Record<string, unknown>> }>(
  after: F,
  before: F,
): F => ({ ...after, found: { ...after.found, ...before.found } });

/** Names always follow a keyword: iproute2 takes `br` for `broadcast`. */
export const setLink = (name: string, ...what: string[]): Step => ({
  argv: ["ip", "link", "set", "dev", name, ...what],
});

const version = (address: string): string => (address.includes(":") ? "-6" : "-4");

/**
 * `replace`, so that an address that is there already is no failure. But never for a whole IPv6 address: in a VRF the
 * kernel would take its local route for the route of its prefix, and remove it.
 */
export const addingVerb = (address: string): "add" | "replace" =>
  address.endsWith("/128") ? "add" : "replace";

export function addAddress(address: string, dev: string): Step {
  // Without duplicate address detection: the address would answer only after a second. A v4 one wants its broadcast.
  const how = address.includes(":") ? ["nodad"] : /\/3[12]$/.test(address) ? [] : ["brd", "+"];
  return { argv: ["ip", version(address), "addr", addingVerb(address), address, ...how, "dev", dev] };
}

export const deleteAddress = (address: string, dev: string): Step => ({
  argv: ["ip", version(address), "addr", "del", address, "dev", dev],
});

/**
 * Without the others of its subnet that are to stay, if it is the first of them: the kernel would take those along, and, where
 * no address is left then, the routes through the link, whoever made them.
 */
export const deleteBeside = (others: readonly string[], address: string, dev: string): Step =>
  !address.includes(":") && others.some((other) => other !== address && sameSubnet(other, address))
    ? { argv: ["sh", "-c", PROMOTING, "sh", dev, address] }
    : deleteAddress(address, dev);
const PROMOTING =
  'f=/proc/sys/net/ipv4/conf/$1/promote_secondaries; read -r p <"$f"; echo 1 >"$f"; ip -4 addr del "$2" dev "$1"; e=$?; ' +
  'echo "$p" >"$f"; exit $e';

/**
 * Several `ip` steps as one process: nothing can come in between, and what the host loses meanwhile is back within
 * milliseconds. All lines are tried, also after one that fails. Without a `family` each line must name an address or a prefix of its own.
 */
export const batch = (steps: readonly Step[], ...family: readonly ("-4" | "-6")[]): Step => ({
  argv: ["ip", ...family, "-force", "-batch", "-"],
  stdin: steps
    .map(
      ({ argv }) =>
        `${argv
          .slice(1)
          .filter((word) => !/^-[46]$/.test(word))
          .join(" ")}\n`,
    )
    .join(""),
});
