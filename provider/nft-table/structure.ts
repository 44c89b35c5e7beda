import type { Block } from "../formats/nft-block";
import { COMMENT_LINE, MAP_LINES, type Reading, readLines, SET_LINES } from "../formats/nft-collection";
import type { NftTable } from "./args";
import { rulesText } from "./fields";

/** Kinds of blocks that have a field of their own; others stand in `text`. */
export const FIELDS = {
  chain: "chains",
  set: "sets",
  map: "maps",
  counter: "counters",
  quota: "quotas",
  limit: "limits",
  "ct helper": "ctHelpers",
  flowtable: "flowtables",
} as const satisfies Record<string, keyof NftTable>;

export type Field = (typeof FIELDS)[keyof typeof FIELDS];
export const fieldOf = (kind: string): Field | undefined => (FIELDS as Record<string, Field>)[kind];

/** One line of a head, and the fields that it says. */
const LINES: Readonly<Record<string, readonly Reading[]>> = {
  chain: [
    [
      /^type (\S+) hook (\S+)(?: device "?([^" ]+)"?| devices = \{ (.+) \})? priority (.+)$/,
      ([type, hook, device, devices, priority]) => ({
        type,
        hook,
        ...(device && { devices: [device] }),
        ...(devices && { devices: list(devices) }),
        priority: /^-?\d+$/.test(priority!) ? Number(priority) : priority,
      }),
    ],
    [/^policy (accept|drop)$/, ([policy]) => ({ policy })],
  ],
  set: SET_LINES,
  map: MAP_LINES,
  quota: [[/^(over )?(?:until )?(\d+ \S+)$/, ([over, bytes]) => ({ ...(over && { over: true }), bytes })]],
  limit: [
    [
      /^rate (over )?(\S+(?: \S+\/\S+)?)(?: burst (\d+ \S+))?$/,
      ([over, rate, burst]) => ({ rate, ...(over && { over: true }), ...(burst && { burst }) }),
    ],
  ],
  "ct helper": [
    [/^type "([^"]+)" protocol (tcp|udp)$/, ([type, protocol]) => ({ type, protocol })],
    [/^l3proto (ip|ip6|inet)$/, ([l3proto]) => ({ l3proto })],
  ],
  flowtable: [
    [
      /^hook ingress priority (.+)$/,
      ([priority]) => ({ priority: /^-?\d+$/.test(priority!) ? Number(priority) : priority }),
    ],
    [/^devices = \{ (.*) \}$/, ([devices]) => ({ devices: list(devices!) })],
    [/^counter$/, () => ({ counter: true })],
    [/^flags offload$/, () => ({ offload: true })],
  ],
};

const list = (text: string): string[] =>
  text
    .split(/ ?, ?/)
    .map((name) => name.replace(/"/g, ""))
    .sort();

/** A block as the value of its field; undefined where the field has no words for it. */
export function structured(block: Block): Record<string, unknown> | undefined {
  const fields = readLines(block.head, [...(LINES[block.kind] ?? []), COMMENT_LINE]);
  if (!fields) return undefined;
  return {
    ...fields,
    ...(block.rules && block.rules.length > 0 && { rules: rulesText(block.rules) }),
    ...(block.elements && { elements: block.elements }),
  };
}
