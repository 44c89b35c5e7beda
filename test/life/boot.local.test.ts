// What comes back after a boot, on a real kernel: the machine's own namespaces, emptied as a boot does it.
import { bridge } from "../../provider/bridge";
import { NotSent } from "../../provider/errors";
import { nftSet } from "../../provider/nft-set";
import { nftTable } from "../../provider/nft-table";
import { closed, closedUntilBound } from "../../provider/nft-table/closed";
import { policyRoute } from "../../provider/policy-route";
import { sysctl } from "../../provider/sysctl";
import { snapshot } from "../lab-kinds/laws";
import { resources } from "../lab-kinds/resources";
import { LocalHost } from "../local-host";

let host: LocalHost;
beforeEach(async () => {
  host = await new LocalHost().ready();
  host.sh(CARD);
}, 60_000);
afterEach(() => host.close());

const CARD = `for c in all default; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad || :; done
  ip link add name e1 address 02:00:00:00:00:e1 type veth peer name f1 address 02:00:00:00:00:f1; ip link set dev f1 up; ip link set dev e1 up
  while ip -6 addr show tentative | grep -q inet6; do sleep 0.1; done`;

/** All that a boot takes: links, rules, routes, tables, settings, /run. Others' cards come again. */
const BOOT = `nft flush ruleset
  for l in $(ip -br link show type bridge | sed 's/ .*//') e1; do ip link del dev $l; done
  for v in -4 -6; do ip $v rule flush; ip $v rule add pref 32766 table main protocol kernel; done
  ip rule add pref 32767 table default protocol kernel
  ip route flush table 200
  echo 0 >/proc/sys/net/ipv4/ip_forward
  rm -rf /run/hostnet`;
const boot = (what: string) => host.sh(`sh /etc/hostnet/boot ${what} 2>&1; echo "code $?"`);
const listed = async () =>
  `${await snapshot(host)}${host.sh("nft -s list ruleset; sysctl net.ipv4.ip_forward")}`;
/** Timers run. */
const still = (text: string) => text.replaceAll(/_timer +[\d.]+/g, "");

async function everything(): Promise<() => Promise<void>> {
  const [bridges, rules, tables, sets, settings] = [
    resources(bridge, host, "h"),
    resources(policyRoute, host, "h"),
    resources(nftTable, host, "h"),
    resources(nftSet, host, "h"),
    resources(sysctl, host, "h"),
  ];
  const elements = Array.from({ length: 2000 }, (_, n) => `10.${n >> 8}.${n & 255}.0/25`);
  const made = {
    lan: await bridges.create("lan", {
      name: "br-lan",
      ports: ["e1"],
      addresses: ["192.168.7.1/24", "2001:db8:7::1/64"],
      ageingTime: 60,
      routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.9" }],
    }),
    marked: await rules.create("marked", {
      family: "ipv4",
      priority: 100,
      fwmark: 7,
      table: 200,
      routes: [{ destination: "0.0.0.0/0", gateway: "192.168.7.9" }],
    }),
    // In the order in which they come back, by the names of their files.
    long: await sets.create("long", {
      name: "long",
      family: "inet",
      table: "fw",
      type: "ipv4_addr",
      elements,
    }),
    friends: await sets.create("friends", {
      name: "friends",
      family: "inet",
      table: "fw",
      type: "ipv4_addr",
      elements: ["192.0.2.1", "192.0.2.0/31"],
    }),
    fw: await tables.create("fw", {
      family: "inet",
      uses: ["friends", "long"],
      sets: { own: { type: "ipv4_addr", flags: ["dynamic", "timeout"], timeout: "1h", size: 100 } },
      chains: {
        forward: {
          type: "filter",
          hook: "forward",
          priority: "filter",
          policy: "drop",
          rules: [
            "ip saddr @friends accept",
            "ip saddr @long counter drop",
            "add @own { ip saddr }",
            `iifname "late0" accept comment "it's \${not} there"`,
          ],
        },
      },
    }),
    forwarding: await settings.create("forwarding", { settings: { "net.ipv4.ip_forward": 1 } }),
  };
  return async () => {
    await settings.delete("forwarding", made.forwarding);
    await tables.delete("fw", made.fw);
    await sets.delete("friends", made.friends);
    await sets.delete("long", made.long);
    await rules.delete("marked", made.marked);
    await bridges.delete("lan", made.lan);
  };
}

