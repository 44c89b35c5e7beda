import { z } from "zod";
import { canonicalAddress, canonicalInterface, canonicalPrefix, contains } from "./formats/cidr";
import { holdsTexts, keysOf } from "./formats/keys";
import type { Desired, Problem } from "./kind";

/** What Pulumi sends in the place of a value that is not known yet, whatever the field's type. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export function hasUnknown(value: unknown): boolean {
  if (typeof value === "string") return value.includes(UNKNOWN);
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return keysOf(value).some((key) => hasUnknown(key) || hasUnknown((value as Record<string, unknown>)[key]));
}

function holds(value: unknown, key: string): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some((inner) => holds(inner, key));
  if (Object.hasOwn(value, key)) return true;
  return (
    !holdsTexts(value) && keysOf(value).some((own) => holds((value as Record<string, unknown>)[own], key))
  );
}

interface Parsed<S extends z.ZodRawShape> {
  /** Each field canonical, or raw where something in it is unknown or wrong. Absent fields are left out. */
  readonly fields: Record<string, unknown>;
  readonly problems: readonly Problem[];
  /** All of them, when everything is known and right. */
  readonly desired?: Desired<S>;
}

/** Field by field: one unknown value must not keep the other fields from being checked. */
export function parseFields<S extends z.ZodRawShape>(
  schema: z.ZodObject<S, z.core.$strict>,
  raw: Readonly<Record<string, unknown>>,
): Parsed<S> {
  const fields: Record<string, unknown> = {};
  const problems: Problem[] = [];
  let known = true;
  for (const key of Object.keys(raw)) {
    if (!Object.hasOwn(schema.shape, key) && raw[key] !== undefined) {
      problems.push({
        property: key,
        reason: `unknown field; known are ${Object.keys(schema.shape).join(", ")}`,
      });
    }
  }
  for (const [key, field] of Object.entries(schema.shape) as [string, z.ZodType][]) {
    const value = raw[key] ?? undefined;
    if (hasUnknown(value)) {
      fields[key] = asFarAsKnown(key, field, value, problems);
      known = false;
      continue;
    }
    const result = field.safeParse(value);
    if (result.success) {
      if (result.data !== undefined) fields[key] = result.data;
      // zod leaves it out of a record, and says nothing.
      if (holds(value, "__proto__")) problems.push({ property: key, reason: "__proto__ is no name" });
    } else {
      fields[key] = value;
      problems.push(...result.error.issues.flatMap((issue) => describe(key, issue, value)));
    }
  }
  const desired = known && problems.length === 0 ? (fields as Desired<S>) : undefined;
  return { fields, problems, desired };
}

/** Of things by name only those that hold the unknown stay raw: a preview shows these as changed, and no others. */
function asFarAsKnown(key: string, field: z.ZodType, value: unknown, problems: Problem[]): unknown {
  const things = field instanceof z.ZodOptional ? field.unwrap() : field;
  if (!(things instanceof z.ZodRecord) || typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, thing]) => {
    if (hasUnknown(name) || hasUnknown(thing)) return [name, thing];
    const { data, error } = z.safeParse(things.valueType, thing);
    for (const found of error?.issues ?? [])
      problems.push(...describe(key, { ...found, path: [name, ...found.path] }, value));
    return [name, error ? thing : data];
  });
  return Object.fromEntries(entries);
}

function describe(key: string, issue: z.core.$ZodIssue, value: unknown): Problem[] {
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The branch that got furthest is the one the user meant; without a message of its own, one that takes this type.
    const depth = (branch: z.core.$ZodIssue[]) => Math.max(...branch.map((i) => i.path.length));
    const mistyped = (branch: z.core.$ZodIssue[]) =>
      depth(branch) === 0 && branch.some((i) => i.code === "invalid_type");
    const best = [...issue.errors].sort(
      (a, b) => depth(b) - depth(a) || Number(mistyped(a)) - Number(mistyped(b)),
    )[0]!;
    if (depth(best) > 0 || (isZods(issue) && !mistyped(best))) {
      return best.flatMap((i) =>
        describe(key, { ...i, path: [...issue.path, ...i.path] } as z.core.$ZodIssue, value),
      );
    }
  }
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((k) => ({
      property: propertyPath([key, ...issue.path, k]),
      reason: "unknown field",
    }));
  }
  const at = issue.path.reduce<unknown>((v, part) => (v as Record<PropertyKey, unknown>)?.[part], value);
  const missing = at === undefined && issue.code === "invalid_type";
  return [
    {
      property: propertyPath([key, ...issue.path]),
      reason: missing ? "is required" : show(at, issue.path.at(-1)) + worded(issue),
    },
  ];
}

