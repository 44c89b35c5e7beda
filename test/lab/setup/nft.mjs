// The nft of one of Debian's releases, unpacked: it runs on any other.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { artefact } from "./cache.mjs";
import { run } from "./shell.mjs";

/** With its own loader and libraries, for this machine's are older. */
const start = `#!/bin/sh
root=\${0%/*}/root
for loader in "$root"/usr/lib/*-linux-gnu*/ld-linux-*.so.* "$root"/lib/*-linux-gnu*/ld-linux-*.so.*; do [ -e "$loader" ] && break; done
libraries=$(printf %s: "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*)
exec "$loader" --library-path "$libraries" "$root/usr/sbin/nft" "$@"
`;

/** A folder with an `nft` in it, which goes where it stands first on PATH. */
export const nftOf = (suite) =>
  artefact("nft", { suite, start }, async (folder) => {
    const [archive, root] = [join(folder, "root.tar"), join(folder, "root")];
    // Nothing is installed: the packages are fetched and unpacked, with what they need.
    await run("mmdebstrap", ["--variant=extract", "--include=nftables", suite, archive]);
    mkdirSync(root);
    const unwanted = ["./dev/*", "./usr/share/*", "./var/*"].map((path) => `--exclude=${path}`);
    await run("tar", ["-C", root, "-xf", archive, "--no-same-owner", ...unwanted]);
    rmSync(archive);
    writeFileSync(join(folder, "nft"), start, { mode: 0o755 });
    await run(join(folder, "nft"), ["--version"]);
  });
