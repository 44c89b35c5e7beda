// Long files of the host, edited there by sed.
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { sedOf } from "../../provider/host/edit";

const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");
const edited = (from: string, script: string): string =>
  spawnSync("sed", ["-e", script], { input: from, encoding: "utf8" }).stdout;

test("a list becomes any other in the same order, by what differs alone", () => {
  const lists = fc.uniqueArray(fc.nat(40), { minLength: 1 }).map((list) => list.sort((a, b) => a - b));
  // As nft is told: the command before the first, the brace behind the last.
  const shown = (list: readonly number[]): string =>
    text([
      "add set s",
      ...`add { ${list.map((n) => `10.0.0.${n} comment "\\n${n}"`).join(",\n")} }`.split("\n"),
    ]);
  fc.assert(
    fc.property(lists, lists, (a, b) => {
      expect(edited(shown(a), sedOf(shown(a), shown(b))!)).toBe(shown(b));
    }),
  );
});

test.each<[string[], string[], string | undefined]>([
  [["a", "b"], ["a", "b"], ""],
  [["a", "b", "c"], ["a", "c"], "2d"],
  [["a", "b"], ["a", "b", "c"], "$a\\\nc"],
  [["a", "z"], ["a", "y"], "2i\\\ny\n2d"],
  [["a", "b"], ["b", "a"], undefined],
  [[], Array.from({ length: 501 }, (_, n) => `${n}`), undefined],
])("%j to %j: %j", (a, b, script) => expect(sedOf(text(a), text(b))).toBe(script));
