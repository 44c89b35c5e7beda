// Sites that all have the same addresses, as network namespaces at cards of the host, and what can be proven of them.

import type { Host } from "./host.ts";
import { capture, ping } from "./network.ts";
import type { Proof } from "./overlap.ts";

/** By name: the id that a program gives it, and the number in the networks under which the others see it. */
export const SITES = {
  berlin: { id: 100, number: 3 },
  lab: { id: 200, number: 4 },
  oslo: { id: 300, number: 5 },
  paris: { id: 400, number: 6 },
} as const;
export type Name = keyof typeof SITES;

export const OWN = ["192.168.2.10", "fd00:2::10"];
export const card = (site: string): string => `card-${site}`;
export const seenAs = (site: Name): string[] => [
  `192.168.${SITES[site].number}.0/24`,
  `fd00:${SITES[site].number}::/64`,
];
/** The node of a site as others see it, by both versions. */
const seen = (site: Name): string[] => [`192.168.${SITES[site].number}.10`, `fd00:${SITES[site].number}::10`];
const pairs = (sites: readonly Name[]) =>
  sites.flatMap((from) => sites.filter((to) => to !== from).map((to) => ({ from, to })));

/** A server that says who it is and from where it is called, and then echoes. */
const SERVE = `
import socket, sys, threading
def talk(call, peer):
    call.sendall(("%s saw %s:%d" % (sys.argv[1], peer[0], peer[1])).ljust(80).encode())
    try:
        while data := call.recv(100):
            call.sendall(data)
    except OSError:
        pass
def serve(family, address):
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, 8080))
    server.listen()
    print("ready", flush=True)
    while True:
        threading.Thread(target=talk, args=server.accept(), daemon=True).start()
for family, address in ((socket.AF_INET, "${OWN[0]}"), (socket.AF_INET6, "${OWN[1]}")):
    threading.Thread(target=serve, args=(family, address)).start()
`;

/** Calls every address given, all from the same port, and holds the connections until told to stop. */
const CALL = `
import os, socket, struct, sys, time
calls = []
for target in sys.argv[2:]:
    call = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET)
    call.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    call.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) # no TIME_WAIT: it may run again at once
    call.bind(("${OWN[1]}" if ":" in target else "${OWN[0]}", 4000))
    call.settimeout(5)
    try:
        call.connect((target, 8080))
        print(target, call.recv(80).decode().strip(), flush=True)
    except OSError as error:
        print(target, error, flush=True)
    calls.append(call)
print("done", flush=True)
while not os.path.exists("stop"):
    time.sleep(0.05)
`;

/** One connection, ten letters a second, each of which has to come back. */
const STREAM = `
import os, socket, sys, time
call = socket.create_connection((sys.argv[1], 8080), 10)
heard = call.recv(80)
echoed = 0
while not os.path.exists("end"):
    call.sendall(b"x")
    if call.recv(1) != b"x":
        raise SystemExit("the connection is closed after %d letters" % echoed)
    echoed += 1
    print(echoed, flush=True)
    time.sleep(0.1)
`;

const WAIT = `
wait_for() { # PATTERN FILE..., for a minute at most
  pattern=$1 tries=0
  shift
  for file in "$@"; do
    until grep -q "$pattern" "$file"; do
      tries=$((tries + 1))
      [ $tries -lt 600 ] || { cat "$@"; exit 1; }
      sleep 0.1
    done
  done
}
`;

/** A namespace for each site with a node in it, its cable to a card of the host, and a server. A lab has two nodes. */
export async function buildSites(host: Host): Promise<void> {
  const names = Object.keys(SITES) as Name[];
  const cables = [...names.map((name) => [name, 10] as const), ["lab2", 11] as const];
  await host.sh(`
mkdir -p /run/world && cd /run/world
cat >serve.py <<'END'
${SERVE}
END
cat >call.py <<'END'
${CALL}
END
cat >stream.py <<'END'
${STREAM}
END
node() { # NAME CARD LAST
  ip netns add "$1"
  ip link add name "$2" address "02:00:00:00:07:$(printf %s "$1" | md5sum | cut -c1-2)" type veth peer name eth0 netns "$1"
  ip netns exec "$1" sysctl -qw net.ipv6.conf.eth0.accept_ra=0 net.ipv6.conf.eth0.accept_dad=0
  ip -n "$1" link set dev lo up
  ip -n "$1" link set dev eth0 up
  ip link set dev "$2" up
  ip -n "$1" addr add "192.168.2.$3/24" dev eth0
  ip -n "$1" addr add "fd00:2::$3/64" dev eth0
  ip -n "$1" route add default via 192.168.2.1
  ip -n "$1" route add default via fd00:2::1
}
${cables.map(([name, last]) => `node ${name} ${card(name)} ${last}`).join("\n")}
${WAIT}
${names.map((name) => `ip netns exec ${name} python3 serve.py ${name} >serve-${name}.log 2>&1 </dev/null &`).join("\n")}
${names.map((name) => `wait_for ready serve-${name}.log`).join("\n")}
`);
}

/** Ends what runs in the sites, and the sites. */
export async function removeSites(host: Host): Promise<void> {
  await host.sh(`
for name in ${[...Object.keys(SITES), "lab2"].join(" ")}; do
  kill -9 $(ip netns pids $name) 2>/dev/null || :
  ip netns delete $name
done
rm -rf /run/world`);
}

