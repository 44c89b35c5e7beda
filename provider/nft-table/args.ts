import { z } from "zod";
import { collection, comment, family, flag, name, names, words } from "../formats/nft-fields";
import type { Desired } from "../kind";
import { issue, setOf } from "../schema";
import { device, elements, named, priority, rules, text } from "./fields";

/** A chain that others jump to. */
export interface RegularChain {
  /**
   * In order, each in nft's own words: "tcp dport 22 accept"; or one text with a line for each. Best written with the
   * `nft` tag. Refused: `#`, `;`, line breaks and lone braces outside quotes, host names.
   */
  rules?: string[] | string;
  /** At most 128 bytes, without `"`. A change makes the chain anew, with fresh rule counters. Linux 5.10. */
  comment?: string;
}

/** A chain that the kernel sends packets through. */
export interface BaseChain extends RegularChain {
  /** What the chain is for. "nat" sees the first packet of a connection; "route" is for the output hook alone. */
  type: "filter" | "nat" | "route";
  /** Where packets meet it. "ingress": families netdev and inet (Linux 5.10); "egress": netdev (Linux 5.16). */
  hook: "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress" | "egress";
  /**
   * Order among the chains of a hook, lowest first: a number, or a name with an offset, as "filter", "dstnat - 5".
   * raw -300, mangle -150, dstnat -100, filter 0, security 50, srcnat 100; in the bridge family dstnat -300,
   * filter -200, out 100, srcnat 300. "nat" chains need more than -200; the bridge family refuses 0.
   */
  priority: number | string;
  /**
   * Interface of an ingress or egress chain. It must exist (before Linux 6.16), and takes the chain along when it goes, which
   * is drift. When it is there again the host puts the chain back, as udev tells it (2 s in the lab), unless `persist` is
   * false. Until then what comes by it passes: where that must not be, filter by name in another family, as `iifname` of
   * bridge or inet does. Where the chain drops or rejects anything, all but SSH, neighbour discovery, ARP and DHCP is dropped
   * there from a boot until the chain is.
   */
  device?: string;
  /** Several of them. Linux 5.5. */
  devices?: string[];
  /** What happens to a packet that no rule decided about. @default "accept" */
  policy?: "accept" | "drop";
}

/** What sets and maps have in common. */
interface Collection {
  /** Types of the key, as "ipv4_addr", "ifname . ether_addr", "ipv4_addr . inet_service". Either this or `typeof`. */
  type?: string;
  /** Expression whose type the key has: "ip saddr . tcp dport". */
  typeof?: string;
  /**
   * "interval": prefixes and ranges; "timeout": elements may have one; "dynamic": rules add elements;
   * "constant": elements never change.
   */
  flags?: ("constant" | "interval" | "timeout" | "dynamic")[];
  /** Of elements that have none of their own: seconds, or nft's "1h30m". */
  timeout?: number | string;
  /** How often elements that ran out are cleared away: seconds, or nft's "10s". */
  gcInterval?: number | string;
  /** The most elements that it holds. Needed where rules add them without a timeout. */
  size?: number;
  /** Counts packets and bytes for each element. Linux 5.7. */
  counter?: boolean;
  /** Overlapping and adjacent intervals become one. */
  autoMerge?: boolean;
  /** What the kernel should save. @default "performance" */
  policy?: "performance" | "memory";
  /** At most 128 bytes, without `"`. */
  comment?: string;
}

/** One element, told apart. */
export interface Element {
  /** "192.168.2.0/24", "tap0", "10.0.0.1 . 80". */
  element: string;
  /** Of a map: "accept", "jump guest0", "192.168.3.0/24". */
  value?: string;
  /** Seconds, or nft's "1h30m". Needs the flag "timeout". */
  timeout?: number | string;
  /** At most 128 bytes, without `"`. */
  comment?: string;
}

/**
 * A named set. Any change but to its elements makes it anew in the same transaction: elements that packets added are
 * lost then. An `NftSet` is a set with a life of its own.
 */
