import { references } from "./nft";

const RULE = /^(add rule (\S+) (\S+) )(\S+) (.*)$/;
/** In the place of a rule that is not judged: every chain takes it. */
const PLACEHOLDER = "counter";

/**
 * The lines of a create as one batch that says the same wherever it is judged: whatever there is of the table goes first.
 * `made`: sets of other resources, as they are declared; rules that name one of `unknown` are left to the host.
 */
export function prepared(
  table: string,
  [first = "", ...rest]: readonly string[],
  made: readonly string[],
  unknown: ReadonlySet<string>,
): string[] {
  const known = (line: string) => {
    const rule = RULE.exec(line)?.[5];
    return rule === undefined || !references(rule).sets.some((name) => unknown.has(name));
  };
  // In one line, so that nft counts the lines as the program's batch has them.
  const opening = [`add table ${table}`, `delete table ${table}`, first, ...made].join("; ");
  return [opening, ...rest.map((line) => (known(line) ? line : unjudged(line)))];
}

/** The line as one that nothing can be said against; of what has several lines, as lists of elements, the line itself. */
export const unjudged = (line: string): string => {
  const rule = RULE.exec(line);
  if (rule) return `${rule[1]}${rule[4]} ${PLACEHOLDER}`;
  return /^add (?!element )/.test(line) && !line.endsWith("{") ? "" : line;
};

/** What a kernel says that was built without something, or has no module for it. */
const KERNELS =
  /^Could not process rule: (No such file or directory|Operation not supported|Protocol error|Protocol not supported|Address family not supported by protocol|Message too long)$/;
/** Of a rule, an older kernel may mean what it does not know yet; of a set it is mostly an element that does not fit. */
const OLD = /^Could not process rule: Invalid argument$/;
/** `iif` and `oif` mean a link of the machine that is asked. */
const MACHINES = /^Interface does not exist$/;

/** nft itself found nothing wrong. */
export const isKernels = (reason: string): boolean => reason.startsWith("Could not process rule: ");

/** Whether an error may be about the machine that was asked, not about the program. */
export const isDoubtful = (reason: string, line: string): boolean =>
  KERNELS.test(reason) || MACHINES.test(reason) || (OLD.test(reason) && RULE.test(line));

const ROUTED = [
  ...["prerouting", "input", "forward", "output", "postrouting"].map((hook) => `type filter hook ${hook}`),
  ...["prerouting", "input", "output", "postrouting"].map((hook) => `type nat hook ${hook}`),
  "type route hook output",
];
const PLACES: Readonly<Record<string, readonly string[]>> = {
  ip: ROUTED,
  ip6: ROUTED,
  inet: ROUTED,
  bridge: ROUTED.slice(0, 5),
  arp: ["type filter hook input", "type filter hook output"],
};

/**
 * A rule by itself in every sort of chain, each with the batch around it: a kernel that takes it in one of them knows it, and
 * so refuses not the rule but the place where it stands. None for what is no rule, and for netdev, whose chains need links.
 */
export function everywhere(lines: readonly string[], rule: string): string[][] {
  const [, , family = "", table = "", , said = ""] = RULE.exec(rule) ?? [];
  const around = lines.map((line) => (RULE.test(line) ? unjudged(line) : line));
  const chain = `${family} ${table} hostnet-try`;
  return (PLACES[family] ?? []).map((place) => [
    ...around,
    `add chain ${chain} { ${place} priority 1; }`,
    `add rule ${chain} ${said}`,
  ]);
}
