import { z } from "zod";
import { filterName, readFilterref, renderFilterref } from "../formats/filterref";
import { uuid } from "../formats/libvirt";
import { openTag, type XmlElement } from "../formats/xml";
import { parseXml } from "../formats/xml-parse";
import { integer } from "../schema";
import {
  type Entry,
  entry,
  isReference,
  type Match,
  matchesOf,
  negated,
  protocolOf,
  type Rule,
} from "./entries";
import { attributesOf, isProtocol, type Protocol, protocolNames } from "./protocols";

/** A filter as libvirt keeps it, canonical. */
export interface Filter {
  readonly name: string;
  readonly uuid?: string;
  readonly chain: string;
  readonly priority: number;
  readonly entries: readonly Entry[];
}

/** By the chain's prefix. libvirt's documentation says -810 for stp, its code 0. */
const CHAIN_PRIORITY: Readonly<Record<string, number>> = {
  root: 0,
  mac: -800,
  vlan: -750,
  stp: 0,
  arp: -500,
  rarp: -400,
  ipv4: -700,
  ipv6: -600,
};

const prefixes = Object.keys(CHAIN_PRIORITY).filter((prefix) => prefix !== "root");
const prefixOf = (chain: string): string => prefixes.find((prefix) => chain.startsWith(prefix)) ?? "root";
export const standardPriority = (chain: string): number => CHAIN_PRIORITY[prefixOf(chain)]!;

export const chainName = z
  .string()
  .regex(/^[A-Za-z0-9_.:-]{1,12}$/, "is no name of a chain: 1 to 12 of A-Z a-z 0-9 _ . : -")
  .refine(
    (chain) => chain === "root" || prefixes.some((prefix) => chain.startsWith(prefix)),
    `must be root, or begin with ${prefixes.join(", ")}`,
  );

/** Exactly as `virsh nwfilter-dumpxml` prints it. */
export function renderFilter({ name, uuid: id, chain, priority, entries }: Filter): string {
  const lines = [
    ...(id === undefined ? [] : [`<uuid>${id}</uuid>`]),
    ...entries.flatMap((one) =>
      isReference(one) ? renderFilterref(one.filter, one.parameters) : renderRule(one),
    ),
  ];
  // libvirt prints no 0, not even where it is not what it takes for a chain of that name.
  const shown = priority === 0 && standardPriority(chain) === 0 ? undefined : priority;
  const open = openTag("filter", { name, chain, priority: shown });
  return [`${open}>`, ...lines.map((line) => `  ${line}`), "</filter>", ""].join("\n");
}

function renderRule(rule: Rule): string[] {
  const { action, direction, priority, statematch } = rule;
  const open = openTag("rule", {
    action,
    direction,
    priority,
    statematch: statematch === false ? "false" : undefined,
  });
  const protocol = protocolOf(rule);
  if (!protocol) return [`${open}/>`];
  const nodes = nodesOf(protocol, matchesOf(rule, protocol)).map((node) => `  ${openTag(protocol, node)}/>`);
  return [`${open}>`, ...nodes, "</rule>"];
}

/** Attributes in the order of the table; whenever the sign changes, libvirt begins an element anew. */
function nodesOf(protocol: Protocol, matches: readonly Match[]): Match[] {
  const nodes: Record<string, string>[] = [];
  for (const name of Object.keys(attributesOf(protocol))) {
    const match = matches.find((one) => name in one);
    if (!match) continue;
    const no = negated(match);
    const current = nodes.at(-1);
    if (!current || negated(current) !== no) nodes.push({ ...(no && { match: "no" }), [name]: match[name]! });
    else current[name] = match[name]!;
  }
  return nodes.length === 0 ? [{}] : nodes;
}

/** What libvirt prints: there, no priority is 0. */
export function parseDump(text: string): Filter {
  const filter = parseFilter(text);
  return "priority" in parseXml(text).attributes ? filter : { ...filter, priority: 0 };
}

