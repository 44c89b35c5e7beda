import type { Step } from "../kind";

/** One transaction: all of it or nothing, and no packet meets a half of it. Hours in rules are UTC. */
export const transaction = (lines: readonly string[]): Step => ({
  argv: ["env", "TZ=UTC", "nft", "-f", "-"],
  stdin: lines.map((line) => `${line}\n`).join(""),
});

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
