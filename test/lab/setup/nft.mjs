// An nft that is newer than this machine's, from Debian's next release, unpacked beside it.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { artefact } from "./cache.mjs";
import { run } from "./shell.mjs";

const suite = "trixie";

/** With its own loader and libraries, for this machine's are older. */
const start = `#!/bin/sh
root=\${0%/*}/root
for loader in "$root"/usr/lib64/ld-linux-*.so.* "$root"/usr/lib/ld-linux-*.so.*; do [ -e "$loader" ] && break; done
exec "$loader" --library-path "$(echo "$root"/usr/lib/*-linux-gnu*)" "$root/usr/sbin/nft" "$@"
`;

/** A folder with an `nft` in it, which goes where it stands first on PATH. */
export const newerNft = () =>
  artefact("nft", { suite, start }, async (folder) => {
    const [archive, root] = [join(folder, "root.tar"), join(folder, "root")];
    // Nothing is installed: the packages are fetched and unpacked, with what they need.
    await run("mmdebstrap", ["--variant=extract", "--include=nftables", suite, archive]);
    mkdirSync(root);
    const wanted = ["./usr/sbin/nft", "./usr/lib", "./usr/lib64"];
    await run("tar", ["-C", root, "-xf", archive, "--no-same-owner", ...wanted]);
    rmSync(archive);
    writeFileSync(join(folder, "nft"), start, { mode: 0o755 });
    await run(join(folder, "nft"), ["--version"]);
  });
