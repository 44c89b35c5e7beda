// The demo as a command: the machine, the stack, the times.
import { Project } from "../e2e/project.ts";
import { readLab, startVm, type Vm } from "../lab/vm.ts";
import { FalseClaim, proven } from "./claims.ts";
import { life } from "./life.ts";

const begin = Number(process.argv[2]);
const keep = process.argv.includes("--keep");
const seconds = (since: number): string => `${((Date.now() - since) / 1000).toFixed(0)} s`;

async function demo(): Promise<void> {
  const ready = Date.now();
  const vm = await startVm();
  const project = new Project(readLab().pulumi, process.cwd());
  try {
    console.log(`Set up in ${seconds(begin)}, the virtual machine in ${seconds(ready)}.`);
    await life(vm, project, keep);
    console.log(
      `\n${proven()} claims, all true. ${seconds(begin)} in all, ${seconds(ready)} of it the demo itself.`,
    );
    if (keep) return play(vm, project);
  } finally {
    if (!keep) project.close();
    await vm.stop();
  }
}

function play(vm: Vm, project: Project): void {
  const variables = Object.entries(project.environment).map(([name, value]) => `export ${name}='${value}'`);
  console.log(`
The virtual machine and the stack are up.
  Log in:          ${vm.login()}
  In a node:       ip netns exec inner-10 ping 192.168.3.10
  Go on here with: ${variables.join("\n                   ")}
                   pulumi up ${project.flags().join(" ")}
  End both:        node test/lab/down.mjs`);
}

demo().catch((error: unknown) => {
  if (!(error instanceof FalseClaim)) console.error(error);
  process.exitCode = 1;
});
