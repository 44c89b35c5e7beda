// The compiled package, as the Pulumi engine loads it.
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { run, timed } from "./shell.mjs";

const stamp = join("node_modules", ".cache", "pulumi-hostnet", "compiled");

/** Compiles sdk/ and provider/ when they are newer than the last compilation that succeeded. */
export async function compile() {
  const sources = ["sdk", "provider", "package.json", "tsconfig.json", "tsconfig.build.json"];
  const begin = Date.now();
  if (existsSync("dist/sdk/index.js") && existsSync(stamp)) {
    const compiled = statSync(stamp).mtimeMs;
    if (sources.every((source) => newest(source) < compiled)) return;
  }
  await timed("compiling", () => run("npm", ["run", "build"]));
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, `${begin}\n`);
}

/** When a folder or anything in it changed last; removals count, they change the folder. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}
