// What every test through the CLI needs: a project on a host, and the arguments that lead there.
import { join } from "node:path";
import type { Host } from "../lab/host.ts";
import { logins, settled } from "../lab/settled.ts";
import { readLab, startVm, type Vm } from "../lab/vm.ts";
import { Project } from "./project.ts";

/** The host arguments of a program for the lab, as source text. */
export function hostArgs(host: Host, more: object = {}): string {
  return JSON.stringify({
    connection: { host: "127.0.0.1", port: host.port, user: "root", hostKey: host.hostKey, ...more },
    ssh: { identityFile: host.keyFile },
  });
}

/** A program of resources, each a line of JavaScript; `host`, and all that the package exports, is at hand. */
export function program(host: Host, ...lines: string[]): string {
  return `const pulumi = require("@pulumi/pulumi");
Object.assign(globalThis, require("pulumi-hostnet"));
const host = ${hostArgs(host)};
${lines.join("\n")}
`;
}

export const newProject = (name?: string): Project => new Project(readLab().pulumi, undefined, name);
/** A program that comes with the package. */
export const exampleProject = (name: string): Project =>
  new Project(readLab().pulumi, join(process.cwd(), "examples", name));

/** The stack of an example, configured for the lab's host. */
export async function newStack(host: Host, project: Project, name = "lab"): Promise<void> {
  await project.init(name);
  const settings = {
    host: "127.0.0.1",
    port: String(host.port),
    hostKey: host.hostKey,
    identityFile: host.keyFile,
  };
  const pairs = Object.entries(settings).flatMap(([key, value]) => ["--plaintext", `${key}=${value}`]);
  await project.ok(["config", "set-all", ...pairs]);
}

/**
 * Shell lines that must all succeed. `no "…"` is one that must not, for `! …` would not end a `sh -e`; `card NAME` makes
 * a link that is up, with a MAC of its own (or udev gives it another one seconds later), and waits for the address that
 * the kernel gives it a moment later.
 */
export const verify = (host: Host, lines: string): Promise<string> =>
  host.sh(`no() { if eval "$1" >/dev/null 2>&1; then echo "should fail: $1"; exit 1; fi; }
card() {
  ip link add name "$1" address "02:00:00:00:$(printf %s "$1" | md5sum | sed 's/^\\(..\\)\\(..\\).*/\\1:\\2/')" type veth peer name "$1-end"
  for end in "$1" "$1-end"; do ip link set dev "$end" up; done
  for end in "$1" "$1-end"; do
    tries=0
    until ip -6 addr show dev "$end" -tentative | grep -q fe80; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
  done
}
${lines}`);

export { type Host, logins, settled, startVm, type Vm };
