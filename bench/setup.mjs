// Ansible in a folder of the cache, and what it needs on the host.
import { existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../test/lab/setup/cache.mjs";
import { run, timed } from "../test/lab/setup/shell.mjs";

/** @returns the folder; its programs are in bin, the lab's host lacks python.deb */
export async function ansible() {
  const folder = join(cacheFolder(), "ansible");
  const programs = join(folder, "bin");
  if (existsSync(join(folder, "python.deb"))) return folder;
  await timed("ansible-core from PyPI", async () => {
    await run("python3", ["-m", "venv", "--clear", folder]);
    await run(join(programs, "pip"), ["install", "--quiet", "ansible-core"]);
    // The lab's Python is the minimal one, without the library that Ansible's modules use.
    await run("apt-get", ["download", "libpython3.11-stdlib"], { cwd: folder });
    const deb = readdirSync(folder).find((name) => name.endsWith(".deb"));
    renameSync(join(folder, deb), join(folder, "python.deb"));
  });
  return folder;
}
