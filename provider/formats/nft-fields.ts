import { z } from "zod";
import { integer, issue, setOf } from "../schema";
import { commentProblem, nameProblem } from "./nft";
import { formatTime, parseTime } from "./nft-element";

/** A check as a field: what `problem` says is the message. */
export const checked = (problem: (text: string) => string | undefined) =>
  z.string().superRefine((text, context) => {
    const message = problem(text);
    if (message) issue(context, message, text);
  });

/** A canonicaliser as a field: what it throws is the message. */
function converted<T>(convert: (given: T) => T) {
  return (given: T, context: z.RefinementCtx): T => {
    try {
      return convert(given);
    } catch (error) {
      issue(context, (error as Error).message, given);
      return z.NEVER;
    }
  };
}

export const flag = z.boolean("must be true or false").optional();
export const comment = checked(commentProblem).optional();
/** A few words of nft: types, rates, amounts. No brace, no quote, no second statement. */
export const words = (what: string) =>
  z.string().transform(
    converted((text) => {
      const plain = text.trim().replace(/\s+/g, " ");
      if (!/^[A-Za-z0-9_./ ,:@&|-]+$/.test(plain)) throw new Error(`is no ${what}`);
      return plain;
    }),
  );

export const time = z
  .union([z.number(), z.string()], 'must be seconds, or a time as "1h30m"')
  .transform((given, context) => {
    const ms = typeof given === "number" ? Math.round(given * 1000) : parseTime(given);
    if (ms !== undefined && ms > 0 && Number.isSafeInteger(ms)) return formatTime(ms);
    issue(context, 'must be seconds, or a time as "1h30m", more than none', given);
    return z.NEVER;
  });

export const name = checked(nameProblem);
export const names = setOf(name);

const oneOf = (list: readonly string[]): string => `must be one of ${list.join(", ")}`;
const FAMILIES = ["ip", "ip6", "inet", "arp", "bridge", "netdev"] as const;
export const family = z.enum(FAMILIES, oneOf(FAMILIES));

const FLAGS = ["constant", "interval", "timeout", "dynamic"] as const;

/** What sets and maps have in common, wherever they are declared. */
export const collection = {
  type: words("type: as ipv4_addr, or ipv4_addr . inet_service").optional(),
  typeof: words("expression: as ip saddr . tcp dport").optional(),
  flags: setOf(z.enum(FLAGS, oneOf(FLAGS))).optional(),
  timeout: time.optional(),
  gcInterval: time.optional(),
  size: integer(1, 4294967295).optional(),
  counter: flag,
  policy: z.enum(["performance", "memory"], 'must be "performance" or "memory"').optional(),
  comment,
};
