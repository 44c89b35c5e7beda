// examples/dynamic-ban: what its README says, by packets, by nft and by tcpdump.
import { must, prove } from "../demo/claims.ts";
import { exampleProject, newStack, settled } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";
import { capture, lan, ping } from "../lab/network.ts";
import { differences } from "../lab/snapshot.ts";

jest.setTimeout(600_000);

let host: Namespaces;
let project: Project;

beforeAll(async () => {
  host = await Namespaces.start();
  await host.sh(`${lan}
lan net wan0 02:00:00:00:05:00 10.5.0 10 11 12
ip addr add 10.5.0.1/24 dev wan0
ip addr add 10.5.0.5/24 dev wan0
mkdir -p /run/world && cd /run/world
cat > serve.py <<'END'
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 5000))
server.settimeout(300)
open("ready", "w")
while True:
    text, peer = server.recvfrom(100)
    try:
        server.sendto(text, peer)
    except OSError:
        pass # what the host does not let out
END
cat > ask.py <<'END'
import select, socket, sys, time
calls = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[1]))]
for call in calls: # connected: an answer from another address is not heard
    call.connect(("10.5.0.5", 5000))
    call.send(b"hello")
heard, end = 0, time.time() + 1.5
while heard < len(calls) and time.time() < end:
    for call in select.select(calls, [], [], 0.2)[0]:
        call.recv(100)
        heard += 1
print(heard)
END
python3 serve.py > serve.log 2>&1 < /dev/null & echo $! > serve.pid
tries=0
until [ -e ready ]; do tries=$((tries + 1)); [ $tries -lt 100 ] || { cat serve.log; exit 1; }; sleep 0.1; done
`);
  project = exampleProject("dynamic-ban");
});
afterAll(async () => {
  project?.close();
  await host?.stop();
});

/** How many of so many questions, each from a port of its own, are answered. */
const asks = async (node: number, count = 1): Promise<number> =>
  Number(await host.sh(`ip netns exec net-${node} python3 /run/world/ask.py ${count}`));
const counter = async (name: string): Promise<number> =>
  Number(/packets (\d+)/.exec(await host.sh(`nft list counter ip guard ${name}`))![1]);
/** Seconds that are left of an element. */
async function left(table: string, set: string, address: string): Promise<number> {
  const listing = await host.sh(`nft list set ip ${table} ${set}`);
  const [, text] = new RegExp(`${address} .*?expires (\\w+)`).exec(listing) ?? [];
  must(text !== undefined, `no ${address} in ${listing}`);
  const part = (unit: string) => Number(new RegExp(`(\\d+)${unit}(?!s)`).exec(text)?.[1] ?? 0);
  return part("h") * 3600 + part("m") * 60 + part("s") + part("ms") / 1000;
}
async function mustAsk(node: number, answered: number): Promise<string> {
  const heard = await asks(node);
  must(heard === answered, `${heard} answered instead of ${answered}`);
  return `${heard} of 1 answered`;
}

