// examples/overlapping-subnets, as the demo runs it: every claim of its whole life.
import { proven } from "../demo/claims.ts";
import { life } from "../demo/life.ts";
import { readLab, startVm, type Vm } from "../lab/vm.ts";
import { Project } from "./project.ts";

jest.setTimeout(1_200_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  project = new Project(readLab().pulumi, process.cwd());
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

test("two LANs with the same addresses reach each other, change, heal and go", async () => {
  await life(vm, project);
  expect(proven()).toBeGreaterThanOrEqual(20);
});
