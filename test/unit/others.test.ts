// What other firewalls of the host do with what is accepted here: their rulesets as data (test/others).
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { bridge } from "../../provider/bridge";
import type { Neighbours } from "../../provider/kind";
import { nftTable } from "../../provider/nft-table";
import { parseFields } from "../../provider/schema";

const ruleset = (...names: string[]) =>
  names
    .map((name) => readFileSync(`test/others/${name}`, "utf8").replace(/^\t\telements = .*\n/gm, ""))
    .join("");

function table(fields: object): Neighbours | undefined {
  const parsed = parseFields(nftTable.schema, { family: "inet", name: "fw", ...fields });
  if (!parsed.desired) throw new Error(JSON.stringify(parsed.problems));
  return nftTable.neighbours!(parsed.desired);
}
const base = (hook: string, rules: string[], more: object = {}) => ({
  chains: { [hook]: { type: "filter", hook, priority: 0, policy: "drop", rules, ...more } },
});
const heard = (neighbours: Neighbours | undefined, stdout: string) =>
  neighbours!.warnings({ code: 0, stdout: gzipSync(stdout).toString("base64"), stderr: "" });
const forward = (rules: string[], stdout: string) => heard(table(base("forward", rules)), stdout);
const input = (rules: string[], stdout: string) => heard(table(base("input", rules)), stdout);

const ESTABLISHED = "ct state established,related accept";
const LAN = 'iifname "br-lan" oifname "eth0" accept';

describe("it is asked only where something is accepted", () => {
  test.each([
    ["nothing accepted", base("forward", ["tcp dport 25 drop"], { policy: "accept" })],
    ["asleep", { ...base("forward", ["accept"]), dormant: true }],
    ["nat", { chains: { n: { type: "nat", hook: "postrouting", priority: 100, rules: ["accept"] } } }],
    ["no base chain", { chains: { c: { rules: ["accept"] } } }],
    [
      "only what is established, by a map",
      base("forward", ["ct state vmap { established : accept, invalid : drop }"]),
    ],
  ])("%s", (_, fields) => expect(table(fields)).toBeUndefined());
});

test.each(["docker-24.nft", "docker-28.nft"])(
  "%s: its policy drops, and what to do is said for each rule",
  (name) => {
    const said = forward([ESTABLISHED, LAN], ruleset(name));
    expect(said).toEqual([
      `what "${ESTABLISHED}" and 1 more of its rules in its chain forward accept is still dropped by chain FORWARD of ip filter and ip6 filter ` +
        "(docker: policy drop): an accept ends one chain only. Needed there: " +
        "iptables -I DOCKER-USER -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT (and with ip6tables); " +
        "iptables -I DOCKER-USER -i br-lan -o eth0 -j ACCEPT (and with ip6tables)",
    ]);
    // Done, it is said no more.
    const user = "chain DOCKER-USER {";
    const done = ruleset(name).replaceAll(
      user,
      `${user}\n\t\tct state related,established counter accept\n\t\tiifname "br-lan" oifname "eth0" counter accept`,
    );
    expect(forward([ESTABLISHED, LAN], done)).toEqual([]);
    expect(forward([ESTABLISHED, LAN, 'iifname "br-dmz" accept'], done)).toHaveLength(1);
    // What docker itself lets pass, and a hook where it drops nothing.
    expect(forward(['iifname "docker0" oifname "eth0" accept'], ruleset(name))).toEqual([]);
    expect(input(["tcp dport 22 accept"], ruleset(name))).toEqual([]);
  },
);

test("docker with the iptables of old, which nft does not list", () => {
  expect(forward([LAN], ruleset("docker-24-legacy.txt"))).toEqual([
    `what "${LAN}" in its chain forward accepts is still dropped by chain FORWARD of ip filter (legacy) (docker: policy drop): ` +
      "an accept ends one chain only. Needed there: iptables-legacy -I DOCKER-USER -i br-lan -o eth0 -j ACCEPT",
  ]);
  const done = ruleset("docker-24-legacy.txt").replace(
    "-A DOCKER-USER",
    '-A DOCKER-USER -i br-lan -o eth0 -m comment --comment "let it" -j ACCEPT\n-A DOCKER-USER',
  );
  expect(forward([LAN], done)).toEqual([]);
  // Only rules of IPv6, which these chains never see.
  expect(
    forward(['iifname "br-lan" ip6 saddr 2001:db8::/64 accept'], ruleset("docker-24-legacy.txt")),
  ).toEqual([]);
});

