// Guests of examples/tap-firewall, as network namespaces at the bridge, and what they send: rightful and forged.
import { capture } from "./network.ts";
import type { Vm } from "./vm.ts";

/** By name: the last part of its addresses. The rogue is in no program. */
const GUESTS = { web1: 11, web2: 12, db: 13, late: 14, rogue: 66 };
type Name = keyof typeof GUESTS;
/** TCP ports that somebody listens on. */
const LISTENING: readonly (readonly [Name, number])[] = [
  ["web1", 80],
  ["web2", 80],
  ["db", 22],
  ["db", 5432],
];

const mac = (name: Name): string => `52:54:00:00:00:${GUESTS[name]}`;
const ipv4 = (name: Name): string => `10.7.0.${GUESTS[name]}`;

/** Starts a guest: its tap appears, and becomes a port of the bridge. */
export async function startGuest(vm: Vm, name: Name): Promise<void> {
  const listeners = LISTENING.filter(([owner]) => owner === name);
  await vm.sh(`
ip netns add g-${name}
ip link add name tap-${name} type veth peer name eth0 address ${mac(name)} netns g-${name}
ip netns exec g-${name} sysctl -qw net.ipv6.conf.eth0.accept_ra=0 net.ipv6.conf.eth0.accept_dad=0
ip -n g-${name} link set dev lo up
ip link set dev tap-${name} master br-guests up
ip -n g-${name} link set dev eth0 up
ip -n g-${name} addr add ${ipv4(name)}/24 dev eth0
ip -n g-${name} addr add 2001:db8:7::${GUESTS[name]}/64 dev eth0 nodad
${listeners
  .map(
    ([, port]) => `timeout 600 ip netns exec g-${name} nc -l -k -p ${port} >/dev/null 2>&1 </dev/null &
tries=0
until ip netns exec g-${name} ss -Hltn | grep -q ':${port} '; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done`,
  )
  .join("\n")}
`);
}

export async function stopGuests(vm: Vm): Promise<void> {
  await vm.sh(`for n in $(ip netns list | grep -o '^g-[a-z0-9]*'); do
  kill -9 $(ip netns pids $n) 2>/dev/null || :
  ip netns del $n
done`);
}

/** Who reaches what: a command for each, and whether it should succeed with the filter as declared. */
const ATTEMPTS: readonly (readonly [Name | "host", string, string, boolean])[] = [
  ["web1", "web2, its group", `nc -z -w 3 ${ipv4("web2")} 80`, true],
  ["web1", "web2, its group, IPv6", "ping -n -q -c 1 -W 3 2001:db8:7::12", true],
  ["web1", "db, the open port", `nc -z -w 3 ${ipv4("db")} 5432`, true],
  ["web1", "db, another port", `nc -z -w 3 ${ipv4("db")} 22`, false],
  ["db", "web2", `nc -z -w 3 ${ipv4("web2")} 80`, false],
  ["db", "web2, IPv6", "ping -n -q -c 1 -W 3 2001:db8:7::12", false],
  ["late", "web2, its group", `nc -z -w 3 ${ipv4("web2")} 80`, true],
  ["web1", "the host", "ping -n -q -c 1 -W 3 10.7.0.1", true],
  ["web1", "the host, SSH", "nc -z -w 3 10.7.0.1 22", false],
  ["host", "db", `nc -z -w 3 ${ipv4("db")} 22`, true],
  ["rogue", "web2", `ping -n -q -c 1 -W 3 ${ipv4("web2")}`, false],
  ["host", "the rogue", `ping -n -q -c 1 -W 3 ${ipv4("rogue")}`, false],
];
export const reaches = ATTEMPTS.map(
  ([who, whom, , yes]) => `${who} to ${whom}: ${yes ? "yes" : "no"}`,
).sort();

/** All at once: most of those that fail do so by waiting. */
export async function attempts(vm: Vm): Promise<string[]> {
  const lines = ATTEMPTS.map(([who, whom, command]) => {
    const there = who === "host" ? "" : `ip netns exec g-${who} `;
    return `( if ${there}${command} >/dev/null 2>&1; then echo "${who} to ${whom}: yes"; else echo "${who} to ${whom}: no"; fi ) &`;
  });
  return (await vm.sh(`${lines.join("\n")}\nwait`)).split("\n").filter(Boolean).sort();
}

