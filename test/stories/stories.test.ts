// What happens to stacks in the course of their lives, through the real CLI, on a host in namespaces of this machine.
import { readFileSync } from "node:fs";
import { hostArgs, logins, newProject, program, settled, verify } from "../e2e/lab.ts";
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

const bridge = 'new Bridge("br-a", { ...host, addresses: ["192.168.7.1/24"] });';
/** Not the same object as before, if it was made anew. */
const ifindex = () => host.sh("cat /sys/class/net/br-a/ifindex");

test("a bridge of one stack is refused to another, by name", async () => {
  project.program(program(host, bridge));
  await project.up();
  const other = newProject("other");
  try {
    await other.init("prod");
    other.program(program(host, bridge));
    expect(await other.fails()).toContain('Unable to create Bridge "br-a" on root@127.0.0.1');
    expect(await other.fails()).toContain(
      "it belongs to urn:pulumi:lab::net::pulumi-nodejs:dynamic/hostnet:Bridge::br-a",
    );
    await host.sh("ip link show dev br-a");
  } finally {
    other.close();
  }
});

test("renamed, moved, replaced, tainted: the object lives on", async () => {
  project.program(program(host, 'new Bridge("old", { ...host, name: "br-a" });'));
  await project.up();
  const before = await ifindex();

  const connections = await logins(host);
  project.program(
    program(host, 'new Bridge("br-new", { ...host, name: "br-a" }, { aliases: [{ name: "old" }] });'),
  );
  expect(await project.up()).toMatch(/unchanged/);
  expect(await logins(host)).toBe(connections);
  expect(await ifindex()).toBe(before);

  project.program(
    program(
      host,
      `class Net extends pulumi.ComponentResource { constructor() { super("my:Net", "net");
         new Bridge("br-new", { ...host, name: "br-a" }, { parent: this }); } }
       new Net();`,
    ),
  );
  await project.up();
  expect(await ifindex()).toBe(before);

  const urn = (await project.state()).find(({ type }) => type.endsWith(":Bridge"))!.urn;
  await project.up("--replace", urn);
  await host.sh("ip link show dev br-a");
  await project.ok(["state", "taint", urn, "--yes"]);
  await project.up();
  await host.sh("ip link show dev br-a");
  await project.ok(["up", "--yes", "--skip-preview", "--expect-no-changes"]);
  await project.destroy();
  await verify(host, "no 'ip link show dev br-a'");
});

test("another name is another bridge", async () => {
  project.program(
    program(host, 'new Bridge("lan", { ...host, name: "br-a", addresses: ["192.168.7.1/24"] });'),
  );
  await project.up();
  project.program(
    program(host, 'new Bridge("lan", { ...host, name: "br-b", addresses: ["192.168.7.1/24"] });'),
  );
  expect((await project.preview()).map(({ op }) => op)).toEqual(["same", "replace"]);
  await project.up();
  await verify(host, "ip link show dev br-b; no 'ip link show dev br-a'");
});

test("changed credentials touch nothing, and destroy uses the new ones", async () => {
  project.program(program(host, bridge));
  await project.up();
  const connections = await logins(host);
  const asOp = hostArgs(host, { user: "op" }).replace('"ssh":{', '"ssh":{"sudo":true,');
  project.program(program(host, `Object.assign(host, ${asOp});`, bridge));
  await project.up();
  expect(await logins(host)).toBe(connections);
  await project.destroy();
  await verify(host, "no 'ip link show dev br-a'");
  expect((await host.log()).match(/Accepted .*/g)?.at(-1)).toContain(" for op ");
});

test("keys from the configuration stand in no resource, and a rotated one changes none", async () => {
  const key = readFileSync(host.keyFile, "utf8");
  const setKey = (text: string) =>
    project.ok(["config", "set", "--raw", "--secret", "hostnet:privateKey"], { stdin: text });
  await setKey(key);
  project.program(program(host, "delete host.ssh;", bridge));
  await project.up();
  // The same key with another comment line is another text.
  await setKey(`${key}\n`);
  const steps = await project.preview();
  expect(steps.filter(({ urn, op }) => /Bridge/.test(urn) && op !== "same")).toEqual([]);
  await project.up();
  expect(project.stateFiles()).not.toContain(key.split("\n")[2]);
  const { inputs, outputs } = (await project.state()).find(({ type }) => type.endsWith(":Bridge"))!;
  expect(JSON.stringify({ inputs, outputs })).not.toContain("PRIVATE KEY");
  await project.destroy();
});