test("all of it comes back, as it was, and what was not ours does not", async () => {
  const pristine = await listed();
  const remove = await everything();
  const before = still(await listed());
  host.sh("ip link add name theirs type bridge; nft add table ip theirs");
  await resources(bridge, host, "h").create("tmp", { name: "br-tmp", persist: false });
  host.sh(BOOT);
  host.sh(CARD);
  expect(await boot("tables")).toBe("code 0\n");
  expect(await boot("links")).toBe("code 0\n");
  expect(still(await listed())).toBe(before);
  // A second time nothing is made again; tables are, as a restart of nftables needs it, in one transaction each.
  expect(await boot("links")).toBe("code 0\n");
  expect(await boot("tables")).toBe("code 0\n");
  expect(still(await listed())).toBe(before);
  await remove();
  expect(await listed()).toBe(pristine);
  expect(host.sh("ls -A /etc/hostnet")).toBe("");
}, 120_000);

test("a setting that was as declared already, so that there is nothing to give back, is set at a boot too", async () => {
  host.sh("echo 1 >/proc/sys/net/ipv4/ip_forward");
  await resources(sysctl, host, "h").create("forwarding", { settings: { "net.ipv4.ip_forward": 1 } });
  host.sh(`${BOOT}; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`);
  expect(await boot("links")).toBe("code 0\n");
  expect(host.sh("cat /proc/sys/net/ipv4/ip_forward")).toBe("1\n");
}, 60_000);

test("a boot before the confirmation ends in the former state", async () => {
  await everything();
  const tables = resources(nftTable, host, "h");
  const input = (rules: string[]) => ({
    family: "ip",
    name: "in",
    confirm: { when: "always", allowLockout: true, timeout: 5 },
    chains: { input: { type: "filter", hook: "input", priority: 0, policy: "drop", rules } },
  });
  const made = await tables.create("in", input(["tcp dport 22 accept"]));
  // In whichever order they come back.
  const tablesNow = () => still(host.sh("nft -s list table inet fw; nft -s list table ip in"));
  const before = tablesNow();
  const { renew, around } = host;
  let booted = false;
  const lost = () => {
    throw new NotSent("the host is gone");
  };
  host.renew = async () => {
    if (booted) return lost();
    booted = true;
    host.around = lost;
    expect(host.sh("nft list chain ip in input")).not.toMatch(/dport/);
    host.sh("kill $(ps -eo pid=,args= | awk '/[h]ostnet\\/pending/ { print $1 }')");
    host.sh(BOOT);
    host.sh(CARD);
    expect(await boot("tables")).toBe("code 0\n");
    expect(await boot("links")).toBe("code 0\n");
    return lost();
  };
  await expect(tables.update("in", made, input([]))).rejects.toThrow(/the host is gone/);
  Object.assign(host, { renew, around });
  expect(tablesNow()).toBe(before);
  expect(await tables.drift("in", made)).toEqual([]);
}, 120_000);

test("a bridge takes its port's addresses again, whatever the host's own configuration has given that by then", async () => {
  const own =
    "ip addr add 10.1.0.1/24 dev e1; ip -6 addr add 2001:db8:1::1/64 nodad dev e1; ip route add default via 10.1.0.9 dev e1 table 200";
  host.sh(own);
  const bridges = resources(bridge, host, "h");
  const lan = await bridges.create("br-up", { ports: [{ name: "e1", takeAddresses: true }] });
  const taken = () =>
    host.sh("ip -br addr show dev br-up; ip route show table 200; ip -o addr show dev e1 scope global");
  const before = taken();
  expect(before).toMatch(/10.1.0.1\/24 2001:db8:1::1\/64 .*\ndefault via 10.1.0.9 dev br-up \n$/);
  for (const configured of [
    "",
    own,
    `${own}; ip addr add 10.1.0.7/24 dev e1; ip route add 10.66.0.0/16 via 10.1.0.9`,
  ]) {
    host.sh(BOOT);
    host.sh(`${CARD}\n${configured}`);
    expect(await boot("links")).toBe("code 0\n");
    expect(taken()).toBe(
      configured.includes("10.1.0.7") ? before.replace("10.1.0.1/24 ", "10.1.0.1/24 10.1.0.7/24 ") : before,
    );
  }
  expect(host.sh("ip route show 10.66.0.0/16")).toBe("10.66.0.0/16 via 10.1.0.9 dev br-up \n");
  await bridges.delete("br-up", lan);
  expect(host.sh("ip -br addr show dev e1")).toMatch(/10.1.0.1\/24 .*2001:db8:1::1\/64/);
}, 120_000);