/** What web1 sends to web2, by name: how tcpdump tells it there, and whether it is rightful. */
const FRAMES: Readonly<Record<string, readonly [RegExp, boolean]>> = {
  "its own, IPv4": [/10\.7\.0\.11\.7 > 10\.7\.0\.12\.9011: /, true],
  "its own, IPv6": [/2001:db8:7::11\.7 > 2001:db8:7::12\.9012: /, true],
  "its own, ARP": [/Reply 10\.7\.0\.11 is-at 52:54:00:00:00:11/, true],
  "its own, neighbour discovery": [/advertisement, tgt is 2001:db8:7::11,/, true],
  "MAC of another": [/\.9001: /, false],
  "IPv4 of another": [/\.9002: /, false],
  "IPv6 of another": [/\.9003: /, false],
  "in a VLAN": [/\.9004: /, false],
  "ARP: the host's address": [/Reply 10\.7\.0\.1 is-at/, false],
  "ARP: at another MAC": [/Reply 10\.7\.0\.11 is-at 02:/, false],
  "neighbour discovery: the host's address": [/advertisement, tgt is 2001:db8:7::1,/, false],
  "neighbour discovery: at another MAC": [/advertisement, tgt is fe80::5054:ff:fe00:11,/, false],
  "neighbour discovery: asks from another MAC": [/who has 2001:db8:7::dead/, false],
  "DHCP server": [/10\.7\.0\.11\.67 > /, false],
  "DHCPv6 server": [/2001:db8:7::11\.547 > /, false],
  "router advertisement": [/router advertisement/, false],
  redirect: [/ICMP6, redirect/, false],
};
export const rightful = Object.keys(FRAMES).filter((name) => FRAMES[name]![1]);
export const all = Object.keys(FRAMES);

const FORGE = `
import socket, struct
me, other, third = "52:54:00:00:00:11", "52:54:00:00:00:12", "02:00:00:00:00:66"
mac = lambda text: bytes.fromhex(text.replace(":", ""))
ip4 = socket.inet_aton
ip6 = lambda text: socket.inet_pton(socket.AF_INET6, text)
def checksum(data):
    data += b"\\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
def udp(sport, dport):
    return struct.pack("!HHHH", sport, dport, 12, 0) + b"mark"
def v4(source, body):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, 17, 0, ip4(source), ip4("10.7.0.12"))
    return 0x0800, head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
def v6(source, kind, body, at):
    target = "fe80::5054:ff:fe00:12" if source.startswith("fe80") else "2001:db8:7::12"
    pseudo = ip6(source) + ip6(target) + struct.pack("!II", len(body), kind)
    body = body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2:]
    return 0x86dd, struct.pack("!IHBB", 0x60000000, len(body), kind, 255) + ip6(source) + ip6(target) + body
def icmp(kind, rest):
    return v6("fe80::5054:ff:fe00:11", 58, struct.pack("!BBH", kind, 0, 0) + rest, 2)
def discovery(kind, address, at):
    flags = 0x20000000 if kind == 136 else 0
    return icmp(kind, struct.pack("!I", flags) + ip6(address) + bytes([kind - 134, 1]) + mac(at))
def arp(address, at):
    return 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + mac(at) + ip4(address) + mac(other) + ip4("10.7.0.12")
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
def send(frame, source=me, tag=b""):
    kind, body = frame
    wire.send(mac(other) + mac(source) + tag + struct.pack("!H", kind) + body)
send(v4("10.7.0.11", udp(7, 9011)))
send(v6("2001:db8:7::11", 17, udp(7, 9012), 6))
send(arp("10.7.0.11", me))
send(discovery(136, "2001:db8:7::11", me))
send(v4("10.7.0.11", udp(7, 9001)), third)
send(v4("10.7.0.99", udp(7, 9002)))
send(v6("2001:db8:7::99", 17, udp(7, 9003), 6))
send(v4("10.7.0.11", udp(7, 9004)), tag=struct.pack("!HH", 0x8100, 5))
send(arp("10.7.0.1", me))
send(arp("10.7.0.11", third))
send(discovery(136, "2001:db8:7::1", me))
send(discovery(136, "fe80::5054:ff:fe00:11", third))
send(discovery(135, "2001:db8:7::dead", third))
send(v4("10.7.0.11", udp(67, 68)))
send(v6("2001:db8:7::11", 17, udp(547, 546), 6))
send(icmp(134, struct.pack("!BBHII", 64, 0, 1800, 0, 0)))
send(icmp(137, bytes(4) + ip6("fe80::5054:ff:fe00:11") + ip6("2001:db8::1")))
`;

/** Which of all that web1 sends arrives at web2, as tcpdump there sees it. */
export async function arrivals(vm: Vm): Promise<string[]> {
  const seen = await vm.sh(`${capture}
cat > /run/forge.py <<'END'
${FORGE}
END
begin g-web2 eth0 'ether src ${mac("web1")} or ether src 02:00:00:00:00:66'
ip netns exec g-web1 python3 /run/forge.py
sleep 0.5
finish g-web2
rm /run/forge.py
# What the forged ones taught, should be forgotten.
ip -n g-web2 neigh flush all
`);
  return Object.entries(FRAMES)
    .filter(([, [shown]]) => shown.test(seen))
    .map(([name]) => name);
}
