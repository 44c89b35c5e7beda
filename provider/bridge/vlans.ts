import { z } from "zod";
import type { Vlans } from "../formats/bridge-vlan";
import { issue } from "../schema";

const FORM = /^(\d{1,4})(?:-(\d{1,4}))?( untagged)?$/;
const text = (item: number | string | { id: number; untagged?: boolean }): string =>
  typeof item === "object" ? `${item.id}${item.untagged ? " untagged" : ""}` : String(item);

export function parseVlans(list: readonly string[]): Vlans {
  const vlans = new Map<number, boolean>();
  for (const item of list) {
    const [, first, last = first, untagged] = FORM.exec(item)!;
    for (let id = Number(first); id <= Number(last); id++) vlans.set(id, untagged !== undefined);
  }
  return vlans;
}

/** Canonical: ranges as long as they go, in order: "10", "20-29", "30 untagged". */
export function formatVlans(vlans: Vlans): string[] {
  const ids = [...vlans.keys()].sort((a, b) => a - b);
  const runs: { first: number; last: number; untagged: boolean }[] = [];
  for (const id of ids) {
    const untagged = vlans.get(id)!;
    const run = runs.at(-1);
    if (run && run.last === id - 1 && run.untagged === untagged) run.last = id;
    else runs.push({ first: id, last: id, untagged });
  }
  return runs.map(
    ({ first, last, untagged }) =>
      `${first === last ? first : `${first}-${last}`}${untagged ? " untagged" : ""}`,
  );
}

export const vlanList = z
  .array(
    z.union([z.number(), z.string(), z.strictObject({ id: z.number(), untagged: z.boolean().optional() })]),
  )
  .transform((list, context) => {
    const seen = new Set<number>();
    list.map(text).forEach((item, n) => {
      const [, first, last = first] = FORM.exec(item) ?? [];
      const wrong =
        first === undefined || Number(first) < 1 || Number(last) > 4094 || Number(first) > Number(last)
          ? 'is no VLAN: a number from 1 to 4094, a range "10-20" or { id, untagged }'
          : [...parseVlans([item]).keys()].some((id) => seen.has(id))
            ? "is listed twice"
            : undefined;
      if (wrong) issue(context, wrong, list, [n]);
      else for (const id of parseVlans([item]).keys()) seen.add(id);
    });
    return context.issues.length > 0 ? z.NEVER : formatVlans(parseVlans(list.map(text)));
  });
