import { HostnetError } from "../errors";
import { batch } from "../formats/link";
import { convergeRoutes, deleteRoute, type Route } from "../formats/route";
import type { Boot, Last, Observed, Step } from "../kind";
import type { PolicyRoute, schema } from "./args";
import type { Facts } from "./parse";
import { covers, equal, listed, type Rule, ruleOf, ruleText, ruleWords, version } from "./rule";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: PolicyRoute, { state, facts }: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const stays = state !== undefined && state.table === d.table;
  // An undo goes by what was seen before the change: of another table, or of a rule that is gone since.
  const rule = ruleOf(d);
  const known = facts.table === d.table && (state !== undefined || !facts.near.some((r) => equal(r, rule)));
  const standing = stays ? (state.routes ?? []) : known ? facts.ready : [];
  const left = state && !stays ? state : { table: last?.desired.table, routes: known ? facts.stale : [] };
  return [
    ...(d.table === undefined ? [] : convergeRoutes(d.routes ?? [], standing, d.table)),
    ...ruleSteps(rule, state && ruleOf(state), facts),
    ...routeDeletes(left),
  ];
}

export function boot({ table }: PolicyRoute): Boot<Facts> {
  return { order: 40, facts: { near: [], table, ready: [], stale: [] } };
}

/** The rule first: its packets take the later rules before its table runs empty. */
export function remove({ state, facts }: Seen, { desired }: Last<Shape, Facts>): readonly Step[] {
  const rule = state && ruleOf(state);
  if (rule) requireDistinct(rule, facts, [rule]);
  return [
    ...(rule ? [step("del", rule)] : []),
    ...routeDeletes(state ?? { table: desired.table, routes: facts.ready }),
  ];
}

const routeDeletes = ({ table, routes = [] }: { table?: number; routes?: readonly Route[] }): Step[] =>
  table === undefined ? [] : routes.map((r) => deleteRoute(r, table));

const step = (verb: string, rule: Rule): Step => ({
  argv: ["ip", version(rule), "rule", verb, ...ruleWords(rule)],
});

function ruleSteps(wanted: Rule, now: Rule | undefined, facts: Facts): Step[] {
  if (now && equal(wanted, now)) return [];
  const own = now ? [wanted, now] : [wanted];
  for (const rule of own) requireDistinct(rule, facts, own);
  if (!now) return [step("add", wanted)];
  // Where the kernel cannot have both, nothing comes in between the two.
  if (covers(wanted, now) || covers(now, wanted))
    return [batch([step("del", now), step("add", wanted)], version(now))];
  // Seen beside the old one: an earlier run ended between the two steps.
  const half = facts.near.some((rule) => equal(rule, wanted));
  return [half ? { ...step("add", wanted), unless: listed(wanted) } : step("add", wanted), step("del", now)];
}

/** The kernel deletes the first rule that has what the delete says. Were that another one, nothing is done. */
function requireDistinct(rule: Rule, { near }: Facts, own: readonly Rule[]): void {
  const at = near.findIndex((other) => equal(other, rule));
  const earlier = at < 0 ? near : near.slice(0, at);
  const other = earlier.find((r) => covers(rule, r) && !own.some((mine) => equal(mine, r)));
  if (!other) return;
  throw new HostnetError(
    `priority: the kernel cannot tell the rule "${ruleText(rule)}" from "${ruleText(other)}", which is there too: ` +
      "give them different priorities, or remove the other one first",
  );
}
