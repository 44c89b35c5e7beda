// Changes that cut the way to a host with systemd, through the real CLI: refused where that is certain, else taken back.
import { differences } from "../lab/snapshot.ts";
import { newProject, program, settled, startVm, type Vm, verify } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(900_000);

let vm: Vm;
let project: Project;
let pristine: Awaited<ReturnType<typeof settled>>;

beforeAll(async () => {
  vm = await startVm();
});
afterAll(() => vm?.stop());
beforeEach(async () => {
  await vm.reset();
  project = newProject();
  await project.init();
  pristine = await settled(vm);
});
afterEach(() => project.close());

const timeout = 10;
const input = (rules: string, more = "") =>
  `new NftTable("fw", { ...host, confirm: { timeout: ${timeout}${more} }, family: "inet", chains: {
    input: { type: "filter", hook: "input", priority: "filter", policy: "drop", rules: [${rules}] } } });`;

/** When the host was as before again, in seconds after the change was applied, by its own log and clock. */
async function revertedAfter(): Promise<number> {
  const lines = await vm.sh("journalctl -q -t hostnet -o short-unix --no-pager");
  const undone = [...lines.matchAll(/^([\d.]+) .*: undone$/gm)].at(-1);
  const applied = await vm.sh("cat /run/applied");
  return Number(undone![1]) - Number(applied);
}

test("a policy that drops new connections: refused by name; tried all the same, it is taken back; corrected, it stands", async () => {
  const established = "nft`ct state established,related accept`, nft`tcp dport 2222 accept`";
  project.program(program(vm, input(established)));
  expect(await project.fails()).toMatch(
    /Unable to create NftTable "inet\/fw" .*chain input of inet fw has policy drop, and no rule that admits tcp from 10.0.2.2 to 10.0.2.15 port 22/s,
  );
  expect(differences(pristine, await settled(vm))).toEqual([]);

  // When the table came, for the clock of the claim below.
  await vm.sh(
    "rm -f /run/applied; (until nft list table inet fw; do sleep 0.05; done; date +%s.%N >/run/applied) >/dev/null 2>&1 &",
  );
  project.program(program(vm, input(established, ", allowLockout: true")));
  expect(await project.fails()).toMatch(
    /taken back by the host itself, for no new connection confirmed it within 10 s: root@127.0.0.1:\d+: .*Everything is as it was before\./s,
  );
  const seconds = await revertedAfter();
  expect(seconds).toBeGreaterThan(timeout - 1);
  // Under emulation the undo itself takes seconds; the clock is looked at closely in test/stories/checkpoint.
  expect(seconds).toBeLessThan(timeout + 10);
  await vm.sh("rm /run/applied");
  expect(differences(pristine, await settled(vm))).toEqual([]);

  project.program(program(vm, input("nft`ct state established,related accept`, nft`tcp dport 22 accept`")));
  await project.up();
  await verify(vm, "nft list chain inet fw input | grep -q 'policy drop'");
  // An update that narrows it is looked at in the same way.
  project.program(
    program(
      vm,
      input("nft`ct state established,related accept`, nft`tcp dport 22 ip saddr 192.0.2.1 accept`"),
    ),
  );
  expect(await project.fails()).toContain("no rule that admits");
  await verify(vm, "nft list chain inet fw input | grep -q 'tcp dport 22 accept'");
  await project.destroy();
  expect(differences(pristine, await settled(vm))).toEqual([]);
});

test("the uplink taken into a VRF: taken back, and said", async () => {
  const uplink = (await vm.sh("cat /run/lab/uplink")).trim();
  const line = `new Vrf("vrf-a", { ...host, confirm: { timeout: ${timeout} }, table: 100, interfaces: ["${uplink}"] });`;
  project.program(program(vm, line));
  const begin = Date.now();
  expect(await project.fails()).toMatch(/taken back by the host itself, .*Everything is as it was before\./s);
  expect(Date.now() - begin).toBeLessThan(90_000);
  const after = await settled(vm);
  // The kernel keeps the rule that it made with its first VRF.
  expect(differences(pristine, after).filter((line) => !line.includes("l3mdev"))).toEqual([]);
});
