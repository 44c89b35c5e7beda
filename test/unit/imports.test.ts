// Imports point one way: read from the files themselves, so that a short cut cannot slip in.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { preProcessFile } from "typescript";
import { folders } from "../kinds";

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file));
}

/** Packages as they are, own files as paths from the root. */
function imports(file: string): string[] {
  const named = preProcessFile(readFileSync(file, "utf8"), true, true).importedFiles.map(
    ({ fileName }) => fileName,
  );
  return named.map((name) =>
    name.startsWith(".") ? relative(process.cwd(), join(process.cwd(), dirname(file), name)) : name,
  );
}

const all = [...sources("provider"), ...sources("sdk")];
const importers = (wanted: (name: string) => boolean): string[] =>
  all.filter((file) => imports(file).some(wanted)).sort();

test("there are files to read, and their imports are seen", () => {
  expect(all.length).toBeGreaterThan(30);
  expect(folders.length).toBeGreaterThan(10);
  expect(imports("provider/lifecycle.ts")).toContain("provider/kind");
});

test("only sdk knows Pulumi", () => {
  const knowing = importers((name) => name.startsWith("@pulumi/"));
  expect(knowing.filter((file) => !file.startsWith("sdk/"))).toEqual([]);
});

test("only the dialling of a session knows SSH", () => {
  const knowing = importers((name) => name === "node-ssh" || name === "ssh2");
  expect(knowing).toEqual(["provider/host/dial.ts"]);
});

test("nothing of SSH is loaded before the first connection", () => {
  const loaded = /^import (?!type\b)[^;]*? from "(?:node-ssh|ssh2)"/m;
  expect(all.filter((file) => loaded.test(readFileSync(file, "utf8")))).toEqual([]);
});

test.each(folders)("%s imports kind, schema, errors and formats, and nothing else", (kind) => {
  const own = `provider/${kind}/`;
  const allowed = /^(zod|node:(crypto|util)|provider\/(kind|schema|errors)|provider\/formats\/[\w-]+)$/;
  for (const file of sources(own)) {
    expect(
      imports(file).filter(
        (name) => !allowed.test(name) && !`${name}/`.startsWith(own) && !name.startsWith(own),
      ),
    ).toEqual([]);
  }
});

test("sdk takes formats, args, and the version from provider", () => {
  const allowed = /^provider\/(version|formats\/[\w-]+|[\w-]+\/args)$/;
  const taken = sources("sdk")
    .flatMap(imports)
    .filter((name) => name.startsWith("provider/"));
  expect(taken.filter((name) => !allowed.test(name))).toEqual([]);
});

test("formats know no kind", () => {
  const taken = sources("provider/formats")
    .flatMap(imports)
    .filter((name) => name.startsWith("provider/"));
  expect(taken.filter((name) => !/^provider\/(kind|schema|errors|formats\/[\w-]+)$/.test(name))).toEqual([]);
});
