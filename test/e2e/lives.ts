// The whole life of every kind through the real CLI; each state is read by another tool than ours.
import { ASK, LEASE } from "../lab/dhcp.ts";
import { type Host, program, settled, verify } from "./lab.ts";
import type { Project } from "./project.ts";

interface Life {
  /** It needs what only the virtual machine has: its VRFs, its modules, its systemd, its libvirt. */
  readonly machine?: true;
  /** What is to be proven, for the title of the test. */
  readonly proves?: string;
  /** Shell, on the host: what is there before us. */
  readonly world: string;
  readonly create: string;
  /** In the same resource. */
  readonly update: string;
  /** Shell, on the host: fails unless the object is as created, as updated. */
  readonly created: string;
  readonly updated: string;
  /** Shell, on the host: what the comparison with before does not see. */
  readonly destroyed?: string;
  /** Shell, on the host: a hand that changes the object. */
  readonly edit: string;
  /** What a refresh shows of it. */
  readonly drift: string;
}

const lives = {
  Bridge: {
    // Once up, for the kernel gives a link its queue the first time only.
    world: "card lan1; card lan2; ip link set dev lan1 down",
    create:
      'new Bridge("br-lan", { ...host, addresses: ["192.168.7.1/24", "2001:db8:7::1/64"], ports: ["lan1"] });',
    created: `ip -j -d link show dev br-lan | grep -q '"info_kind":"bridge"'
      ip -br addr show dev br-lan | grep 192.168.7.1/24 | grep -q 2001:db8:7::1/64
      ip -br link show master br-lan | grep -q '^lan1@'`,
    update: `new Bridge("br-lan", { ...host, addresses: ["192.168.7.2/24"], ageingTime: 60,
      ports: ["lan1", { name: "lan2", isolated: true }], routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.9" }] });`,
    updated: `no "ip -br addr show dev br-lan | grep -q 192.168.7.1/24"
      ip -br addr show dev br-lan | grep -q 192.168.7.2/24
      bridge -d link show dev lan2 | grep -q 'isolated on'
      ip route show 10.7.0.0/16 | grep -q 'via 192.168.7.9 dev br-lan'
      [ $(cat /sys/class/net/br-lan/bridge/ageing_time) = 6000 ]`,
    edit: "ip link set dev lan2 nomaster; ip addr add 192.168.99.1/24 dev br-lan",
    drift: "ports: lan2 isolated=true is missing",
  },
  Vlan: {
    machine: true,
    world: "card lan1; card lan2; ip link set dev lan2 down",
    create: `new Vlan("lan1.10", { ...host, link: "lan1", vlanId: 10, mtu: 1400, addresses: ["192.168.7.1/24", "2001:db8:7::1/64"],
      routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.9" }] });`,
    created: `ip -d link show dev lan1.10 | grep -q 'vlan protocol 802.1Q id 10 '
      ip -br link show dev lan1.10 | grep -q '^lan1.10@lan1 .*UP'
      ip -br addr show dev lan1.10 | grep 192.168.7.1/24 | grep -q 2001:db8:7::1/64
      ip addr add 192.168.88.1/24 dev lan1.10; ip route add 10.88.0.0/16 via 192.168.88.9 table 77`,
    update: `new Vlan("lan1.10", { ...host, link: "lan2", vlanId: 20, protocol: "802.1ad", addresses: ["192.168.7.2/24", "2001:db8:7::1/64"],
      routes: [{ destination: "10.7.0.0/16", gateway: "192.168.7.8" }] });`,
    updated: `ip -d link show dev lan1.10 | grep -q 'vlan protocol 802.1ad id 20 '
      ip -br link show dev lan1.10 | grep -q '^lan1.10@lan2 .*UP'
      no "ip -br addr show dev lan1.10 | grep -q 192.168.7.1/24"
      ip -br addr show dev lan1.10 | grep 192.168.7.2/24 | grep 192.168.88.1/24 | grep -q 2001:db8:7::1/64
      ip route show 10.7.0.0/16 | grep -q 'via 192.168.7.8 dev lan1.10'
      ip route show table 77 | grep -q '10.88.0.0/16 via 192.168.88.9 dev lan1.10'`,
    edit: "ip addr del 192.168.7.2/24 dev lan1.10",
    drift: "addresses: 192.168.7.2/24 is missing",
  },
  Vrf: {
    machine: true,
    world: `card lan1; card lan2
      ip addr add 192.168.9.1/24 dev lan2; ip addr add 2001:db8:9::1/64 dev lan2; ip route add 10.9.0.0/16 via 192.168.9.2 dev lan2`,
    create: `new Vrf("vrf-a", { ...host, table: 100, interfaces: [{ name: "lan1", addresses: ["192.168.7.1/24"] }],
      routes: [{ destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 }] });`,
    created: `ip -d link show dev vrf-a | grep -q 'vrf table 100'
      ip -br link show master vrf-a | grep -q '^lan1@'
      ip route show table 100 | grep -q 'unreachable default'
      ip rule show | grep -q l3mdev-table; ip -6 rule show | grep -q l3mdev-table`,
    update: `new Vrf("vrf-a", { ...host, table: 101, interfaces: [{ name: "lan1", addresses: ["192.168.7.1/24"] }, "lan2"],
      routes: [{ destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 }, { destination: "10.8.0.0/16", gateway: "192.168.7.9" }] });`,
    updated: `ip -d link show dev vrf-a | grep -q 'vrf table 101'
      ip -br addr show dev lan2 | grep 192.168.9.1/24 | grep -q 2001:db8:9::1/64
      ip route show table 101 | grep -q '10.8.0.0/16 via 192.168.7.9 dev lan1'
      ip route show table 101 | grep -q '192.168.7.0/24 dev lan1'`,
    edit: "ip link set dev lan1 nomaster",
    drift: "interfaces: lan1",
  },
  PolicyRoute: {
    world: `ip rule add priority 100 from 10.0.0.0/8 table 77; card lan1
      ip addr add 192.168.9.1/24 dev lan1`,
    create: `new PolicyRoute("marked", { ...host, family: "ipv4", priority: 100, fwmark: 7, table: 200,
      routes: [{ destination: "0.0.0.0/0", gateway: "192.168.9.2" }] });`,
    created: `ip rule show | grep -q '^100:.*from all fwmark 0x7 lookup 200 proto'
      ip rule show | grep -q '^100:.*from 10.0.0.0/8 lookup 77'
      ip route show table 200 | grep -q 'default via 192.168.9.2 dev lan1'`,
    update: `new PolicyRoute("marked", { ...host, family: "ipv4", priority: 100, from: "10.0.0.0/8", fwmark: "0x7/0xff", iif: "lan1", table: 201 });`,
    updated: `ip rule show | grep -q '^100:.*from 10.0.0.0/8 fwmark 0x7/0xff iif lan1 lookup 201'
      ip rule show | grep -q '^100:.*from 10.0.0.0/8 lookup 77'
      no "ip rule show | grep -q 'lookup 200'"
      [ -z "$(ip route show table 200 2>/dev/null)" ]`,
    edit: "ip rule del priority 100 from 10.0.0.0/8 fwmark 0x7/0xff iif lan1 table 201",
    drift: "it is missing on the host",
  },
  NftTable: {
    proves: ": T8 a hand's edit shows and is repaired, T11 other tables stay as they are",
    world: "nft add table inet foreign; nft add chain inet foreign c; nft add rule inet foreign c counter",
    create: `new NftTable("guests", { ...host, family: "inet", chains: {
      forward: { type: "filter", hook: "forward", priority: "filter", policy: "accept", rules: [
        nft\`ct state established,related accept\`, nft\`tcp dport \${[22, 80]} accept\`] } } });`,
    created: `nft list chain inet guests forward | grep -q 'tcp dport { 22, 80 } accept'
      nft list chain inet guests forward | grep -q 'ct state established,related accept'`,
    update: `new NftTable("guests", { ...host, family: "inet",
      sets: { friends: { type: "ipv4_addr", elements: ["10.0.0.1", "10.0.0.2"] } }, counters: { seen: {} }, chains: {
      forward: { type: "filter", hook: "forward", priority: "filter", policy: "accept", rules: [
        nft\`ct state established,related accept\`, nft\`ip saddr @friends counter name seen accept\`, nft\`tcp dport \${[22, 80]} accept\`] } } });`,
    updated: `nft list chain inet guests forward | grep -q 'ip saddr @friends counter name "seen" accept'
      nft list set inet guests friends | grep -q '10.0.0.1, 10.0.0.2'
      nft list table inet foreign | grep -q counter`,
    edit: `nft delete rule inet guests forward handle $(nft -a list chain inet guests forward | sed -n 's/.*dport.*handle //p')`,
    drift: "tcp dport { 22, 80 } accept is missing",
  },
  NftSet: {
    world: "nft add table inet foreign; nft add set inet foreign banned '{ type ipv4_addr; }'",
    create: `const banned = new NftSet("banned", { ...host, family: "inet", table: "fw", type: "ipv4_addr",
        elements: ["10.9.0.0/24", "10.9.1.0/24", "192.0.2.7"] });
      new NftTable("fw", { ...host, family: "inet", chains: { input: { type: "filter", hook: "input", priority: "filter",
        rules: [nft\`ip saddr \${banned} drop\`] } } });`,
    created: `nft list set inet fw banned | grep -q '10.9.0.0/23, 192.0.2.7'
      nft list chain inet fw input | grep -q 'ip saddr @banned drop'`,
    update: `const banned = new NftSet("banned", { ...host, family: "inet", table: "fw", type: "ipv4_addr",
        elements: ["10.9.0.0/24", "192.0.2.7", { element: "192.0.2.8", comment: "seen twice" }] });
      new NftTable("fw", { ...host, family: "inet", chains: { input: { type: "filter", hook: "input", priority: "filter",
        rules: [nft\`ip saddr \${banned} drop\`] } } });`,
    updated: `nft list set inet fw banned | tr -d '\n\t' | grep -q '10.9.0.0/24, 192.0.2.7, *192.0.2.8 comment "seen twice"'
      nft list chain inet fw input | grep -q 'ip saddr @banned drop'
      nft list set inet foreign banned | grep -q 'type ipv4_addr'`,
    edit: "nft delete element inet fw banned '{ 192.0.2.7 }'",
    drift: "elements.192.0.2.7",
  },
  Sysctl: {
    world: "card lan1; sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.lan1.forwarding=1",
    create: 'new Sysctl("forwarding", { ...host, settings: { "net.ipv4.ip_forward": 1 } });',
    created: "[ $(sysctl -n net.ipv4.ip_forward) = 1 ]",
    update:
      'new Sysctl("forwarding", { ...host, settings: { "net.ipv4.ip_forward": 1, "net.ipv4.tcp_rmem": "4096 131072 6291456" } });',
    updated:
      "[ $(sysctl -n net.ipv4.ip_forward) = 1 ]; sysctl -n net.ipv4.tcp_rmem | tr '\\t' ' ' | grep -q '^4096 131072 6291456'",
    edit: "sysctl -qw net.ipv4.ip_forward=0",
    drift: "settings.net.ipv4.ip_forward: 0 instead of 1",
  },
  KernelModules: {
    machine: true,
    world: "for m in br_netfilter bridge nf_conntrack_ftp; do rmmod $m 2>/dev/null || :; done",
    create: 'new KernelModules("modules", { ...host, modules: ["br-netfilter"] });',
    created: `[ -d /proc/sys/net/bridge ]
      rmmod br_netfilter; systemctl restart systemd-modules-load; [ -d /proc/sys/net/bridge ]`,
    update: 'new KernelModules("modules", { ...host, modules: ["nf_conntrack_ftp"] });',
    updated: `grep -q '^nf_conntrack_ftp ' /proc/modules; no "grep -q '^br_netfilter ' /proc/modules"
      [ "$(ls /etc/modules-load.d | grep hostnet)" = hostnet-nf_conntrack_ftp.conf ]`,
    edit: "rmmod nf_conntrack_ftp",
    drift: "modules: nf_conntrack_ftp is missing",
    destroyed: `no "grep -q '^nf_conntrack_ftp ' /proc/modules"`,
  },
  DhcpDns: {
    machine: true,
    world: `ip link add name br-g address 02:00:00:00:07:01 type bridge
      sysctl -qw net.ipv6.conf.br-g.accept_ra=0
      ip addr add 10.7.0.1/24 dev br-g; ip addr add 2001:db8:7::1/64 dev br-g nodad; ip link set dev br-g up
      ip netns add one; ip link add name tap-one type veth peer name eth0 netns one
      ip -n one link set dev eth0 address 52:54:00:00:00:0a; ip link set dev tap-one master br-g up
      ip -n one link set dev eth0 up; ip -n one link set dev lo up
      cat >/run/lab/lease.py <<'END'
${LEASE}
END
      cat >/run/lab/ask.py <<'END'
${ASK}
END`,
    create: `new DhcpDns("guests", { ...host, interface: "br-g", ranges: [{ start: "10.7.0.100", end: "10.7.0.199" }],
      domain: "lan.example", upstreams: [], records: { db: "10.7.0.9" } });`,
    created: `systemctl is-active hostnet-dhcp-dns-br-g; systemctl is-enabled hostnet-dhcp-dns-br-g
      [ "$(stat -c %U /proc/$(cat /run/hostnet-dhcp-dns-br-g/pid))" = dnsmasq ]
      ip netns exec one python3 /run/lab/lease.py one >/run/lab/lease
      grep '^10.7.0.1[0-9][0-9]/24 router 10.7.0.1 dns 10.7.0.1 domain lan.example mtu -$' /run/lab/lease
      [ "$(ip netns exec one python3 /run/lab/ask.py 10.7.0.1 one.lan.example)" = "$(sed 's#/.*##' /run/lab/lease)" ]
      [ "$(ip netns exec one python3 /run/lab/ask.py 10.7.0.1 db)" = 10.7.0.9 ]`,
    update: `new DhcpDns("guests", { ...host, interface: "br-g",
      ranges: [{ start: "10.7.0.100", end: "10.7.0.199" }, { start: "2001:db8:7::100", end: "2001:db8:7::1ff", slaac: true }],
      leases: [{ mac: "52:54:00:00:00:0b", address: "10.7.0.5", name: "web" }], options: { mtu: 1400 },
      domain: "lan.example", upstreams: [], records: { db: "10.7.0.9" } });`,
    updated: `systemctl is-active hostnet-dhcp-dns-br-g; systemctl is-enabled hostnet-dhcp-dns-br-g
      [ "$(ip netns exec one python3 /run/lab/lease.py one)" = "$(sed 's#mtu -#mtu 1400#' /run/lab/lease)" ]
      [ "$(ip netns exec one python3 /run/lab/ask.py 10.7.0.1 web.lan.example)" = 10.7.0.5 ]
      tries=0; until ip -n one -6 addr show dev eth0 | grep -q 'inet6 2001:db8:7:'; do tries=$((tries + 1)); [ $tries -lt 150 ]; sleep 0.1; done`,
    edit: "sed -i '/^host-record/d' /etc/hostnet/dhcp-dns-br-g.conf; systemctl disable -q --now hostnet-dhcp-dns-br-g",
    drift: "its unit is not enabled",
    destroyed: `[ -z "$(ls -d /var/lib/hostnet /run/hostnet-dhcp-dns-br-g 2>/dev/null)" ]
      no "systemctl cat hostnet-dhcp-dns-br-g"; no "pgrep -f '[h]ostnet/dhcp-dns'"`,
  },
  NwFilter: {
    machine: true,
    world: "virsh -q nwfilter-list | wc -l > /run/lab/filters",
    create: `const inner = new NwFilter("inner", { ...host, entries: [{ action: "return", direction: "out", mac: { srcmacaddr: "$MAC" } }] });
      new NwFilter("guests", { ...host, uri: "nwfilter:///system", entries: [{ filter: "clean-traffic", parameters: { IP: ["10.0.0.5", "10.0.0.6"] } },
        { filter: inner.name }, { action: "accept", direction: "in", tcp: { dstportstart: 22, comment: "it's \\"<ssh>\\" & more" } }] });`,
    created: `virsh nwfilter-dumpxml guests > /run/lab/guests.xml
      grep -q "<tcp dstportstart='22' comment='it&apos;s &quot;&lt;ssh&gt;&quot; &amp; more'/>" /run/lab/guests.xml
      [ $(grep -c "<parameter name='IP'" /run/lab/guests.xml) = 2 ]
      grep -q "<filterref filter='inner'/>" /run/lab/guests.xml
      grep -q '<uuid>' /run/lab/guests.xml; virsh nwfilter-dumpxml inner | grep -q 'MAC'`,
    update: `const inner = new NwFilter("inner", { ...host, entries: [{ action: "return", direction: "out", mac: { srcmacaddr: "$MAC" } }] });
      new NwFilter("guests", { ...host, uri: "nwfilter:///system", xml: "<filter name='guests' chain='ipv4'><filterref filter='" + "inner'/><rule action='drop' direction='out' priority='200'>" +
        "<ip match='no' dstipaddr='$GATEWAYIP' dstipmask='255.255.255.0'/></rule></filter>" });`,
    updated: `virsh nwfilter-dumpxml guests > /run/lab/now.xml
      grep -q "<filter name='guests' chain='ipv4' priority='-700'>" /run/lab/now.xml
      grep -q "<ip match='no' dstipaddr='.GATEWAYIP' dstipmask='24'/>" /run/lab/now.xml
      [ "$(grep uuid /run/lab/now.xml)" = "$(grep uuid /run/lab/guests.xml)" ]`,
    edit: "virsh nwfilter-dumpxml guests | sed 's/200/300/' > /run/lab/edited.xml; virsh nwfilter-define /run/lab/edited.xml",
    drift: "priority='200'",
    destroyed: `no "virsh nwfilter-dumpxml guests"; no "virsh nwfilter-dumpxml inner"
      [ "$(virsh -q nwfilter-list | wc -l)" = "$(cat /run/lab/filters)" ]`,
  },
  NwFilterBinding: {
    machine: true,
    // The common chain stays, once made.
    world: `virsh nwfilter-binding-list; ip link add name tap0 type veth peer name eth0; ip link set dev tap0 up
      ebtables -t nat -A PREROUTING -j RETURN; ebtables -t nat -F`,
    create: `new NwFilterBinding("guest", { ...host, portDev: "tap0", macAddress: "52:54:00:00:00:05", filter: "no-mac-spoofing" });`,
    created: `virsh nwfilter-binding-dumpxml tap0 | grep -q "filterref filter='hostnet-tap0'"
      virsh nwfilter-dumpxml hostnet-tap0 | grep -q "filterref filter='no-mac-spoofing'"
      ebtables -t nat -L I-tap0-mac | grep -qi '52:54:0*:0*:0*:0*5 -j RETURN'`,
    update: `new NwFilterBinding("guest", { ...host, portDev: "tap0", macAddress: "52:54:00:00:00:06", filter: "no-mac-spoofing",
      parameters: { IP: ["10.0.0.5", "10.0.0.6"] }, trigger: "2" });`,
    updated: `ebtables -t nat -L I-tap0-mac | grep -qi '52:54:0*:0*:0*:0*6 -j RETURN'
      [ $(virsh nwfilter-dumpxml hostnet-tap0 | grep -c "parameter name='IP'") = 2 ]
      no "nft list table bridge hostnet-closed-tap0"`,
    edit: "ebtables -t nat -F",
    drift: "its rules are gone: ebtables -A PREROUTING -i tap0 -j libvirt-I-tap0",
    destroyed: `no "virsh nwfilter-binding-dumpxml tap0"; no "virsh nwfilter-dumpxml hostnet-tap0"`,
  },
} satisfies Record<string, Life>;

