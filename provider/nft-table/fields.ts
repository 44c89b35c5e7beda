import { z } from "zod";
import { nameProblem, print, ruleProblem, tokenize, unresolved } from "../formats/nft";
import { parseBody, VARIABLE } from "../formats/nft-block";
import { byKey, parseElement } from "../formats/nft-element";
import { comment, time } from "../formats/nft-fields";
import { issue } from "../schema";

export const device = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/,
    "is no interface name: 1 to 15 of A-Z a-z 0-9 _ . -, the first a letter",
  );

const PRIORITY = /^(raw|mangle|dstnat|filter|security|srcnat|out)(?:\s*([+-])\s*(\d{1,9}))?$/;

export const priority = z
  .union([z.number(), z.string()], "must be a number or a name")
  .transform((given, context) => {
    const number = /^-?\d{1,10}$/.test(String(given)) ? Number(given) : Number.NaN;
    if (number >= -(2 ** 31) && number < 2 ** 31) return number;
    const named = PRIORITY.exec(String(given).trim());
    if (named) return Number(named[3] ?? 0) === 0 ? named[1]! : `${named[1]} ${named[2]} ${Number(named[3])}`;
    issue(
      context,
      'must be a whole number, or raw, mangle, dstnat, filter, security, srcnat, out, as in "filter + 10"',
      given,
    );
    return z.NEVER;
  });

/** One text with a line for each rule, the last one ended too: then a rule appended is one line in a preview. */
export const rulesText = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

export const rules = z
  .union([z.array(z.string()), z.string()], "must be a list of rules, or a text with a line for each")
  .transform((given, context) => {
    const list = typeof given === "string" ? given.split("\n").filter((line) => line.trim() !== "") : given;
    const lines = list.map((rule, n) => {
      const message = ruleProblem(rule);
      if (!message) return print(tokenize(rule));
      if (typeof given === "string") issue(context, `line ${n + 1}, ${rule.trim()}: ${message}`, given);
      else issue(context, message, given, [n]);
      return rule;
    });
    return rulesText(lines);
  });

const item = z.union([
  z.string(),
  z.strictObject({ element: z.string(), value: z.string().optional(), timeout: time.optional(), comment }),
]);

/** A record from element to what stands with it: in a preview, one element added is one line. */
export const elements = (isMap: boolean) =>
  z
    .union([z.array(item), z.record(z.string(), z.string())], "must be a list of elements, or a record")
    .transform((given, context) => {
      const texts = Array.isArray(given)
        ? given.map((one, n) => [n, typeof one === "string" ? one : elementText(one)] as const)
        : Object.entries(given).map(([key, rest]) => [key, recordText(key, rest, isMap)] as const);
      const found = new Map<string, string>();
      for (const [at, text] of texts) {
        try {
          const { key, rest } = parseElement(text, isMap);
          if (found.has(key)) throw new Error(`${key} is listed twice`);
          found.set(key, rest);
        } catch (error) {
          issue(context, (error as Error).message, given, [at]);
        }
      }
      return Object.fromEntries(
        [...found]
          .map(([key, rest]) => ({ key, rest }))
          .sort(byKey)
          .map((e) => [e.key, e.rest]),
      );
    });

function elementText({
  element,
  value,
  timeout,
  comment: said,
}: {
  element: string;
  value?: string;
  timeout?: string;
  comment?: string;
}): string {
  const attributes = `${timeout ? ` timeout ${timeout}` : ""}${said === undefined ? "" : ` comment "${said}"`}`;
  return `${element}${attributes}${value === undefined ? "" : ` : ${value}`}`;
}

function recordText(key: string, rest: string, isMap: boolean): string {
  if (!isMap || / : |^: /.test(rest.replace(/"[^"]*"/g, ""))) return `${key} ${rest}`;
  return `${key} : ${rest}`;
}

/** Named things of one sort. */
export const named = <T extends z.ZodType>(thing: T) =>
  z
    .record(z.string(), thing)
    .superRefine((given, context) => {
      for (const name of Object.keys(given)) {
        const message = nameProblem(name);
        if (message) issue(context, message, name, [name]);
      }
    })
    .optional();

/** As it was written, but for white space at line ends and around. */
export const text = z.string().transform((given, context) => {
  const tidy = given.replace(/[ \t\r]+$/gm, "").replace(/^\n+|\s+$/g, "");
  const message = unresolved(tidy) ?? bodyProblem(tidy);
  if (message) issue(context, message, tidy);
  return tidy;
});

function bodyProblem(given: string): string | undefined {
  try {
    const { statements, passages } = parseBody(given);
    const odd = statements.find((s) => !/^comment "[^"]{0,128}"$/.test(s));
    if (odd !== undefined) return oddStatement(odd);
    for (const { block } of passages) {
      const name = nameProblem(block.name);
      if (name) return `${block.kind}: ${name}`;
      const rule = block.rules?.find((r) => ruleProblem(r));
      if (rule !== undefined) return `${block.kind} ${block.name}: ${rule}: ${ruleProblem(rule)}`;
      const variable = [...block.head, ...(block.rules ?? [])]
        .join(" ")
        .replace(/"[^"]*"/g, "")
        .match(VARIABLE);
      if (variable) return `${block.kind} ${block.name}: ${variable[0]} is defined nowhere`;
    }
  } catch (error) {
    return (error as Error).message;
  }
}

function oddStatement(statement: string): string {
  if (/^(table|add|create|insert|replace|flush|delete|destroy|reset|rename)\b/.test(statement))
    return `${statement}: is a command: write what stands inside of table … { }, or a file with it as \`nft list\` shows it`;
  if (statement.startsWith("flags"))
    return `${statement}: a table sleeps by dormant: true; it has no owner but this resource`;
  if (statement.startsWith("include")) return `${statement}: include is not supported yet: put the text in`;
  return `${statement}: is neither a chain, a set, a map nor another block of a table`;
}
