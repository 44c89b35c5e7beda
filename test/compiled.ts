import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** The root of this package. */
export const ROOT = join(__dirname, "..");

/** Makes sure that dist/ is of today's sources, in one process at a time. */
export function compiled(): void {
  const cache = join(ROOT, "node_modules", ".cache", "pulumi-hostnet");
  mkdirSync(cache, { recursive: true });
  const compile = 'import("./test/lab/setup/compile.mjs").then((m) => m.compile())';
  const { status, stderr } = spawnSync("flock", [join(cache, "compiling"), process.execPath, "-e", compile], {
    cwd: ROOT,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`compiling failed:\n${stderr}`);
}
