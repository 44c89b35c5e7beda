import fc from "fast-check";
import { kernelModules } from "../../provider/kernel-modules";
import type { KernelModules } from "../../provider/kernel-modules/args";
import { bootText, type Facts } from "../../provider/kernel-modules/parse";
import type { Last, Observed, Result, Step } from "../../provider/kind";
import { canonical, failed, problems, said, text } from "./steps";

type Shape = typeof kernelModules.schema.shape;
type Seen = Observed<Shape, Facts>;

const desired = (modules: string[], more: object = {}): KernelModules =>
  canonical<KernelModules>(kernelModules, { name: "m", modules, ...more });

/** A kernel, as far as modprobe knows it: by module what it needs, in order of loading. */
const KERNEL: Readonly<Record<string, readonly string[]>> = {
  llc: [],
  stp: ["llc"],
  bridge: ["llc", "stp"],
  br_netfilter: ["llc", "stp", "bridge"],
  nf_defrag_ipv4: [],
  nf_conntrack: ["nf_defrag_ipv4"],
  nf_conntrack_ftp: ["nf_defrag_ipv4", "nf_conntrack"],
};
interface Host {
  readonly loaded: readonly string[];
  readonly files: readonly string[];
}
const host = (loaded: readonly string[] = [], files: readonly string[] = []): Host => ({ loaded, files });
const DIRECTORY = "/lib/modules/6.1.0-49-cloud-amd64";
const SPECIAL: Readonly<Record<string, Result>> = {
  unix: said("builtin unix\n"),
  ip_conntrack: said(`insmod ${DIRECTORY}/kernel/nf_conntrack.ko \n`),
  disabled: said("install /bin/false \n"),
  nosuch: failed(1, `modprobe: FATAL: Module nosuch not found in directory ${DIRECTORY}\n`),
};

/** What this host answers to a query. */
function answer({ loaded, files }: Host, [tool, ...words]: readonly string[]): Result {
  if (tool === "modprobe") {
    const name = words[1]!;
    const needs = KERNEL[name];
    if (!needs) return SPECIAL[name]!;
    return said([...needs, name].map((one) => `insmod ${DIRECTORY}/net/${one}.ko.xz \n`).join(""));
  }
  if (tool === "modinfo") return said(words[2] === "bridge" ? "rtnl-link-bridge\n" : "");
  if (tool === "cat")
    return files.includes(words[0]!)
      ? said(bootText(/hostnet-(\w+)/.exec(words[0]!)![1]!))
      : failed(1, `cat: ${words[0]}: No such file or directory\n`);
  const found = loaded.filter((one) => new RegExp(words[1]!).test(`${one} `));
  return found.length > 0 ? said(found.map((one) => `${one} \n`).join("")) : failed(1, "");
}
const look = (on: Host, d: KernelModules, last?: Last<Shape, Facts>): Seen =>
  kernelModules.parse(
    kernelModules.query(d, last).map(({ argv }) => answer(on, argv)),
    d,
    last,
  );
const applied = (d: KernelModules): Last<Shape, Facts> => ({
  desired: d,
  former: { facts: { links: [], needs: {}, refused: {}, boot: [] } },
});
/** As the lifecycle fills it in from the host's notes, made by the first claim. */
const withFormer = (seen: Seen, d: KernelModules, first: Host): Seen => ({
  ...seen,
  shared: Object.fromEntries(
    Object.entries(kernelModules.claims!(d, look(first, d))).map(([key, { former }]) => [key, former]),
  ),
});
const file = (name: string): string => `/etc/modules-load.d/hostnet-${name}.conf`;
const brief = (steps: readonly Step[]): string[] => steps.map(({ argv }) => argv.join(" "));

