/** Lines beyond which the host would be slower to edit than to list. */
const MOST = 500;

/**
 * A script for sed that makes a text of another, line by line: both are lists in the same order, so what stands in both
 * stays where it is. Undefined where they are not, or have little in common.
 */
export function sedOf(from: string, to: string): string | undefined {
  const [was, wanted] = [linesOf(from), linesOf(to)];
  if (Math.abs(was.length - wanted.length) > MOST) return undefined;
  const [had, has] = [new Set(was), new Set(wanted)];
  const script: string[] = [];
  let at = 0;
  for (const line of wanted) {
    if (had.has(line)) {
      while (at < was.length && !has.has(was[at]!)) script.push(`${++at}d`);
      if (was[at++] !== line) return undefined;
      // What comes in goes before the line that may go out: sed is done with a line that it deletes.
    } else script.push(at < was.length ? `${at + 1}i\\` : "$a\\", line.replaceAll("\\", "\\\\"));
    if (script.length > MOST) return undefined;
  }
  while (at < was.length) script.push(`${++at}d`);
  return script.join("\n");
}

const linesOf = (text: string): string[] => text.split("\n").slice(0, -1);