test("docker with nftables keeps to its own bridges", () => {
  expect(forward([ESTABLISHED, LAN], ruleset("docker-29-nftables.nft"))).toEqual([]);
});

test("firewalld rejects what its zones do not let pass", () => {
  expect(forward([ESTABLISHED, LAN], ruleset("firewalld.nft"))).toEqual([
    `what "${LAN}" in its chain forward accepts is still dropped by chain filter_FWD_public of inet firewalld ` +
      "(firewalld: reject with icmpx admin-prohibited): an accept ends one chain only. Needed there: " +
      "a policy of firewalld with target ACCEPT between the zones of its links (firewall-cmd --permanent --new-policy …)",
  ]);
  expect(forward([ESTABLISHED, LAN], ruleset("firewalld-policy.nft"))).toEqual([]);
  expect(forward([ESTABLISHED, 'iifname "br-dmz" accept'], ruleset("firewalld-policy.nft"))).toHaveLength(1);
  // ssh is open there, as installed, and so is a ping.
  expect(input([ESTABLISHED, "tcp dport 22 accept", 'iif "lo" accept'], ruleset("firewalld.nft"))).toEqual(
    [],
  );
  expect(input(["icmp type echo-request accept"], ruleset("firewalld.nft"))).toEqual([]);
  expect(input(["tcp dport { 22, 80 } accept"], ruleset("firewalld.nft"))[0]).toMatch(
    /^what "tcp dport \{ 22, 80 \} accept" in its chain input accepts is still dropped by chain filter_IN_public .*--add-port=/,
  );
});

test("ufw drops on input and forward, but for what it was told", () => {
  expect(forward([ESTABLISHED, LAN, "ip daddr 10.0.0.5 tcp dport 80 accept"], ruleset("ufw.nft"))).toEqual([
    `what "${LAN}" and 1 more of its rules in its chain forward accept is still dropped by chain FORWARD of ip filter and ip6 filter (ufw: policy drop): ` +
      "an accept ends one chain only. Needed there: ufw route allow in on br-lan out on eth0; ufw route allow to 10.0.0.5 port 80 proto tcp",
  ]);
  expect(input([ESTABLISHED, "tcp dport 22 accept"], ruleset("ufw.nft"))).toEqual([]);
  expect(input(['iifname "br-lan" udp dport 53 accept'], ruleset("ufw.nft"))[0]).toMatch(
    /chain INPUT of ip filter and ip6 filter \(ufw: policy drop\).*ufw allow in on br-lan to any port 53 proto udp$/,
  );
});

test.each(["libvirt-iptables.nft", "libvirt-nftables.nft"])(
  "%s: only what goes to its own network",
  (name) => {
    expect(forward([ESTABLISHED, LAN], ruleset(name))).toEqual([]);
    const [said, ...more] = forward(['iifname "eth1" oifname "virbr0" tcp dport 80 accept'], ruleset(name));
    expect(more).toEqual([]);
    expect(said).toMatch(
      /dropped by chain (LIBVIRT_FWI|guest_input) of ip \S+ \(libvirt: oif(name)? "virbr0" reject\).*mode="open"/,
    );
  },
);

test("another table of ours or of an admin, whatever its priority; families that never meet say nothing", () => {
  const other = (family: string) =>
    `table ${family} theirs {\n\tchain f {\n\t\ttype filter hook forward priority -400; policy drop;\n\t}\n}\n`;
  expect(forward([LAN], other("inet"))).toEqual([
    `what "${LAN}" in its chain forward accepts is still dropped by chain f of inet theirs (policy drop): ` +
      "an accept ends one chain only. Needed there: a rule in that chain",
  ]);
  expect(forward([LAN], other("bridge"))).toEqual([]);
  expect(forward([LAN], other("inet").replace("{\n", "{\n\tflags dormant\n"))).toEqual([]);
  expect(forward([LAN], other("inet").replace("theirs", "fw"))).toEqual([]);
  const bridged = table({ family: "bridge", ...base("forward", ["accept"], { priority: -200 }) });
  expect(heard(bridged, other("inet"))).toEqual([]);
  expect(heard(bridged, other("bridge"))).toHaveLength(1);
});

