const ROOT = "/proc/sys/";

/**
 * The one form of a key: dotted, and a dot in a device's name is a slash, as sysctl prints it
 * (net.ipv4.conf.eth0/10.rp_filter). Undefined where the text is no key.
 */
export function keyOf(text: string): string | undefined {
  const slashed = /^[^./]*\//.test(text);
  const parts = slashed ? text.split("/") : text.split(".").map((part) => part.replaceAll("/", "."));
  const safe = parts.every((part) => /^[A-Za-z0-9_.-]{1,64}$/.test(part) && !/^\.+$/.test(part));
  return safe && parts.length > 1 && /^[a-z]/.test(text) && text.length <= 200 ? join(parts) : undefined;
}

const join = (parts: readonly string[]): string => parts.map((part) => part.replaceAll(".", "/")).join(".");

/** With slashes, a dot is a dot: what sysctl takes, and the path below /proc/sys. */
export const slashes = (key: string): string =>
  key
    .split(".")
    .map((part) => part.replaceAll("/", "."))
    .join("/");

export const pathOf = (key: string): string => ROOT + slashes(key);
export const keyAt = (path: string): string => join(path.slice(ROOT.length).split("/"));

/** Under this name the key is claimed: net.ipv4.ip_forward is net.ipv4.conf.all.forwarding. */
export const claimKey = (key: string): string =>
  key === "net.ipv4.conf.all.forwarding" ? "net.ipv4.ip_forward" : key;

/** A setting that the kernel writes into every device. */
export interface Spread {
  readonly folder: string;
  readonly name: string;
  /** Changed along, though it is another setting. */
  readonly also: readonly string[];
  /** But into none that has a value of its own by then. */
  readonly sparing?: boolean;
}

/** Measured on Linux 6.1 and 6.18: the other `all` keys change no device. */
const SPREAD_6 = [
  "forwarding",
  "disable_ipv6",
  "addr_gen_mode",
  "ignore_routes_with_linkdown",
  "force_forwarding",
];

export function spreadOf(key: string): Spread | undefined {
  if (claimKey(key) === "net.ipv4.ip_forward") {
    // Forwarding turns redirects on when it is turned off, also on a host that had both off.
    return {
      folder: `${ROOT}net/ipv4/conf`,
      name: "forwarding",
      also: ["net.ipv4.conf.all.accept_redirects"],
    };
  }
  const [, copied] = /^net\.ipv4\.conf\.default\.([^.]+)$/.exec(key) ?? [];
  if (copied !== undefined && copied !== "forwarding")
    return { folder: `${ROOT}net/ipv4/conf`, name: copied, also: [], sparing: true };
  const name = SPREAD_6.find((attribute) => key === `net.ipv6.conf.all.${attribute}`);
  return name === undefined ? undefined : { folder: `${ROOT}net/ipv6/conf`, name, also: [] };
}

/** Whether `key` is what `spread` writes into one device, or into the default of new ones. */
export const spreads = (spread: Spread, key: string): boolean => {
  const path = pathOf(key);
  const own = path.startsWith(`${spread.folder}/`) && path.endsWith(`/${spread.name}`);
  return spread.also.includes(key) || (own && !path.startsWith(`${spread.folder}/all/`));
};

/**
 * All first, then the default of new devices, then the devices: the former overwrite the latter. But accept_ra, which
 * nothing overwrites, before all: with 2 a default route by router advertisements outlives that the host begins to forward.
 */
export function inOrder(keys: readonly string[]): string[] {
  const rank = (key: string): number =>
    key.endsWith(".accept_ra") ? 0 : key.includes(".default.") ? 2 : spreadOf(key) ? 1 : 3;
  return [...keys].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
