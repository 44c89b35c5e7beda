// The whole life of every kind through the real CLI on the real host; each state is read by another tool than ours.
import { newProject, program, settled, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(300_000);

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
afterEach(() => project.close());

interface Life {
  /** Shell, on the host: what is there before us. */
  readonly world: string;
  readonly create: string;
  /** In the same resource. */
  readonly update: string;
  /** Shell, on the host: fails unless the object is as created, as updated. */
  readonly created: string;
  readonly updated: string;
  /** Shell, on the host: a hand that changes the object. */
  readonly edit: string;
  /** What a refresh shows of it. */
  readonly drift: string;
}

const lives: Record<string, Life> = {
  Bridge: {
    // Once up, for the kernel gives a link its queue the first time only.
    world: `for l in lan1 lan2; do ip link add name $l type dummy; ip link set dev $l up; done; ip link set dev lan1 down`,
    create:
      'new Bridge("br-lan", { ...host, addresses: ["192.168.7.1/24", "2001:db8:7::1/64"], ports: ["lan1"] });',
    created: `ip -j -d link show dev br-lan | grep -q '"info_kind":"bridge"'
      ip -br addr show dev br-lan | grep 192.168.7.1/24 | grep -q 2001:db8:7::1/64
      ip -br link show master br-lan | grep -q '^lan1 '`,
    update: `new Bridge("br-lan", { ...host, addresses: ["192.168.7.2/24"], ageingTime: 60,
      ports: ["lan1", { name: "lan2", isolated: true }], routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.9" }] });`,
    updated: `! ip -br addr show dev br-lan | grep -q 192.168.7.1/24
      ip -br addr show dev br-lan | grep -q 192.168.7.2/24
      bridge -d link show dev lan2 | grep -q 'isolated on'
      ip route show 10.7.0.0/16 | grep -q 'via 192.168.7.9 dev br-lan'
      [ $(cat /sys/class/net/br-lan/bridge/ageing_time) = 6000 ]`,
    edit: "ip link set dev lan2 nomaster; ip addr add 192.168.99.1/24 dev br-lan",
    drift: "ports: lan2 isolated=true is missing",
  },
};

test.each(Object.keys(lives))("%s", async (kind) => {
  const life = lives[kind]!;
  await vm.sh(life.world);
  const pristine = await settled(vm);

  project.program(program(vm, life.create));
  await project.up();
  await vm.sh(life.created);

  const unchanged = await project.ok(["up", "--yes", "--skip-preview", "--expect-no-changes"]);
  expect(unchanged).toContain("unchanged");

  project.program(program(vm, life.update));
  const steps = await project.preview();
  expect(steps.filter((step) => step.op === "update")).toHaveLength(1);
  expect(steps.some((step) => /replace|create|delete/.test(step.op))).toBe(false);
  await project.up();
  await vm.sh(life.updated);

  await vm.sh(life.edit);
  expect(await project.refresh()).toContain(life.drift);
  await project.up();
  await vm.sh(life.updated);
  expect(await project.ok(["up", "--yes", "--skip-preview", "--expect-no-changes"])).toContain("unchanged");

  await project.destroy();
  expect(await settled(vm)).toEqual(pristine);
});