test("rules that are not understood, jumps and maps", () => {
  const other = (rules: string) =>
    `table inet theirs {\n\tchain f {\n\t\ttype filter hook forward priority filter; policy accept;\n${rules}\t}\n\tchain g {\n\t\tdrop\n\t}\n}\n`;
  // Unsure is no answer.
  expect(forward([LAN], other("\t\tip saddr @bad drop\n\t\tmeta mark & 0xff == 1 drop\n"))).toEqual([]);
  expect(forward([LAN], other('\t\tiifname "tap*" drop\n\t\tiifname != "br-*" drop\n'))).toEqual([]);
  expect(forward([LAN], other('\t\tiifname "br-lan" jump g\n'))).toHaveLength(1);
  expect(forward([LAN], other('\t\tiifname "br-dmz" goto g\n'))).toEqual([]);
  expect(forward([LAN], other('\t\tiifname != "br-dmz" goto g\n'))).toHaveLength(1);
  // What of ours is accepted stands in chains that it jumps to.
  const jumping = {
    chains: {
      forward: {
        type: "filter",
        hook: "forward",
        priority: 0,
        rules: ['iifname vmap { "br-lan" : jump lan, "x" : accept }'],
      },
      lan: { rules: ["tcp dport 80 accept"] },
    },
  };
  expect(heard(table(jumping), other("\t\tdrop\n"))[0]).toMatch(/^what ".*vmap.*" and 1 more of its rules/);
  expect(heard(table(jumping), "table inet theirs {\n what is this }\n")).toEqual([]);
  // A chain that jumps to itself, which no kernel has.
  expect(forward([LAN], other("\t\tjump f\n"))).toEqual([]);
});

test("a bridge whose frames pass docker's chain is told so, and what of the two to do", () => {
  const parsed = parseFields(bridge.schema, { name: "br-lan" });
  const neighbours = bridge.neighbours!(parsed.desired!);
  expect(neighbours!.query.argv[2]).toContain("bridge-nf-call-iptables");
  expect(heard(neighbours, "")).toEqual([]);
  expect(heard(neighbours, ruleset("docker-28.nft"))).toEqual([
    "IP packets from one of its ports to another are dropped by chain FORWARD of ip filter (docker: policy drop), " +
      "for net.bridge.bridge-nf-call-iptables is 1. Needed there: iptables -I DOCKER-USER -i br-lan -o br-lan -j ACCEPT; or that setting at 0",
  ]);
  const done = ruleset("docker-28.nft").replaceAll(
    "chain DOCKER-USER {",
    'chain DOCKER-USER {\n\t\tiifname "br-lan" oifname "br-lan" counter accept',
  );
  expect(heard(neighbours, done)).toEqual([]);
  // A table of ours that filters so is meant.
  expect(heard(neighbours, ruleset("docker-28.nft").replaceAll(/ip6? filter/g, "ip mine"))).toEqual([]);
});

test("what was cut off, or is no listing, says nothing; what stands before the cut does", () => {
  const neighbours = table(base("forward", [LAN]))!;
  const answer = (stdout: string) => neighbours.warnings({ code: 0, stdout, stderr: "" });
  const many = Array.from(
    { length: 3000 },
    (_, n) => `table ip t${n * 7919} {\n\tchain c${n} {\n\t}\n}\n`,
  ).join("");
  const packed = gzipSync(ruleset("docker-28.nft") + many).toString("base64");
  expect(packed.length).toBeGreaterThan(10_000);
  expect(answer(packed.slice(0, 8001))).toHaveLength(1);
  expect(answer(packed.slice(0, 100))).toEqual([]);
  for (const odd of ["", "sh: gzip: not found", "AAAA"]) expect(answer(odd)).toEqual([]);
});
