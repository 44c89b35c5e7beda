import type { Step } from "../kind";

/** One transaction: all of it or nothing, and no packet meets a half of it. Hours in rules are UTC. */
export const transaction = (lines: readonly string[]): Step => ({
  argv: ["env", "TZ=UTC", "nft", "-f", "-"],
  stdin: lines.map((line) => `${line}\n`).join(""),
});

/** What transactions say. */
export const linesOf = (steps: readonly Step[]): readonly string[] =>
  steps.flatMap(({ stdin = "" }) => stdin.split("\n").slice(0, -1));
