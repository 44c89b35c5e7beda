import { HostnetError } from "../errors";
import type { Last, Observed, Query, Result } from "../kind";
import type { Sysctl, schema } from "./args";
import { keyAt, pathOf, type Spread, spreadOf } from "./keys";

type Shape = typeof schema.shape;

export interface Facts {
  /** By key: what a declared setting writes into each device, as it was. */
  readonly devices: Readonly<Record<string, string>>;
  /** Where IPv6 forwarding is declared: what it takes away. */
  readonly advertised?: readonly Advertised[];
}

/** A default route by router advertisements that the kernel heeds, but not on a router (accept_ra = 1). */
interface Advertised {
  readonly gateway: string;
  readonly link: string;
}

/** What goes back when nobody claims a key any more. */
export interface Former {
  readonly value: string;
  readonly devices: Readonly<Record<string, string>>;
}

const keysOf = (d: Sysctl, last?: Last<Shape, Facts>): string[] =>
  [...new Set([...Object.keys(d.settings), ...Object.keys(last?.desired.settings ?? {})])].sort();

function spreadsOf(keys: readonly string[]): Spread[] {
  const spreads = keys.flatMap((key) => spreadOf(key) ?? []);
  return [...new Map(spreads.map((spread) => [`${spread.folder}/${spread.name}`, spread])).values()];
}

/** grep prints path and value of many files in one process; sysctl would print names that are not to be told apart. */
const print = (...files: readonly string[]): readonly string[] => ["grep", "-H", "", ...files];

export const routesIPv6 = (key: string): boolean =>
  /^net\.ipv6\.conf\.(?!default\.).+\.forwarding$/.test(key);
/** They come and go. */
const ADVERTISED: readonly Query[] = [
  { argv: ["ip", "-6", "-o", "route", "show", "default", "proto", "ra"], free: true },
  {
    argv: ["find", "/proc/sys/net/ipv6/conf", "-name", "accept_ra", "-exec", ...print("{}"), "+"],
    free: true,
  },
];

export function query(d: Sysctl, last?: Last<Shape, Facts>): readonly Query[] {
  const keys = keysOf(d, last);
  return [
    { argv: print(...keys.map(pathOf)) },
    ...(keys.some(routesIPv6) ? ADVERTISED : []),
    ...spreadsOf(keys).map(({ folder, name, also }) => ({
      argv: [
        "find",
        folder,
        ...["(", "-path", `*/${name}`, ...also.flatMap((key) => ["-o", "-path", pathOf(key)]), ")"],
        ...["-exec", ...print("{}"), "+"],
      ],
      // Devices come and go.
      free: true,
    })),
  ];
}

export function parse(
  results: readonly Result[],
  d: Sysctl,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const keys = keysOf(d, last);
  const asked = keys.some(routesIPv6) ? ADVERTISED.length : 0;
  const own = results[0]!;
  const listings = results.slice(1 + asked);
  const values = printed(own);
  const settings = keys.flatMap((key) => {
    const value = values.get(pathOf(key));
    if (value === undefined) requireAbsent(key, own);
    return value === undefined ? [] : [[key, value] as const];
  });
  const devices = listings.flatMap((listing) =>
    [...printed(listing)].map(([path, value]) => [keyAt(path), value] as const),
  );
  return {
    state: { name: d.name, settings: Object.fromEntries(settings) },
    facts: {
      devices: Object.fromEntries(devices),
      ...(asked > 0 && { advertised: parseAdvertised(results[1]!, printed(results[2]!)) }),
    },
  };
}

function parseAdvertised({ stdout }: Result, heeds: ReadonlyMap<string, string>): Advertised[] {
  const routes = [...stdout.matchAll(/^default via (\S+) dev (\S+) /gm)];
  return routes
    .map(([, gateway, link]) => ({ gateway: gateway!, link: link! }))
    .filter(({ link }) => heeds.get(`/proc/sys/net/ipv6/conf/${link}/accept_ra`) === "1");
}

function printed({ stdout }: Result): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of stdout.split("\n")) {
    const [, path, text] = /^(\/proc\/sys\/[^:]+):(.*)$/.exec(line) ?? [];
    if (path === undefined || text === undefined) continue;
    const before = values.get(path);
    values.set(
      path,
      [...(before === undefined ? [] : [before]), text.trim().replaceAll(/\s+/g, " ")].join(" "),
    );
  }
  return values;
}

/** Not printed is absent only if the tool says so; a setting without a line of its own is empty. */
function requireAbsent(key: string, { stderr }: Result): void {
  const said = stderr.split("\n").find((line) => line.includes(`${pathOf(key)}:`));
  if (said !== undefined && /No such file or directory/.test(said)) return;
  throw new HostnetError(
    `settings.${key} cannot be read: ${(said ?? stderr).trim() || "the host printed no value"}`,
  );
}
