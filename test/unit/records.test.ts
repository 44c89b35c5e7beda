import fc from "fast-check";
import {
  claim,
  parseRecord,
  parseShared,
  recordQueries,
  release,
  removeRecord,
  sharedQuery,
  writeRecord,
} from "../../provider/host/records";
import { version } from "../../provider/version";

const record = {
  kind: "Bridge",
  id: "br0",
  owner: "urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:Bridge::br0",
  incarnation: "0123456789abcdef",
  adopted: false,
  desired: { name: "br0", addresses: ["10.0.0.1/24"] },
  former: { facts: { members: {} } },
};
const there = (stdout: string) => ({ code: 0, stdout, stderr: "" });
const absent = {
  code: 1,
  stdout: "",
  stderr: "cat: /etc/hostnet/objects/x.json: No such file or directory\n",
};
const text = (value: object) => `${JSON.stringify(value)}\n`;
const parse =
  (...results: { code: number; stdout: string; stderr: string }[]) =>
  () =>
    parseRecord(results, 'Bridge "br0"');

describe("a record", () => {
  test("is written here, and taken away there", () => {
    const [file, other] = writeRecord(record, true, version);
    expect(file!.path).toMatch(/^\/etc\/hostnet\/objects\/[0-9a-f]{32}\.json$/);
    expect(other).toEqual({ path: file!.path.replace("/etc/", "/run/") });
    const [volatile, gone] = writeRecord(record, false, version);
    expect(volatile!.path).toBe(other!.path);
    expect(gone).toEqual({ path: file!.path });
    const boot = { path: file!.path.replace("objects", "boot.d").replace(".json", "") };
    expect(removeRecord("Bridge", "br0")).toEqual([{ path: file!.path }, { path: other!.path }, boot]);
    expect(recordQueries("Bridge", "br0").map(({ argv }) => argv)).toEqual([
      ["cat", file!.path],
      ["cat", other!.path],
    ]);
  });

  test("has a file of its own, whatever its kind and id", () => {
    const names = [
      ["Bridge", "br0"],
      ["Bridge", "br1"],
      ["Vrf", "br0"],
      ["Bridge", "../../x"],
      ["NftTable", "inet/a b"],
    ];
    const paths = names.map(([kind, id]) => removeRecord(kind!, id!)[0]!.path);
    expect(new Set(paths).size).toBe(names.length);
    for (const path of paths) expect(path).toMatch(/^\/etc\/hostnet\/objects\/[0-9a-f]{32}\.json$/);
  });

  test("is read as it was written, in either place", () => {
    const [{ text: written }] = writeRecord({ ...record, changing: true }, true, version) as unknown as [
      { text: string },
    ];
    expect(written).toMatch(/^\{"format":1,"version":"[^"]+","kind":"Bridge","id":"br0",/);
    expect(written.indexOf("\n")).toBe(written.length - 1);
    expect(parse(there(written), absent)()).toEqual({ ...record, changing: true });
    expect(parse(absent, there(written))()).toEqual({ ...record, changing: true });
    expect(parse(absent, absent)()).toBeUndefined();
  });

  test("of an older package, with fields that are gone, is read", () => {
    const old = { ...record, format: 0, version: "0.0.1", was: "something" };
    expect(parse(there(text(old)), absent)()).toEqual(record);
  });

  test("of a newer format is refused, naming the version that wrote it", () => {
    const newer = text({ ...record, format: 2, version: "9.1.0", incarnation: "x" });
    expect(parse(there(newer), absent)).toThrow(
      'the record of Bridge "br0" was written by pulumi-hostnet 9.1.0, which is newer than this one: upgrade',
    );
  });

  test("of a newer format is refused as newer, also where this package cannot make sense of the rest", () => {
    const newer = text({ format: 2, version: "9.1.0", owners: [] });
    expect(parse(there(newer), absent)).toThrow("was written by pulumi-hostnet 9.1.0, which is newer");
  });

  test.each([
    ["empty", ""],
    ["cut", text(record).slice(0, 60)],
    ["zeros, as after a power cut", "\0".repeat(200)],
    ["no object", "[]"],
    ["without an owner", text({ ...record, format: 1, version: "0.1.0", owner: undefined })],
    ["with an incarnation of another type", text({ ...record, format: 1, version: "0.1.0", incarnation: 7 })],
  ])("that is damaged (%s) is named", (_how, stdout) => {
    expect(parse(there(stdout), absent)).toThrow(
      'the record of Bridge "br0" under /etc/hostnet is damaged; move it away to go on',
    );
  });

  test("that cannot be read is an error, never an absence", () => {
    const denied = { code: 1, stdout: "", stderr: "cat: /etc/hostnet/objects/x.json: Permission denied\n" };
    expect(parse(denied, absent)).toThrow(
      /^cannot read the record of Bridge "br0": cat: .*Permission denied$/,
    );
    expect(parse({ code: 127, stdout: "", stderr: "sh: cat: not found" }, absent)).toThrow(
      "cannot read the record",
    );
  });
});

describe("a shared setting", () => {
  const key = "net.ipv4.ip_forward";
  const { folder } = release(key, "1");
  /** As grep -r prints the files that the script writes. */
  const printed = (files: Record<string, string>): string =>
    Object.entries(files)
      .flatMap(([name, content]) =>
        content
          .replace(/\n$/, "")
          .split("\n")
          .map((line) => `${folder}/${name}:${line}\n`),
      )
      .join("");
  const file = ({ value, owner }: { value?: string; owner?: string }) => `value ${value}\nowner ${owner}\n`;

  test("lies in a folder of its own", () => {
    expect(folder).toMatch(/^\/etc\/hostnet\/shared\/[0-9a-f]{32}$/);
    expect(release("net.ipv4.ip_forwarding", "1").folder).not.toBe(folder);
    expect(sharedQuery(key)).toEqual({ argv: ["grep", "-rs", "", folder], free: true });
  });

  test("is read as it was written, whatever owners and values look like", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii" }), fc.jsonValue(), (word, former) => {
        const one = claim(key, "11", record.owner, `a/b: ${word.replaceAll("\n", "")}`, former);
        const two = claim(key, "22", `urn:x/y::z: ${word.replaceAll("\n", "")}`, "1", former);
        const stdout = printed({
          former: one.former!,
          "11": file(one),
          "22": file(two),
          ".new": "value half",
        });
        expect(parseShared(there(stdout), key)).toEqual({
          claims: [
            { incarnation: "11", owner: one.owner, value: one.value },
            { incarnation: "22", owner: two.owner, value: two.value },
          ],
          former: JSON.parse(one.former!),
        });
      }),
    );
  });

  test("that nobody claims", () => {
    expect(parseShared({ code: 2, stdout: "", stderr: "" }, key)).toEqual({ claims: [], former: undefined });
    expect(parseShared({ code: 1, stdout: "", stderr: "" }, key)).toEqual({ claims: [], former: undefined });
  });

  test("that cannot be read is an error", () => {
    expect(() =>
      parseShared({ code: 2, stdout: "", stderr: "grep: /etc/hostnet/shared/x: Input/output error" }, key),
    ).toThrow("cannot read who claims net.ipv4.ip_forward: grep: /etc/hostnet/shared/x: Input/output error");
    expect(() => parseShared({ code: 127, stdout: "", stderr: "" }, key)).toThrow("cannot read who claims");
  });
});
