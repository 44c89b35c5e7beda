import { HostnetError } from "../errors";
import { contains } from "../formats/cidr";
import type { Boot, Last, Observed, Result, Step } from "../kind";
import type { DhcpDns, schema } from "./args";
import { filesOf, places, unitName } from "./files";
import { type Facts, pathsOf, placeOf } from "./parse";
import { taken } from "./ports";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: DhcpDns, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const { facts } = before;
  // The way back of a failed change: all is as it was found, to the letter.
  if (isWayBack(before, last)) {
    const { active, enabled } = facts.unit;
    return settle(d.interface, facts.files, {
      enabled,
      running: active !== "inactive" && active !== "failed",
    });
  }
  requireHost(d, facts);
  const wanted = filesOf(d);
  const paths = pathsOf(d.interface);
  const asWanted =
    paths.every((path) => facts.files[path] === wanted[path]) &&
    facts.unit.active === "active" &&
    facts.unit.enabled === d.persist;
  if (asWanted) return [];
  if (before.state && !last) refuseForeign(d, facts);
  const obstacle = taken(d, facts.link?.addresses ?? [], facts.listening);
  if (obstacle) throw new HostnetError(`interface: ${d.interface}: ${obstacle}`);
  return settle(
    d.interface,
    wanted,
    { enabled: d.persist, running: true },
    places(d.interface, d.persist).config,
  );
}

/** Only the undo hands in the very facts that the change was decided on; that of a delete, files of what is gone. */
const isWayBack = ({ state, facts }: Seen, last?: Last<Shape, Facts>): boolean =>
  state === undefined ? Object.keys(facts.files).length > 0 : last?.former.facts === facts;

function requireHost(d: DhcpDns, { systemd, installed, link }: Facts): void {
  if (!systemd)
    throw new HostnetError("the host is not run by systemd, and dnsmasq runs here as a unit of systemd");
  if (!installed)
    throw new HostnetError("dnsmasq is not installed there: on Debian, apt install dnsmasq-base");
  if (!link) throw new HostnetError(`interface: ${d.interface} does not exist on the host`);
  if (link.vrf !== d.vrf)
    throw new HostnetError(`vrf: ${d.interface} is in ${placeOf(link.vrf)}, not in ${placeOf(d.vrf)}`);
  const lost = (address: string) => !link.addresses.some((own) => contains(own, address));
  const [range, lease] = [
    d.ranges.findIndex(({ start, end }) => lost(start) || lost(end)),
    (d.leases ?? []).findIndex(({ address }) => lost(address)),
  ];
  const has = `in the network of none of the addresses of ${d.interface} (${link.addresses.join(", ") || "it has none"})`;
  if (range >= 0)
    throw new HostnetError(
      `ranges[${range}]: ${d.ranges[range]!.start} to ${d.ranges[range]!.end} is ${has}`,
    );
  if (lease >= 0) throw new HostnetError(`leases[${lease}]: ${d.leases![lease]!.address} is ${has}`);
}

/** Its name is one of ours: what is there was left by another installation of this package, or made by hand. */
function refuseForeign({ interface: link }: DhcpDns, { files }: Facts): never {
  throw new HostnetError(
    `it is there, and otherwise than declared; take it away there first: systemctl disable --now ${unitName(link)}; ` +
      `rm ${Object.keys(files).join(" ")}`,
  );
}

interface Unit {
  readonly enabled: boolean;
  readonly running: boolean;
}

/**
 * Makes all files as wanted. The new ones lie beside the old ones until dnsmasq has tested them. What is changed stops it
 * first: so it never runs with other files than those that are there, wherever this is cut.
 */
function settle(
  link: string,
  wanted: Readonly<Record<string, string>>,
  { enabled, running }: Unit,
  tested?: string,
): Step[] {
  const unit = unitName(link);
  const stale = pathsOf(link).filter((path) => !(path in wanted));
  const [kept, gone] = [true, false].map((persist) => places(link, persist).leases) as [string, string];
  // They come along when the files move.
  const persists = Object.keys(wanted).some((path) => path.startsWith("/etc/"));
  const [from, to] = persists ? [gone, kept] : [kept, gone];
  return [
    ...Object.entries(wanted).map(([path, text]) => ({
      argv: ["install", "-D", "-m", "644", "/dev/stdin", fresh(path)],
      stdin: text,
    })),
    ...(tested === undefined
      ? []
      : [{ argv: ["/usr/sbin/dnsmasq", "--test", `--conf-file=${fresh(tested)}`] }]),
    // On the disk before they have their names.
    { argv: ["sync", ...Object.keys(wanted).map(fresh)] },
    ...Object.keys(wanted).map((path) => ({ ...stop(link), unless: ["cmp", "-s", fresh(path), path] })),
    ...stale.map((path) => ({ ...stop(link), unless: ["test", "!", "-e", path] })),
    ...Object.keys(wanted).map((path) => ({ argv: ["mv", "-f", fresh(path), path] })),
    { argv: ["install", "-D", "-m", "644", from, to], unless: ["test", "!", "-e", from] },
    { argv: ["rm", "-f", from, ...stale, ...stale.map(fresh)] },
    { argv: ["systemctl", "daemon-reload"] },
    enabled
      ? { argv: ["systemctl", "enable", "--quiet", unit] }
      : { argv: ["rm", "-f", places(link, true).enabled] },
    running ? { argv: ["sh", "-c", START, "sh", unit] } : stop(link),
  ];
}

const fresh = (path: string): string => `${path}.new`;

/** By a pattern: a unit that systemd has not loaded matches none, and is no failure. */
const pattern = (link: string): string => unitName(link).replace(/\.service$/, ".servic[e]");
const stop = (link: string): Step => ({ argv: ["systemctl", "stop", pattern(link)] });

/** systemctl says only that it failed; the journal has dnsmasq's own words. */
const START = `systemctl start "$1" && exit
e=$?
journalctl -q --no-pager -o cat -n 20 "_SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value "$1")" >&2
exit $e`;

export function remove(_before: Seen, { desired: d }: Last<Shape, Facts>): readonly Step[] {
  const [kept, gone] = [places(d.interface, true), places(d.interface, false)];
  const paths = pathsOf(d.interface);
  return [
    stop(d.interface),
    { argv: ["rm", "-f", kept.enabled, ...paths, ...paths.map(fresh)] },
    { argv: ["systemctl", "daemon-reload"] },
    { argv: ["systemctl", "reset-failed", pattern(d.interface)] },
    // Last, for no undo brings them back.
    { argv: ["rm", "-f", kept.leases, gone.leases] },
    {
      argv: ["rmdir", "--ignore-fail-on-non-empty", "/var/lib/hostnet"],
      unless: ["test", "!", "-d", "/var/lib/hostnet"],
    },
  ];
}

/** systemd starts the unit by itself, after hostnet.service: only what takes it away is to be kept. */
export const boot = (_: DhcpDns, facts: Facts): Boot<Facts> => ({ order: 70, facts, steps: [] });

export function explain({ argv }: Step, { stdout, stderr }: Result): string | undefined {
  const [, reason] = /^dnsmasq: (.*)$/m.exec(`${stderr}\n${stdout}`) ?? [];
  if (reason === undefined) return undefined;
  return argv.includes("--test")
    ? `dnsmasq refuses the configuration: ${reason.replace(/ of \S+\.new$/, "")}`
    : `dnsmasq does not start: ${reason}`;
}
