// The lab's host after its boot: under emulation a boot takes most of a minute.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { artefact } from "./cache.mjs";
import { typescript } from "./npm.mjs";
import { run } from "./shell.mjs";

/** The folder with its disk and its memory, which only the QEMU that wrote them reads for certain. */
export async function booted(image) {
  const recipe = {
    image: basename(image),
    qemu: await run("qemu-system-x86_64", ["--version"]),
    machine: readFileSync("test/lab/qemu.ts", "utf8"),
    remembers: readFileSync("test/lab/host/remember.sh", "utf8"),
  };
  return artefact("booted", recipe, (folder) =>
    run("node", [...typescript, "test/lab/boot.ts", image, folder]),
  );
}
