// Guests behind the host as their router, and what they ask: shell and Python for any host of the tests.

import { ASK, LEASE } from "./dhcp.ts";
import type { Host } from "./host.ts";
import { lan } from "./network.ts";

/** Answers each HTTP request with its own name and the address that asked. */
const SERVE = `import os, socket, sys
name, port = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("::", port))
server.listen(16)
open(f"/run/world/{name}-{port}.pid", "w").write(str(os.getpid()))
while True:
    wire, peer = server.accept()
    wire.recv(4096)
    wire.send(f"HTTP/1.0 200 OK\\r\\n\\r\\n{name} saw {peer[0].replace('::ffff:', '')}\\n".encode())
    wire.close()
`;

/** Whether bridged packets meet the IP rules too, where the kernel knows that at all. */
export const BRIDGED = `
bridged() { for key in iptables ip6tables arptables; do [ ! -e /proc/sys/net/bridge/bridge-nf-call-$key ] || sysctl -qw net.bridge.bridge-nf-call-$key=$1; done; }`;

/** Two machines behind the uplink `wan0`, one of them a server. */
export const OUTSIDE = `
mkdir -p /run/world
${lan}
lan net wan0 02:00:00:00:05:00 10.5.0 10 11
ip addr add 10.5.0.1/24 dev wan0
cat >/run/world/lease.py <<'END'
${LEASE}
END
cat >/run/world/ask.py <<'END'
${ASK}
END
cat >/run/world/serve.py <<'END'
${SERVE}
END
`;

const MACS = { web: "52:54:00:00:07:05", one: "52:54:00:00:07:06", two: "52:54:00:00:07:07" };
export type Guest = keyof typeof MACS;
const guests = Object.keys(MACS) as Guest[];

/** Guests, attached as a hypervisor does it. */
export const startGuests = (host: Host) =>
  host.sh(
    guests
      .map(
        (guest) => `ip netns add ${guest}
ip link add name tap-${guest} type veth peer name eth0 netns ${guest}
ip -n ${guest} link set dev eth0 address ${MACS[guest]}
ip link set dev tap-${guest} master br-vms up
ip -n ${guest} link set dev lo up
ip -n ${guest} link set dev eth0 up`,
      )
      .join("\n"),
  );
export const stopGuests = (host: Host) =>
  host.sh(`for guest in ${guests.join(" ")}; do
  ip netns pids $guest | xargs -r kill
  ip link del dev tap-$guest
  ip netns del $guest
done`);

/** What a guest is told with its lease. */
export const lease = async (host: Host, guest: Guest) =>
  (await host.sh(`ip netns exec ${guest} python3 /run/world/lease.py ${guest}`)).trim();
export const ask = async (host: Host, guest: Guest, name: string, type = "A") =>
  (await host.sh(`ip netns exec ${guest} python3 /run/world/ask.py 10.7.0.1 ${name} ${type}`)).trim();
/** What the server says, or that it could not be reached. */
export const fetched = async (host: Host, from: string, url: string) =>
  (await host.sh(`ip netns exec ${from} curl -s -g -m 5 '${url}' || echo nothing`)).trim();
/** One ping to the guest web. */
export const ping = async (host: Host, guest: Guest) =>
  (
    await host.sh(
      `ip netns exec ${guest} ping -n -q -c 1 -W 2 10.7.0.5 >/dev/null 2>&1 && echo answered || echo nothing`,
    )
  ).trim();

/** Begins to answer at a port, in a namespace, or on the host itself. */
export const serve = (host: Host, where: string, port: number) =>
  host.sh(`${where === "host" ? "" : `ip netns exec ${where} `}python3 /run/world/serve.py ${where} ${port} >/run/world/log 2>&1 </dev/null &
tries=0
until [ -e /run/world/${where}-${port}.pid ]; do tries=$((tries + 1)); [ $tries -lt 100 ] || { cat /run/world/log; exit 1; }; sleep 0.1; done`);
