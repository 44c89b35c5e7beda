import { z } from "zod";
import { filterName, parameters } from "../formats/filterref";
import { integer, issue } from "../schema";
import { attributesOf, type Protocol, protocolNames } from "./protocols";
import { canonicalValue } from "./values";

/** Attributes that must all match, or with match "no" none: canonical texts, without those that are not given. */
export type Match = Readonly<Record<string, string>>;

/** Canonical: at most one match of each kind, "yes" before "no"; a single one is no list. */
export type Rule = {
  readonly action: string;
  readonly direction: string;
  readonly priority: number;
  readonly statematch?: false;
} & Readonly<Partial<Record<Protocol, Match | readonly Match[]>>>;

export interface Reference {
  readonly filter: string;
  readonly parameters?: Readonly<Record<string, string | string[]>>;
}
export type Entry = Rule | Reference;

export const isReference = (entry: object): entry is Reference => "filter" in entry;
export const protocolOf = (rule: Rule): Protocol | undefined => protocolNames.find((name) => rule[name]);
export const matchesOf = (rule: Rule, protocol: Protocol): readonly Match[] =>
  [rule[protocol] ?? []].flat() as Match[];
export const negated = (match: Match): boolean => match.match === "no";

type Complain = (message: string, n: number, attribute?: string) => void;

/** The matches of a protocol, each attribute once; what is wrong goes to `complain`. */
function matchesIn(protocol: Protocol, given: readonly unknown[], complain: Complain): Match[] {
  const kinds = attributesOf(protocol);
  const seen: Record<"yes" | "no", Record<string, string>> = { yes: {}, no: {} };
  const read = (match: "yes" | "no", name: string, value: unknown): string | undefined => {
    const kind = Object.hasOwn(kinds, name) ? kinds[name]! : undefined;
    if (!kind) return `unknown field; ${protocol} has ${Object.keys(kinds).join(", ")}`;
    if (name in seen.yes || name in seen.no) return "is given twice: libvirt takes the last";
    try {
      seen[match][name] = canonicalValue(kind, value);
    } catch (error) {
      return (error as Error).message;
    }
    return undefined;
  };
  given.forEach((one, n) => {
    const { match = "yes", ...attributes } = isObject(one) ? one : { match: one };
    const all = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== null);
    if (!isObject(one)) complain(`must be an object with attributes of ${protocol}`, n);
    else if (match !== "yes" && match !== "no") complain('must be "yes" or "no"', n, "match");
    else if (match === "no" && all.length === 0)
      complain("negates nothing: libvirt matches all of them then", n, "match");
    else
      for (const [name, value] of all) {
        const wrong = read(match, name, value);
        if (wrong !== undefined) complain(wrong, n, name);
      }
  });
  const ordered = (group: Record<string, string>): Match =>
    Object.fromEntries(
      Object.keys(kinds).flatMap((name) => (group[name] === undefined ? [] : [[name, group[name]]])),
    );
  const groups = [
    ...(Object.keys(seen.yes).length > 0 ? [ordered(seen.yes)] : []),
    ...(Object.keys(seen.no).length > 0 ? [{ match: "no", ...ordered(seen.no) }] : []),
  ];
  return groups.length > 0 ? groups : [{}];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const matchesField = (protocol: Protocol) =>
  z.unknown().transform((given, context) => {
    if (given === undefined || given === null) return undefined;
    const listed = Array.isArray(given);
    const complain: Complain = (message, n, attribute) => {
      const path = [...(listed ? [n] : []), ...(attribute === undefined ? [] : [attribute])];
      issue(context, message, given, path);
    };
    const found = matchesIn(protocol, listed ? given : [given], complain);
    if (context.issues.length > 0) return z.NEVER;
    return found.length === 1 ? found[0]! : found;
  });

const fields = Object.fromEntries(protocolNames.map((name) => [name, matchesField(name).optional()]));

const rule = z
  .strictObject({
    action: z.enum(
      ["accept", "drop", "reject", "return", "continue"],
      'must be "accept", "drop", "reject", "return" or "continue"',
    ),
    direction: z.enum(["in", "out", "inout"], 'must be "in" (to the guest), "out" or "inout"'),
    priority: integer(-1000, 1000).default(500),
    statematch: z.boolean("must be true or false").optional(),
    ...fields,
  })
  .transform((given, context) => {
    const { action, direction, priority, statematch, ...others } = given as Record<string, unknown>;
    const named = Object.entries(others).filter(([, value]) => value !== undefined);
    if (named.length > 1) {
      const names = named.map(([name]) => name).join(" and ");
      issue(context, `has ${names}: a rule takes one protocol`, given);
      return z.NEVER;
    }
    const off = statematch === false ? { statematch } : {};
    return { action, direction, priority, ...off, ...Object.fromEntries(named) } as Rule;
  });

const reference = z
  .strictObject({ filter: filterName, parameters: parameters.optional() })
  .transform(
    ({ filter, parameters: given = {} }): Reference =>
      Object.keys(given).length === 0 ? { filter } : { filter, parameters: given },
  );

/** One or the other by its fields, so that what is wrong is told of that one. */
export const entry = z.unknown().transform((given, context): Entry => {
  if (!isObject(given)) {
    issue(context, "must be a rule or a reference to a filter", given);
    return z.NEVER;
  }
  const result = (isReference(given) ? reference : rule).safeParse(given);
  if (result.success) return result.data;
  context.issues.push(...(result.error.issues as z.core.$ZodRawIssue[]));
  return z.NEVER;
});
