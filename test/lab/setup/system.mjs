// The Debian or Ubuntu packages that the lab and the tests are made with.
import { existsSync } from "node:fs";
import { run, Stop, say, timed, which } from "./shell.mjs";

const isRoot = process.getuid?.() === 0;

const wanted = [
  { package: "qemu-system-x86", there: () => which("qemu-system-x86_64") },
  { package: "mmdebstrap", there: () => which("mmdebstrap") },
  { package: "e2fsprogs", there: () => which("mke2fs") },
  { package: "openssh-client", there: () => which("ssh") && which("ssh-keygen") },
  // For the tests in namespaces of this machine.
  { package: "iproute2", there: () => which("ip") && which("bridge") },
  { package: "nftables", there: () => which("nft") },
  { package: "procps", there: () => which("sysctl") },
  { package: "openssh-server", there: () => which("sshd") },
  { package: "sudo", there: () => which("sudo") },
  { package: "tcsh", there: () => which("tcsh") },
  { package: "fish", there: () => which("fish") },
  { package: "tcpdump", there: () => which("tcpdump") },
  { package: "conntrack", there: () => which("conntrack") },
  { package: "iputils-ping", there: () => which("ping") },
  { package: "python3-minimal", there: () => which("python3") },
  { package: "dnsmasq-base", there: () => which("dnsmasq") },
  { package: "curl", there: () => which("curl") },
  { package: "busybox", there: () => which("busybox") },
  // Ubuntu has no keys for Debian's archive of its own accord.
  {
    package: "debian-archive-keyring",
    there: () => existsSync("/usr/share/keyrings/debian-archive-keyring.gpg"),
  },
  // Without root the image is made in a user namespace.
  { package: "uidmap", there: () => isRoot || which("newuidmap") },
  { package: "fakeroot", there: () => isRoot || which("fakeroot") },
];

/** Installs the missing system packages when we may, and otherwise stops with the command that does. */
export async function systemPackages() {
  const missing = wanted.filter((one) => !one.there()).map((one) => one.package);
  if (missing.length === 0) return;
  const install = ["install", "--yes", "--no-install-recommends", ...missing];
  if (!which("apt-get")) throw new Stop(`These programs are missing (Debian's names): ${missing.join(" ")}`);
  if (!isRoot) {
    throw new Stop(
      `System packages are missing. Install them and try again:\n  sudo apt-get update && sudo apt-get ${install.join(" ")}`,
    );
  }
  say(`installing system packages: ${missing.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await timed("apt-get update", () => run("apt-get", ["update"], { env }));
  await timed("apt-get install", () => run("apt-get", install, { env }));
}