test("what is broken, or has no link yet, is named; the rest comes back", async () => {
  await everything();
  const other = resources(nftTable, host, "h");
  await other.create("ok", { family: "ip", name: "ok", chains: { c: {} } });
  host.sh(BOOT);
  const file = host.sh("grep -l '^# table .* NftTable \"inet/fw\"' /etc/hostnet/boot.d/*").trim();
  host.sh(`sed -i '3,$s/hook forward/hook backward/' ${file}`);
  const said = await boot("tables");
  expect(said).toMatch(
    /pulumi-hostnet could not put back: NftTable "inet\/fw" of urn:.*but for SSH.*code 1/s,
  );
  expect(host.sh("nft list tables").split("\n").sort().join(" ")).toBe(" table inet fw table ip ok");
  expect(host.sh("nft list table inet fw")).toMatch(
    /hook forward priority filter; policy drop;\s+counter[^}]*}\s+}/,
  );
  // The card comes a moment later.
  setTimeout(() => host.sh(CARD), 3000);
  host.sh("(sh /etc/hostnet/boot links >/run/said 2>&1; echo $? >/run/code) >/dev/null 2>&1 &");
  await new Promise((resolve) => setTimeout(resolve, 6000));
  expect(host.sh("cat /run/code /run/said")).toBe("0\n");
  expect(host.sh("ip -br link show master br-lan; ip rule show pref 100; ip route show table 200")).toMatch(
    /^e1.*fwmark 0x7 lookup 200.*default via 192.168.7.9 dev br-lan/s,
  );
}, 120_000);

const GUEST = `mkdir -p /run/netns; ip netns add guest; ip link set dev f1 netns guest; ip -n guest link set dev f1 up
  ip addr add 10.9.0.1/24 dev e1; ip -n guest addr add 10.9.0.2/24 dev f1`;
/** A port without a server answers at once; one that is dropped does not. */
const port = (number: number) =>
  host.sh(`ip netns exec guest timeout 2 bash -c '</dev/tcp/10.9.0.1/${number}' 2>/dev/null; echo $?`).trim();
const ANSWERS = "1";
const DROPPED = "124";

test("a table whose text is damaged drops all but the way in, until it is there again", async () => {
  const way = host.way;
  host.way = way && { ...way, port: 2222 };
  const tables = resources(nftTable, host, "h");
  const input = {
    type: "filter",
    hook: "input",
    priority: 0,
    policy: "accept",
    rules: ["tcp dport 25 drop"],
  };
  await tables.create("fw", { family: "inet", chains: { input }, confirm: { when: "never" } });
  await tables.create("counts", { family: "ip", chains: { input: { ...input, rules: ["counter"] } } });
  host.sh(GUEST);
  expect([port(23), port(25)]).toEqual([ANSWERS, DROPPED]);
  const [fw, counts] = ["inet/fw", "ip/counts"].map((id) =>
    host.sh(`grep -l 'NftTable "${id}"' /etc/hostnet/boot.d/*`).trim(),
  );
  host.sh(`nft flush ruleset; cp ${fw} /run/whole; for f in ${fw} ${counts}; do
    head -n 3 $f | head -c 700 >/run/half; cat /run/half >$f; echo "text() { printf %s 'add tab" >>$f; done`);
  expect(await boot("tables")).toMatch(/could not put back: NftTable "inet\/fw".*but for SSH.\n.*code 1/s);
  expect([port(2222), port(23), port(25)]).toEqual([ANSWERS, DROPPED, DROPPED]);
  expect(host.sh("nft list tables")).toBe("table inet fw\n");
  host.sh(`cat /run/whole >${fw}; : >${counts}`);
  expect(await boot("tables")).toBe(
    `pulumi-hostnet: ${counts} is damaged: nothing of it is put back\ncode 1\n`,
  );
  expect([port(23), port(25)]).toEqual([ANSWERS, DROPPED]);
}, 60_000);

