// The disk of the lab's host: a Debian with a kernel, made by mmdebstrap from the archive it is set up for.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { artefact } from "./cache.mjs";
import { run } from "./shell.mjs";

const size = "2500M";

/** What else may configure a host: on those of the next Debian, none of it running. */
const others = {
  packages: ["firewalld", "network-manager", "docker.io"],
  units: [
    "firewalld.service",
    "NetworkManager.service",
    "docker.service",
    "docker.socket",
    "containerd.service",
  ],
};

/** @returns the folder with disk.img, vmlinuz, initrd, the key to log in with and the host's public key. */
export async function image(suite) {
  const more = suite === "bookworm" ? undefined : others;
  const usual = readFileSync("test/lab/image/packages.txt", "utf8").trim().split("\n");
  const packages = [...usual, ...(more?.packages ?? [])];
  const customize = readFileSync("test/lab/image/customize.sh", "utf8");
  const assemble = readFileSync("test/lab/image/assemble.sh", "utf8");
  return artefact("image", { suite, size, packages, customize, assemble }, async (folder) => {
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", join(folder, "key")]);
    await run("mmdebstrap", [
      "--variant=minbase",
      `--include=${packages.join(",")}`,
      '--customize-hook=mkdir "$1/lab"',
      // mmdebstrap's own `upload`, for in its user namespace it could not read a folder that only we may enter.
      `--customize-hook=upload '${join(folder, "key.pub")}' /lab/key.pub`,
      "--customize-hook=upload test/lab/image/customize.sh /lab/customize.sh",
      '--customize-hook=chroot "$1" sh /lab/customize.sh',
      ...(more ? [`--customize-hook=chroot "$1" systemctl --quiet disable ${more.units.join(" ")}`] : []),
      suite,
      join(folder, "root.tar"),
    ]);
    // Without root, fakeroot remembers who owns what between tar and mke2fs.
    const [command, ...args] = [...(process.getuid() === 0 ? [] : ["fakeroot"]), "sh"];
    await run(command, [...args, "test/lab/image/assemble.sh", folder, size]);
  });
}
