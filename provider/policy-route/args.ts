import { z } from "zod";
import { family as familyOf } from "../formats/cidr";
import { aimless, type Route, routes } from "../formats/route";
import type { Desired, Problem } from "../kind";
import { canonical, ifname, integer, prefix } from "../schema";
import { canonicalMark, PROTOCOLS, range } from "./selectors";

/**
 * An ip rule, and the routes of its table. A packet that fits all of its selectors follows it; one without a selector
 * follows it always. Exactly one of `table`, `l3mdev`, `goto` and `action` says where to. It carries a protocol number of
 * ours (210), so that no other rule is ever touched: shown by `ip rule` as `proto 210` (Linux 4.17).
 *
 * The kernel cannot tell two rules of one priority and one target apart where the selectors of one are a part of
 * the other's: the second is refused. Such a pair says nothing that the wider one does not say alone.
 */
export interface PolicyRouteFields {
  /** A label, 1 to 100 characters: nothing on the host carries it. A change replaces the rule. @default the resource's name */
  name?: string;
  /** Of the packets, and of every address here. */
  family: "ipv4" | "ipv6";
  /** 1 to 32765, the lower is asked first: 0 is the rule `local`, 32766 `main`, 32767 `default`. */
  priority: number;
  /** Source network of the packet: "10.0.0.0/8", "2001:db8::1". */
  from?: string;
  /** Destination network of the packet. */
  to?: string;
  /** Mark of the packet: 100, "0x64", or with a mask "0x64/0xff". Without a mask all bits count. */
  fwmark?: number | string;
  /** Name of the interface that the packet came in by; "lo" for what the host itself sends. It may come later. */
  iif?: string;
  /** Name of the interface that the sending socket is bound to. It may come later. */
  oif?: string;
  /** "tcp", "udp", "icmp", … or 1 to 255. Linux 4.17. */
  ipProtocol?: number | string;
  /** A port from 1 to 65534, or a range "1000-2000". The kernel takes no 65535. Linux 4.17. */
  sourcePort?: number | string;
  /** A port from 1 to 65534, or a range "1000-2000". The kernel takes no 65535. Linux 4.17. */
  destinationPort?: number | string;
  /** The DS field as a byte: a multiple of 4 from 4 to 252; IPv4 before Linux 6.17 up to 28. */
  tos?: number;
  /** User of the sending socket: an id from 0 to 4294967294, or a range "1000-2000". Linux 4.10. */
  uidRange?: number | string;
  /** The rule is for the packets that do not fit the selectors. @default false */
  invert?: boolean;
  /** Table to look the route up in, 1 to 4294967295; 254 is the main table. */
  table?: number;
  /** true: the table of the VRF that the packet's interface is a member of. */
  l3mdev?: boolean;
  /** Priority of the rule to go on with, higher than that of this one. It may come later. */
  goto?: number;
  /** The packet is dropped: "blackhole" in silence, "unreachable" and "prohibit" with an ICMP error. */
  action?: "blackhole" | "unreachable" | "prohibit";
  /** Routes of this prefix length or shorter do not count: 0 leaves out the default route. Needs `table`. */
  suppressPrefixLength?: number;
  /** Routes of `table`, of the rule's family. Other routes of the table stay. */
  routes?: Route[];
}

const link = z.union(
  [z.literal("lo"), ifname],
  "is no interface name: 1 to 15 of A-Z a-z 0-9 _ . -, the first a letter",
);
const selector = prefix.refine((text) => !text.endsWith("/0"), "matches every packet: leave it out");
const ports = range(1, 65534, "port");
const ACTIONS = ["blackhole", "unreachable", "prohibit"] as const;

export const schema = z.strictObject({
  name: z.string().regex(/^[^\p{C}]{1,100}$/u, "must be 1 to 100 characters, without control characters"),
  family: z.enum(["ipv4", "ipv6"], 'must be "ipv4" or "ipv6"'),
  priority: integer(1, 32765),
  from: selector.optional(),
  to: selector.optional(),
  fwmark: z
    .union([z.number(), z.string()], "must be a number or a text as 0x64/0xff")
    .transform(String)
    .pipe(canonical(canonicalMark))
    .optional(),
  iif: link.optional(),
  oif: link.optional(),
  ipProtocol: z
    .union([z.string(), z.number()], "must be a name or a number")
    .transform((p) => PROTOCOLS.name(p))
    .pipe(
      z.union(
        [integer(1, 255), z.enum(PROTOCOLS.names)],
        `must be 1 to 255, or one of ${PROTOCOLS.names.join(", ")}`,
      ),
    )
    .optional(),
  sourcePort: ports.optional(),
  destinationPort: ports.optional(),
  tos: integer(4, 252)
    .refine((tos) => tos % 4 === 0, "has ECN bits set: must be a multiple of 4")
    .optional(),
  uidRange: range(0, 4294967294, "user id").optional(),
  invert: z
    .boolean("must be true or false")
    .transform((yes) => yes || undefined)
    .optional(),
  table: integer(1, 4294967295).optional(),
  l3mdev: z.literal(true, "must be true, or left out").optional(),
  goto: integer(2, 4294967295).optional(),
  action: z.enum(ACTIONS, `must be one of ${ACTIONS.join(", ")}`).optional(),
  suppressPrefixLength: integer(0, 128).optional(),
  routes: routes.optional(),
});

export type PolicyRoute = Desired<typeof schema.shape>;

const SELECTORS = [
  "from",
  "to",
  "fwmark",
  "iif",
  "oif",
  "ipProtocol",
  "sourcePort",
  "destinationPort",
  "tos",
  "uidRange",
] as const;
const TARGETS = ["table", "l3mdev", "goto", "action"] as const;

export function refine(d: PolicyRoute): readonly Problem[] {
  const problems: Problem[] = [];
  const problem = (property: string, reason: string) => problems.push({ property, reason });
  const version = d.family === "ipv4" ? 4 : 6;
  const given = TARGETS.filter((key) => d[key] !== undefined);
  if (given.length !== 1) {
    problem(
      given[1] ?? "table",
      `exactly one of ${TARGETS.join(", ")} is needed, not ${given.join(" and ") || "none"}`,
    );
  }
  for (const key of ["from", "to"] as const) {
    if (d[key] !== undefined && familyOf(d[key]) !== version) problem(key, `${d[key]}: is not ${d.family}`);
  }
  if (d.invert && SELECTORS.every((key) => d[key] === undefined)) {
    problem("invert", "needs a selector: without one the rule would never match");
  }
  if (d.goto !== undefined && d.goto <= d.priority)
    problem("goto", `${d.goto}: must be higher than the priority, ${d.priority}`);
  if (d.suppressPrefixLength !== undefined) {
    // With l3mdev the kernel takes it, and iproute2 never shows it.
    if (d.table === undefined) problem("suppressPrefixLength", "needs table");
    if (version === 4 && d.suppressPrefixLength > 32)
      problem("suppressPrefixLength", `${d.suppressPrefixLength}: must be 0 to 32`);
  }
  if (d.routes?.length && d.table === undefined) problem("routes", "need a table");
  for (const { index, reason } of aimless(d.routes ?? [])) problem(`routes[${index}]`, reason);
  (d.routes ?? []).forEach(({ destination }, n) => {
    if (familyOf(destination) !== version)
      problem(`routes[${n}].destination`, `${destination}: is not ${d.family}`);
  });
  return problems;
}