describe("modules", () => {
  test("are canonical: - is _, sorted", () => {
    expect(desired(["nf-conntrack-ftp", "br_netfilter"])).toEqual({
      name: "m",
      modules: ["br_netfilter", "nf_conntrack_ftp"],
      persist: true,
    });
  });

  test.each([
    [["br_netfilter.ko"], 'modules[0]: "br_netfilter.ko": is no name of a module'],
    [["/lib/x"], 'modules[0]: "/lib/x": is no name of a module'],
    [["nf_conntrack hashsize=1"], 'modules[0]: "nf_conntrack hashsize=1": is no name of a module'],
    [["-r"], 'modules[0]: "-r": is no name of a module'],
    [["a|b"], 'modules[0]: "a|b": is no name of a module'],
    [["x".repeat(56)], "is no name of a module"],
    [["a-b", "a_b"], "a_b is listed twice"],
    [[], "must not be empty"],
    ["bridge", 'modules: "bridge": must be a list'],
    [undefined, "modules: is required"],
  ])("%j is refused", (modules, message) => {
    const [problem, ...others] = problems(kernelModules, { name: "m", modules });
    expect(others).toEqual([]);
    expect(`${problem!.property}: ${problem!.reason}`).toContain(message);
  });
});

describe("cases", () => {
  const d = desired(["br_netfilter"]);

  test("query", () => {
    const asked = kernelModules.query(d, applied(desired(["nf_conntrack_ftp"])));
    expect(asked.map(({ argv }) => argv.join(" "))).toEqual([
      "grep -oE ^(br_netfilter|nf_conntrack_ftp)  /proc/modules",
      "modprobe -D br_netfilter",
      "modinfo -F alias br_netfilter",
      "modprobe -D nf_conntrack_ftp",
      "modinfo -F alias nf_conntrack_ftp",
      `cat ${file("br_netfilter")}`,
      `cat ${file("nf_conntrack_ftp")}`,
    ]);
    expect(kernelModules.query(desired(["bridge"], { persist: false }))).toHaveLength(3);
  });

  test("create", () => {
    expect(text(kernelModules.ensure(d, look(host(["llc"]), d)))).toEqual([
      "modprobe br_netfilter",
      `install -D -m 644 /dev/stdin ${file("br_netfilter")}`,
      "  # Written by pulumi-hostnet.",
      "  br_netfilter",
      `sync ${file("br_netfilter")}`,
    ]);
    const once = desired(["br_netfilter"], { persist: false });
    expect(text(kernelModules.ensure(once, look(host(), once)))).toEqual(["modprobe br_netfilter"]);
  });

  test("create: loaded already, and built in", () => {
    const both = desired(["unix", "bridge"], { persist: false });
    const seen = look(host(["llc", "stp", "bridge"]), both);
    expect(seen.state!.modules).toEqual(["bridge", "unix"]);
    expect(kernelModules.ensure(both, seen)).toEqual([]);
  });

  test("no-change", () => {
    const on = host(["llc", "stp", "bridge", "br_netfilter"], [file("br_netfilter")]);
    expect(look(on, d, applied(d)).state).toEqual(d);
    expect(kernelModules.ensure(d, look(on, d, applied(d)), applied(d))).toEqual([]);
  });

  test("drift: unloaded by hand, the file deleted", () => {
    const unloaded = look(host([], [file("br_netfilter")]), d, applied(d));
    expect(unloaded.state).toEqual({ ...d, modules: [] });
    expect(brief(kernelModules.ensure(d, unloaded, applied(d)))).toContain("modprobe br_netfilter");
    const forgotten = look(host(["br_netfilter"]), d, applied(d));
    expect(forgotten.state).toEqual({ ...d, persist: false });
    expect(brief(kernelModules.ensure(d, forgotten, applied(d)))).toEqual([
      `install -D -m 644 /dev/stdin ${file("br_netfilter")}`,
      `sync ${file("br_netfilter")}`,
    ]);
  });

  test("update: one that left goes; persist false takes the file", () => {
    const both = desired(["br_netfilter", "nf_conntrack_ftp"]);
    const less = desired(["br_netfilter"], { persist: false });
    const on = host(["br_netfilter", "nf_conntrack_ftp"], both.modules.map(file));
    const seen = withFormer(look(on, less, applied(both)), both, host());
    expect(text(kernelModules.ensure(less, seen, applied(both)))).toEqual([
      `rm -f ${file("nf_conntrack_ftp")} | released module/nf_conntrack_ftp/boot`,
      expect.stringMatching(/^rmmod nf_conntrack_ftp .* released module\/nf_conntrack_ftp$/),
      `rm -f ${file("br_netfilter")} | released module/br_netfilter/boot`,
    ]);
  });

  test("remove: only what was not loaded before us, and only where nothing uses it", () => {
    const seen = withFormer(look(host(["br_netfilter"], [file("br_netfilter")]), d), d, host(["llc"]));
    expect(text(kernelModules.remove(seen, applied(d)))).toEqual([
      `rm -f ${file("br_netfilter")} | released module/br_netfilter/boot`,
      'rmmod br_netfilter | unless awk $1 == "br_netfilter" && $3 == 0 && $4 == "-" { idle = 1 } END { exit idle } ' +
        "/proc/modules | released module/br_netfilter",
    ]);
    const found = withFormer(seen, d, host(["llc", "stp", "bridge", "br_netfilter"]));
    expect(brief(kernelModules.remove(found, applied(d)))).toEqual([`rm -f ${file("br_netfilter")}`]);
    const builtin = desired(["unix"], { persist: false });
    const always = withFormer(look(host(), builtin), builtin, host());
    expect(kernelModules.remove(always, applied(builtin))).toEqual([]);
    // Bridges would go with it.
    const bridge = desired(["bridge"], { persist: false });
    const links = withFormer(look(host(["bridge"]), bridge), bridge, host());
    expect(kernelModules.remove(links, applied(bridge))).toEqual([]);
    // The one that needs the other goes first.
    const two = desired(["llc", "stp"], { persist: false });
    const both = withFormer(look(host(two.modules), two), two, host());
    expect(brief(kernelModules.remove(both, applied(two)))).toEqual(["rmmod stp", "rmmod llc"]);
    // Nobody knows what was there.
    expect(brief(kernelModules.remove(look(host(["br_netfilter"]), d), applied(d)))).toEqual([
      `rm -f ${file("br_netfilter")}`,
    ]);
  });

  test.each([
    ["nosuch", "modules: nosuch: the host's kernel 6.1.0-49-cloud-amd64 has no such module"],
    ["ip_conntrack", "modules: ip_conntrack: is another name of nf_conntrack: write that"],
    ["disabled", "modules: disabled: /etc/modprobe.d there says not to load it, but to run: /bin/false"],
  ])("invalid: %s cannot be loaded", (name, message) => {
    const wanted = desired(["bridge", name]);
    expect(() => kernelModules.ensure(wanted, look(host(), wanted))).toThrow(message);
    // Loaded all the same, as by a kernel whose files an upgrade took away.
    expect(look(host([name]), wanted).state!.modules).toEqual([name]);
  });

  test.each([
    [0, failed(2, "grep: /proc/modules: No such file or directory\n"), /^\/proc\/modules cannot be read/],
    [0, failed(1, "grep: /proc/modules: Permission denied\n"), /^\/proc\/modules cannot be read/],
    [1, failed(1, "modprobe: ERROR: could not open moddep file\n"), /br_netfilter: modprobe does not say/],
    [1, said(""), /br_netfilter: modprobe does not say/],
    [3, failed(1, "cat: x: Input/output error\n"), /^\/etc\/modules-load\.d\/.* cannot be read/],
  ])("invalid: an odd answer is never an absence: %i %j", (n, result, message) => {
    const results = kernelModules.query(d).map(({ argv }) => answer(host(), argv));
    expect(() => kernelModules.parse(results.with(n, result), d)).toThrow(message);
  });

  test("br_netfilter changes what bridged packets meet: loaded or taken away, it is exposed", () => {
    const on = look(host(["br_netfilter"]), d);
    const off = look(host(), d);
    const other = desired(["nf_conntrack_ftp"]);
    expect(kernelModules.exposure(off, d)).toEqual({ routing: true });
    expect(kernelModules.exposure(on, undefined)).toEqual({ routing: true });
    expect(kernelModules.exposure(on, other)).toEqual({ routing: true });
    expect(kernelModules.exposure(on, d)).toBeUndefined();
    expect(kernelModules.exposure(off, other)).toBeUndefined();
  });
});