export interface TableSet extends Collection {
  /**
   * "10.0.0.1", "10.0.0.2 timeout 1h", an object, or a record from element to attributes. Left out, elements are not
   * managed. In a set with the flag "dynamic" or "timeout", elements that others add stay, and no drift.
   */
  elements?: (string | Element)[] | Record<string, string>;
}

/** A named map, or verdict map. As a set, with a value for each element. */
export interface TableMap extends Collection {
  /** Type of the values: "verdict", "ipv4_addr", "interval ipv4_addr", "mark", "counter"; with `typeof` an expression. */
  value: string;
  /** "10.0.0.1 : accept", an object, or a record from element to value ("accept", "timeout 1h : accept"). */
  elements?: (string | Element)[] | Record<string, string>;
}

/** Named: rules that say `counter name "x"` share it, and it keeps its count. */
export interface Counter {
  /** At most 128 bytes, without `"`. A change starts the count anew. */
  comment?: string;
}

export interface Quota {
  /** "100 mbytes" (bytes, kbytes, mbytes). What was used so far is kept when it changes. */
  bytes: string;
  /** Matches once the quota is used up; without it, until then. @default false */
  over?: boolean;
  /** At most 128 bytes, without `"`. A change starts the quota anew. */
  comment?: string;
}

export interface Limit {
  /** "10/second", "1 mbytes/minute". */
  rate: string;
  /** Matches what exceeds the rate; without it, what stays below. @default false */
  over?: boolean;
  /** "5 packets", "100 kbytes". The kernel's default is 5 packets. */
  burst?: string;
  /** At most 128 bytes, without `"`. */
  comment?: string;
}

/** Lets connection tracking follow a protocol, once a rule says `ct helper set "name"`. */
export interface CtHelper {
  /** Of the kernel's helpers: "ftp", "sip", "tftp", … Its module, as nf_conntrack_ftp, must be loaded. */
  type: string;
  protocol: "tcp" | "udp";
  /** Left out, that of the table's family. */
  l3proto?: "ip" | "ip6" | "inet";
  /** At most 128 bytes, without `"`. */
  comment?: string;
}

/** Forwards established connections past the rules (`flow add @name`). Linux 4.16. */
export interface Flowtable {
  /** Order at the ingress hook: a number, or "filter" with an offset. */
  priority: number | string;
  /** Interfaces between which packets are forwarded. They must exist. */
  devices: string[];
  /** Counts what it forwards. Linux 5.7. */
  counter?: boolean;
  /** The network card does it. Linux 5.5. */
  offload?: boolean;
}

/** A whole nftables table. What stands in it and is declared nowhere is drift, and goes with the next change. */
export interface NftTableFields {
  /** "inet" is IPv4 and IPv6. A change replaces the table. */
  family: "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";
  /** A letter, then letters, digits and `/ \ _ . -`, at most 255; no word of nft. A change replaces the table. @default the resource's name */
  name?: string;
  /** By name. Chains without type, hook and priority are for others to jump to. */
  chains?: Record<string, BaseChain | RegularChain>;
  /** By name. A rule says `@name`. */
  sets?: Record<string, TableSet>;
  /** By name. A rule says `map @name`, or `vmap @name` where the values are verdicts. */
  maps?: Record<string, TableMap>;
  /** By name. A rule says `counter name "x"`. Linux 4.10. */
  counters?: Record<string, Counter>;
  /** By name. A rule says `quota name "x"`. Linux 4.10. */
  quotas?: Record<string, Quota>;
  /** By name. A rule says `limit name "x"`. Linux 4.14. */
  limits?: Record<string, Limit>;
  /** By name. A rule says `ct helper set "x"`. Linux 4.12; families ip, ip6 and inet. */
  ctHelpers?: Record<string, CtHelper>;
  /** By name. A rule says `flow add @x`. Linux 4.16; families ip, ip6 and inet. */
  flowtables?: Record<string, Flowtable>;
  /**
   * Anything else that may stand in a table, or all of it, in nft's own language with comments and `define`s: the
   * inside of `table … { }`, or a whole file of one table: `nft.file("…")` reads one, with its includes. What is declared
   * in it more than once is one, as in nft. A table's `comment` in it cannot change in place: the table is then made anew.
   */
  text?: string;
  /**
   * Names of the sets in this table that have a resource of their own, which this one leaves alone. Those that stand in
   * rules are among them by themselves, but where the rule is made inside of an `apply`.
   */
  uses?: string[];
  /** The table is there, but no packet sees it. */
  dormant?: boolean;
}

