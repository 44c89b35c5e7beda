import { isDeepStrictEqual } from "node:util";
import { deflateSync, inflateSync } from "node:zlib";
import { answerOf, fingerprint } from "./host/outcome";
import type { Query, Result } from "./kind";

/** Characters in the state of each resource; what needs more is looked at again. */
const MOST = 8192;

interface Memory {
  readonly argv: readonly (readonly string[])[];
  readonly results: readonly Result[];
}

/** What was asked and answered right after a change, for the state to keep: small, or not at all. */
export function memorize(queries: readonly Query[], results: readonly Result[]): string | undefined {
  const memory: Memory = { argv: queries.map(({ argv }) => argv), results };
  const text = deflateSync(JSON.stringify(memory)).toString("base64");
  return text.length <= MOST ? text : undefined;
}

/**
 * The answers that a look gets if nothing has changed since, and the guard that makes sure of it: then a change is one
 * round trip. Surroundings are guarded too, for nobody has looked at them.
 */
export function recall(text: string | undefined, queries: readonly Query[]) {
  if (text === undefined) return undefined;
  const { argv, results }: Memory = JSON.parse(inflateSync(Buffer.from(text, "base64")).toString());
  const asked = queries.map((query) => query.argv);
  if (!isDeepStrictEqual(asked, argv)) return undefined;
  return {
    results,
    guard: fingerprint(results.map(answerOf)),
    queries: asked.map((words) => ({ argv: words })),
  };
}

/** The same, of what a change met that was decided so: only what is watched guards the next one. */
export function answers(asked: readonly Query[], results: readonly Result[], queries: readonly Query[]) {
  if (
    !isDeepStrictEqual(
      asked.map(({ argv }) => argv),
      queries.map(({ argv }) => argv),
    )
  )
    return undefined;
  const watched = results.filter((_, n) => !queries[n]!.free);
  return { results, guard: fingerprint(watched.map(answerOf)) };
}
