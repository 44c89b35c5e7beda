import { HostnetError } from "../errors";
import { found, virsh } from "../formats/libvirt";
import type { Observed, Query, Result } from "../kind";
import type { NwFilter, schema } from "./args";
import { type Filter, parseDump, parseFilter, renderFilter, standardPriority } from "./filter";

type Shape = typeof schema.shape;

export interface Facts {
  readonly uuid?: string;
  /** As libvirt prints it. */
  readonly xml?: string;
  /** Ports whose filter it is, or is a part of: "tap0", each once. */
  readonly users: readonly string[];
}

/** The filter; then who uses it: ports and their filters, and which filter refers to which. */
export function query({ name, uri }: NwFilter): readonly Query[] {
  return [
    { argv: virsh(uri, "nwfilter-dumpxml", "--nwfilter", name) },
    { argv: virsh(uri, "nwfilter-binding-list"), free: true },
    { argv: ["grep", "-rs", "<filterref filter=", "/etc/libvirt/nwfilter"], free: true },
  ];
}

export function parse(results: readonly Result[], d: NwFilter): Observed<Shape, Facts> {
  const dump = found(results[0]!, /Network filter not found/, d.uri);
  const bindings = found(results[1]!, /^$/, d.uri);
  const users = usersOf(d.name, bindings!, results[2]!.stdout);
  if (dump === undefined) return { facts: { users } };
  const filter = read(dump, d.name);
  const state = stateOf(filter, d);
  // What the program leaves to the default is part of the filter all the same.
  const broken = (["chain", "priority"] as const).flatMap((key) =>
    d[key] === undefined && state[key] !== undefined ? [`${key}: ${state[key]} is there`] : [],
  );
  return { state, broken, facts: { uuid: filter.uuid, xml: dump.trimEnd(), users } };
}

function read(dump: string, name: string): Filter {
  let filter: Filter;
  try {
    filter = parseDump(dump);
  } catch (error) {
    throw new HostnetError(`what libvirt says of the filter is not understood: ${(error as Error).message}`);
  }
  if (filter.name !== name) throw new HostnetError(`libvirt answers with the filter ${filter.name}`);
  if (filter.uuid === undefined) throw new HostnetError("libvirt tells no UUID of the filter");
  return filter;
}

/** In the form in which the program declares it. */
function stateOf(filter: Filter, d: NwFilter): NwFilter {
  const { name, chain, priority, entries } = filter;
  const same = { name, uri: d.uri, uuid: d.uuid === undefined ? undefined : filter.uuid };
  if (d.xml !== undefined) {
    const told = parseFilter(d.xml).uuid === undefined ? undefined : filter.uuid;
    return { ...same, xml: renderFilter({ ...filter, uuid: told }) };
  }
  const shows = <T>(declared: T | undefined, value: T, standard: T) =>
    declared === undefined && value === standard ? undefined : value;
  return {
    ...same,
    chain: shows(d.chain, chain, "root"),
    priority: shows(d.priority, priority, standardPriority(chain)),
    entries: [...entries],
  };
}

/** Through references, as libvirt itself looks when it refuses to undefine. */
function usersOf(name: string, bindings: string, references: string): string[] {
  const parents = [...references.matchAll(/([^/\n]+)\.xml:\s*<filterref filter=['"]([^'"]*)['"]/g)];
  const reaching = new Set([name]);
  for (let size = 0; size !== reaching.size; ) {
    size = reaching.size;
    for (const [, parent, child] of parents) if (reaching.has(child!)) reaching.add(parent!);
  }
  const rows = bindings.split("\n").map((line) => line.trim().split(/\s+/));
  return rows.flatMap(([port, filter]) => (port && filter && reaching.has(filter) ? [port] : [])).sort();
}