const oneOf = (list: readonly string[]): string => `must be one of ${list.join(", ")}`;
const TYPES = ["filter", "nat", "route"] as const;
const HOOKS = ["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"] as const;

const chain = z
  .strictObject({
    type: z.enum(TYPES, oneOf(TYPES)).optional(),
    hook: z.enum(HOOKS, oneOf(HOOKS)).optional(),
    priority: priority.optional(),
    device: device.optional(),
    devices: setOf(device).optional(),
    policy: z.enum(["accept", "drop"], 'must be "accept" or "drop"').optional(),
    comment,
    rules: rules.optional(),
  })
  .transform((given, context) => {
    const { device: one, devices: more = [], rules: text, ...head } = given;
    const base = [given.type, given.hook, given.priority];
    if (base.includes(undefined) && base.some((part) => part !== undefined)) {
      issue(
        context,
        "a base chain has type, hook and priority; a chain that others jump to has none of them",
        given,
      );
    } else if (base.includes(undefined) && (head.policy || one || more.length > 0)) {
      issue(context, "policy and devices belong to a base chain, which has type, hook and priority", given);
    }
    const devices = [...new Set(one ? [one, ...more] : more)].sort();
    return { ...head, ...(devices.length > 0 && { devices }), ...(text && { rules: text }) };
  });

const typed = <T extends { type?: unknown; typeof?: unknown }>(given: T, context: z.RefinementCtx): void => {
  if ((given.type === undefined) === (given.typeof === undefined))
    issue(context, "needs either type or typeof", given);
};

const set = z
  .strictObject({ ...collection, autoMerge: flag, elements: elements(false).optional() })
  .superRefine(typed);
const map = z
  .strictObject({
    ...collection,
    autoMerge: flag,
    value: words("type of values: as verdict, or ipv4_addr"),
    elements: elements(true).optional(),
  })
  .superRefine(typed);

export const schema = z.strictObject({
  family,
  name,
  chains: named(chain),
  sets: named(set),
  maps: named(map),
  counters: named(z.strictObject({ comment })),
  quotas: named(z.strictObject({ bytes: words("amount: as 100 mbytes"), over: flag, comment })),
  limits: named(
    z.strictObject({
      rate: words("rate: as 10/second"),
      over: flag,
      burst: words("amount: as 5 packets").optional(),
      comment,
    }),
  ),
  ctHelpers: named(
    z.strictObject({
      type: z.string().regex(/^[A-Za-z0-9-]{1,30}$/, "is no helper: as ftp, sip, tftp"),
      protocol: z.enum(["tcp", "udp"], 'must be "tcp" or "udp"'),
      l3proto: z.enum(["ip", "ip6", "inet"], 'must be "ip", "ip6" or "inet"').optional(),
      comment,
    }),
  ),
  flowtables: named(z.strictObject({ priority, devices: setOf(device), counter: flag, offload: flag })),
  text: text.optional(),
  uses: names.optional(),
  dormant: flag,
});

export type NftTable = Desired<typeof schema.shape>;
export type Chain = z.output<typeof chain>;
export type SetOrMap = z.output<typeof set> & { value?: string };

/** A rule's lines, without empty ones. */
export const rulesOf = (c: Chain): string[] => (c.rules ?? "").split("\n").filter((line) => line !== "");
