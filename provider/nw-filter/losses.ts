import { isReference, matchesOf, negated, protocolOf, type Rule } from "./entries";
import { type Filter, standardPriority } from "./filter";
import type { Protocol } from "./protocols";

/** What libvirt takes without a word and does not do, or does not remember: by place in `entries`, or of the filter. */
interface Loss {
  readonly entry?: number;
  /** Of the rule. */
  readonly property?: string;
  readonly reason: string;
}

/** What means nothing alone, and has the sign of what it belongs to. */
const BELONGS: Readonly<Record<string, string>> = {
  srcmacmask: "srcmacaddr",
  dstmacmask: "dstmacaddr",
  srcipmask: "srcipaddr",
  dstipmask: "dstipaddr",
  arpsrcipmask: "arpsrcipaddr",
  arpdstipmask: "arpdstipaddr",
  srcipto: "srcipfrom",
  dstipto: "dstipfrom",
  srcportend: "srcportstart",
  dstportend: "dstportstart",
  typeend: "type",
  codeend: "code",
  ipset: "ipsetflags",
  ipsetflags: "ipset",
  "root-priority-hi": "root-priority",
  "root-address-mask": "root-address",
  "root-cost-hi": "root-cost",
  "sender-priority-hi": "sender-priority",
  "sender-address-mask": "sender-address",
  "port-hi": "port",
  "age-hi": "age",
  "max-age-hi": "max-age",
  "hello-time-hi": "hello-time",
  "forward-delay-hi": "forward-delay",
};

/** Of two of a pair, libvirt looks at the first alone. */
const EITHER = [
  ["srcipaddr", "srcipfrom"],
  ["dstipaddr", "dstipfrom"],
] as const;

export function lossesOf({ chain, priority, entries }: Filter): Loss[] {
  const standard = standardPriority(chain);
  const ofChain =
    priority === 0 && standard !== 0
      ? [
          {
            property: "priority",
            reason: `0: libvirt does not write it down and takes ${standard} when it starts next: write -1 or 1`,
          },
        ]
      : [];
  const ofRules = entries.flatMap((entry, n) => {
    const protocol = isReference(entry) ? undefined : protocolOf(entry);
    if (isReference(entry) || !protocol) return [];
    return ofRule(entry, protocol).map((reason) => ({ entry: n, property: protocol, reason }));
  });
  return [...ofChain, ...ofRules];
}

function ofRule(rule: Rule, protocol: Protocol): string[] {
  const matches = matchesOf(rule, protocol);
  const signs = new Map(
    matches.flatMap((match) => Object.keys(match).map((name) => [name, negated(match)] as const)),
  );
  signs.delete("match");
  const attribute = (name: string) => matches.find((match) => name in match)?.[name];
  const belonging = [...signs].flatMap(([name, no]) => {
    const owner = BELONGS[name];
    if (owner === undefined || signs.get(owner) === no) return [];
    return signs.has(owner)
      ? [`${name} must stand beside ${owner}, in one match: libvirt takes the sign of that one`]
      : [`${name} means nothing without ${owner}`];
  });
  const both = EITHER.filter(([a, b]) => signs.has(a) && signs.has(b)).map(
    ([a, b]) => `${b} is ignored beside ${a}: take one of them`,
  );
  return [
    ...belonging,
    ...both,
    ...portLosses(protocol, signs, attribute("protocol")),
    ...signLosses(protocol, signs),
  ];
}

const PORTS = ["srcportstart", "srcportend", "dstportstart", "dstportend"];

function portLosses(protocol: Protocol, signs: ReadonlyMap<string, boolean>, inner?: string): string[] {
  const given = PORTS.filter((name) => signs.has(name));
  if (given.length === 0) return [];
  if (protocol === "ip" || protocol === "ipv6") {
    const number = inner?.startsWith("0x") ? String(Number(inner)) : inner;
    return ["tcp", "udp", "sctp", "33"].includes(number ?? "")
      ? []
      : [`${given[0]} needs protocol: "tcp", "udp", "sctp" or 33 (dccp)`];
  }
  const [source, target] = [signs.get("srcportstart") ?? false, signs.get("dstportstart") ?? false];
  if (!signs.has("dstportstart") || source === target) return [];
  // The sign of the receiver's ports is copied from the sender's, so "all but 22" would become "22".
  return signs.has("srcportstart")
    ? ["dstportstart gets the sign of srcportstart in libvirt: write two rules"]
    : [
        "match no is lost on dstportstart without srcportstart: libvirt would match that port itself. " +
          'Write a rule for the port that ends the decision (action "return", or "accept"), and below it one for all others',
      ];
}

function signLosses(protocol: Protocol, signs: ReadonlyMap<string, boolean>): string[] {
  const lost: string[] = [];
  if (signs.get("state")) lost.push("libvirt forgets match no on state: write the states that are meant");
  // Type and code of ICMP have one sign, that of the type.
  const code = protocol === "ipv6" || protocol.startsWith("icmp") ? signs.get("code") : undefined;
  if (code !== undefined && code !== (signs.get("type") ?? false))
    lost.push("code gets the sign of type in libvirt: write both in one match, or two rules");
  return lost;
}