test("a table bound to a link comes after a restart of nftables; at a boot without its link that is closed but for SSH", async () => {
  const way = host.way;
  host.way = way && { ...way, port: 2222 };
  const tables = resources(nftTable, host, "h");
  const drops = {
    type: "filter",
    hook: "ingress",
    devices: ["e1"],
    priority: 0,
    rules: ["tcp dport 25 drop"],
  };
  const made = await tables.create("in", { family: "netdev", chains: { in: drops } });
  const now = host.sh("nft list ruleset");
  for (const emptied of ["nft flush ruleset", ":"]) {
    host.sh(emptied);
    expect(await boot("tables")).toBe("code 0\n");
    expect(host.sh("nft list ruleset")).toBe(now);
  }
  host.sh(BOOT);
  expect(await boot("tables")).toBe("code 0\n");
  host.sh(`${CARD}; ${GUEST}`);
  expect([port(2222), port(23), port(25)]).toEqual([ANSWERS, DROPPED, DROPPED]);
  // As a port of a bridge it is the same link.
  host.sh(`ip link add name br-x type bridge; ip link set dev br-x up; ip addr flush dev e1
    ip addr add 10.9.0.1/24 dev br-x; ip link set dev e1 master br-x`);
  expect([port(2222), port(23), port(25)]).toEqual([ANSWERS, DROPPED, DROPPED]);
  expect(await boot("links")).toBe("code 0\n");
  expect(host.sh("nft list ruleset")).toBe(now);
  expect([port(2222), port(23), port(25)]).toEqual([ANSWERS, ANSWERS, DROPPED]);
  // What stands in for it goes with it, too.
  host.sh(BOOT);
  await boot("tables");
  expect(host.sh("nft list tables")).toMatch(/hostnet-closed-netdev-in/);
  await tables.delete("in", made);
  expect(host.sh("nft list ruleset; ls -A /etc/hostnet")).toBe("");
}, 60_000);

test("what had no link yet is put in place when that appears, and another change is let alone", async () => {
  const bridges = resources(bridge, host, "h");
  const [early, made] = [
    await bridges.create("early", { name: "br-b" }),
    await bridges.create("lan", { name: "br-a", ports: ["e1"] }),
  ];
  host.sh(`${BOOT}; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`);
  expect(await boot("tables")).toBe("code 0\n");
  expect(await boot("links")).toMatch(/^pulumi-hostnet could not put back: Bridge "br-a".*code 1/s);
  expect(await boot("late")).toBe("code 0\n");
  const links = () =>
    host.sh(
      "ip -br link show type bridge | sed 's/ .*//'; ip -br link show master br-a 2>/dev/null | sed 's/@.*//' || :",
    );
  expect(links()).toBe("br-b\nbr-a\n");
  host.sh(`${CARD}; ip link del dev br-b`);
  expect(await boot("late")).toBe("code 0\n");
  expect(links()).toBe("br-a\ne1\n");
  expect(host.sh("cat /run/hostnet/failed")).toBe("");
  expect(await bridges.drift("lan", made)).toEqual([]);
  await bridges.delete("early", early);
  await bridges.delete("lan", made);
}, 60_000);

