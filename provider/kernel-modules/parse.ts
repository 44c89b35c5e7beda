import { HostnetError } from "../errors";
import type { Last, Observed, Query, Result } from "../kind";
import type { KernelModules, schema } from "./args";

type Shape = typeof schema.shape;

export interface Facts {
  /** Those that make links, as bridge and dummy do: unloaded, they would take their links along, idle or not. */
  readonly links: readonly string[];
  /** By module: how many others it needs, so more than any of these. */
  readonly needs: Readonly<Record<string, number>>;
  /** By module that modprobe would not load: why. */
  readonly refused: Readonly<Record<string, string>>;
  /** Those with a file of ours that loads them at boot. */
  readonly boot: readonly string[];
}

export const bootFile = (module: string): string => `/etc/modules-load.d/hostnet-${module}.conf`;
export const bootText = (module: string): string => `# Written by pulumi-hostnet.\n${module}\n`;

const namesOf = (d: KernelModules, last?: Last<Shape, Facts>): string[] =>
  [...new Set([...d.modules, ...(last?.desired.modules ?? [])])].sort();
const persists = (d: KernelModules, last?: Last<Shape, Facts>): boolean =>
  d.persist || last?.desired.persist === true;

export function query(d: KernelModules, last?: Last<Shape, Facts>): readonly Query[] {
  const names = namesOf(d, last);
  return [
    { argv: ["grep", "-oE", `^(${names.join("|")}) `, "/proc/modules"] },
    ...names.flatMap((name) => [
      { argv: ["modprobe", "-D", name] },
      { argv: ["modinfo", "-F", "alias", name] },
    ]),
    ...(persists(d, last) ? names.map((name) => ({ argv: ["cat", bootFile(name)] })) : []),
  ];
}

export function parse(
  results: readonly Result[],
  d: KernelModules,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const names = namesOf(d, last);
  const loaded = loadedOf(results[0]!);
  const plans = names.map((name, n) => planOf(results[1 + 2 * n]!, name));
  const modules = names.filter((name, n) => loaded.has(name) || plans[n]!.builtin);
  const boot = persists(d, last)
    ? names.filter((name, n) => kept(results[1 + 2 * names.length + n]!, name))
    : [];
  const refused = names.flatMap((name, n) => {
    const why = plans[n]!.refused;
    return why === undefined || loaded.has(name) ? [] : [[name, why] as const];
  });
  return {
    state: {
      name: d.name,
      modules,
      persist: persists(d, last) && modules.every((name) => boot.includes(name) || !d.modules.includes(name)),
    },
    facts: {
      links: names.filter((_, n) => makesLinks(results[2 + 2 * n]!)),
      needs: Object.fromEntries(names.map((name, n) => [name, plans[n]!.needs])),
      refused: Object.fromEntries(refused),
      boot,
    },
  };
}

/** By its aliases; when in doubt, yes. */
const makesLinks = ({ code, stdout }: Result): boolean => code !== 0 || /^rtnl-link-/m.test(stdout);

/** /proc/modules has a line for each loaded module, none for what is built in. */
function loadedOf({ code, stdout, stderr }: Result): Set<string> {
  if (code > 1 || stderr !== "")
    throw new HostnetError(`/proc/modules cannot be read: ${stderr.trim() || `exit code ${code}`}`);
  return new Set(stdout.split(/\s+/));
}

interface Plan {
  readonly builtin: boolean;
  readonly needs: number;
  readonly refused?: string;
}

/** What modprobe would do, a line a module: "insmod /lib/modules/…/stp.ko.xz", "builtin unix", "install /bin/false". */
function planOf({ code, stdout, stderr }: Result, name: string): Plan {
  const kernel = /not found in directory \/lib\/modules\/(\S+)/.exec(stderr)?.[1];
  if (kernel !== undefined)
    return { builtin: false, needs: 0, refused: `the host's kernel ${kernel} has no such module` };
  const lines = stdout.split("\n").filter((line) => line !== "");
  if (code !== 0 || lines.length === 0)
    throw new HostnetError(
      `modules: ${name}: modprobe does not say how to load it: ${stderr.trim() || `exit code ${code}`}`,
    );
  const named = lines.map((line) => {
    const [verb, what = ""] = line.split(" ");
    const base = what.slice(what.lastIndexOf("/") + 1).replace(/\.ko(\.\w+)?$/, "");
    return { verb, line, name: base.replaceAll("-", "_") };
  });
  const self = named.find((one) => one.name === name && one.verb !== "install");
  if (self) return { builtin: self.verb === "builtin", needs: lines.length - 1 };
  const last = named.at(-1)!;
  const refused =
    last.verb === "install"
      ? `/etc/modprobe.d there says not to load it, but to run: ${last.line.slice("install ".length).trim()}`
      : `is another name of ${last.name}: write that`;
  return { builtin: false, needs: 0, refused };
}

/** Whether the file stands as we write it. */
function kept({ code, stdout, stderr }: Result, name: string): boolean {
  if (code !== 0 && !/No such file or directory/.test(stderr))
    throw new HostnetError(`${bootFile(name)} cannot be read: ${stderr.trim() || `exit code ${code}`}`);
  return code === 0 && stdout === bootText(name);
}
