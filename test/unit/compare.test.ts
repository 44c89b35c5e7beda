import fc from "fast-check";
import { changed, difference, same } from "../../provider/compare";

const keys = ["a", "b"];
const told = (wanted: unknown, found: unknown) => difference({ a: wanted }, { a: found }, ["a"]);

describe("same", () => {
  test.each([
    [[], undefined],
    [{}, undefined],
    [null, undefined],
    [{ a: undefined }, {}],
    [[{ a: undefined, b: 1 }], [{ b: 1 }]],
    [
      { a: 1, b: 2 },
      { b: 2, a: 1 },
    ],
  ])("%j and %j", (a, b) => expect([same(a, b), same(b, a)]).toEqual([true, true]));

  test.each([
    [0, undefined],
    [false, undefined],
    ["", undefined],
    [0, false],
    ["1", 1],
    [
      [1, 2],
      [2, 1],
    ],
    [[1], [1, 1]],
    [{ a: 1 }, { a: 1, b: 0 }],
    // A counter in an nft table has no options, and is one.
    [{ counters: { seen: {} } }, { counters: {} }],
  ])("not %j and %j", (a, b) => expect([same(a, b), same(b, a)]).toEqual([false, false]));

  test("what went through JSON is the same", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(same(value, JSON.parse(JSON.stringify(value)))).toBe(true);
        expect(changed({ a: value }, { a: value }, keys)).toEqual([]);
        expect(told(value, value)).toEqual([]);
      }),
    );
  });

  test("a key named __proto__ counts like others", () => {
    expect(same(JSON.parse('{"__proto__": 1}'), {})).toBe(false);
  });
});

test("changed names the keys that were asked for, in their order", () => {
  expect(changed({ a: 1, b: 1, c: 1 }, { a: 2, b: 1, c: 2 }, ["c", "b", "a"])).toEqual(["c", "a"]);
});

describe("difference, as a person reads it", () => {
  test.each([
    ["a scalar", 1500, 9000, ["a: 9000 instead of 1500"]],
    ["a flag that is off", true, false, ["a: false instead of true"]],
    ["nothing there", "red", undefined, ["a: red is missing"]],
    ["nothing wanted", undefined, "red", ["a: red is there"]],
    ["items", ["1", "2"], ["2", "3"], ["a: 1 is missing", "a: 3 is there"]],
    ["an empty list", ["1"], [], ["a: 1 is missing"]],
    ["no list", undefined, ["1"], ["a: 1 is there"]],
    ["an order", ["1", "2"], ["2", "1"], ["a: 1 is at another place"]],
    ["a number of items", ["1"], ["1", "1"], ["a: 1 is there 2 times instead of 1"]],
    ["a record", { x: "1", y: "1" }, { x: "0", y: "1" }, ["a.x: 0 instead of 1"]],
    ["a key", { x: "1" }, { y: "1" }, ["a.x: 1 is missing", "a.y: 1 is there"]],
    [
      "a text in a record",
      { x: "one\ntwo\n", y: 1 },
      { y: 1 },
      ["a.x: one is missing", "a.x: two is missing"],
    ],
    ["a list in a record", { x: [1, 2], y: 1 }, { x: [], y: 1 }, ["a.x: 1 is missing", "a.x: 2 is missing"]],
    ["an empty thing", { x: {}, y: { z: 1 } }, { y: { z: 1 } }, ["a.x is missing"]],
    ["a record in a record", { x: { y: [1, 2] } }, { x: { y: [1] } }, ["a.x.y: 2 is missing"]],
    [
      "a line of a text",
      "one\ntwo\nthree\n",
      "one\nthree\nfour\n",
      ["a: two is missing", "a: four is there"],
    ],
    ["a text that is not there", "one\ntwo\n", undefined, ["a: one is missing", "a: two is missing"]],
    [
      "one thing more of an item",
      [{ name: "p1", isolated: true }],
      [{ name: "p1" }],
      ["a: p1 isolated=true is missing", "a: p1 is there"],
    ],
  ])("%s", (_name, wanted, found, lines) => expect(told(wanted, found)).toEqual(lines));

  test("only the keys asked for", () => {
    expect(difference({ a: 1, b: 1 }, { a: 2, b: 2, c: 3 }, ["b"])).toEqual(["b: 2 instead of 1"]);
  });

  test("always says something where something differs", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        expect(told(a, b).length > 0).toBe(!same(a, b));
      }),
    );
  });
});
