import { HostnetError } from "./errors";
import { contains } from "./formats/cidr";
import type { Confirm, Probe } from "./host/plan";
import type { HostArgs } from "./host-args";
import type { Exposure, Way } from "./kind";

type Wish = NonNullable<HostArgs["confirm"]>;

/** Seconds. */
const TIMEOUT = 60;

/** Hooks that the packets of the connection to the host itself pass; those that it only forwards are not among them. */
const OWN = ["ingress", "prerouting", "input", "output", "postrouting", "egress"];

/** Whether a change must be confirmed by a new connection, and how. Without knowing all of the way, every link may be on it. */
export function confirmation(
  exposure: Exposure | undefined,
  wish: Wish = {},
  way?: Way,
): Confirm | undefined {
  const { when = "risky", timeout = TIMEOUT, probes = [] } = wish;
  if (when === "never" || (when === "risky" && !meets(exposure, way))) return undefined;
  return { timeout, probes: probes.map(probeOf) };
}

function meets(
  { routing = false, hooks = [], links = [], prefixes = [] }: Exposure = {},
  way?: Way,
): boolean {
  if (routing || hooks.some((hook) => OWN.includes(hook))) return true;
  if (!way || way.tunnelled) return links.length > 0 || prefixes.length > 0;
  const stations = [way.client, way.server, way.gateway ?? way.client].map((address) =>
    address.replace(/%.*/, ""),
  );
  return (
    links.some((link) => way.links.includes(link)) ||
    prefixes.some((prefix) => stations.some((address) => contains(prefix, address)))
  );
}

export function refuseLockout(reason: string | undefined, { allowLockout }: Wish = {}): void {
  if (reason === undefined || allowLockout) return;
  throw new HostnetError(
    `it would cut the connection that it travels on: ${reason}. Nothing was done. With confirm: { allowLockout: true } ` +
      "it is tried, and taken back unless a new connection gets through",
  );
}

function probeOf(probe: NonNullable<Wish["probes"]>[number]): Probe {
  if ("ping" in probe) {
    return { name: `ping ${probe.ping}`, argv: ["ping", "-c", "1", "-W", "2", probe.ping] };
  }
  if ("tcp" in probe) {
    const colon = probe.tcp.lastIndexOf(":");
    const [host, port] = [probe.tcp.slice(0, colon).replace(/^\[|\]$/g, ""), probe.tcp.slice(colon + 1)];
    return { name: `tcp ${probe.tcp}`, argv: ["sh", "-c", TCP, "sh", host, port] };
  }
  return { name: `run ${probe.run}`, argv: ["timeout", "10", "sh", "-c", probe.run] };
}

/** Whichever tool there is; with none it answers 127, as a command that is not there. */
const TCP =
  'if command -v nc >/dev/null; then exec nc -z -w 3 "$1" "$2"; fi; command -v bash >/dev/null || exit 127; ' +
  'exec timeout 3 bash -c \'exec 3<>"/dev/tcp/$0/$1"\' "$1" "$2"';