test("who knocks too often is dropped, who was heard is answered, whom one bans stays out", async () => {
  const before = await settled(host);
  const answers = () =>
    host.sh(`${capture}
begin net-10 eth0 'udp and src port 5000'
ip netns exec net-10 python3 /run/world/ask.py 1
finish net-10`);
  await prove("without us, the service answers from another address than it was asked at", async () => {
    const seen = await answers();
    must(/^0$/m.test(seen) && seen.includes("IP 10.5.0.1.5000 > 10.5.0.10."), seen);
    return "asked 10.5.0.5, answered by 10.5.0.1: not heard";
  });

  await newStack(host, project);
  // The host of the test has the example's own network on its uplink.
  await project.ok(["config", "set", "serviceAddress", "10.5.0.5"]);
  await project.up();
  await prove("with the route chain, it answers from the address that it was asked at", async () => {
    const seen = await answers();
    must(/^1$/m.test(seen) && seen.includes("IP 10.5.0.5.5000 > 10.5.0.10."), seen);
    must(!seen.includes("10.5.0.1.5000"), seen);
    return "asked 10.5.0.5, answered by 10.5.0.5";
  });
  await prove("to one that was not heard, nothing leaves, and it is counted", async () => {
    const seen = await host.sh(`${capture}
begin net-11 eth0 icmp
if ping -n -q -c 1 -W 1 10.5.0.11 >/dev/null; then echo answered; fi
finish net-11`);
    must(seen === "", seen);
    must((await counter("unasked")) === 1, "not counted");
    return "0 packets at 10.5.0.11, 1 counted";
  });
  await prove("once it is heard, it is remembered, and passes", async () => {
    await mustAsk(11, 1);
    await host.sh("ping -n -q -c 1 -W 2 10.5.0.11");
    const set = await host.sh("nft list set ip guard heard");
    must(set.includes("10.5.0.11 ") && set.includes("10.5.0.10 ") && !set.includes("10.5.0.12"), set);
    return "10.5.0.10 and 10.5.0.11 in the set, 10.5.0.12 not; the ping is answered";
  });
  let limited = 0;
  await prove(
    "new connections beyond the rate are dropped and counted; others are not slowed down",
    async () => {
      const heard = await asks(12, 30);
      limited = await counter("limited");
      must(heard >= 10 && heard <= 14 && heard + limited === 30, `${heard} heard, ${limited} counted`);
      return `of 30 at once ${heard} answered, ${limited} dropped and counted; ${await mustAsk(10, 1)}`;
    },
  );
  await prove("timeout and expires: `update` starts the clock anew, `add` does not", async () => {
    await host.sh(`nft -f - <<'END'
table ip first {
  set met { type ipv4_addr; flags dynamic,timeout; timeout 10m; size 100; }
  chain arriving { type filter hook prerouting priority mangle; iifname wan0 add @met { ip saddr }; }
}
END`);
    await mustAsk(10, 1);
    await host.sh("sleep 3");
    await mustAsk(10, 1);
    const [updated, added] = [
      await left("guard", "heard", "10.5.0.10"),
      await left("first", "met", "10.5.0.10"),
    ];
    await host.sh("nft delete table ip first");
    must(updated - added > 2.5, `${updated} s left by update, ${added} s by add`);
    return `after 3 s and another packet, of 600 s ${updated} are left by update, ${added} by add`;
  });

  const known = await left("guard", "heard", "10.5.0.11");
  await project.ok(["config", "set", "--path", "ban[0]", "10.5.0.11"]);
  await project.ok(["config", "set", "--path", "allow[0]", "10.5.0.12"]);
  await prove("a ban and an allowance are a line each in the preview", async () => {
    const output = await project.ok(["preview", "--diff"]);
    const lines = output.split("\n").filter((line) => /^\s*[+~-] .*10\.5\.0/.test(line));
    must(/~ 2 to update/.test(output) && lines.length === 2, output);
    return lines.map((line) => line.trim()).join(", ");
  });
  await project.up();
  await prove("who is banned is not heard, who is let in is never limited", async () => {
    const banned = await mustAsk(11, 0);
    const heard = await asks(12, 30);
    must(heard === 30, `${heard} of 30 answered`);
    return `banned: ${banned}, ${await counter("banned")} counted; let in: 30 of 30`;
  });
  await prove(
    "the update kept what packets recorded, with the time that is left, and the counts",
    async () => {
      const now = await left("guard", "heard", "10.5.0.11");
      must(now < known && known - now < 120, `${known} s before, ${now} s after`);
      must((await counter("limited")) === limited, "the counter began anew");
      return `10.5.0.11: ${known} s before, ${now} s after; ${limited} counted before and after`;
    },
  );
  await project.ok(["config", "rm", "--path", "ban[0]"]);
  await project.ok(["config", "rm", "--path", "allow[0]"]);
  await project.up();
  await prove("taken from the lists, the one is heard again, the other limited again", async () => {
    const freed = await mustAsk(11, 1);
    const heard = await asks(12, 30);
    must(heard < 20, `${heard} of 30 answered`);
    return `${freed}; ${heard} of 30`;
  });

  await prove("a ban at the console runs out by itself, and is no drift", async () => {
    await host.sh("nft add element ip guard ban '{ 10.5.0.10 timeout 20s }'");
    const banned = await mustAsk(10, 0);
    const output = await project.refresh();
    must(!/updated/.test(output), output);
    await project.up("--expect-no-changes");
    await host.sh(`tries=0
while nft list set ip guard ban | grep -q 10.5.0.10; do tries=$((tries + 1)); [ $tries -lt 250 ]; sleep 0.1; done`);
    return `${banned}, nothing to change, and 20 s later ${await mustAsk(10, 1)}`;
  });
  await prove("a rule taken away is missed by packets and by refresh, and put back by up", async () => {
    await host.sh(
      "nft delete rule ip guard answering handle $(nft -a list chain ip guard answering | sed -n 's/.*ip saddr set.*# handle //p')",
    );
    const missed = await mustAsk(10, 0);
    const output = await project.refresh();
    must(/udp sport 5000 ip saddr set 10.5.0.5 is missing/.test(output), output);
    await project.up();
    return `${missed}; then ${await mustAsk(10, 1)}`;
  });
  await prove("destroyed, the host is as it was", async () => {
    await project.destroy();
    const rest = differences(before, await settled(host));
    must(rest.length === 0, rest.join("\n"));
    await host.sh(ping("net-12", "10.5.0.5"));
    return "no difference";
  });
});
