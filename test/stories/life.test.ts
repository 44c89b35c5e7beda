// The lives of the kinds that need no virtual machine, on hosts in namespaces of this one.
import { newProject } from "../e2e/lab.ts";
import { live, lived } from "../e2e/lives.ts";
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

test.each(lived("namespaces"))("%s%s", (kind) => live(host, project, kind));
