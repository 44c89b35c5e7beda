import { appendFileSync } from "node:fs";

/** Where `npm run faults` wants the counts; it runs all cases, `npm test` a fair sample. */
const table = process.env.HOSTNET_FAULTS;
export const whole = table !== undefined;

/** So many of them, spread, and not all at the same place of a pattern. */
function sample<T>(all: readonly T[], count: number): readonly T[] {
  if (whole || all.length <= count) return all;
  return Array.from({ length: count }, (_, n) => all[Math.floor(((n + (n % 4) / 4) * all.length) / count)]!);
}

/** One row of the fault table: each case must be survived. `lanes` run side by side, each with what is its own. */
export function row<T, L = undefined>(
  number: string,
  what: string,
  { cases, few, lanes = [] }: { cases: readonly T[]; few: number; lanes?: readonly L[] },
  survive: (one: T, lane: L) => Promise<void>,
): void {
  test(`${number}: ${what}`, async () => {
    const queue = [...sample(cases, few)];
    const tried = queue.length;
    const failures: string[] = [];
    const lane = async (mine: L): Promise<void> => {
      for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
        try {
          await survive(one, mine);
        } catch (error) {
          failures.push(`${JSON.stringify(one).slice(0, 300)}: ${(error as Error).stack ?? error}`);
        }
      }
    };
    const all = !whole && lanes.length > 3 ? lanes.slice(0, 3) : lanes;
    await Promise.all((all.length > 0 ? all : [undefined as L]).map(lane));
    if (table) appendFileSync(table, `${JSON.stringify({ number, what, tried, failed: failures.length })}\n`);
    if (failures.length > 0)
      throw new Error(`${failures.length} of ${tried} not survived:\n${failures.slice(0, 5).join("\n")}`);
  }, 900_000);
}
