import { HostnetError } from "../errors";
import { parseLinks, showLink } from "../formats/link";
import type { Last, Observed, Query, Result } from "../kind";
import type { DhcpDns, schema } from "./args";
import { type Files, filesOf, places, unitName } from "./files";
import { type Holder, holders, LISTENERS } from "./ports";

type Shape = typeof schema.shape;

export interface Link {
  /** With prefix lengths. */
  readonly addresses: readonly string[];
  readonly vrf?: string;
}

export interface Facts {
  readonly systemd: boolean;
  /** dnsmasq is installed. */
  readonly installed: boolean;
  /** The files of ours that there are, where they lie when it persists, and when it does not. */
  readonly files: Files;
  readonly unit: {
    /** systemd's words: "active", "failed", "inactive", … */
    readonly active: string;
    readonly enabled: boolean;
  };
  /** The interface; absent when it does not exist. */
  readonly link?: Link;
  readonly listening: readonly Holder[];
}

/** The three commands that would fail in a container without systemd, told apart from a unit that does not exist. */
const UNDER_SYSTEMD = '[ -d /run/systemd/system ] || exit 3; exec systemctl show "$@"';
const show = (...words: readonly string[]) => ["sh", "-c", UNDER_SYSTEMD, "sh", ...words];

export const pathsOf = (link: string): string[] =>
  [true, false].flatMap((persist) => {
    const { config, unit } = places(link, persist);
    return [config, unit];
  });

export function query({ interface: link }: DhcpDns): readonly Query[] {
  const unit = unitName(link);
  return [
    ...pathsOf(link).map((path) => ({ argv: ["cat", path] })),
    { argv: show("-p", "ActiveState", "-p", "UnitFileState", unit) },
    { argv: show("-p", "MainPID", unit), free: true },
    { argv: ["test", "-x", "/usr/sbin/dnsmasq"], free: true },
    { ...showLink(link), free: true },
    { argv: LISTENERS, free: true },
  ];
}

export function parse(
  results: readonly Result[],
  d: DhcpDns,
  _last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const paths = pathsOf(d.interface);
  const [unit, main, installed, link, listening] = results.slice(paths.length) as [
    Result,
    Result,
    Result,
    Result,
    Result,
  ];
  const files = paths.flatMap((path, n) => {
    const text = textOf(results[n]!, path);
    return text === undefined ? [] : [[path, text] as const];
  });
  const shown = shownBy(unit);
  const facts: Facts = {
    systemd: shown !== undefined,
    installed: installed.code === 0,
    files: Object.fromEntries(files),
    unit: { active: shown?.ActiveState ?? "inactive", enabled: shown?.UnitFileState === "enabled" },
    link: linkOf(link, d.interface),
    listening: holders(said(listening, "who listens where"), shownBy(main)?.MainPID ?? ""),
  };
  if (files.length === 0) return { facts };
  return { state: d, facts, broken: brokenOf(d, facts) };
}

function textOf({ code, stdout, stderr }: Result, path: string): string | undefined {
  if (code === 0) return stdout;
  if (/No such file or directory/.test(stderr)) return undefined;
  throw new HostnetError(`${path} cannot be read: ${stderr.trim() || `exit code ${code}`}`);
}

function said({ code, stdout, stderr }: Result, what: string): string {
  if (code === 0) return stdout;
  throw new HostnetError(`the host does not say ${what}: ${stderr.trim() || `exit code ${code}`}`);
}

/** What systemctl shows, by name; undefined without systemd. */
function shownBy(result: Result): Record<string, string> | undefined {
  if (result.code === 3 && result.stdout === "") return undefined;
  const lines = said(result, "how the unit is").split("\n");
  const shown = Object.fromEntries(lines.flatMap((line) => (/=/.test(line) ? [line.split(/=(.*)/)] : [])));
  if (!("ActiveState" in shown || "MainPID" in shown))
    throw new HostnetError(`what systemctl shows of the unit is not understood: ${result.stdout.trim()}`);
  return shown;
}

function linkOf(result: Result, name: string): Link | undefined {
  if (result.code === 1 && /does not exist/.test(result.stderr)) return undefined;
  said(result, `what addresses ${name} has`);
  let links: ReturnType<typeof parseLinks>;
  try {
    links = parseLinks(result);
  } catch {
    throw new HostnetError(`what ip says of ${name} is not understood`);
  }
  const link = links.find((one) => one.name === name);
  if (!link) throw new HostnetError(`ip says nothing of ${name}`);
  return {
    addresses: link.addresses.map(({ address }) => address),
    vrf: link.masterType === "vrf" ? link.master : undefined,
  };
}

/** All that keeps it from being as declared: each line of a file, how the unit is, where the interface is. */
function brokenOf(d: DhcpDns, { files, unit, link }: Facts): string[] {
  const wanted = filesOf(d);
  return [
    ...pathsOf(d.interface).flatMap((path) => fileDifference(path, wanted[path], files[path])),
    ...(d.persist && !unit.enabled ? ["its unit is not enabled"] : []),
    ...(unit.active === "active" ? [] : [`its unit is ${unit.active}`]),
    ...(link ? [] : [`${d.interface} does not exist on the host`]),
    ...(link && link.vrf !== d.vrf ? [`${d.interface} is in ${placeOf(link.vrf)}`] : []),
  ];
}

export const placeOf = (vrf?: string): string => (vrf === undefined ? "no VRF" : `the VRF ${vrf}`);

function fileDifference(path: string, wanted?: string, found?: string): string[] {
  if (wanted === found) return [];
  if (wanted === undefined) return [`${path} is there`];
  if (found === undefined) return [`${path} is missing`];
  const [w, f] = [wanted.split("\n"), found.split("\n")];
  const told = [
    ...w.filter((line) => !f.includes(line)).map((line) => `${path}: ${line} is missing`),
    ...f.filter((line) => !w.includes(line)).map((line) => `${path}: ${line} is there`),
  ];
  return told.length > 0 ? told : [`${path}: the order or number of its lines differs`];
}
