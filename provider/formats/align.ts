/** For each line of `to` the line of `from` that it is, in order: what is common to both, as long as can be. */
export function align(from: readonly string[], to: readonly string[]): (number | undefined)[] {
  const result: (number | undefined)[] = to.map(() => undefined);
  let head = 0;
  while (head < from.length && head < to.length && from[head] === to[head]) result[head] = head++;
  let tail = 0;
  while (tail < from.length - head && tail < to.length - head && from.at(-1 - tail) === to.at(-1 - tail)) {
    tail++;
    result[to.length - tail] = from.length - tail;
  }
  const [a, b] = [from.slice(head, from.length - tail), to.slice(head, to.length - tail)];
  // longest[i][j]: how many lines a from i and b from j have in common.
  const longest = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const [row, below] = [longest[i]!, longest[i + 1]!];
      row[j] = a[i] === b[j] ? below[j + 1]! + 1 : Math.max(below[j]!, row[j + 1]!);
    }
  }
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) result[head + j++] = head + i++;
    else if (longest[i + 1]![j]! >= longest[i]![j + 1]!) i++;
    else j++;
  }
  return result;
}