describe("laws", () => {
  const names = fc.uniqueArray(fc.constantFrom(...Object.keys(KERNEL)), { minLength: 1 });
  const wish = fc.record({ modules: names, persist: fc.boolean() });
  /** What a host may have: with each module what it needs. */
  const loadedOnes = fc
    .uniqueArray(fc.constantFrom(...Object.keys(KERNEL)))
    .map((list) => [...new Set(list.flatMap((name) => [...KERNEL[name]!, name]))]);

  /** The host, as far as these steps go; `claimed` are the claims that stay. */
  function run(on: Host, steps: readonly Step[], claimed: readonly string[] = []): Host {
    let { loaded, files } = on;
    for (const { argv, released } of steps) {
      if (released?.some((key) => claimed.includes(key))) continue;
      const [tool, name] = [argv[0]!, argv.at(-1)!];
      if (tool === "modprobe") loaded = [...new Set([...loaded, ...KERNEL[name]!, name])];
      if (tool === "install") files = [...new Set([...files, name])];
      if (tool === "rm") files = files.filter((one) => one !== name);
      const used = loaded.some((other) => KERNEL[other]!.includes(argv[1]!));
      if (tool === "rmmod" && !used) loaded = loaded.filter((one) => one !== argv[1]);
    }
    return { loaded: [...loaded].sort(), files: [...files].sort() };
  }
  /** Asked for, not there before, and still loaded, though nothing needs it and it makes no links. */
  const strays = ({ loaded }: Host, before: readonly string[], asked: readonly string[]): string[] => {
    const needed = loaded.flatMap((name) => KERNEL[name]!);
    return asked.filter((name) => loaded.includes(name) && ![...before, ...needed, "bridge"].includes(name));
  };

  test("the schema is idempotent, and the order of modules means nothing", () => {
    fc.assert(
      fc.property(
        names.chain((list) =>
          fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
        ),
        ([a, b]) => {
          expect(desired(a)).toEqual(desired(b));
          expect(canonical(kernelModules, desired(a))).toEqual(desired(a));
        },
      ),
    );
  });

  test("ensure ends where it should, again there is nothing to do, and remove leaves what was there", () => {
    fc.assert(
      fc.property(wish, loadedOnes, ({ modules, persist }, loaded) => {
        const d = desired(modules, { persist });
        const before = host(loaded);
        const seen = look(before, d);
        const after = run(before, kernelModules.ensure(d, seen));
        expect(look(after, d).state).toEqual(d);
        expect(kernelModules.ensure(d, look(after, d, applied(d)), applied(d))).toEqual([]);
        const end = run(after, kernelModules.remove(withFormer(look(after, d), d, before), applied(d)));
        expect(end.files).toEqual([]);
        expect(end.loaded).toEqual(expect.arrayContaining([...loaded]));
        expect(strays(end, loaded, modules)).toEqual([]);
      }),
    );
  });

  test("an update that is undone ends where it began, wherever it was cut", () => {
    fc.assert(
      fc.property(wish, wish, loadedOnes, fc.nat(), (one, two, loaded, cut) => {
        const [a, b] = [desired(one.modules, one), desired(two.modules, two)];
        const begin = run(host(loaded), kernelModules.ensure(a, look(host(loaded), a)));
        const seen = withFormer(look(begin, b, applied(a)), a, host(loaded));
        const steps = kernelModules.ensure(b, seen, applied(a));
        const half = run(begin, steps.slice(0, cut % (steps.length + 1)));
        const undo = kernelModules.ensure(
          seen.state!,
          { state: b, facts: seen.facts, shared: seen.shared },
          { desired: b, facts: seen.facts, former: seen },
        );
        const claimed = Object.keys(kernelModules.claims!(a));
        const end = run(half, undo, claimed);
        expect(end.files).toEqual(begin.files);
        expect(end.loaded).toEqual(expect.arrayContaining([...begin.loaded]));
        expect(strays(end, begin.loaded, [...a.modules, ...b.modules])).toEqual([]);
      }),
    );
  });

  test("of junk, parse returns nothing", () => {
    const d = desired(["bridge"]);
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 255 }), fc.string(), (code, stderr) => {
        const results = kernelModules.query(d).map(() => ({ code, stdout: "", stderr }));
        expect(() => kernelModules.parse(results, d)).toThrow();
      }),
    );
  });
});
