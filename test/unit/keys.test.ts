import fc from "fast-check";
import { bare, holdsTexts, isBare, jsonOf, keysOf } from "../../provider/formats/keys";

const word = fc.oneof(
  fc.string(),
  fc.constantFrom('"', ",", '",', 'a",', "\\", '","', '\\","', '":"', "10.0.0.1", "é\n"),
);

test("the text of a record is JSON's, whatever its keys", () => {
  fc.assert(
    fc.property(fc.dictionary(word, fc.constantFrom("", "", "", "x")), (record) => {
      expect(jsonOf(record)).toBe(JSON.stringify(record));
    }),
  );
  fc.assert(
    fc.property(fc.uniqueArray(word.filter((key) => key !== "__proto__")), (keys) => {
      expect(jsonOf(bare(keys))).toBe(JSON.stringify(bare(keys)));
    }),
  );
});

test("long records are known again, as they are", () => {
  const long = bare(Array.from({ length: 2000 }, (_, n) => `k${n}`));
  expect(keysOf(long)).toBe(keysOf(long));
  expect(keysOf(long)).toEqual(Object.keys(long));
  expect([holdsTexts(long), holdsTexts(long), holdsTexts({ ...long, k7: 1 })]).toEqual([true, true, false]);
  expect([isBare(long), isBare(long), isBare({ ...long, k7: "x" })]).toEqual([true, true, false]);
  expect([holdsTexts({ ...long, k7: "x" }), holdsTexts({ a: "", b: 1 }), isBare({})]).toEqual([
    true,
    false,
    true,
  ]);
});