test("a secret in the connection is in no output, no state and no error in clear", async () => {
  const key = readFileSync(host.keyFile, "utf8");
  const lines = key.split("\n");
  const withKey = `delete host.ssh; host.connection.privateKey = ${JSON.stringify(key)};`;
  project.program(program(host, withKey, bridge));
  const said = [await project.ok(["preview", "--diff"]), await project.up(), await project.refresh()];
  project.program(program(host, withKey, 'new Bridge("br-a", { ...host, ports: ["nowhere"] });'));
  said.push(await project.fails());
  expect(said.at(-1)).toContain("ports: nowhere does not exist on the host");
  project.program(program(host, withKey, bridge));
  await project.up();
  said.push(await project.destroy(), project.stateFiles(), await host.log());
  for (const text of said) expect(text).not.toContain(lines[2]);
});

test("the machine reinstalled under the same address: refused with the recipe, then accepted", async () => {
  project.program(program(host, bridge));
  await project.up();
  await host.sh(
    "cp /etc/machine-id /run/machine-id.lab; rm -rf /etc/hostnet; ip link del dev br-a; echo 00112233445566778899aabbccddeeff >/etc/machine-id",
  );
  try {
    const refused = await project.fails("refresh", "--yes", "--skip-preview");
    expect(refused).toContain("another machine answers there (machine-id 00112233445566778899aabbccddeeff");
    expect(refused).toContain('acceptMachine: "00112233445566778899aabbccddeeff"');
    expect(await project.fails("destroy", "--yes", "--skip-preview")).toContain(
      "another machine answers there",
    );
    project.program(program(host, 'host.acceptMachine = "00112233445566778899aabbccddeeff";', bridge));
    await project.up();
    await project.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
  } finally {
    await host.sh("cat /run/machine-id.lab >/etc/machine-id");
  }
});

test("a record lost, an object lost, both", async () => {
  project.program(program(host, bridge));
  await project.up();
  await host.sh("rm /etc/hostnet/objects/*");
  expect(await project.refresh()).toContain("its record is missing on the host");
  await project.up();
  await host.sh("ls /etc/hostnet/objects/*.json");

  await host.sh(
    "rm /etc/hostnet/objects/*; ip addr add 192.168.7.9/24 dev br-a; ip addr del 192.168.7.1/24 dev br-a",
  );
  expect(await project.fails("destroy", "--yes", "--skip-preview")).toContain(
    "its record on the host is lost and it is no longer as it was left",
  );
  await host.sh("ip addr add 192.168.7.1/24 dev br-a");
  await project.up("--refresh");

  const address = await host.sh("cat /sys/class/net/br-a/address");
  await host.sh("ip link del dev br-a");
  expect(await project.refresh()).toContain("it is missing on the host");
  await project.up();
  expect(await host.sh("cat /sys/class/net/br-a/address")).toBe(address);
  await host.sh("ip -br addr show dev br-a | grep 192.168.7.1/24");

  await host.sh("ip link del dev br-a; rm /etc/hostnet/objects/*");
  expect(await project.refresh()).toMatch(/delete/);
  expect((await project.state()).filter(({ type }) => type.endsWith(":Bridge"))).toEqual([]);
});

test("a crash between the change and the state: the next up takes over what it left", async () => {
  project.program(program(host, bridge));
  await project.up();
  const before = await ifindex();
  // What a workstation leaves that dies after the host did its part: an object and its record, no state.
  await project.ok([
    "state",
    "delete",
    "--yes",
    "--force",
    (await project.state()).find(({ type }) => type.endsWith(":Bridge"))!.urn,
  ]);
  await project.up();
  expect(await ifindex()).toBe(before);
  await project.destroy();
});

test("a step that fails in the middle leaves what was there", async () => {
  await verify(host, "card lan1");
  const pristine = await settled(host);
  // The kernel refuses a gateway that is on no link, after the bridge, its port and its address were made.
  const bad = 'routes: [{ destination: "10.9.0.0/16", gateway: "172.16.0.1" }]';
  project.program(
    program(host, `new Bridge("br-a", { ...host, addresses: ["192.168.7.1/24"], ports: ["lan1"], ${bad} });`),
  );
  const said = await project.fails();
  expect(said).toMatch(
    /Unable to create Bridge "br-a" on root@127.0.0.1:\d+: ip -4 route add .* \(step \d of \d\) exited 2: .*Nexthop has invalid gateway/,
  );
  expect(said).toContain("Everything is as it was before.");
  expect(await settled(host)).toEqual(pristine);

  project.program(
    program(host, 'new Bridge("br-a", { ...host, addresses: ["192.168.7.1/24"], ports: ["lan1"] });'),
  );
  await project.up();
  // Its carrier and its link-local address come a moment later.
  await host.sh("until ip -6 addr show dev br-a -tentative | grep -q fe80; do sleep 0.2; done");
  const made = await host.snapshot();
  project.program(program(host, `new Bridge("br-a", { ...host, addresses: ["192.168.7.2/24"], ${bad} });`));
  expect(await project.fails()).toContain("Everything is as it was before.");
  expect(await host.snapshot()).toEqual(made);
});

