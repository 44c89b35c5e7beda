// Two LANs with the same addresses, as network namespaces inside the host, and what can be proven about them with
// packets. The host has one network card for each LAN; everything behind the cards is the world, not our resources.
import { capture, lan, ping } from "./network.ts";
import type { Vm } from "./vm.ts";

/** A sentence that a test made true, and what it saw. */
export interface Proof {
  readonly claim: string;
  readonly seen: string;
}

type Side = "inner" | "outer";

const sides: readonly Side[] = ["inner", "outer"];
/** The card of the host for a LAN, and the connection-tracking zone that its connections begin in. */
const plugs = {
  inner: { card: "middleman-eth0", address: "02:00:00:00:01:00", zone: 100 },
  outer: { card: "middleman-eth1", address: "02:00:00:00:02:00", zone: 200 },
};
/** The last byte of the nodes' addresses, the same in both LANs. */
const nodes = [10, 11, 12];
const other = (side: Side): Side => (side === "inner" ? "outer" : "inner");

/** Builds both LANs: a switch in a namespace of its own, three nodes on it, and a cable to the host's card. */
export async function buildLans(vm: Vm): Promise<void> {
  const build = sides.map((side) => {
    const { card, address } = plugs[side];
    return `lan ${side} ${card} ${address} 192.168.2 ${nodes.join(" ")}
for last in ${nodes.join(" ")}; do
  ip -n ${side}-$last route add 192.168.3.0/24 via 192.168.2.1
  ip -n ${side}-$last route add default via 192.168.2.1
done`;
  });
  await vm.sh(`${lan}${build.join("\n")}`);
}

/** Every node of one side reaches every node of the other. */
export async function pingsAcross(vm: Vm, from: Side): Promise<Proof> {
  const pairs = nodes.flatMap((a) => nodes.map((b) => ({ node: `${from}-${a}`, target: `192.168.3.${b}` })));
  const script = pairs.map(
    ({ node, target }) => `${ping(node, target)} || echo "no answer: ${node} to ${target}"`,
  );
  const failed = (await vm.sh(script.join("\n"))).split("\n").filter((line) => line.startsWith("no answer"));
  must(failed.length === 0, failed.join(", "));
  return {
    claim: `every ${from} node reaches every ${other(from)} node as 192.168.3.x`,
    seen: `${pairs.length} of ${pairs.length} pings answered`,
  };
}

/** Two connections that look the same but for the side they come from, at the same time. */
export async function sameSourcePort(vm: Vm): Promise<Proof> {
  const both = (line: (side: Side) => string) => sides.map(line).join("\n");
  const seen = await vm.sh(`
rm -rf /run/world && mkdir -p /run/world && cd /run/world
cat > serve.py <<'END'
import socket, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("192.168.2.10", 8080))
server.listen()
server.settimeout(20)
open(sys.argv[1] + ".ready", "w")
peer, address = server.accept()
peer.settimeout(20)
peer.sendall(("I am %s, and you come from %s:%d" % (sys.argv[1], *address)).encode())
try:
    peer.recv(1)
except ConnectionResetError:
    pass
END
cat > call.py <<'END'
import os, socket, struct, sys, time
call = socket.socket()
call.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
call.bind(("192.168.2.10", 4000))
call.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)) # no TIME_WAIT: it may run again at once
call.settimeout(10)
call.connect(("192.168.3.10", 8080))
heard = call.recv(100).decode()
with open(sys.argv[1] + ".tmp", "w") as file:
    file.write(heard)
os.rename(sys.argv[1] + ".tmp", sys.argv[1] + ".heard")
for _ in range(200):
    if os.path.exists("stop"):
        break
    time.sleep(0.05)
END
wait_for() { # files, for 15 s at most
  tries=0
  until ls "$@" > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { cat *.log; ls; exit 1; }
    sleep 0.1
  done
}
${both((side) => `ip netns exec ${side}-10 python3 serve.py ${side} > serve-${side}.log 2>&1 &`)}
wait_for inner.ready outer.ready
${both((side) => `ip netns exec ${side}-10 python3 call.py ${side} > call-${side}.log 2>&1 &`)}
wait_for inner.heard outer.heard
conntrack -L -p tcp --orig-port-dst 8080 --state ESTABLISHED 2> /dev/null
${both((side) => `echo "${side} heard: $(cat ${side}.heard)"`)}
touch stop
wait
conntrack -D -p tcp --orig-port-dst 8080 > /dev/null 2>&1
rm -rf /run/world
`);
  const entries = seen.split("\n").filter((line) => line.startsWith("tcp"));
  must(entries.length === 2, `two entries, not:\n${seen}`);
  const found = sides.map((side) => {
    must(seen.includes(`${side} heard: I am ${other(side)}, and you come from 192.168.3.10:`), seen);
    const original = `src=192.168.2.10 dst=192.168.3.10 sport=4000 dport=8080 zone-orig=${plugs[side].zone} `;
    const entry = entries.find((line) => line.includes(original));
    must(entry !== undefined, `an entry with ${original}among:\n${entries.join("\n")}`);
    return original.trim();
  });
  return {
    claim:
      "both sides at once, TCP from the same source port: two connections, each with its own original zone",
    seen: found.join(" | "),
  };
}

