// What the documents name is there.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const documents = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].concat(
  ["docs", "examples", "bench", "test"].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".md") && !file.includes("node_modules"))
      .map((file) => join(folder, file)),
  ),
);

const named = documents.flatMap((document) => {
  const text = readFileSync(document, "utf8");
  const links = [...text.matchAll(/\]\(([^)#:\s]+)(#\S*)?\)/g)].map(([, to]) => join(dirname(document), to!));
  const ours = /`((?:provider|sdk|test|bench|examples|docs|host|formats)\/[\w./-]+)`/g;
  const files = [...text.matchAll(ours)].map(([, file]) => file!);
  return [...links, ...files].map((path) => [document, path] as const);
});

test("there are documents, and what they name is seen", () => {
  expect(documents.length).toBeGreaterThan(8);
  expect(named).toContainEqual(["README.md", "docs/safety.md"]);
  expect(named).toContainEqual(["CONTRIBUTING.md", "provider/vlan/"]);
});

test("each is a file or a folder of ours", () => {
  const roots = ["", "provider"];
  expect(named.filter(([, path]) => !roots.some((root) => existsSync(join(root, path))))).toEqual([]);
});