test("fifty resources at once need one connection", async () => {
  const connections = await logins(host);
  const rules = `for (let i = 0; i < 50; i++) new PolicyRoute(\`r\${i}\`, {
    ...host, confirm: { when: "never" }, family: "ipv4", priority: 1000 + i, fwmark: i + 1, table: 100 });`;
  project.program(program(host, rules));
  await project.up("--parallel", "100");
  expect(await logins(host)).toBe(connections + 1);
  expect(await host.sh("ip rule show | grep -c 'lookup 100'")).toBe("50\n");
  await project.destroy();
  expect(await logins(host)).toBe(connections + 2);
  expect(await host.sh("ip rule show | grep -c 'lookup 100' || :")).toBe("0\n");
});

test("an object that is not ours is refused, adopted as it is, and given back", async () => {
  await host.sh(
    "ip link add name br-a type bridge; ip link set dev br-a up; ip addr add 192.168.7.1/24 dev br-a; ip link set dev br-a mtu 1400",
  );
  project.program(program(host, bridge));
  expect(await project.fails()).toContain(
    'it exists on the host and is not ours: set adopt to "identical" or "overwrite"',
  );
  project.program(program(host, 'new Bridge("br-a", { ...host, adopt: "identical", mtu: 1450 });'));
  expect(await project.fails()).toContain("mtu: 1400 instead of 1450");
  const before = await settled(host);
  project.program(
    program(
      host,
      'new Bridge("br-a", { ...host, adopt: "overwrite", mtu: 1450, addresses: ["192.168.7.1/24", "192.168.8.1/24"] });',
    ),
  );
  await project.up();
  await host.sh("ip -br addr show dev br-a | grep 192.168.8.1/24");
  await project.destroy();
  expect(await settled(host)).toEqual(before);
});

test("T7: one rule more, one element more: one line each in the preview", async () => {
  const table = (rules: string[], elements: number) =>
    program(
      host,
      `const elements = Array.from({ length: ${elements} }, (_, i) => \`10.\${i >> 8}.\${i & 255}.1\`);
       new NftTable("guests", { ...host, family: "inet", sets: { friends: { type: "ipv4_addr", elements } }, chains: {
         forward: { type: "filter", hook: "forward", priority: "filter", rules: ${JSON.stringify(rules)} } } });`,
    );
  const rules = Array.from({ length: 20 }, (_, i) => `tcp dport ${1000 + i} accept`);
  const changed = async () =>
    (await project.ok(["preview", "--diff"])).split("\n").filter((line) => /^\s*[+-] /.test(line));
  project.program(table(rules, 1000));
  await project.up();
  const more = [rules[0]!, "tcp dport 443 accept", ...rules.slice(1)];
  project.program(table(more, 1000));
  expect(await changed()).toEqual([expect.stringContaining("tcp dport 443 accept")]);
  project.program(table(rules, 1001));
  expect(await changed()).toEqual([expect.stringContaining("10.3.232.1")]);
  project.program(table(more, 1001));
  await project.up();
  await host.sh(
    "nft list chain inet guests forward | sed -n 5p | grep -q 'dport 443'; nft list set inet guests friends | grep -q 10.3.232.1",
  );
});

test("hostnet:check: a typo in a rule fails the preview, on its place in the program; the host is not touched", async () => {
  const table = (...rules: string[]) =>
    program(
      host,
      `const banned = new NftSet("banned", { ...host, family: "inet", table: "guests", type: "ipv4_addr", elements: ["192.0.2.1"] });
       new NftTable("guests", { ...host, family: "inet", chains: { forward: { type: "filter", hook: "forward", priority: "filter",
         rules: [nft\`ip saddr \${banned} drop\`, ...${JSON.stringify(rules)}] } } });`,
    );
  const before = await settled(host);
  for (const judge of ["nft", "host"]) {
    await project.ok(["config", "set", "hostnet:check", judge]);
    project.program(table("tcp dport { 22, 80 } accept"));
    await project.ok(["preview"]);
    project.program(table("accept", "tcp dport 70000 accept"));
    expect(await project.fails("preview")).toMatch(
      /error: .*'guests': property chains\.forward\.rules\[2\] .*: Service out of range\s+tcp dport 70000 accept\s+\^{5}/,
    );
  }
  expect(await settled(host)).toEqual(before);
});