/** The addresses that two nodes see while one pings the other. */
async function cannotTell(vm: Vm): Promise<Proof> {
  const seen = await vm.sh(`
${capture}
begin inner-12 eth0 icmp
begin outer-11 eth0 icmp
${ping("inner-12", "192.168.3.11")} || { echo 'no answer from 192.168.3.11' >&2; exit 1; }
finish inner-12
finish outer-11
`);
  const expected = {
    "inner-12": ["192.168.2.12 > 192.168.3.11", "192.168.3.11 > 192.168.2.12"],
    "outer-11": ["192.168.3.12 > 192.168.2.11", "192.168.2.11 > 192.168.3.12"],
  };
  const story = Object.entries(expected).map(([node, packets]) => {
    const lines = seen.split("\n").filter((line) => line.startsWith(`${node}: `));
    const addresses = [...new Set(lines.map((line) => /IP (\S+ > [^:]+):/.exec(line)?.[1] ?? line))];
    must(JSON.stringify(addresses) === JSON.stringify(packets), `at ${node}:\n${seen}`);
    return `${node}: ${packets[0]} and back`;
  });
  return {
    claim: "a node cannot tell that the other has its addresses: it sees 192.168.3.x only",
    seen: story.join(", "),
  };
}

/** What is for elsewhere stays inside. */
async function nothingLeaves(vm: Vm): Promise<Proof> {
  const targets = ["203.0.113.9", "192.168.4.10", "8.8.8.8"];
  const attempts = sides.flatMap((side) => targets.map((target) => ping(`${side}-10`, target)));
  const seen = await vm.sh(`
${capture}
begin - "$(cat /run/lab/uplink)" 'icmp or net 192.168.0.0/16'
ping -n -q -c 1 -W 1 10.0.2.2 > /dev/null 2>&1 || : # the host's own, which must be seen
${attempts.map((attempt) => `if ${attempt}; then echo "answered: ${attempt}"; fi`).join("\n")}
finish -
`);
  const lines = seen.split("\n").filter(Boolean);
  const own = lines.filter((line) => line.includes(" > 10.0.2.2: ICMP echo request"));
  must(own.length === 1, `the host's own ping on the uplink, among:\n${seen}`);
  const others = lines.filter((line) => !line.includes(" 10.0.2.2"));
  must(others.length === 0, `nothing of the LANs on the uplink, not:\n${others.join("\n")}`);
  return {
    claim: "the LANs are isolated: pings to any other address leave by no uplink",
    seen: `0 packets on the uplink for ${attempts.length} pings to ${targets.join(", ")}`,
  };
}

