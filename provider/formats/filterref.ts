import { z } from "zod";
import { openTag, type XmlElement } from "./xml";

/** What stands for $NAME in a filter: a text, or several, of which each makes a rule of its own. */
export type FilterParameters = Readonly<Record<string, string | readonly string[]>>;

/** A filter's name is a file's name in /etc/libvirt/nwfilter too, and libvirt escapes it nowhere. */
export const filterName = z
  .string()
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/,
    "is no name of a filter: 1 to 100 of A-Z a-z 0-9 _ . -, the first a letter, a digit or _",
  );

const value = z
  .string()
  .regex(
    /^[A-Za-z0-9_.:]+$/,
    "is no value of a parameter: libvirt drops one with other characters than A-Z a-z 0-9 _ . : without a word",
  );

/** Sorted by name, as libvirt prints them; a list of one is its one value. */
export const parameters = z
  .record(
    z.string().regex(/^[A-Za-z0-9_]+$/, "is no name of a parameter: A-Z a-z 0-9 _ only, without $"),
    z.union([value, z.array(value).min(1, "must not be empty")]),
  )
  .transform((given) => {
    const entries = Object.entries(given).map(([name, v]) => [
      name,
      Array.isArray(v) && v.length === 1 ? v[0]! : v,
    ]);
    return Object.fromEntries(entries.sort(([a], [b]) => (a! < b! ? -1 : 1))) as Record<
      string,
      string | string[]
    >;
  });

/** Lines, as libvirt prints them. */
export function renderFilterref(filter: string, given: FilterParameters = {}): string[] {
  const lines = Object.entries(given).flatMap(([name, values]) =>
    [values].flat().map((one) => `  ${openTag("parameter", { name, value: one })}/>`),
  );
  const open = openTag("filterref", { filter });
  return lines.length === 0 ? [`${open}/>`] : [`${open}>`, ...lines, "</filterref>"];
}

/** As given, for the schemas above to look at; what is not of a filterref is an error. */
export function readFilterref(element: XmlElement): {
  filter: string;
  parameters?: Record<string, string[]>;
} {
  const { filter, ...others } = element.attributes;
  const [other] = Object.keys(others);
  if (filter === undefined) throw new Error("filterref: has no filter");
  if (other !== undefined) throw new Error(`filterref: knows no attribute ${other}`);
  const found: Record<string, string[]> = {};
  for (const child of element.children) {
    const { name, value, ...more } = child.attributes;
    const wrong =
      child.name !== "parameter" || name === undefined || value === undefined || Object.keys(more).length > 0;
    if (wrong)
      throw new Error(`filterref: holds ${child.name}, and takes only <parameter name='…' value='…'/>`);
    found[name] = [...(found[name] ?? []), value];
  }
  return { filter, ...(element.children.length > 0 && { parameters: found }) };
}
