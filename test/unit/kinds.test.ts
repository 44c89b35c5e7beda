// What makes a kind read like every other, and what would forget one.
import { readFileSync } from "node:fs";
import * as stable from "../../provider/v1";
import { kinds as lived } from "../e2e/lives.ts";
import { exported, folders } from "../kinds";

const all = folders.map((folder) => [folder, ...Object.entries(exported(folder))[0]!] as const);

test.each(all)("%s: folder, export, name and the stable entry are one word", (folder, handler, { name }) => {
  expect(Object.keys(exported(folder))).toEqual([handler]);
  expect([handler, name]).toEqual([camel(folder), camel(`-${folder}`)]);
  expect(Object.keys(stable)).toContain(handler);
});
const camel = (folder: string): string => folder.replace(/-(\w)/g, (_, first: string) => first.toUpperCase());

test("each lives its whole life through the real CLI", () => {
  expect([...lived].sort()).toEqual(all.map(([, , { name }]) => name).sort());
});

const contract = /^export interface Kind<.*?^}/ms.exec(readFileSync("provider/kind.ts", "utf8"))![0];
const parts = [...contract.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, part]) => part!);

test.each(all)("%s: its parts are in the order of the contract", (_folder, _handler, kind) => {
  expect(Object.keys(kind)).toEqual(parts.filter((part) => part in kind));
});
