import { HostnetError } from "../errors";
import type { Claim, Last, Observed, Step } from "../kind";
import type { KernelModules, schema } from "./args";
import { bootFile, bootText, type Facts } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

/** What was found before the first claim to a module. */
interface Former {
  readonly loaded: boolean;
  readonly brings: readonly string[];
}

/** To be loaded, and to be loaded at boot: a resource that does not persist claims the first only. */
const loading = (module: string): string => `module/${module}`;
const booting = (module: string): string => `module/${module}/boot`;

export function claims(d: KernelModules, before?: Seen): Record<string, Claim> {
  const entries = d.modules.flatMap((module): [string, Claim][] => {
    const loaded = before?.state?.modules.includes(module) ?? false;
    const former: Former = { loaded, brings: before?.facts.brings[module] ?? [] };
    const boot: [string, Claim] = [booting(module), { value: "loaded", former: null }];
    return [[loading(module), { value: "loaded", former }], ...(d.persist ? [boot] : [])];
  });
  return Object.fromEntries(entries);
}

export function ensure(d: KernelModules, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const there = before.state?.modules ?? [];
  // Only the way back of a failed change knows what was there before it, or starts from nothing.
  const wayBack = before.state === undefined || last?.former.state !== undefined;
  const refused = d.modules.find((module) => !there.includes(module) && before.facts.refused[module]);
  if (refused !== undefined && !wayBack)
    throw new HostnetError(`modules: ${refused}: ${before.facts.refused[refused]}`);
  const left = last?.desired.modules.filter((module) => !d.modules.includes(module)) ?? [];
  return [
    ...left.flatMap((module) => takeBack(module, last!, formerOf(module, before, wayBack))),
    ...d.modules.flatMap((module) => [
      ...(there.includes(module) ? [] : [{ argv: ["modprobe", module] }]),
      ...boot(module, wayBack ? before.facts.boot.includes(module) : d.persist),
    ]),
  ];

  function boot(module: string, wanted: boolean): Step[] {
    if (!wanted) return last?.desired.persist ? [forget(module)] : [];
    return before.facts.boot.includes(module) && !wayBack ? [] : [atBoot(module)];
  }
}

export function remove(before: Seen, last: Last<Shape, Facts>): readonly Step[] {
  return last.desired.modules.flatMap((module) => takeBack(module, last, formerOf(module, before, false)));
}

function formerOf(module: string, { shared, facts }: Seen, wayBack: boolean): Former | undefined {
  // What a failed change wanted and was not there, the change itself has loaded.
  if (wayBack) return { loaded: false, brings: facts.brings[module] ?? [] };
  return shared?.[loading(module)] as Former | undefined;
}

function takeBack(module: string, { desired }: Last<Shape, Facts>, former?: Former): Step[] {
  const ours = former && !former.loaded ? [module, ...[...former.brings].reverse()] : [];
  return [...(desired.persist ? [forget(module)] : []), ...ours.map((name) => unload(name, module))];
}

/**
 * One module and no other: `modprobe -r` would take along what was idle, but loaded, before us. Only an idle one has no
 * users (0) and none named (-); of one that can never go the kernel says "[permanent]" there.
 */
const unload = (name: string, claimed: string): Step => ({
  argv: ["rmmod", name],
  released: [...new Set([claimed, name])].map(loading),
  unless: ["awk", `$1 == "${name}" && $3 == 0 && $4 == "-" { idle = 1 } END { exit idle }`, "/proc/modules"],
});

/** With the last resource that wants it at boot. */
const forget = (module: string): Step => ({
  argv: ["rm", "-f", bootFile(module)],
  released: [booting(module)],
});

const atBoot = (module: string): Step => ({
  argv: ["install", "-D", "-m", "644", "/dev/stdin", bootFile(module)],
  stdin: bootText(module),
});
