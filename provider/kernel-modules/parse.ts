import { HostnetError } from "../errors";
import type { Last, Observed, Query, Result } from "../kind";
import type { KernelModules, schema } from "./args";

type Shape = typeof schema.shape;

export interface Facts {
  /** By module: what modprobe would load before it and is not loaded, in this order. */
  readonly brings: Readonly<Record<string, readonly string[]>>;
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
    // Other modules come and go.
    { argv: ["cut", "-d ", "-f1", "/proc/modules"], free: true },
    ...names.map((name) => ({ argv: ["modprobe", "-D", name] })),
    ...(persists(d, last) ? names.map((name) => ({ argv: ["cat", bootFile(name)] })) : []),
  ];
}

export function parse(
  results: readonly Result[],
  d: KernelModules,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const names = namesOf(d, last);
  const [own, all] = results as [Result, Result];
  const loaded = listed(own, 1);
  const everything = listed(all, 0);
  const plans = names.map((name, n) => planOf(results[2 + n]!, name));
  const modules = names.filter((name, n) => loaded.has(name) || plans[n]!.builtin);
  const absent = names.filter((name) => !modules.includes(name));
  const boot = persists(d, last) ? names.filter((name, n) => kept(results[2 + names.length + n]!, name)) : [];
  const by = <T>(list: readonly string[], tell: (name: string) => T) =>
    Object.fromEntries(list.map((name) => [name, tell(name)]));
  const plan = (name: string): Plan => plans[names.indexOf(name)]!;
  return {
    state: {
      name: d.name,
      modules,
      persist: persists(d, last) && modules.every((name) => boot.includes(name) || !d.modules.includes(name)),
    },
    facts: {
      brings: by(absent, (name) => plan(name).needs.filter((other) => !everything.has(other))),
      refused: by(
        absent.filter((name) => plan(name).refused !== undefined),
        (name) => plan(name).refused!,
      ),
      boot,
    },
  };
}

/** /proc/modules has a line for each loaded module, none for what is built in. */
function listed({ code, stdout, stderr }: Result, most: number): Set<string> {
  if (code > most || stderr !== "")
    throw new HostnetError(`/proc/modules cannot be read: ${stderr.trim() || `exit code ${code}`}`);
  return new Set(stdout.split(/\s+/).filter((name) => name !== ""));
}

interface Plan {
  readonly builtin: boolean;
  readonly needs: readonly string[];
  readonly refused?: string;
}

/** What modprobe would do, a line a module: "insmod /lib/modules/…/stp.ko.xz", "builtin unix", "install /bin/false". */
function planOf({ code, stdout, stderr }: Result, name: string): Plan {
  const kernel = /not found in directory \/lib\/modules\/(\S+)/.exec(stderr)?.[1];
  if (kernel !== undefined)
    return { builtin: false, needs: [], refused: `the host's kernel ${kernel} has no such module` };
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
  const needs = named.flatMap((one) => (one.verb === "insmod" && one !== self ? [one.name] : []));
  if (self) return { builtin: self.verb === "builtin", needs };
  const last = named.at(-1)!;
  const refused =
    last.verb === "install"
      ? `/etc/modprobe.d there says not to load it, but to run: ${last.line.slice("install ".length).trim()}`
      : `is another name of ${last.name}: write that`;
  return { builtin: false, needs, refused };
}

/** Whether the file stands as we write it. */
function kept({ code, stdout, stderr }: Result, name: string): boolean {
  if (code !== 0 && !/No such file or directory/.test(stderr))
    throw new HostnetError(`${bootFile(name)} cannot be read: ${stderr.trim() || `exit code ${code}`}`);
  return code === 0 && stdout === bootText(name);
}
