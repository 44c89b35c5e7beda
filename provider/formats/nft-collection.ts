import { formatTime, parseTime } from "./nft-element";

/** What a set or map is, its elements aside. */
export interface Collection {
  readonly type?: string;
  readonly typeof?: string;
  /** Of a map. */
  readonly value?: string;
  readonly flags?: readonly string[];
  readonly timeout?: string;
  readonly gcInterval?: string;
  readonly size?: number;
  readonly counter?: boolean;
  readonly autoMerge?: boolean;
  readonly policy?: string;
  readonly comment?: string;
}

/** As nft takes it, a line each. */
export function collectionHead(s: Collection): string[] {
  const value = s.value === undefined ? "" : ` : ${s.value}`;
  return [
    s.type === undefined ? `typeof ${s.typeof}${value}` : `type ${s.type}${value}`,
    ...(s.flags && s.flags.length > 0 ? [`flags ${s.flags.join(",")}`] : []),
    ...(s.timeout ? [`timeout ${s.timeout}`] : []),
    ...(s.gcInterval ? [`gc-interval ${s.gcInterval}`] : []),
    ...(s.size ? [`size ${s.size}`] : []),
    ...(s.counter ? ["counter"] : []),
    ...(s.autoMerge ? ["auto-merge"] : []),
    ...(s.policy ? [`policy ${s.policy}`] : []),
    ...(s.comment === undefined ? [] : [`comment "${s.comment}"`]),
  ];
}

/** A line of a head, and the fields that it says. */
export type Reading = readonly [RegExp, (found: string[]) => Record<string, unknown>];

export const COMMENT_LINE: Reading = [/^comment "([^"]*)"$/, ([comment]) => ({ comment })];

const COLLECTION_LINES: readonly Reading[] = [
  [/^flags (.+)$/, ([flags]) => ({ flags: flags!.split(/ ?, ?/).sort() })],
  [/^timeout (\S+)$/, ([time]) => ({ timeout: formatTime(parseTime(time!) ?? 0) })],
  [/^gc-interval (\S+)$/, ([time]) => ({ gcInterval: formatTime(parseTime(time!) ?? 0) })],
  [/^size (\d+)$/, ([size]) => ({ size: Number(size) })],
  [/^counter$/, () => ({ counter: true })],
  [/^auto-merge$/, () => ({ autoMerge: true })],
  [/^policy (performance|memory)$/, ([policy]) => ({ policy })],
  COMMENT_LINE,
];
export const SET_LINES: readonly Reading[] = [
  [/^type (.+)$/, ([type]) => ({ type })],
  [/^typeof (.+)$/, ([type]) => ({ typeof: type })],
  ...COLLECTION_LINES,
];
export const MAP_LINES: readonly Reading[] = [
  [/^type (.+?) : (.+)$/, ([type, value]) => ({ type, value })],
  [/^typeof (.+?) : (.+)$/, ([type, value]) => ({ typeof: type, value })],
  ...COLLECTION_LINES,
];

/** Undefined where there are no words for a line. */
export function readLines(
  head: readonly string[],
  readings: readonly Reading[],
): Record<string, unknown> | undefined {
  const parts = head.map((line) => {
    for (const [pattern, read] of readings) {
      const found = pattern.exec(line);
      if (found) return read(found.slice(1));
    }
    return undefined;
  });
  return parts.includes(undefined) ? undefined : Object.assign({}, ...parts);
}