test("without one of its ports a bridge has the others and its addresses, and that one when it appears", async () => {
  const bridges = resources(bridge, host, "h");
  host.sh("ip link add name e2 type veth peer name f2");
  const made = await bridges.create("lan", {
    name: "br-a",
    addresses: ["192.168.7.1/24"],
    ports: ["e1", "e2"],
  });
  host.sh(`${BOOT}; ip link del dev e2; ${CARD}; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`);
  expect(await boot("links")).toMatch(/^pulumi-hostnet could not put back: Bridge "br-a".*e2.*code 1/s);
  const shown = () =>
    host.sh(
      "ip -br -4 addr show dev br-a | awk '{ print $3 }'; ip -br link show master br-a | sed 's/[@ ].*//'; ip -o link show dev br-a | sed 's/:.*//'",
    );
  const [address, port, index] = shown().trim().split("\n");
  expect([address, port]).toEqual(["192.168.7.1/24", "e1"]);
  // It stays as it is while other links come.
  host.sh("ip link add name e3 type veth peer name f3");
  expect(await boot("late")).toBe("code 0\n");
  expect(shown()).toBe(`192.168.7.1/24\ne1\n${index}\n`);
  host.sh("ip link add name e2 type veth peer name f2");
  expect(await boot("late")).toBe("code 0\n");
  expect(shown()).toMatch(/^192\.168\.7\.1\/24\ne1\ne2\n/);
  expect(host.sh("cat /run/hostnet/failed; ls /run/hostnet | grep part || :")).toBe("");
  expect(await bridges.drift("lan", made)).toEqual([]);
  // A link of its name that the host has made itself meanwhile is let alone, whatever comes.
  host.sh(
    `${BOOT}; ip link del dev e2; ${CARD}; ip link add name br-a type bridge; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`,
  );
  expect(await boot("links")).toMatch(/br-a is there, made by another.*code 1/s);
  host.sh("ip link add name e2 type veth peer name f2");
  expect(await boot("late")).toBe("code 0\n");
  expect(host.sh("ip -br link show master br-a; ip -br link show dev br-a | sed 's/ .*//'")).toBe("br-a\n");
  host.sh("ip link del dev br-a; ip link del dev e3");
  expect(await boot("late")).toBe("code 0\n");
  expect(shown()).toMatch(/^192\.168\.7\.1\/24\ne1\ne2\n/);
  await bridges.delete("lan", made);
  host.sh("ip link del dev e2");
}, 60_000);

test("a table that was adopted is what is declared, whatever the host's own configuration has loaded before", async () => {
  const own = (priority: number) =>
    host.sh(`nft 'table inet filter { chain input { type filter hook input priority ${priority}; tcp dport 22 accept; tcp dport 80 accept; }
      chain output { type filter hook output priority 0; tcp dport 25 drop; }; }'`);
  own(0);
  const tables = resources(nftTable, host, "h");
  const input = { type: "filter", hook: "input", priority: 0, rules: ["tcp dport 22 accept"] };
  await tables.create("filter", { family: "inet", adopt: "overwrite", chains: { input } });
  const adopted = host.sh("nft list ruleset");
  for (const priority of [0, 10]) {
    host.sh("nft flush ruleset");
    own(priority);
    expect(await boot("tables")).toBe("code 0\n");
    expect(host.sh("nft list ruleset")).toBe(adopted);
  }
}, 60_000);

test("a link that appears while another is put in place", async () => {
  const bridges = resources(bridge, host, "h");
  const cards = [2, 3].map((n) => `ip link add name e${n} type veth peer name f${n}`);
  for (const n of [2, 3]) {
    host.sh(cards[n - 2]!);
    await bridges.create(`b${n}`, { name: `br-${n}`, ports: [`e${n}`] });
  }
  host.sh(`${BOOT}; ip link del dev e2; ip link del dev e3; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`);
  expect(await boot("links")).toContain("code 1");
  // In the order of their files: the first has no link yet, the second takes its time.
  const files = host.sh("cd /etc/hostnet/boot.d; grep -l Bridge *").trim().split("\n");
  const [first, second] = files.map((file) =>
    Number(host.sh(`grep -o 'br-[23]' /etc/hostnet/boot.d/${file} | head -n 1`).slice(3)),
  );
  host.sh(`cd /etc/hostnet/boot.d; sed -i 's/^make() {/&\\n  sleep 2/' ${files[1]}; touch -d 2020-01-01 ${files[1]}
    ${cards[second! - 2]}; (sleep 1; ${cards[first! - 2]}) >/dev/null 2>&1 &`);
  expect(await boot("late")).toBe("code 0\n");
  expect(host.sh("ip -br link show type bridge; cat /run/hostnet/failed").match(/br-[23] /g)).toHaveLength(2);
}, 60_000);

