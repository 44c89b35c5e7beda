import { reasonOf, unlessGone, uuidFrom, virsh } from "../formats/libvirt";
import type { Last, Observed, Result, Step } from "../kind";
import { filterOf, type NwFilter, type schema } from "./args";
import { renderFilter } from "./filter";
import type { Facts } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

/** One definition, which libvirt takes as a whole or not at all: running guests have it at once, or keep the old one. */
export function ensure(d: NwFilter, { state, facts }: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const wanted = filterOf(d);
  const now = state && filterOf(state);
  const standing = now && (now.uuid ?? facts.uuid);
  const uuid = wanted.uuid ?? standing ?? last?.facts?.uuid ?? uuidFrom(`NwFilter ${d.name}`);
  const text = renderFilter({ ...wanted, uuid });
  if (now && text === renderFilter({ ...now, uuid: standing })) return [];
  // With another UUID libvirt takes it for another filter of that name.
  const other = standing !== undefined && standing !== uuid;
  return [
    ...(other ? [undefine(d)] : []),
    { argv: virsh(d.uri, "nwfilter-define", "--file", "/dev/stdin"), stdin: text },
  ];
}

export const remove = ({ state }: Seen, { desired }: Last<Shape, Facts>): readonly Step[] =>
  state ? [undefine(desired)] : [];

const undefine = ({ name, uri }: NwFilter): Step => ({
  argv: virsh(uri, "nwfilter-undefine", "--nwfilter", name),
  unless: unlessGone(virsh(uri, "nwfilter-dumpxml", "--nwfilter", name)),
});

export function explain({ argv }: Step, result: Result): string | undefined {
  const reason = argv.includes("nwfilter-define") ? reasonOf(result) : undefined;
  return reason && `libvirt refuses the filter: ${reason}`;
}
