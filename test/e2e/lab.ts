// What every test through the CLI needs: the host, a project on it, and the arguments that lead there.
import { join } from "node:path";
import { checkpoints, logins, settled } from "../lab/settled.ts";
import { readLab, startVm, type Vm } from "../lab/vm.ts";
import { Project } from "./project.ts";

export interface Lab {
  readonly vm: Vm;
  readonly project: Project;
}

/** The host arguments of a program for the lab, as source text. */
export function hostArgs(vm: Vm, more: object = {}): string {
  return JSON.stringify({
    connection: { host: "127.0.0.1", port: vm.port, user: "root", hostKey: vm.hostKey, ...more },
    ssh: { identityFile: vm.keyFile },
  });
}

/** A program of resources, each a line of JavaScript; `host` is at hand. */
export function program(vm: Vm, ...lines: string[]): string {
  return `const pulumi = require("@pulumi/pulumi");
const { ${KINDS.join(", ")}, nft } = require("pulumi-hostnet");
const host = ${hostArgs(vm)};
${lines.join("\n")}
`;
}

const KINDS = [
  "Bridge",
  "Vrf",
  "PolicyRoute",
  "NftTable",
  "NftSet",
  "Sysctl",
  "KernelModules",
  "NwFilter",
  "NwFilterBinding",
];

export const newProject = (name?: string): Project => new Project(readLab().pulumi, undefined, name);
/** A program that comes with the package. */
export const exampleProject = (name: string): Project =>
  new Project(readLab().pulumi, join(process.cwd(), "examples", name));

/** The stack of an example, configured for the lab's host. */
export async function newStack(vm: Vm, project: Project, name = "lab"): Promise<void> {
  await project.init(name);
  const settings = {
    host: "127.0.0.1",
    port: String(vm.port),
    hostKey: vm.hostKey,
    identityFile: vm.keyFile,
  };
  for (const [key, value] of Object.entries(settings)) await project.ok(["config", "set", key, value]);
}

/** Shell lines that must all succeed; `no "…"` is one that must not, for `! …` would not end a `sh -e`. */
export const verify = (vm: Vm, lines: string): Promise<string> =>
  vm.sh(`no() { if eval "$1" >/dev/null 2>&1; then echo "should fail: $1"; exit 1; fi; }\n${lines}`);

export { checkpoints, logins, settled, startVm, type Vm };
