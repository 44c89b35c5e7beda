/** From how many on the keys of a record are kept. */
const LONG = 1000;

const known = new WeakMap<object, readonly string[]>();

/**
 * Own keys, of a record that nobody changes. Those of a long one are asked for a dozen times in the course of a change,
 * and finding them takes longer than what is done with them.
 */
export function keysOf(record: object): readonly string[] {
  const found = known.get(record);
  if (found) return found;
  const keys = Object.keys(record);
  if (keys.length > LONG) known.set(record, keys);
  return keys;
}

/** What stands in a record: nothing but "", nothing but texts, or anything. */
type Values = "bare" | "texts" | "any";
const values = new WeakMap<object, Values>();

function valuesOf(record: object): Values {
  const found = values.get(record);
  if (found) return found;
  const keys = keysOf(record);
  let kind: Values = "bare";
  for (const key of keys) {
    const value = (record as Record<string, unknown>)[key];
    if (value === "") continue;
    kind = typeof value === "string" ? "texts" : "any";
    if (kind === "any") break;
  }
  if (keys.length > LONG) values.set(record, kind);
  return kind;
}

/** Whether nothing but texts stands in it. */
export const holdsTexts = (record: object): boolean => valuesOf(record) !== "any";

/** Whether nothing stands with any key. */
export const isBare = (record: object): boolean => valuesOf(record) === "bare";

/** As JSON.stringify(record), in a third of the time where each value is "", as in a long list of addresses. */
export function jsonOf(record: object): string {
  const keys = keysOf(record);
  const list = JSON.stringify(keys);
  const simple = keys.length > 0 && !list.includes('\\"') && isBare(record);
  // No quote within a key, so this is where one ends and the next begins.
  return simple ? `{"${list.slice(2, -2).replaceAll('","', '":"","')}":""}` : JSON.stringify(record);
}

/** The record that has these keys, in this order, none twice, each with "". */
export function bare(keys: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (const key of keys) record[key] = "";
  return record;
}