type Kind = keyof typeof lives;
export const kinds = Object.keys(lives) as Kind[];

/** The kinds that live on the virtual machine, or in namespaces of this one: each is in one of the two. */
export const lived = (where: "machine" | "namespaces"): (readonly [Kind, string])[] =>
  kinds
    .map((kind) => [kind, lives[kind] as Life] as const)
    .filter(([, { machine = false }]) => machine === (where === "machine"))
    .map(([kind, { proves = "" }]) => [kind, proves]);

export async function live(host: Host, project: Project, kind: Kind): Promise<void> {
  const life: Life = lives[kind];
  await verify(host, life.world);
  const pristine = await settled(host);

  project.program(program(host, life.create));
  await project.up();
  await verify(host, life.created);

  const unchanged = await project.ok(["up", "--yes", "--skip-preview", "--expect-no-changes"]);
  expect(unchanged).toContain("unchanged");

  project.program(program(host, life.update));
  const steps = await project.preview();
  expect(steps.filter((step) => step.op === "update")).toHaveLength(1);
  expect(steps.some((step) => /replace|create|delete/.test(step.op))).toBe(false);
  await project.up();
  await verify(host, life.updated);

  await verify(host, life.edit);
  expect(await project.refresh()).toContain(life.drift);
  await project.up();
  await verify(host, life.updated);
  expect(await project.ok(["up", "--yes", "--skip-preview", "--expect-no-changes"])).toContain("unchanged");

  await project.destroy();
  expect(await settled(host)).toEqual(pristine);
  await verify(host, life.destroyed ?? "");
}
