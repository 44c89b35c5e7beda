import type { z } from "zod";
import type { Desired, Last, Observed } from "./kind";

/** Fields that the last apply did not want yet. */
export const newlyDeclared = (desired: object, last: object): string[] =>
  Object.keys(desired).filter((key) => !(key in last));

/** A field that the program declares only now: what it was until now is what it goes back to. */
export function remember<S extends z.ZodRawShape, F>(
  former: Observed<S, F>,
  seen: Observed<S, F>,
  keys: string[],
) {
  const { state, rest } = former;
  const found: Record<string, unknown> = { ...seen.rest, ...seen.state };
  const known = keys.filter((key) => !isKnown(state, key) && !isKnown(rest, key) && found[key] !== undefined);
  if (known.length === 0) return former;
  return {
    ...former,
    rest: { ...rest, ...Object.fromEntries(known.map((key) => [key, found[key]])) } as typeof rest,
  };
}

/** What was adopted, as it was before us: also in the fields that the program declared only later. */
export function asFound<S extends z.ZodRawShape, F>({ desired, former }: Last<S, F>): Desired<S> | undefined {
  if (!former.state) return undefined;
  // Lists that left the program meanwhile are empty since; scalars are back already.
  const later = Object.entries(former.rest ?? {}).filter(
    ([key, value]) => key in desired || typeof value === "object",
  );
  return { ...Object.fromEntries(later), ...former.state };
}

const isKnown = (fields: object | undefined, key: string): boolean => fields !== undefined && key in fields;

/** Scalars that left the program go back to what they were before us, where that is known; lists are simply empty. */
export function returning<S extends z.ZodRawShape, F>(
  desired: Desired<S>,
  last: Last<S, F> | undefined,
  former: Observed<S, F>,
) {
  const found: Record<string, unknown> = { ...former.rest, ...former.state };
  const left = Object.entries(last?.desired ?? {}).filter(
    ([key, value]) => !(key in desired) && typeof value !== "object" && found[key] !== undefined,
  );
  return Object.fromEntries(left.map(([key]) => [key, found[key]])) as Partial<Desired<S>>;
}
