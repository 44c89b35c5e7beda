import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import * as pulumi from "@pulumi/pulumi";

/** As deep as nft itself goes. */
const DEEPEST = 16;
const INCLUDE = /^[ \t]*include[ \t]+(?:"([^"\n]+)"|'([^'\n]+)')[ \t]*;?[ \t]*$/gm;

/** A file of nft's own language, for `text`, with the files that it includes in their places. */
export function readNft(path: string, depth = 0): string {
  if (depth > DEEPEST)
    throw new pulumi.RunError(`nft.file: ${path}: more than ${DEEPEST} files include each other`);
  const included = (_: string, quoted?: string, single?: string) => {
    const name = (quoted ?? single)!;
    return matches(resolve(dirname(path), name), path)
      .map((file) => readNft(file, depth + 1).trimEnd())
      .join("\n");
  };
  return read(path).replace(INCLUDE, included);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new pulumi.RunError(`nft.file: ${(error as Error).message}`);
  }
}

/** A pattern without a match includes nothing, as with nft; a plain name must be there. */
function matches(path: string, from: string): string[] {
  const [folder, last] = [dirname(path), basename(path)];
  if (/[*?[]/.test(folder))
    throw new pulumi.RunError(`nft.file: ${from}: a pattern stands in the last part of a path only`);
  if (!/[*?[]/.test(last)) return [path];
  const pattern = new RegExp(
    `^${last
      .replace(/[.+^${}()|\\]/g, "\\$&")
      .replaceAll("*", ".*")
      .replaceAll("?", ".")}$`,
  );
  const names = (() => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  })();
  return names
    .filter((name) => pattern.test(name) && !name.startsWith("."))
    .sort()
    .map((name) => join(folder, name));
}
