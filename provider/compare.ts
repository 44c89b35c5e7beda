import { align } from "./formats/align";
import { keysOf } from "./formats/keys";

type Fields = Readonly<Record<string, unknown>>;

/** A list that is not there wants nothing, as an empty one; inside a record, an empty thing is a thing: null here. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((v) => plain(v) ?? null);
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).flatMap(([k, v]) =>
      v === undefined ? [] : [[k, plain(v) ?? null]],
    );
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  }
  return value ?? undefined;
}

/** As `plain` sees them, without making anything: lists may be long. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" && typeof b !== "object" && a !== undefined && b !== undefined) return false;
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  if (Array.isArray(a) || Array.isArray(b))
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((v, n) => same(v, b[n]));
  if (!isRecord(a) || !isRecord(b)) return false;
  let size = 0;
  for (const key of keysOf(a)) {
    if (a[key] === undefined) continue;
    if (!Object.hasOwn(b, key) || b[key] === undefined || !same(a[key], b[key])) return false;
    size++;
  }
  for (const key of keysOf(b)) if (b[key] !== undefined) size--;
  return size === 0;
}

function isNothing(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === undefined || value === null;
  if (Array.isArray(value)) return value.length === 0;
  return keysOf(value).every((key) => (value as Fields)[key] === undefined);
}

/** The keys whose values differ. Both sides are canonical, so equality is the whole diff. */
export function changed(a: Fields, b: Fields, keys: readonly string[]): string[] {
  return keys.filter((key) => !same(a[key], b[key]));
}

/** What a person reads: one line for each thing that is missing, or is there and was not wanted. */
export function difference(wanted: Fields, found: Fields, keys: readonly string[]): string[] {
  return changed(wanted, found, keys).flatMap((key) => {
    const [w, f] = [plain(wanted[key]), plain(found[key])];
    return walk(key, w ?? (isRecord(f) ? {} : w), f ?? (isRecord(w) ? {} : f));
  });
}

function walk(path: string, wanted: unknown, found: unknown): string[] {
  if (same(wanted, found)) return [];
  if (isRecord(wanted) && isRecord(found)) {
    const keys = [...new Set([...Object.keys(wanted), ...Object.keys(found)])];
    return keys.flatMap((key) => {
      const [w, f] = [wanted[key], found[key]];
      if (w === null && f === undefined) return [`${path}.${key} is missing`];
      if (f === null && w === undefined) return [`${path}.${key} is there`];
      return walk(`${path}.${key}`, w ?? undefined, f ?? undefined);
    });
  }
  const lists = [wanted ?? [], found ?? []];
  if (lists.every(Array.isArray)) return byItem(path, lists[0] as unknown[], lists[1] as unknown[]);
  if (
    [wanted, found].every((v) => v === undefined || typeof v === "string") &&
    `${wanted}${found}`.includes("\n")
  ) {
    return byItem(path, lines(wanted as string), lines(found as string));
  }
  if (found === undefined) return [`${path}: ${show(wanted)} is missing`];
  if (wanted === undefined) return [`${path}: ${show(found)} is there`];
  return [`${path}: ${show(found)} instead of ${show(wanted)}`];
}

function byItem(path: string, wanted: readonly unknown[], found: readonly unknown[]): string[] {
  const missing = wanted.filter((w) => !found.some((f) => same(w, f)));
  const extra = found.filter((f) => !wanted.some((w) => same(w, f)));
  const told = [
    ...missing.map((w) => `${path}: ${show(w)} is missing`),
    ...extra.map((f) => `${path}: ${show(f)} is there`),
  ];
  return told.length > 0 ? told : displaced(path, wanted.map(show), found.map(show));
}

/** The same items, but not as often, or not in this order. */
function displaced(path: string, wanted: readonly string[], found: readonly string[]): string[] {
  const times = (list: readonly string[], item: string) => list.filter((other) => other === item).length;
  const counted = [...new Set(wanted)].flatMap((item) => {
    const [w, f] = [times(wanted, item), times(found, item)];
    return w === f ? [] : [`${path}: ${item} is there ${f} times instead of ${w}`];
  });
  if (counted.length > 0) return counted;
  const origin = align(wanted, found);
  return found.flatMap((item, n) =>
    origin[n] === undefined ? [`${path}: ${item} is at another place`] : [],
  );
}

const isRecord = (v: unknown): v is Record<string, unknown> =>
  typeof v === "object" && v !== null && !Array.isArray(v);
const lines = (text: string | undefined): string[] => (text ?? "").split("\n").filter((line) => line !== "");

/** An item of a list as a person names it: "eth1 isolated=true". */
function show(value: unknown): string {
  if (typeof value === "string") return value.trim().replaceAll("\n", "; ");
  if (!isRecord(value)) return JSON.stringify(value);
  const words = Object.entries(value).map(([key, v]) => {
    if (key === "name" || key === "destination") return String(v);
    return `${key}=${typeof v === "string" ? show(v) : JSON.stringify(v)}`;
  });
  return words.sort((a, b) => Number(a.includes("=")) - Number(b.includes("="))).join(" ");
}
