// The whole comparable state of the host, seen by iproute2, nft and /proc, without what changes by itself.

type Row = Record<string, unknown>;

export interface Snapshot {
  readonly links: Record<string, Row>;
  readonly addresses: Record<string, Row>;
  readonly rules: readonly string[];
  readonly routes: readonly string[];
  readonly nft: string;
  readonly sysctls: Record<string, string>;
  readonly files: readonly string[];
}

// Timers that run, lifetimes that shrink, and how many stations a bridge has met.
const moving = new Set([
  "gc_timer",
  "hello_timer",
  "tcn_timer",
  "topology_change_timer",
  "hold_timer",
  "message_age_timer",
  "forward_delay_timer",
  "valid_life_time",
  "preferred_life_time",
  "expires",
  "fdb_n_learned",
]);

/** Reads what host/look.sh printed. */
export function parseSnapshot(text: string): Snapshot {
  const sections = new Map<string, string>();
  for (const part of text.split("\n== ").slice(1)) {
    const end = part.indexOf("\n");
    sections.set(part.slice(0, end), part.slice(end + 1));
  }
  const body = (name: string) => (sections.get(name) ?? "").trim();
  const rows = (name: string): Row[] => (JSON.parse(body(name) || "[]") as Row[]).map(still);
  const lines = (name: string) => body(name).split("\n").filter(Boolean);
  const printed = (...names: string[]) =>
    names.flatMap((name) => rows(name).map((row) => JSON.stringify(row))).sort();
  return {
    links: byName(rows("links")),
    addresses: byName(rows("addresses")),
    rules: printed("rules", "rules6"),
    routes: printed("routes", "routes6"),
    nft: body("nft"),
    sysctls: Object.fromEntries(
      lines("sysctls")
        .map(sysctl)
        // The kernel makes the key for the first one that listens.
        .filter(([key]) => !/(nf_conntrack_count|tcp_fastopen_key)$/.test(key)),
    ),
    files: [...lines("files"), ...lines("hashes")].sort(),
  };
}

/** Links are numbered anew by every boot. */
export function unnumbered({ links, addresses, ...rest }: Snapshot): Snapshot {
  const bare = (rows: Snapshot["links"]) =>
    Object.fromEntries(Object.entries(rows).map(([name, { ifindex: _, ...row }]) => [name, row]));
  return { ...rest, links: bare(links), addresses: bare(addresses) };
}

/** What differs, one line each, `-` before and `+` after; empty when the host is as it was. */
export function differences(before: Snapshot, after: Snapshot): string[] {
  const [old, now] = [flat(before), flat(after)];
  return [
    ...[...old].filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...[...now].filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ];
}

function flat(snapshot: Snapshot): Set<string> {
  const entries = (name: string, record: Record<string, unknown>) =>
    Object.entries(record).map(([key, value]) => `${name} ${key}: ${JSON.stringify(value)}`);
  return new Set([
    ...entries("link", snapshot.links),
    ...entries("address", snapshot.addresses),
    ...snapshot.rules.map((rule) => `rule ${rule}`),
    ...snapshot.routes.map((route) => `route ${route}`),
    ...snapshot.nft.split("\n").map((line) => `nft ${line}`),
    ...entries("sysctl", snapshot.sysctls),
    ...snapshot.files.map((file) => `file ${file}`),
  ]);
}

function sysctl(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice("/proc/sys/".length, colon), line.slice(colon + 1)];
}

function byName(rows: Row[]): Record<string, Row> {
  return Object.fromEntries(rows.map((row) => [String(row.ifname), row]));
}

/** Without the moving parts, at any depth. */
function still<T>(value: T): T {
  if (Array.isArray(value)) return value.map(still) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !moving.has(key));
  return Object.fromEntries(entries.map(([key, inner]) => [key, still(inner)])) as T;
}
