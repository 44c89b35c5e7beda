// The demo as a command: the machine, the stack, the times.
import { exampleProject } from "../e2e/lab.ts";
import { Project } from "../e2e/project.ts";
import { readLab, startVm, type Vm } from "../lab/vm.ts";
import { behind, FalseClaim, proven } from "./claims.ts";
import { life } from "./life.ts";
import { router } from "./router.ts";

const begin = Number(process.argv[2]);
const keep = process.argv.includes("--keep");
const seconds = (since: number): string => `${((Date.now() - since) / 1000).toFixed(0)} s`;

async function demo(): Promise<void> {
  const ready = Date.now();
  const vm = await startVm();
  console.log(`Set up in ${seconds(begin)}, the virtual machine in ${seconds(ready)}.`);
  if (keep) return first(vm);
  const other = startVm({ keepDisk: true });
  // Its host boots and reboots, while the first scene waits for its own.
  const router = behind(async () => second(await other));
  try {
    await first(vm);
    console.log(`\nThe first scene took ${seconds(ready)}. Played meanwhile:`);
    await router.tell();
  } finally {
    await other.then(
      (started) => started.stop(),
      () => {},
    );
  }
  console.log(
    `\n${proven()} claims, all true. ${seconds(begin)} in all, ${seconds(ready)} of it the demo itself.`,
  );
}

async function first(vm: Vm): Promise<void> {
  const project = new Project(readLab().pulumi, process.cwd());
  try {
    await life(vm, project, keep);
    if (keep) play(vm, project);
  } finally {
    if (!keep) project.close();
    await vm.stop();
  }
}

async function second(vm: Vm): Promise<void> {
  const project = exampleProject("routed-vm-network");
  try {
    await router(vm, project);
  } finally {
    project.close();
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