/** Equal addresses stay at home: the neighbour of a node's own LAN answers, the other LAN hears nothing. */
async function lansApart(vm: Vm): Promise<Proof> {
  const pings = sides.map((side) => ping(`${side}-10`, "192.168.2.11"));
  for (const [index, side] of sides.entries()) {
    const deaf = `${other(side)}-11`;
    const seen = await vm.sh(`
${capture}
begin ${deaf} eth0 'host 192.168.2.10 and host 192.168.2.11'
${pings[index]} || { echo 'no answer from the own neighbour' >&2; exit 1; }
finish ${deaf}
`);
    must(seen.trim() === "", `nothing at ${deaf}, not:\n${seen}`);
  }
  return {
    claim: "192.168.2.x is always the own LAN: the other one cannot be reached by it",
    seen: "the own neighbour answered, 0 packets at the node of the same address on the other side",
  };
}

/** Whether the host forwards IPv4, as the program says. */
export async function forwarding(vm: Vm, declared: 0 | 1 = 1): Promise<Proof> {
  const value = (await vm.sh("cat /proc/sys/net/ipv4/ip_forward")).trim();
  must(value === String(declared), `net.ipv4.ip_forward = ${value}`);
  return { claim: "IPv4 forwarding is as declared", seen: `net.ipv4.ip_forward = ${value}` };
}

/** All that holds while the stack is up. */
export const proofs: readonly ((vm: Vm) => Promise<Proof>)[] = [
  (vm) => pingsAcross(vm, "inner"),
  (vm) => pingsAcross(vm, "outer"),
  sameSourcePort,
  cannotTell,
  nothingLeaves,
  lansApart,
  (vm) => forwarding(vm),
];

/** Pings without end, to see whether a change loses a packet. */
export class PingMonitor {
  private readonly vm: Vm;
  private readonly log: string;

  private constructor(vm: Vm, log: string) {
    this.vm = vm;
    this.log = log;
  }

  /** Starts, and waits for the first answer. */
  static async start(vm: Vm, node = "inner-10", target = "192.168.3.10"): Promise<PingMonitor> {
    const log = `/run/ping-${node}-${target}`;
    await vm.sh(`
ip netns exec ${node} ping -n -i 0.2 ${target} > ${log} 2>&1 < /dev/null &
echo $! > ${log}.pid
`);
    const monitor = new PingMonitor(vm, log);
    await monitor.answers(1);
    return monitor;
  }

  /** Ends it. The last packets may still be under way, so it waits for answers that are newer than the call. */
  async stop(): Promise<{ readonly answered: number; readonly lost: number }> {
    await this.answers(2).catch(() => {});
    const text = await this.vm.sh(`
kill -INT "$(cat ${this.log}.pid)"
tries=0
until grep -q transmitted ${this.log} || [ $tries -ge 50 ]; do tries=$((tries + 1)); sleep 0.1; done
cat ${this.log}
rm -f ${this.log} ${this.log}.pid
`);
    const answered = [...text.matchAll(/icmp_seq=(\d+) ttl/g)].length;
    const last = Number([...text.matchAll(/icmp_seq=(\d+) ttl/g)].at(-1)?.[1] ?? 0);
    const sent = Number(/(\d+) packets transmitted/.exec(text)?.[1] ?? 0);
    const underWay = sent - last;
    return { answered, lost: last - answered + (underWay > 5 ? underWay : 0) };
  }

  /** Waits until so many more answers have come. */
  private async answers(more: number): Promise<void> {
    await this.vm.sh(`
count() { grep -c 'icmp_seq=.* ttl' ${this.log} || :; }
before=$(count)
tries=0
until [ "$(count)" -ge $((before + ${more})) ]; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || { echo 'no answer for 10 s'; exit 1; }
  sleep 0.1
done
`);
  }
}

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