/** Nobody wrote a message for it. */
const isZods = (issue: z.core.$ZodIssue): boolean => issue.message.startsWith("Invalid input");

const TYPES: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  number: "a number",
  object: "an object with fields",
  record: "an object with a field for each name",
  string: "a text",
};

/** A wrong type in the words of the user, who need not know zod's. */
function worded(issue: z.core.$ZodIssue): string {
  const branches = issue.code === "invalid_union" ? issue.errors.flat() : [issue];
  const types = branches.flatMap((i) => (i.code === "invalid_type" ? (TYPES[i.expected] ?? []) : []));
  return isZods(issue) && types.length > 0 ? `must be ${types.join(", or ")}` : issue.message;
}

const propertyPath = (parts: readonly PropertyKey[]): string =>
  parts.reduce<string>(
    (path, part) =>
      typeof part === "number" ? `${path}[${part}]` : path === "" ? String(part) : `${path}.${String(part)}`,
    "",
  );

/** A mistyped password is still a password. */
const SECRET: readonly unknown[] = ["password", "privateKey", "privateKeyPassword"];

function show(value: unknown, key?: PropertyKey): string {
  if (value === undefined || SECRET.includes(key)) return "";
  const text = JSON.stringify(value, (k, inner) => (SECRET.includes(k) ? "[secret]" : inner));
  return `${text.length > 200 ? `${text.slice(0, 200)}…` : text}: `;
}

/** What is wrong with a value, told in a transform. */
export const issue = (
  context: z.RefinementCtx,
  message: string,
  input: unknown,
  path: PropertyKey[] = [],
): void => {
  context.issues.push({ code: "custom", message, input, path });
};

/** A canonicaliser as a field: what it throws is the field's message. */
export function canonical(convert: (text: string) => string) {
  return z.string().transform((text, context) => {
    try {
      return convert(text);
    } catch (error) {
      issue(context, (error as Error).message, text);
      return z.NEVER;
    }
  });
}

/** Name of what has none on the host: only our records carry it. */
export const label = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/,
    "is no label: 1 to 100 of A-Z a-z 0-9 _ . -, the first a letter or digit",
  );

/** Name of a network interface: 1 to 15 bytes. The kernel takes more, but shells, files and `br%d` do not. */
export const ifname = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/,
    "is no interface name: 1 to 15 of A-Z a-z 0-9 _ . -, the first a letter",
  )
  .refine((name) => !["all", "default", "lo"].includes(name), "is reserved by the kernel");

/** An interface's own address with its prefix length: 192.168.2.1/24, 2001:db8::1/64. */
export const interfaceAddress = canonical(canonicalInterface).refine(
  (text) => !contains("fe80::/10", text.split("/")[0]!),
  "is link-local: those are the kernel's, which gives each link one; take one of fd00::/8, or a global one",
);
/** A network, without host bits: 192.168.2.0/24, 2001:db8::/32. */
export const prefix = canonical(canonicalPrefix);
export const address = canonical(canonicalAddress);

export const mac = z
  .string()
  .regex(/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/, "is no MAC address, as 52:54:00:12:34:56")
  .transform((text) => text.toLowerCase())
  .refine((text) => (Number.parseInt(text.slice(0, 2), 16) & 1) === 0, "is a multicast address");

export const integer = (min: number, max: number) =>
  z
    .number(`must be a number from ${min} to ${max}`)
    .int(`must be a whole number from ${min} to ${max}`)
    .min(min, `must be ${min} to ${max}`)
    .max(max, `must be ${min} to ${max}`);

/** Of a routing table. 253 to 255 are the kernel's default, main and local; 0 means "any". */
export const tableId = integer(1, 4294967295).refine(
  (id) => id < 253 || id > 255,
  "is one of the kernel's own tables (253 default, 254 main, 255 local)",
);

export const mtu = integer(68, 65535);

/** A list without order: sorted, so that equal sets are equal; a double is a mistake worth telling. */
export function setOf<T extends z.ZodType>(item: T, key: (value: z.output<T>) => string = String) {
  return z.array(item).transform((list, context) => {
    const keyed = list.map((value) => [key(value), value] as const);
    keyed.forEach(([k], index) => {
      if (keyed.findIndex(([other]) => other === k) < index) {
        issue(context, `${k} is listed twice`, list, [index]);
      }
    });
    return keyed.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, value]) => value);
  });
}
