import { parseRoutesTo, places, present, type Route, showRoutesTo } from "../formats/route";
import type { Last, Observed, Query, Result } from "../kind";
import type { PolicyRoute, schema } from "./args";
import { covers, equal, listed, neighbours, parseRules, type Rule, ruleOf } from "./rule";

type Shape = typeof schema.shape;

export interface Facts {
  /** The rules of ours that the kernel could take for the declared one, or for the last, in its order. */
  readonly near: readonly Rule[];
  /** The declared table. */
  readonly table?: number;
  /** The routes that stand in it. */
  readonly ready: readonly Route[];
  /** The routes that stand in the last table, where that is another one. */
  readonly stale: readonly Route[];
}

const eitherRule = (d: PolicyRoute, last?: Last<Shape, Facts>): Rule[] => {
  const before = last && ruleOf(last.desired);
  return [ruleOf(d), ...(before && !equal(before, ruleOf(d)) ? [before] : [])];
};
/** The declared routes of a table, now or last. */
const routesOf = (table: number | undefined, d: PolicyRoute, last?: Last<Shape, Facts>): Route[] =>
  table === undefined ? [] : [d, last?.desired].flatMap((p) => (p?.table === table ? (p.routes ?? []) : []));

function routePlaces(d: PolicyRoute, last?: Last<Shape, Facts>) {
  const tables = [...new Set([d.table, last?.desired.table].flatMap((table) => table ?? []))];
  return tables.flatMap((table) => places(routesOf(table, d, last), [table]));
}

export function query(d: PolicyRoute, last?: Last<Shape, Facts>): readonly Query[] {
  return [
    ...eitherRule(d, last).flatMap((rule) => [
      // For the guard alone: the listing that is parsed has neighbours in it, which come and go.
      { argv: listed(rule) },
      { argv: neighbours(rule), free: true },
    ]),
    ...showRoutesTo(routePlaces(d, last)),
  ];
}

export function parse(
  results: readonly Result[],
  d: PolicyRoute,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const rules = eitherRule(d, last);
  const all = rules
    .flatMap((rule, n) => parseRules(results[2 * n + 1]!, rule.family))
    .filter((rule) => rules.some((wanted) => covers(wanted, rule)));
  const near = all.filter((rule, n) => all.findIndex((other) => equal(other, rule)) === n);
  const routes = parseRoutesTo(results.slice(2 * rules.length), routePlaces(d, last));
  const standing = (table?: number) =>
    table === undefined ? [] : present(routesOf(table, d, last), table, routes);
  const facts: Facts = {
    near,
    table: d.table,
    ready: standing(d.table),
    stale: last?.desired.table === d.table ? [] : standing(last?.desired.table),
  };
  const known = [...(last ? [last.desired] : []), d].find((wanted) =>
    near.some((r) => equal(r, ruleOf(wanted))),
  );
  if (!known) return { facts };
  return {
    state: { ...known, name: d.name, ...((known.routes ?? d.routes) && { routes: standing(known.table) }) },
    facts,
  };
}
