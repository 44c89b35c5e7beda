// Beside other firewalls: what they still drop is said, packets agree, and it is said no more once they let it pass.
import { readFileSync } from "node:fs";
import { newProject, program } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";
import { lan, ping } from "../lab/network.ts";

jest.setTimeout(300_000);

let host: Namespaces;
let project: Project;

/** Two LANs, which the host routes between. */
const WORLD = `${lan}
lan a lan-a 02:00:00:00:0a:01 10.1.0 2
lan b lan-b 02:00:00:00:0b:01 10.2.0 2
for n in a b; do ip netns exec "$n-2" sh -c 'ip link set lo up'; done
ip addr add 10.1.0.1/24 dev lan-a
ip addr add 10.2.0.1/24 dev lan-b
ip -n a-2 route add default via 10.1.0.1
ip -n b-2 route add default via 10.2.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward`;

beforeEach(async () => {
  host = await Namespaces.start();
  project = newProject();
  await Promise.all([project.init(), host.sh(WORLD)]);
});
afterEach(async () => {
  project?.close();
  await host?.stop();
});

/** With the way in that they have, for the port that ours is at. */
const WAY_IN: Record<string, string> = {
  "firewalld.nft": "add rule inet firewalld filter_IN_public_allow tcp dport 2222 accept",
  "ufw.nft": "add rule ip filter ufw-user-input tcp dport 2222 accept",
};
const load = (file: string) =>
  host.sh(`nft -f - <<'END'\n${readFileSync(`test/others/${file}`, "utf8")}\n${WAY_IN[file] ?? ""}\nEND`);
/** A port at which nobody listens answers all the same; a ping passes some firewalls that nothing else passes. */
const reaches = async () =>
  (await host.sh("ip netns exec a-2 timeout 2 bash -c '</dev/tcp/10.2.0.2/80' 2>&1 || :")).includes(
    "Connection refused",
  );
const table = `new NftTable("fw", { ...host, family: "inet", chains: { forward: { type: "filter", hook: "forward", priority: "filter", policy: "drop",
  rules: ["ct state established,related accept", 'iifname "lan-a" oifname "lan-b" accept'] } } });`;

test.each([
  [
    "docker-28.nft",
    /warning: .*still dropped by chain FORWARD of ip filter and ip6 filter \(docker: policy drop\).*iptables -I DOCKER-USER -i lan-a -o lan-b -j ACCEPT/,
    `for f in ip ip6; do nft insert rule $f filter DOCKER-USER iifname lan-a oifname lan-b counter accept
     nft insert rule $f filter DOCKER-USER ct state related,established counter accept; done`,
  ],
  [
    "firewalld.nft",
    /warning: .*still dropped by chain filter_FWD_public of inet firewalld \(firewalld: reject with icmpx admin-prohibited\)/,
    "nft insert rule inet firewalld filter_FORWARD_ZONES iifname lan-a oifname lan-b accept",
  ],
  [
    "ufw.nft",
    /warning: .*still dropped by chain FORWARD of ip filter and ip6 filter \(ufw: policy drop\).*ufw route allow in on lan-a out on lan-b/,
    "for f in ip:ufw ip6:ufw6; do nft add rule ${f%:*} filter ${f#*:}-user-forward iifname lan-a oifname lan-b counter accept; done",
  ],
])("%s", async (file, warned, cure) => {
  project.program(program(host, table));
  expect(await project.up()).not.toContain("dropped");
  expect(await reaches()).toBe(true);

  await load(file);
  expect(await reaches()).toBe(false);
  await project.refresh();
  // A preview needs no host to repeat it.
  expect(await project.ok(["preview"])).toMatch(warned);

  await host.sh(cure);
  expect(await reaches()).toBe(true);
  await project.refresh();
  expect(await project.ok(["preview"])).not.toContain("dropped");
});

test("at the create that it is about, and for a bridge that docker cuts", async () => {
  await load("docker-24.nft");
  project.program(program(host, table));
  expect(await project.up()).toMatch(
    /warning: .*still dropped by chain FORWARD of ip filter and ip6 filter \(docker: policy drop\)/,
  );
  expect(await reaches()).toBe(false);
  const [resource] = (await project.state()).filter(({ type }) => type.endsWith(":NftTable"));
  expect(resource!.outputs.warnings).toEqual([expect.stringContaining("docker")]);
});

test("guests on one bridge, which br_netfilter leads through docker's chain", async () => {
  await host.sh(
    `ip addr flush dev lan-a; ip addr flush dev lan-b; ip -n b-2 addr add 10.1.0.3/24 dev eth0; ip -n b-2 addr del 10.2.0.2/24 dev eth0`,
  );
  const together = () =>
    host.sh(ping("a-2", "10.1.0.3")).then(
      () => true,
      () => false,
    );
  await load("docker-24.nft");
  project.program(program(host, 'new Bridge("br-lan", { ...host, ports: ["lan-a", "lan-b"] });'));
  expect(await project.up()).toMatch(
    /warning: IP packets from one of its ports to another are dropped by chain FORWARD of ip filter \(docker: policy drop\)/,
  );
  expect(await together()).toBe(false);
  await host.sh("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables");
  expect(await together()).toBe(true);
  await project.refresh();
  expect(await project.ok(["preview"])).not.toContain("dropped");
});