/** A file as a user has it. Throws at whatever libvirt would drop, or would not give back so. */
export function parseFilter(text: string): Filter {
  const root = parseXml(text);
  if (root.name !== "filter") throw new Error(`is no filter, but <${root.name}>`);
  const { name, chain = "root", priority, ...others } = root.attributes;
  refuseOthers("filter", others, root.text);
  const own = { name: valid("name", filterName, name), chain: valid("chain", chainName, chain) };
  if (priority !== undefined && root.attributes.chain === undefined)
    throw new Error("filter: priority is ignored by libvirt without a chain: add chain='root'");
  const ids = root.children.filter((child) => child.name === "uuid");
  if (ids.length > 1) throw new Error("filter: has more than one uuid");
  const [id] = ids;
  if (id && (id.children.length > 0 || Object.keys(id.attributes).length > 0))
    throw new Error("uuid: must hold a UUID and nothing else");
  const entries = root.children.filter((child) => child !== id);
  return {
    ...own,
    ...(id && { uuid: valid("uuid", uuid, id.text) }),
    priority:
      priority === undefined
        ? standardPriority(own.chain)
        : valid("priority", chainPriority, whole(priority)),
    entries: entries.map((child, n) => valid(`entry ${n + 1}`, entry, rawEntry(child, n + 1))),
  };
}

export const chainPriority = integer(-1000, 1000);

/** A number where it is one; else as it stands, for the check to complain of. */
const whole = (text: string): number | string => (/^-?\d+$/.test(text) ? Number(text) : text);

function refuseOthers(what: string, attributes: object, text = ""): void {
  const [other] = Object.keys(attributes);
  if (other !== undefined) throw new Error(`${what}: knows no attribute ${other}, which libvirt would drop`);
  if (text !== "") throw new Error(`${what}: holds text, which libvirt would drop: ${text.slice(0, 40)}`);
}

/** An element as a program would write the entry. */
function rawEntry(element: XmlElement, n: number): object {
  const where = `entry ${n}`;
  if (element.name === "filterref") {
    refuseOthers(where, {}, element.text);
    return readFilterref(element);
  }
  if (element.name !== "rule") throw new Error(`${where}: is <${element.name}>, which libvirt would drop`);
  const { action, direction, priority, statematch, ...others } = element.attributes;
  refuseOthers(where, others, element.text);
  const names = [...new Set(element.children.map((child) => child.name))];
  const odd = names.find((name) => !isProtocol(name));
  if (odd !== undefined)
    throw new Error(
      `${where}: knows no protocol ${odd}, and libvirt would match all packets: ${protocolNames.join(", ")}`,
    );
  for (const child of element.children) {
    refuseOthers(`${where}: ${child.name}`, {}, child.text);
    if (child.children.length > 0)
      throw new Error(`${where}: ${child.name}: holds <${child.children[0]!.name}>`);
  }
  const matches = (name: string) => {
    const found = element.children.filter((child) => child.name === name).map((child) => child.attributes);
    return found.length === 1 ? found[0] : found;
  };
  return {
    action,
    direction,
    ...(priority !== undefined && { priority: whole(priority) }),
    ...(statematch !== undefined && {
      statematch: /^(0|1|true|false)$/i.test(statematch) ? /^(1|true)$/i.test(statematch) : statematch,
    }),
    ...Object.fromEntries(names.map((name) => [name, matches(name)])),
  };
}

/** The value, or its first mistake, as one sentence with the place in front. */
function valid<T extends z.ZodType>(where: string, schema: T, given: unknown): z.output<T> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const at = path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown>)?.[part], given);
  const shown = at === undefined || typeof at === "object" ? "" : `${JSON.stringify(at)}: `;
  const missing = at === undefined && path.length > 0 ? "is required" : message;
  throw new Error(`${[where, ...path].join(": ")}: ${shown}${missing}`);
}
