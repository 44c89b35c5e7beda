// The cache outside the checkout: one folder per artefact, named by a hash of the recipe that makes it.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { timed } from "./shell.mjs";

/** The one folder that holds everything we build or download. */
export function cacheFolder() {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "pulumi-hostnet");
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The folder of an artefact: built when missing, under a temporary name first, so that it is whole or absent. */
export async function artefact(name, recipe, build) {
  const key = createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 12);
  const folder = join(cacheFolder(), `${name}-${key}`);
  if (existsSync(folder)) return folder;
  sweep();
  const unfinished = `${folder}.${process.pid}.tmp`;
  mkdirSync(unfinished);
  try {
    await timed(`building ${name}`, () => build(unfinished));
    if (!existsSync(folder)) renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Removes what builds that were killed have left. */
function sweep() {
  for (const name of readdirSync(cacheFolder())) {
    const pid = /\.(\d+)\.tmp$/.exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`))
      rmSync(join(cacheFolder(), name), { recursive: true, force: true });
  }
}
