import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Kind } from "../provider/kind";
import { ROOT } from "./compiled";

/** The folders of the kinds: nothing else of the provider has an index. */
export const folders = readdirSync(join(ROOT, "provider")).filter((name) =>
  existsSync(join(ROOT, "provider", name, "index.ts")),
);

/** What the index of a folder exports, all of it. */
export const exported = (folder: string): Readonly<Record<string, Kind>> =>
  require(join(ROOT, "provider", folder));
