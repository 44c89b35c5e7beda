import { formatPlain, plainIPv4 } from "../formats/nft-range";

/**
 * Addresses and prefixes of IPv4 and nothing else, as most long lists are: sorted, what overlaps or touches is one. As
 * `merged` would say it, in numbers, with no object for each. Undefined where anything else is among them. The given
 * themselves where none is there twice and there is nothing to unite.
 */
export function plainKeys(
  given: readonly unknown[],
  distinct: boolean,
): { keys: readonly string[]; wide: boolean } | undefined {
  // The lowest address and the number of host bits in one number, for a list of numbers is sorted fast.
  const codes = new Float64Array(given.length);
  let wide = false;
  for (let n = 0; n < given.length; n++) {
    const text = given[n];
    const range = typeof text === "string" ? plainIPv4(text) : undefined;
    if (!range) return undefined;
    codes[n] = range.low * 64 + Math.log2(range.high - range.low + 1);
    wide ||= range.low !== range.high;
  }
  const itself = { keys: given as readonly string[], wide };
  if (distinct && !wide) return itself;
  const keys = united(codes, wide);
  return distinct && keys.length === given.length ? itself : { keys, wide };
}

function united(codes: Float64Array, wide: boolean): string[] {
  codes.sort();
  const keys: string[] = [];
  // Addresses side by side stay two where there is no prefix: such a set needs no intervals.
  const gap = wide ? 1 : 0;
  let [low, high] = [-1, -2];
  for (const code of codes) {
    const first = Math.floor(code / 64);
    const last = first + 2 ** (code % 64) - 1;
    if (first <= high + gap) high = Math.max(high, last);
    else {
      if (low >= 0) keys.push(formatPlain({ low, high }));
      [low, high] = [first, last];
    }
  }
  if (low >= 0) keys.push(formatPlain({ low, high }));
  return keys;
}
