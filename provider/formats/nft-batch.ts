import type { Step } from "../kind";

/** One transaction: all of it or nothing, and no packet meets a half of it. Hours in rules are UTC. */
export function transaction(lines: readonly string[]): Step {
  const stdin = lines.map((line) => `${line}\n`).join("");
  return { argv: ["env", "TZ=UTC", ...(stdin.length > LONG ? [MEMORY] : []), "nft", "-f", "-"], stdin };
}

/** Characters of a text of which nft takes so much memory that taking it page by page is a tenth of its time. */
const LONG = 1_000_000;
const MEMORY = "GLIBC_TUNABLES=glibc.malloc.top_pad=67108864:glibc.malloc.hugetlb=1";

/** What transactions say. */
export const linesOf = (steps: readonly Step[]): readonly string[] =>
  steps.flatMap(({ stdin = "" }) => stdin.split("\n").slice(0, -1));

/** nft 1.1.3 finds no element behind the first 64 KiB of a command that deletes prefixes, 1,637 of them: so many in one. */
const AT_ONCE = 500;

/** Commands that delete a list of elements. */
export const deletions = <T>(list: readonly T[], command: (some: readonly T[]) => string): string[] =>
  Array.from({ length: Math.ceil(list.length / AT_ONCE) }, (_, n) =>
    command(list.slice(n * AT_ONCE, (n + 1) * AT_ONCE)),
  );

/** Seconds that nft 1.0.6 takes to delete prefixes of a set: it walks all of them for each that goes. */
export const deleting = (size: number, going: number): number => size * going * 4e-6;
