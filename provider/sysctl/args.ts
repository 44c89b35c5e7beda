import { z } from "zod";
import type { Desired, Problem } from "../kind";
import { issue, label } from "../schema";
import { claimKey, keyOf } from "./keys";

/** Kernel settings, as sysctl(8) sets them. */
export interface SysctlFields {
  /** A label: 1 to 100 of A-Z a-z 0-9 _ . -, unique on the host. A change replaces. @default the resource's name */
  name?: string;
  /**
   * Values by key: { "net.ipv4.ip_forward": 1 }. A device name with dots stands behind slashes, as in
   * "net/ipv4/conf/eth0.10/rp_filter". Several resources, of several stacks too, may set one key to the same value; the
   * value found first goes back with the last of them. A key that changes every device, as net.ipv4.ip_forward does, is
   * written before the devices' own keys; then the devices go back too.
   */
  settings: Record<string, string | number>;
}

/** As the kernel prints it, but for its tabs. */
const value = z
  .union([z.number().int("must be a whole number or a text"), z.string()], "must be a whole number or a text")
  .transform((text) =>
    String(text)
      .trim()
      .replaceAll(/[\t ]+/g, " "),
  )
  .refine(
    (text) => /^[\x20-\x7e]{0,1000}$/.test(text),
    "must be at most 1000 printable ASCII characters on one line",
  );

const settings = z.unknown().transform((raw, context) => {
  const problem = (message: string, path: string[] = []) => issue(context, message, raw, path);
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    problem('must be values by key, as { "net.ipv4.ip_forward": 1 }');
    return z.NEVER;
  }
  const entries = Object.entries(raw).flatMap(([given, v]): [string, string][] => {
    const key = keyOf(given);
    const parsed = value.safeParse(v);
    if (key === undefined) problem("is no key of sysctl, as net.ipv4.ip_forward", [given]);
    else if (!parsed.success) problem(parsed.error.issues[0]!.message, [given]);
    else return [[key, parsed.data]];
    return [];
  });
  const twice = entries.find(([key], n) => entries.findIndex(([other]) => other === key) < n);
  if (twice) problem(`${twice[0]} is listed twice`);
  if (Object.keys(raw).length === 0) problem("must not be empty");
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
});

export const schema = z.strictObject({
  name: label,
  settings,
});

export type Sysctl = Desired<typeof schema.shape>;

/** The kernel has two names for one setting: they cannot have two values. */
export function refine(d: Sysctl): readonly Problem[] {
  return Object.entries(d.settings).flatMap(([key, wanted]) => {
    const other = claimKey(key);
    const clash = d.settings[other];
    if (clash === undefined || clash === wanted) return [];
    return [{ property: `settings.${key}`, reason: `${wanted}: is the same as ${other}, which is ${clash}` }];
  });
}