test("a clock that is years back when the host starts, and right when the link appears", async () => {
  const bridges = resources(bridge, host, "h");
  const made = await bridges.create("lan", { name: "br-a", ports: ["e1"] });
  const files = "/etc/hostnet/boot.d/*";
  host.sh(`${BOOT}; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot; touch -d '10 years' ${files}`);
  expect(await boot("links")).toMatch(/could not put back: Bridge "br-a".*code 1/s);
  host.sh(CARD);
  expect(await boot("late")).toBe("code 0\n");
  expect(await bridges.drift("lan", made)).toEqual([]);
  await bridges.delete("lan", made);
}, 60_000);

test("a link that the host's own configuration has made by then: of an adopted one is made what is declared, another is let alone", async () => {
  const own = `ip link add name br0 type bridge; ip link set dev e1 master br0; ip addr add 10.1.0.1/24 dev br0
    ip link set dev br0 up; ip route add default via 10.1.0.9 table 200`;
  const now = () =>
    still(
      host.sh(
        "ip -d -o link show dev br0; ip -o addr show dev br0 scope global; ip route show table 200; ip -br link show master br0",
      ),
    ).replaceAll(/^\d+: |@if\d+/gm, "");
  host.sh(own);
  const found = now();
  const bridges = resources(bridge, host, "h");
  const declared = {
    name: "br0",
    ports: ["e1"],
    addresses: ["10.7.0.1/24"],
    ageingTime: 60,
    adopt: "overwrite",
  };
  await bridges.create("br0", declared);
  const adopted = now();
  await bridges.create("lan", { name: "br-lan" });
  host.sh(
    `${BOOT}; ${CARD}\n${own}; ip link add name br-lan type bridge; ip addr add 10.9.0.1/24 dev br-lan; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`,
  );
  expect(await boot("links")).toMatch(
    /could not put back: Bridge "br-lan".*\nbr-lan is there, made by another\ncode 1/s,
  );
  expect(now()).toBe(adopted);
  expect(host.sh("ip -br addr show dev br-lan")).toContain("10.9.0.1/24");
  // Without the host's own, it is made as any other.
  host.sh(`${BOOT}; ${CARD}`);
  expect(await boot("links")).toBe("code 0\n");
  expect(host.sh("ip -br addr show dev br0; ip -br link show master br0")).toMatch(/10.7.0.1\/24.*\ne1/);
  host.sh(`${BOOT}; ${CARD}\n${own}`);
  expect(await boot("links")).toBe("code 0\n");
  host.sh("sh /etc/hostnet/remove-all");
  expect(now()).toBe(found);
}, 60_000);

