// Whole rulesets of the sort that people have, as files: test/rulesets.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nftTable } from "../../provider/nft-table";
import type { NftTable } from "../../provider/nft-table/args";
import { desired, isAgain, Netns } from "./nft-netns";

const ns = new Netns();
beforeAll(() => ns.open());
afterAll(() => ns.close());
afterEach(() => ns.flush());
const { shown, settled, becomes } = ns.table;

interface Ruleset {
  readonly name: string;
  readonly text: string;
  /** As its own text. */
  readonly asText: NftTable;
}

/** All with the same name, so that any may become any other of its family. */
function read(file: string): Ruleset {
  const given = readFileSync(join("test/rulesets", file), "utf8");
  const [, family, table] = /^\s*table (\w+) (\S+)/m.exec(given)!;
  const text = given.replaceAll(`table ${family} ${table}`, `table ${family} fw`);
  return {
    name: file.replace(/\.nft$/, ""),
    text,
    asText: desired({ family: family as NftTable["family"], name: "fw", text }),
  };
}

const all = readdirSync("test/rulesets")
  .filter((file) => file.endsWith(".nft"))
  .sort()
  .map(read);

/** What the kernel says of what it was built without. */
const LACKING = /Could not process rule: (No such file or directory|Operation not supported|Protocol error)/;
/** Of these, a kernel need not have everything. */
const MODULES = [
  "bridge-conntrack",
  "flowtables",
  "queues",
  "secmarks",
  "synproxy",
  "conntrack-objects",
  "tproxy",
];

/** As nft itself loads and shows it; undefined where this kernel has not all that it needs. */
function loaded({ name, text, asText }: Ruleset): Record<string, string> | undefined {
  const { code, stderr } = ns.run({ argv: ["env", "TZ=UTC", "nft", "-f", "-"], stdin: text });
  if (code === 0) return shown(asText);
  if (MODULES.includes(name) && LACKING.test(stderr)) return undefined;
  throw new Error(stderr);
}

/** What comes and goes by itself is nobody's declaration, where nothing was declared. */
const withoutLively = (all: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(all).map(([key, block]) => [
      key,
      /^\t\t(flags .*(timeout|dynamic)|timeout )/m.test(block)
        ? block.replace(/^\t\telements = \{[\s\S]*?^\t\t\}\n/m, "")
        : block,
    ]),
  );

/** The same in the fields of the resource, as far as there are fields, in nft's own words. */
function asStructure(set: Ruleset): NftTable {
  ns.flush();
  loaded(set);
  const { family, name } = set.asText;
  const found = ns.look({ family, name }).state!;
  ns.flush();
  return desired(found as never);
}

describe("loads as with nft, reads back as it was written, and goes", () => {
  test.each(all.map((set) => [set.name, set] as const))("%s", (_, set) => {
    const wanted = loaded(set);
    if (!wanted) {
      // Then nothing of it may be left.
      expect(() => ns.apply(set.asText)).toThrow(LACKING);
      expect(ns.nft("list", "ruleset")).toBe("");
      return;
    }
    expect(Object.keys(wanted).length).toBeGreaterThan(1);
    const structure = asStructure(set);
    expect(structure.chains).toBeDefined();
    for (const [d, expected] of [
      [set.asText, wanted],
      [structure, withoutLively(wanted)],
    ] as const) {
      ns.flush();
      const last = ns.apply(d);
      expect(shown(d)).toEqual(expected);
      settled(d, last);
      const now = ns.look(d, last);
      expect(now.state).toEqual(d);
      ns.steps(nftTable.remove(now, last));
      expect(ns.nft("list", "ruleset")).toBe("");
    }
  });
});

describe("one becomes another in place, equal to a fresh one, and back", () => {
  const steps = isAgain() ? [1] : [1, 2];
  const families = [...new Set(all.map(({ asText }) => asText.family))];
  test.each(families)(
    "%s",
    (family) => {
      const usable = all.filter((set) => {
        ns.flush();
        return set.asText.family === family && loaded(set) !== undefined;
      });
      // Structure to text and text to structure, each with the next two.
      const elements = (d: NftTable, all: Record<string, string>) =>
        d.text === undefined ? withoutLively(all) : all;
      // One that is alone in its family becomes itself.
      const pairs = usable.flatMap((a, n) =>
        steps.map((step) => [a, usable[(n + step) % usable.length]!] as const),
      );
      expect(pairs.length).toBeGreaterThan(0);
      for (const [n, [a, b]] of pairs.entries()) {
        const [from, to] = n % 2 === 0 ? [a.asText, asStructure(b)] : [asStructure(a), b.asText];
        ns.flush();
        const alone = elements(to, loaded(b)!);
        ns.flush();
        becomes(from, ns.apply(from), to, alone);
      }
    },
    300_000,
  );
});
