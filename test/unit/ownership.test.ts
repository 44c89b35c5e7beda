import {
  inherits,
  ours,
  refuseForeignRecord,
  requireAdoption,
  requireMachine,
  requireUnchanged,
} from "../../provider/ownership";

const urn = (text: string) => `urn:pulumi:${text}::pulumi-nodejs:dynamic/hostnet:Bridge::br0`;
const note = { owner: urn("dev::net"), incarnation: "1" };
const verdict = (act: () => void): string => {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return "goes ahead";
};

test.each([
  ["the same resource", urn("dev::net"), true],
  [
    "one that was renamed, or moved into a component",
    "urn:pulumi:dev::net::my:Lan$pulumi-nodejs:dynamic/hostnet:Bridge::lan",
    true,
  ],
  ["another stack", urn("prod::net"), false],
  ["another project", urn("dev::other"), false],
  ["a stack whose name begins alike", urn("dev2::net"), false],
  ["a project whose name begins alike", urn("dev::network"), false],
])("on create a record is inherited by %s: %s", (_who, owner, expected) => {
  expect(inherits(note, owner)).toBe(expected);
});

test.each([
  [note, "1", true],
  [{ ...note, owner: urn("other::other") }, "1", true],
  [note, "2", false],
  [undefined, "1", false],
])("with state, a record %j is ours by incarnation %s: %s", (record, incarnation, expected) => {
  expect(ours(record, incarnation)).toBe(expected);
});

test("a foreign record is refused, naming its owner", () => {
  expect(verdict(() => refuseForeignRecord(note, urn("prod::net")))).toBe(
    `it belongs to ${note.owner}: remove it there, or give this one another name`,
  );
});

test("a record of the same stack under another incarnation tells of another state, not of another owner", () => {
  expect(verdict(() => refuseForeignRecord(note, note.owner))).toMatch(
    /^another state of this stack has made it since, .*Bridge::br0: go on with that state; or, .* pulumi up$/,
  );
});

test.each([
  [undefined, [], /^it exists on the host and is not ours: set adopt to "identical" or "overwrite"/],
  [undefined, ["mtu: 1 instead of 2"], /^it exists on the host and is not ours/],
  ["identical", [], /^goes ahead$/],
  [
    "identical",
    ["mtu: 1 instead of 2", "up: x"],
    /^adopt: "identical" takes over only what would not change, but mtu: 1 instead of 2; up: x$/,
  ],
  ["overwrite", [], /^goes ahead$/],
  ["overwrite", ["mtu: 1 instead of 2"], /^goes ahead$/],
  ["yes", [], /only what would not change/],
])("adopt %s of an object that differs in %j", (adopt, differences, message) => {
  expect(verdict(() => requireAdoption(adopt, differences))).toMatch(message);
});

test.each([
  ["the same machine", "a", "a", undefined, /^goes ahead$/],
  [
    "another",
    "a",
    "b",
    undefined,
    /^another machine answers there \(machine-id b, was a\): .*replaceWith and deletedWith.*acceptMachine: "b"/,
  ],
  ["another, accepted", "a", "b", "b", /^goes ahead$/],
  ["another than the accepted", "a", "c", "b", /acceptMachine: "c"/],
  ["the same, another accepted", "a", "a", "b", /^goes ahead$/],
])("%s", (_name, stored, found, accepted, message) => {
  expect(verdict(() => requireMachine(stored, found, accepted))).toMatch(message);
});

test.each([
  [[], /^goes ahead$/],
  [
    ["up: false instead of true"],
    /^its record on the host is lost and it is no longer as it was left \(up: false instead of true\).*pulumi state delete.*adopt: "overwrite"/,
  ],
])("a lost record, and an object that differs in %j", (differences, message) => {
  expect(verdict(() => requireUnchanged(differences))).toMatch(message);
});