test("nft takes what stands in for a table, in each family and at each hook", () => {
  const hooks = ["prerouting", "input", "forward", "output", "postrouting"];
  for (const family of ["ip", "ip6", "inet", "bridge"] as const) {
    const chain = (hook: string) => ({
      type: "filter",
      hook,
      priority: "filter + 1",
      policy: "drop",
      rules: "",
    });
    const chains = Object.fromEntries(hooks.map((hook) => [hook, chain(hook)])) as never;
    host.sh(`nft 'define ssh = 22; ${closed({ family, name: "t", chains })}'`);
    expect(host.sh(`nft list table ${family} t`).match(/policy drop/g)).toHaveLength(5);
  }
  const rules = (text: string) => ({ type: "filter", hook: "input", priority: 0, rules: text }) as never;
  const table = { family: "ip", name: "t" } as const;
  expect(closed({ ...table, chains: { c: rules("counter accept") } })).toBeUndefined();
  expect(closed({ ...table, chains: { c: rules("tcp dport 25 reject") } })).toMatch(/policy drop/);
  expect(closed({ ...table, dormant: true, chains: { c: rules("drop") } })).toBeUndefined();
  const bound = (family: "inet" | "netdev", text: string, hook = "ingress") => {
    const chain = { type: "filter", hook, devices: ["e1", "e9"], priority: 0, rules: text } as never;
    const chains: Record<string, never> = family === "inet" ? { in: chain, c: rules("drop") } : { in: chain };
    return closedUntilBound({ family, name: hook, chains });
  };
  for (const hook of ["ingress", "egress"]) host.sh(`nft 'define ssh = 22; ${bound("inet", "drop", hook)}'`);
  expect(host.sh("nft list ruleset").match(/[io]ifname != \{ "e1", "e9" \} accept/g)).toHaveLength(4);
  expect(host.sh("nft list tables | grep -c hostnet-closed-inet")).toBe("4\n");
  expect(bound("inet", "counter")).toMatch(/^create table inet (?!.*e1).*policy drop/);
  expect(bound("netdev", "counter")).toBeUndefined();
});

const THEIRS = `ip link add name br0 address 02:00:00:00:00:aa type bridge; ip link set dev e1 master br0
  ip link set dev br0 up; ip addr add 10.1.0.1/24 dev br0; ip route add default via 10.1.0.9 dev br0
  nft 'add table inet filter; add chain inet filter input { type filter hook input priority 1; }; add rule inet filter input counter'`;
const adopting = { adopt: "overwrite", confirm: { when: "never" } };

test("what was adopted stays as the host makes it at a boot, but for what the program says; remove-all gives it back", async () => {
  host.sh(THEIRS);
  const pristine = still(await listed());
  const lan = { name: "br0", ageingTime: 60, addresses: ["10.2.0.1/24"], ...adopting };
  await resources(bridge, host, "h").create("lan", lan);
  const input = { type: "filter", hook: "input", priority: 1, rules: ["tcp dport 25 drop"] };
  await resources(nftTable, host, "h").create("filter", { family: "inet", chains: { input }, ...adopting });
  const before = still(await listed());
  expect(before).toMatch(/ageing_time 6000.*inet 10\.1\.0\.1\/24.*inet 10\.2\.0\.1\/24/s);
  host.sh(`${BOOT}; sed -i 's/-lt 60/-lt 2/' /etc/hostnet/boot`);
  host.sh(CARD);
  host.sh(THEIRS);
  expect(await boot("tables")).toBe("code 0\n");
  expect(await boot("links")).toBe("code 0\n");
  expect(still(await listed())).toBe(before);
  host.sh("sh /etc/hostnet/remove-all");
  expect(still(await listed())).toBe(pristine);
  // One that was made by hand is made again.
  await resources(bridge, host, "h").create("lan", lan);
  host.sh(BOOT);
  host.sh(CARD);
  expect(await boot("links")).toBe("code 0\n");
  expect(host.sh("ip -br -4 addr show dev br0; ls /etc/hostnet/objects | wc -l")).toMatch(
    /10\.2\.0\.1\/24.*\n1\n/,
  );
}, 120_000);

test("remove-all takes all of it away, with another's hands off", async () => {
  const pristine = await listed();
  await everything();
  host.sh("sh /etc/hostnet/remove-all");
  expect(await listed()).toBe(pristine);
  expect(host.sh("ls -A /etc/hostnet")).toBe("");
}, 60_000);

test("a port that is gone from the host keeps nobody from taking it out of the program, or from a destroy", async () => {
  const bridges = resources(bridge, host, "h");
  host.sh("ip link add name e2 type veth peer name f2");
  const made = await bridges.create("lan", { name: "br-lan", ports: ["e1", "e2"] });
  host.sh("ip link del dev e2");
  const updated = await bridges.update("lan", made, { name: "br-lan", ports: ["e1"] });
  host.sh("ip link del dev e1");
  await bridges.delete("lan", updated);
  expect(host.sh("ip -br link show type bridge; ls -A /etc/hostnet")).toBe("");
}, 60_000);
