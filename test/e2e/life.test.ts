// What needs the virtual machine: its VRFs, its modules, its systemd, its libvirt.
import { differences } from "../lab/snapshot.ts";
import { newProject, program, settled, startVm, type Vm, verify } from "./lab.ts";
import { live, lived } from "./lives.ts";
import type { Project } from "./project.ts";

jest.setTimeout(900_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
});
afterAll(() => vm?.stop());
beforeEach(async () => {
  await vm.reset();
  project = newProject();
  await project.init();
});
afterEach(() => project?.close());

test.each(lived("machine"))("%s%s", (kind) => live(vm, project, kind));

test("what only outputs tie together goes in an order that works", async () => {
  await verify(vm, "card lan1");
  const pristine = await settled(vm);
  project.program(
    program(
      vm,
      'const vrf = new Vrf("vrf-a", { ...host, table: 100 });',
      'const lan = new Bridge("br-a", { ...host, vrf: vrf.name, ports: ["lan1"], addresses: ["192.168.7.1/24"], routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.9" }] });',
      'new PolicyRoute("marked", { ...host, family: "ipv4", priority: 100, fwmark: 7, table: vrf.table });',
      'new NftTable("guests", { ...host, family: "inet", chains: { forward: { type: "filter", hook: "forward", priority: "filter", rules: [nft`iifname ${lan.name} accept`] } } });',
    ),
  );
  await project.up();
  await vm.sh(
    "ip route show table 100 | grep -q '10.7.0.0/16 via 192.168.7.9 dev br-a'; nft list ruleset | grep -q 'iifname \"br-a\" accept'",
  );
  await project.destroy();
  expect(differences(pristine, await settled(vm))).toEqual([]);
});
