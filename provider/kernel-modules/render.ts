import { HostnetError } from "../errors";
import type { Claim, Last, Observed, Step } from "../kind";
import type { KernelModules, schema } from "./args";
import { bootFile, bootText, type Facts } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

/** What was found before the first claim to a module. */
interface Former {
  readonly loaded: boolean;
}

/** To be loaded, and to be loaded at boot: a resource that does not persist claims the first only. */
const loading = (module: string): string => `module/${module}`;
const booting = (module: string): string => `module/${module}/boot`;

export function claims(d: KernelModules, before?: Seen): Record<string, Claim> {
  const entries = d.modules.flatMap((module): [string, Claim][] => {
    const loaded = before?.state?.modules.includes(module) ?? false;
    const former: Former = { loaded };
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
    ...(last ? takeBack(left, last, before, wayBack) : []),
    ...d.modules.flatMap((module) => [
      ...(there.includes(module) ? [] : [{ argv: ["modprobe", module] }]),
      ...boot(module, wayBack ? before.facts.boot.includes(module) : d.persist),
    ]),
  ];

  function boot(module: string, wanted: boolean): Step[] {
    if (!wanted) return last?.desired.persist ? [forget(module)] : [];
    return before.facts.boot.includes(module) && !wayBack ? [] : atBoot(module);
  }
}

export function remove(before: Seen, last: Last<Shape, Facts>): readonly Step[] {
  return takeBack(last.desired.modules, last, before, false);
}

/**
 * The last loaded first. Not what came along: of a dependency nobody can tell whether something else has come to rely
 * on it.
 */
function takeBack(
  modules: readonly string[],
  { desired }: Last<Shape, Facts>,
  { shared, facts }: Seen,
  wayBack: boolean,
): Step[] {
  // What a failed change wanted and was not there, the change itself has loaded.
  const ours = (module: string): boolean =>
    wayBack || (shared?.[loading(module)] as Former | undefined)?.loaded === false;
  const inOrder = [...modules].sort((a, b) => (facts.needs[b] ?? 0) - (facts.needs[a] ?? 0));
  return inOrder.flatMap((module) => [
    ...(desired.persist ? [forget(module)] : []),
    ...(ours(module) && !facts.links.includes(module) ? [unload(module)] : []),
  ]);
}

/**
 * One module and no other, as `modprobe -r` would take. Only an idle one has no users (0) and none named (-); of one that
 * can never go the kernel says "[permanent]" there.
 */
const unload = (module: string): Step => ({
  argv: ["rmmod", module],
  released: [loading(module)],
  unless: [
    "awk",
    `$1 == "${module}" && $3 == 0 && $4 == "-" { idle = 1 } END { exit idle }`,
    "/proc/modules",
  ],
});

/** With the last resource that wants it at boot. */
const forget = (module: string): Step => ({
  argv: ["rm", "-f", bootFile(module)],
  released: [booting(module)],
});

const atBoot = (module: string): Step[] => [
  { argv: ["install", "-D", "-m", "644", "/dev/stdin", bootFile(module)], stdin: bootText(module) },
  // On the disk before anybody is told.
  { argv: ["sync", bootFile(module)] },
];
