// The lives of the kinds that need no virtual machine, on hosts in namespaces of this one.
import { newProject } from "../e2e/lab.ts";
import { live } from "../e2e/lives.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";

jest.setTimeout(300_000);

let host: Namespaces;
let project: Project;

beforeEach(async () => {
  host = await Namespaces.start();
  project = newProject();
  await project.init();
});
afterEach(async () => {
  project?.close();
  await host?.stop();
});

test.each([
  ["Bridge", ""],
  ["PolicyRoute", ""],
  ["NftTable", ": T8 a hand's edit shows and is repaired, T11 other tables stay as they are"],
  ["NftSet", ""],
  ["Sysctl", ""],
] as const)("%s%s", (kind, _) => live(host, project, kind));