/** Each site reaches each other one, under its own networks. */
export async function pingsAll(host: Host, sites: readonly Name[]): Promise<Proof> {
  const attempts = pairs(sites).flatMap(({ from, to }) => seen(to).map((target) => ping(from, target)));
  const failed = (
    await host.sh(`${attempts.map((one) => `{ ${one} || echo '${one}'; } &`).join("\n")}\nwait`)
  ).trim();
  must(failed === "", `no answer to:\n${failed}`);
  return {
    claim: `each of ${sites.length} sites reaches each other one, IPv4 and IPv6`,
    seen: `${attempts.length} of ${attempts.length} pings answered`,
  };
}

/** All calls that there can be, at the same time and from the same address and port. */
export async function samePortEverywhere(host: Host, sites: readonly Name[]): Promise<Proof> {
  const output = await host.sh(`cd /run/world
rm -f stop
failed() { conntrack -S | grep -oE '(insert_failed|drop)=[0-9]+' | awk -F= '{ sum += $2 } END { print sum + 0 }'; }
${WAIT}
for version in ipv4 ipv6; do conntrack -D -f $version -p tcp --orig-port-src 4000 >/dev/null 2>&1 || :; done
before=$(failed)
${sites
  .map((from) => {
    const targets = pairs(sites).flatMap((pair) => (pair.from === from ? seen(pair.to) : []));
    return `ip netns exec ${from} python3 call.py ${from} ${targets.join(" ")} >call-${from}.log 2>&1 </dev/null &`;
  })
  .join("\n")}
wait_for done ${sites.map((from) => `call-${from}.log`).join(" ")}
${sites.map((from) => `sed 's/^/${from} calls /' call-${from}.log`).join("\n")}
for version in ipv4 ipv6; do conntrack -L -f $version -p tcp --orig-port-src 4000 --state ESTABLISHED 2>/dev/null || :; done
echo "failed: $(($(failed) - before))"
touch stop
wait
`);
  const entries = output.split("\n").filter((line) => line.startsWith("tcp"));
  for (const { from, to } of pairs(sites)) {
    seen(to).forEach((target, version) => {
      must(
        output.includes(`${from} calls ${target} ${to} saw ${seen(from)[version]}:`),
        `${from} to ${target}:\n${output}`,
      );
      const entry = `src=${OWN[version]} dst=${target} sport=4000 dport=8080 zone-orig=${SITES[from].id} `;
      const count = entries.filter((line) => line.includes(entry)).length;
      must(count === 1, `${count} entries with ${entry}in:\n${output}`);
    });
  }
  const calls = 2 * pairs(sites).length;
  must(entries.length === calls, `${entries.length} entries instead of ${calls}:\n${output}`);
  must(output.includes("failed: 0\n"), `the kernel could not insert entries:\n${output}`);
  return {
    claim: "every site calls every other one, all from the same address and port, IPv4 and IPv6",
    seen: `${calls} connections at once, each with the zone of its site; 0 failed insertions`,
  };
}

/** What is for elsewhere stays inside, and the host's own way out is what it was. */
export async function staysInside(host: Host, sites: readonly Name[]): Promise<Proof> {
  const targets = ["203.0.113.9", "192.168.7.10", "2001:db8::9", "fd00:7::10"];
  const attempts = sites.flatMap((site) => targets.map((target) => ping(site, target)));
  const output = await host.sh(`${capture}
begin - "$(cat /run/lab/uplink)" 'icmp or icmp6 or net 192.168.0.0/16'
pids=
ping -n -q -c 1 -W 1 10.0.2.2 >/dev/null 2>&1 || : # the host's own, which must be seen
${attempts.map((attempt) => `{ ! ${attempt} || echo "answered: ${attempt}"; } & pids="$pids $!"`).join("\n")}
wait $pids
finish -`);
  const lines = output.split("\n").filter(Boolean);
  must(
    lines.some((line) => line.includes(" > 10.0.2.2: ICMP echo request")),
    `the host's own ping on the uplink, among:\n${output}`,
  );
  const others = lines.filter((line) => /answered|192\.168\.|203\.0\.113\.|2001:db8:|fd00:/.test(line));
  must(others.length === 0, `nothing of the sites on the uplink, not:\n${others.join("\n")}`);
  return {
    claim: "what is for any other address leaves by no uplink",
    seen: `0 packets on the uplink for ${attempts.length} pings to ${targets.join(", ")}`,
  };
}

/** A connection that runs while something else happens. */
export class Stream {
  private constructor(private readonly host: Host) {}

  static async start(host: Host, from: Name, to: Name): Promise<Stream> {
    await host.sh(`cd /run/world
rm -f end
${WAIT}
ip netns exec ${from} python3 stream.py ${seen(to)[0]} >stream.log 2>&1 </dev/null &
wait_for 5 stream.log`);
    return new Stream(host);
  }

  /** How many letters came back; throws if the connection did not live. */
  async stop(): Promise<number> {
    const log = await this.host.sh(`cd /run/world
${WAIT}
before=$(tail -n 1 stream.log)
wait_for "^$((before + 5))$" stream.log
touch end
cat stream.log`);
    return Number(log.trim().split("\n").at(-1));
  }
}

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
