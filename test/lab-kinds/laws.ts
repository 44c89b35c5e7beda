import type { z } from "zod";
import type { Outcome, Plan } from "../../provider/host/plan";
import type { Kind, Last, Observed, Query, Step } from "../../provider/kind";
import type { Hosts } from "../../provider/lifecycle";

/** A host of the test's own: a namespace of the lab's machine, or of this one. */
export interface Bed extends Pick<Hosts, "at"> {
  sh(script: string): string | Promise<string>;
  /** As under emulation, where each process takes 50 ms. */
  readonly slow?: boolean;
}

const LISTING =
  "ip -d addr; for v in -4 -6; do echo rules; ip $v -d rule; echo routes; ip $v -N -d route show table all; done";
const listing: Query = { argv: ["sh", "-c", LISTING] };

/** Without what changes by itself, or with a VRF that is made again: the order in which links were made, its address. */
function comparable(text: string): string {
  const [links = "", ...rest] = text.split(/^(?=rules|routes)/m);
  const one = links
    .split(/^\d+: /m)
    .map((link) =>
      link
        .replace(/(valid|preferred)_lft \d+sec ?/g, "")
        .replace(/promiscuity.* (?=numtxqueues)/, "")
        .replace(/ [a-z_]+_timer +[\d.]+| tso_max_size \d+/g, "")
        // The carrier, which the kernel notes a moment later.
        .replace(/NO-CARRIER,|,LOWER_UP| state [A-Z]+/g, ""),
    )
    .map((link) => (/ vrf table /.test(link) ? link.replace(/link\/ether \S+/, "") : link));
  const lists = rest.map((list) =>
    list.startsWith("routes") ? list.replaceAll(" linkdown", "").split("\n").sort().join("\n") : list,
  );
  return [...one.sort(), ...lists].join("\n");
}

/** All links, addresses, rules and routes of both families, told by ip alone, and our files. */
export async function snapshot(bed: Bed): Promise<string> {
  const files = await bed.sh("find /etc/hostnet -type f 2>/dev/null || :");
  return `${comparable(await bed.sh(LISTING))}${files}`;
}

const change = (steps: readonly Step[], undo: readonly Step[]): Plan => ({
  queries: [],
  change: {
    guard: "",
    claims: [],
    intent: [],
    steps,
    after: [],
    record: [],
    undo,
    restore: [],
  },
});
const running = (steps: readonly Step[]): Plan => change(steps, []);
/** As a script undoes: each step, whatever becomes of the others. */
const undoing = (steps: readonly Step[]): Plan => change([{ argv: ["false"] }], steps);

/** All in one script, in order. */
async function script(bed: Bed, plans: readonly Plan[]): Promise<Outcome[]> {
  const host = bed.at({} as Parameters<Hosts["at"]>[0]);
  const answers = await Promise.all(plans.map((plan) => host.submit(plan)));
  return answers.map(({ outcome }) => outcome);
}

function results(outcome: Outcome | undefined) {
  if (outcome?.type === "looked" || outcome?.type === "done") return outcome.results;
  throw new Error(JSON.stringify(outcome));
}
const printed = (outcome: Outcome | undefined): string => comparable(results(outcome)[0]!.stdout);

/** One change: from what the last apply left, if any, to what is wanted, or to nothing. */
export interface Change<S extends z.ZodRawShape, F> {
  readonly to?: z.output<z.ZodObject<S, z.core.$strict>>;
  readonly last?: Last<S, F>;
}

/** Three words of ip, without the family: what a step does. */
const deed = ({ argv }: Step): string =>
  argv
    .filter((word) => !/^-[46]$/.test(word))
    .slice(0, 3)
    .join(" ");

/** Before every step; on a slow host before a few, spread over those that do something else than the one before them. */
function cuts(steps: readonly Step[], { slow }: Bed): readonly number[] {
  const all = steps.map((_, n) => n).slice(1);
  if (!slow) return all;
  const turns = all.filter((n) => deed(steps[n]!) !== deed(steps[n - 1]!));
  return turns.filter((_, n) => n % Math.ceil(turns.length / FEW) === 0);
}
const FEW = 2;

/**
 * The two laws of a change, for each of its steps: cut before it and run again, it ends where one run ends; cut before it
 * and undone, everything is as it was.
 */
export async function obeysLaws<S extends z.ZodRawShape, F>(
  bed: Bed,
  kind: Kind<S, F>,
  { to, last }: Change<S, F>,
) {
  const wanted = (to ?? last?.desired)!;
  const queries = kind.query(wanted, last);
  const read = (outcome: Outcome | undefined, before = last) => kind.parse(results(outcome), wanted, before);
  const stepsFrom = (seen: Observed<S, F>, before = last) =>
    to ? kind.ensure(to, seen, before) : kind.remove(seen, before!);

  const [first, start] = await script(bed, [{ queries }, { queries: [listing] }]);
  const [seen, before] = [read(first), printed(start)];
  const steps = stepsFrom(seen);
  // As the lifecycle undoes: ensure back to before, or remove where there was nothing.
  const reached = { state: to, facts: seen.facts };
  const target = { desired: wanted, facts: seen.facts, former: seen };
  const undo = seen.state
    ? kind.ensure({ ...seen.rest, ...seen.state }, reached, to && target)
    : kind.remove(reached, target);
  // A create that was cut has left its record, with what was found.
  const again = last ?? { desired: wanted, former: { facts: seen.facts } };

  const whole = await script(bed, [
    running(steps),
    { queries: [listing] },
    undoing(undo),
    { queries: [listing] },
  ]);
  const after = printed(whole[1]);
  expect(whole[0]).toEqual({ type: "done", results: [] });
  expect(after).not.toBe(before);
  expect(printed(whole[3])).toBe(before);

  // Cut before the first step nothing has happened, after the last one all has: that was the whole run.
  for (const cut of cuts(steps, bed)) {
    const part = running(steps.slice(0, cut));
    const look = { queries: kind.query(wanted, again) };
    const half = await script(bed, [part, undoing(undo), { queries: [listing] }, part, look]);
    expect([cut, printed(half[2])]).toEqual([cut, before]);
    const rest = stepsFrom(read(half[4], again), again);
    const end = await script(bed, [running(rest), { queries: [listing] }, undoing(undo)]);
    expect([cut, end[0]]).toEqual([cut, { type: "done", results: [] }]);
    expect([cut, printed(end[1])]).toEqual([cut, after]);
  }
  const none = await script(bed, [undoing(undo), { queries: [listing] }]);
  expect(printed(none[1])).toBe(before);
  return steps.length;
}

/** Makes it so, and tells what an apply would leave in the state. */
export async function applied<S extends z.ZodRawShape, F>(
  bed: Bed,
  kind: Kind<S, F>,
  desired: z.output<z.ZodObject<S, z.core.$strict>>,
): Promise<Last<S, F>> {
  const former = kind.parse(results((await script(bed, [{ queries: kind.query(desired) }]))[0]), desired);
  const queries = kind.query(desired);
  const [done, seen] = await script(bed, [running(kind.ensure(desired, former)), { queries }]);
  expect(done).toEqual({ type: "done", results: [] });
  const last = { desired, former };
  const { facts } = kind.parse(results(seen), desired);
  const after = kind.parse(results(seen), desired, { ...last, facts });
  return { ...last, facts: kind.keep?.(after.facts, former.facts) ?? after.facts };
}
