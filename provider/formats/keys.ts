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

const texts = new WeakSet();

/** Whether nothing but texts stands in it. */
export function holdsTexts(record: object): boolean {
  if (texts.has(record)) return true;
  const keys = keysOf(record);
  const all = keys.every((key) => typeof (record as Record<string, unknown>)[key] === "string");
  if (all && keys.length > LONG) texts.add(record);
  return all;
}

/** As JSON.stringify(record), in a third of the time where each value is "", as in a long list of addresses. */
export function jsonOf(record: object): string {
  const keys = keysOf(record);
  const list = JSON.stringify(keys);
  const simple = keys.length > 0 && !list.includes('\\"') && isBare(record);
  // No quote within a key, so this is where one ends and the next begins.
  return simple ? `{"${list.slice(2, -2).replaceAll('","', '":"","')}":""}` : JSON.stringify(record);
}

/** Whether nothing stands with any key. */
export const isBare = (record: object): boolean =>
  keysOf(record).every((key) => (record as Record<string, unknown>)[key] === "");

/** The record that has these keys, in this order, none twice, each with "". */
export function bare(keys: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (const key of keys) record[key] = "";
  return record;
}
