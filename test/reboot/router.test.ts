// The demo's second scene, on a host that nothing else has touched.
import { router } from "../demo/router.ts";
import { exampleProject, startVm, type Vm } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";

jest.setTimeout(1_200_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm({ keepDisk: true });
  project = exampleProject("routed-vm-network");
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

test("the guests' router, and a reboot", () => router(vm, project));
