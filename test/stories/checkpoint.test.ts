// Changes that cut the way to a host without systemd, through the real CLI: taken back by the host itself.
import { newProject, program, settled, verify } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";
import { differences } from "../lab/snapshot.ts";
import { descendants } from "./processes.ts";

jest.setTimeout(300_000);

let host: Namespaces;
let project: Project;
let pristine: Awaited<ReturnType<typeof settled>>;

beforeEach(async () => {
  host = await Namespaces.start();
  project = newProject();
  await project.init();
  pristine = await settled(host);
});
afterEach(async () => {
  project?.close();
  await host?.stop();
});

const timeout = 10;
const input = (rules: string, more = "") =>
  `new NftTable("fw", { ...host, confirm: { timeout: ${timeout}${more} }, family: "inet", chains: {
    input: { type: "filter", hook: "input", priority: "filter", policy: "drop", rules: [${rules}] } } });`;

test.each([
  [
    "a rule that sends the answers into a black hole",
    `new PolicyRoute("hole", { ...host, confirm: { timeout: ${timeout} }, family: "ipv4", priority: 50, to: "192.0.2.9/32", action: "blackhole" });`,
    "ip rule show pref 50 | grep -q .",
  ],
  [
    "an address that takes the client's away",
    `new Bridge("br-a", { ...host, confirm: { timeout: ${timeout} }, addresses: ["192.0.2.9/32"] });`,
    "ip -br addr show | grep -q 192.0.2.9",
  ],
])("%s: taken back, and said", async (_what, line, stands) => {
  project.program(program(host, line));
  // By the host's own clock, from when the change is there until it is there no more.
  await host.sh(`{ until ${stands}; do sleep 0.05; done; read -r begin _ </proc/uptime
    while ${stands}; do sleep 0.05; done; read -r end _ </proc/uptime; echo "$begin $end" >/run/stood; } >/dev/null 2>&1 &`);
  expect(await project.fails()).toMatch(/taken back by the host itself, .*Everything is as it was before\./s);
  const [begin, end] = (await host.sh("cat /run/stood")).split(" ").map(Number);
  expect(end! - begin!).toBeGreaterThan(timeout - 1);
  expect(end! - begin!).toBeLessThan(timeout + 1.5);
  expect(differences(pristine, await settled(host))).toEqual([]);
});

test("what was adopted goes back to what was observed, never away", async () => {
  await host.sh(
    "nft 'add table inet fw; add chain inet fw input { type filter hook input priority 0; policy accept; }; add rule inet fw input counter'",
  );
  const before = await settled(host);
  const adopting = input("nft`ct state established accept`", ", allowLockout: true").replace(
    "...host",
    '...host, adopt: "overwrite"',
  );
  project.program(program(host, adopting));
  expect(await project.fails()).toContain("Everything is as it was before.");
  expect(differences(before, await settled(host))).toEqual([]);
});

test("T13: the workstation is killed before it could confirm: the host takes it back, and the next up goes on", async () => {
  project.program(program(host, input("nft`ct state established,related accept`", ", allowLockout: true")));
  const watching = host.sh("until nft list table inet fw >/dev/null 2>&1; do sleep 0.05; done");
  const cli = project.start(["up", "--yes", "--skip-preview"]);
  await watching;
  for (const pid of descendants(cli.pid!)) process.kill(pid, "SIGKILL");
  await host.sh("while nft list table inet fw >/dev/null 2>&1; do sleep 0.2; done");
  expect(differences(pristine, await settled(host))).toEqual([]);
  project.program(
    program(host, input("nft`ct state established,related accept`, nft`tcp dport 2222 accept`")),
  );
  await project.ok(["cancel", "--yes"]);
  await project.up();
  await verify(host, "nft list chain inet fw input | grep -q 'tcp dport 2222 accept'");
  await project.destroy();
  expect(differences(pristine, await settled(host))).toEqual([]);
});
