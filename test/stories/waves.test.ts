// Several hosts of one stack, in waves, through the real CLI: what a failed wave leaves, and a host that is lost.
import { hostArgs, logins, newProject, program, settled, verify } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";

jest.setTimeout(600_000);

let hosts: readonly [Namespaces, Namespaces, Namespaces];
let lost: Namespaces | undefined;
let project: Project;

beforeEach(async () => {
  const [canary, second, last] = await Promise.all([
    Namespaces.start(),
    Namespaces.start(),
    Namespaces.start(),
  ]);
  hosts = [canary, second, last];
  lost = undefined;
  project = newProject();
  await project.init();
});
afterEach(async () => {
  project?.close();
  for (const host of hosts ?? []) if (host !== lost) await host.stop();
});

/** As docs/operations.md has it: the first two hosts are a wave, and the third is the next. */
function waves(port: string, only: readonly number[] = [0, 1, 2]): string {
  const args = hosts.map((host) => hostArgs(host, { dialErrorLimit: 1 }));
  return program(
    hosts[0],
    `class Edge extends pulumi.ComponentResource {
       constructor(name, host, opts) {
         super("acme:Edge", name, {}, opts);
         new Bridge(name + "-lan", { ...host, name: "br-lan", ports: ["${port}"] }, { parent: this });
         new NftTable(name + "-fw", { ...host, name: "fw", family: "inet", chains: {
           forward: { type: "filter", hook: "forward", priority: "filter", rules: ['iifname "${port}" accept'] } } }, { parent: this });
       }
     }
     const hosts = [${args.join(", ")}];
     const first = [0, 1].filter((n) => ${JSON.stringify(only)}.includes(n)).map((n) => new Edge("host" + n, hosts[n]));
     new Edge("host2", hosts[2], { dependsOn: first });`,
  );
}
const card = (host: Namespaces, name: string) => verify(host, `card ${name}`);
const has = async (host: Namespaces, port: string): Promise<boolean> => {
  const [bridge, table] = (
    await host.sh(
      `[ -e /sys/class/net/br-lan/brif/${port} ] && echo yes || echo no; nft list table inet fw 2>/dev/null | grep -q '"${port}" accept' && echo yes || echo no`,
    )
  ).split("\n");
  expect(bridge).toBe(table);
  return bridge === "yes";
};

test("a wave fails on one host: that one is as it was, the others of the wave are done, the next is not begun", async () => {
  const [canary, second, last] = hosts;
  for (const host of hosts) await card(host, "lan1");
  project.program(waves("lan1"));
  await project.up();
  for (const host of hosts) expect(await has(host, "lan1")).toBe(true);

  // The canary has no such card: its bridge cannot be changed.
  await card(second, "lan2");
  await card(last, "lan2");
  const [before, visits] = [await last.snapshot(), await logins(last)];
  project.program(waves("lan2"));
  const said = await project.fails("up", "--yes", "--skip-preview", "--continue-on-error");
  expect(said).toMatch(
    /Unable to update Bridge "br-lan" on root@127\.0\.0\.1:\d+: ports: lan2 does not exist on the host/,
  );
  await canary.sh("[ -e /sys/class/net/br-lan/brif/lan1 ]");
  expect(await has(second, "lan2")).toBe(true);
  expect(await last.snapshot()).toEqual(before);
  expect(await logins(last)).toBe(visits);

  // The next up goes on where it stopped, and begins nothing twice.
  await card(canary, "lan2");
  const seen = await logins(second);
  await project.up();
  for (const host of hosts) expect(await has(host, "lan2")).toBe(true);
  expect(await logins(second)).toBe(seen);

  // The way back is the former program; of one host first.
  project.program(waves("lan1"));
  await project.up("--target", "**::host1-*");
  expect([await has(canary, "lan2"), await has(second, "lan1")]).toEqual([true, true]);
  await project.up();
  for (const host of hosts) expect(await has(host, "lan1")).toBe(true);
});

test("a host is gone for good: out of the program, then out of the state; the others are not touched", async () => {
  const [, second, last] = hosts;
  for (const host of hosts) await card(host, "lan1");
  project.program(waves("lan1"));
  await project.up();
  const before = [await settled(second), await settled(last)];
  lost = hosts[0];
  await lost.stop();

  project.program(waves("lan1", [1]));
  expect(await project.fails()).toMatch(/Unable to delete .* on root@127\.0\.0\.1/);
  const { urn } = (await project.state()).find((resource) => resource.urn.endsWith("acme:Edge::host0"))!;
  await project.ok(["state", "delete", urn, "--target-dependents", "--yes"]);
  const left = (await project.state()).map((resource) => resource.urn.split("::").at(-1));
  expect(left.filter((name) => name!.startsWith("host")).sort()).toEqual(
    ["host1", "host1-fw", "host1-lan", "host2", "host2-fw", "host2-lan"].sort(),
  );
  await project.up("--expect-no-changes");
  expect([await settled(second), await settled(last)]).toEqual(before);
});

test("a look each night: what a hand has changed is an exit code and a line, and the state stays", async () => {
  const [host] = hosts;
  const look = ["refresh", "--preview-only", "--diff", "--expect-no-changes"];
  project.program(program(host, 'new Bridge("br-lan", { ...host, mtu: 1400 });'));
  await project.up();
  await project.ok(look);
  const before = (await project.state()).map(({ outputs }) => outputs);
  await host.sh("ip link set dev br-lan mtu 1450");
  expect(await project.fails(...look)).toContain("mtu: 1450 instead of 1400");
  expect((await project.state()).map(({ outputs }) => outputs)).toEqual(before);
  await project.up("--refresh");
  expect(await host.sh("cat /sys/class/net/br-lan/mtu")).toBe("1400\n");
});

test("T16: what leaves the program leaves the host, which is as it was", async () => {
  const [host] = hosts;
  await card(host, "lan1");
  await host.sh("sysctl -qw net.ipv4.ip_forward=0");
  const before = await settled(host);
  const keep = 'new Bridge("br-kept", { ...host, macAddress: "02:00:00:00:09:01" });';
  project.program(program(host, keep));
  await project.up();
  const kept = await settled(host);
  project.program(
    program(
      host,
      keep,
      'new Bridge("br-lan", { ...host, ports: ["lan1"], addresses: ["192.168.7.1/24"], routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.9" }] });',
      'new PolicyRoute("marked", { ...host, family: "ipv4", priority: 100, fwmark: 7, table: 107, routes: [{ destination: "0.0.0.0/0", type: "unreachable" }] });',
      'new Sysctl("forwarding", { ...host, settings: { "net.ipv4.ip_forward": 1 } });',
      'new NftTable("fw", { ...host, family: "inet", chains: { forward: { type: "filter", hook: "forward", priority: "filter", policy: "drop" } } });',
    ),
  );
  await project.up();
  await host.sh(
    "nft list table inet fw; ip rule show | grep -q 'fwmark 0x7'; [ -e /sys/class/net/br-lan/brif/lan1 ]",
  );
  project.program(program(host, keep));
  await project.up();
  expect(await settled(host)).toEqual(kept);
  project.program(program(host));
  await project.up();
  expect(await settled(host)).toEqual(before);
});
