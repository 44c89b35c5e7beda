// The rules of a RoutedNetwork, by packets that no connection tracking can place, and beside br_netfilter.
import { nftTable } from "../../provider/nft-table";
import { forward, postrouting, prerouting } from "../../sdk/components/routed-rules";
import { subnetsOf } from "../../sdk/components/subnet";
import { resources } from "../lab-kinds/resources";
import { LocalHost } from "../local-host";

let host: LocalHost;
const NET = `mkdir -p /run/netns; for n in world g1 g2; do ip netns add $n; ip -n $n link set dev lo up; done
  for c in all default; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done
  ip link add name e1 type veth peer name up netns world; ip -n world link set dev up up; ip link set dev e1 up
  ip -n world addr add 198.51.100.2/24 dev up; ip addr add 198.51.100.1/24 dev e1
  ip link add name br-g type bridge; ip link set dev br-g up; ip addr add 10.7.0.1/24 dev br-g
  for n in 1 2; do ip link add name t$n type veth peer name eth0 netns g$n; ip link set dev t$n master br-g up
    for c in default eth0; do ip netns exec g$n sysctl -qw net.ipv6.conf.$c.accept_dad=0; done
    ip -n g$n link set dev eth0 up; ip -n g$n addr add 10.7.0.$((n + 4))/24 dev eth0; ip -n g$n route add default via 10.7.0.1; done
  echo 1 >/proc/sys/net/ipv4/ip_forward; sleep 2`;

beforeAll(async () => {
  host = await new LocalHost().ready();
  host.sh(NET);
  const subnets = subnetsOf("10.7.0.0/24");
  const bare = { bridge: "br-g", uplink: "e1", subnets, publish: [], isolated: false, rules: [] };
  const routed = { ...bare, redirectHttp: { port: 8088 } };
  await resources(nftTable, host, "h").create("t", {
    family: "inet",
    name: "routed",
    counters: { refused: {}, spoofed: {} },
    confirm: { when: "never" },
    chains: {
      prerouting: { type: "nat", hook: "prerouting", priority: "dstnat", rules: prerouting(routed) },
      postrouting: { type: "nat", hook: "postrouting", priority: "srcnat", rules: postrouting(routed) },
      forward: { type: "filter", hook: "forward", priority: "filter", rules: forward(routed) },
    },
  });
}, 60_000);
afterAll(() => host.close());

/** A packet of TCP that belongs to no connection: a bare RST. */
const RESET = `import socket, struct
src, dst = map(socket.inet_aton, ("10.7.0.5", "198.51.100.2"))
def tcp(check): return struct.pack("!HHIIBBHHH", 4000, 80, 1, 0, 0x50, 4, 0, check, 0)
words = struct.unpack("!16H", src + dst + struct.pack("!BBH", 0, 6, 20) + tcp(0))
total = sum(words); total = (total >> 16) + (total & 0xffff); total += total >> 16
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, src, dst)
socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(head + tcp(~total & 0xffff), ("198.51.100.2", 0))`;

test("nothing leaves by the uplink under a guest's own address", () => {
  host.sh(`
    ip netns exec world nft 'add table ip seen; add chain ip seen in { type filter hook input priority -300; }
      add rule ip seen in ip saddr 198.51.100.1 counter; add rule ip seen in ip saddr 10.7.0.5 counter'
    ip netns exec g1 ping -c 1 -W 2 198.51.100.2
    ip netns exec g1 python3 -c '${RESET}'; sleep 0.3`);
  expect(host.sh("ip netns exec world nft list table ip seen; nft list counter inet routed refused")).toMatch(
    /198.51.100.1 counter packets 1 .*10.7.0.5 counter packets 0 .*refused \{\s+packets 1 /s,
  );
});

test("guests reach each other by link-local addresses, also where br_netfilter hands frames to these rules", () => {
  const reach = () =>
    host.sh(`a=$(ip -n g2 -6 addr show dev eth0 | sed -n 's,.*inet6 \\(fe80[^/]*\\)/.*,\\1,p')
      ip netns exec g1 ping -q -6 -c 1 -W 2 $a%eth0 | grep received`);
  for (const bridged of [0, 1]) {
    host.sh(
      `[ ! -e /proc/sys/net/bridge ] || echo ${bridged} >/proc/sys/net/bridge/bridge-nf-call-ip6tables`,
    );
    expect(reach()).toContain("1 received");
  }
});

test("HTTP goes to the host, but from guest to guest, also where br_netfilter hands frames to these rules", () => {
  const serve = (where: string, port: number, name: string) =>
    host.sh(`${where} python3 -c 'import socket
server = socket.create_server(("", ${port}))
while True: server.accept()[0].send(b"${name}\\n")' >/dev/null 2>&1 </dev/null &
      tries=0; until ${where} ss -Hlnt 'sport = :${port}' | grep -q .; do tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.1; done`);
  serve("", 8088, "host");
  serve("ip netns exec g2", 80, "guest");
  serve("ip netns exec world", 80, "world");
  const answer = (to: string) =>
    host
      .sh(`ip netns exec g1 timeout 3 bash -c 'read -r x </dev/tcp/${to}/80; echo $x' || echo nothing`)
      .trim();
  for (const bridged of [0, 1]) {
    host.sh(`[ ! -e /proc/sys/net/bridge ] || echo ${bridged} >/proc/sys/net/bridge/bridge-nf-call-iptables`);
    expect(["10.7.0.6", "10.7.0.1", "198.51.100.2"].map(answer)).toEqual(["guest", "host", "host"]);
  }
}, 60_000);
