// examples/tap-firewall: guests at their taps, by packets, by tcpdump, nft and conntrack.
import { must, prove } from "../demo/claims.ts";
import { all, arrivals, attempts, reaches, rightful, startGuest, stopGuests } from "../lab/guests.ts";
import { capture } from "../lab/network.ts";
import { buildLans, pingsAcross, sameSourcePort } from "../lab/overlap.ts";
import { differences } from "../lab/snapshot.ts";
import { readLab } from "../lab/vm.ts";
import { exampleProject, newStack, settled, startVm, type Vm } from "./lab.ts";
import { Project } from "./project.ts";

jest.setTimeout(900_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
});
beforeEach(async () => {
  await vm.reset();
  project = exampleProject("tap-firewall");
  await newStack(vm, project);
});
afterEach(() => project?.close());
afterAll(() => vm?.stop());

const equal = (seen: readonly string[], wanted: readonly string[]): void =>
  must(
    JSON.stringify(seen) === JSON.stringify(wanted),
    `not as it should be: ${seen.filter((line) => !wanted.includes(line)).join("; ")} | missing: ${wanted.filter((line) => !seen.includes(line)).join("; ")}`,
  );

async function asDeclared(): Promise<string> {
  equal(await attempts(vm), reaches);
  return reaches.join("; ");
}
async function onlyRightful(): Promise<string> {
  equal(await arrivals(vm), rightful);
  return `${rightful.length} rightful frames arrive, ${all.length - rightful.length} forged ones do not`;
}
const counter = async (name: string): Promise<number> =>
  Number(/packets (\d+)/.exec(await vm.sh(`nft list counter bridge taps ${name}`))![1]);
/** Deletes the rules of a chain that nft lists with this text. */
const without = (chain: string, text: string): Promise<string> =>
  vm.sh(`handles=$(nft -a list chain bridge taps ${chain} | sed -n 's/.*${text}.*# handle //p')
[ -n "$handles" ]
for handle in $handles; do nft delete rule bridge taps ${chain} handle $handle; done`);

test("each guest is held to its own addresses, and closed to the others but where it is opened", async () => {
  await vm.sh("rmmod br_netfilter 2>/dev/null || :");
  const before = await settled(vm);
  await project.up();
  for (const name of ["web1", "web2", "db", "late", "rogue"] as const) await startGuest(vm, name);

  await prove("T6 the filter works without br_netfilter, for taps that came after it", async () => {
    await vm.sh("[ ! -e /proc/sys/net/bridge ]");
    return asDeclared();
  });
  await prove("what a guest forges does not arrive", async () => {
    const [spoofed, servers] = [await counter("spoofed"), await counter("servers")];
    const seen = await onlyRightful();
    const [more, others] = [(await counter("spoofed")) - spoofed, (await counter("servers")) - servers];
    must(more >= 9 && others >= 4, `counted: ${more} spoofed, ${others} of servers`);
    return `${seen}; ${more} counted as spoofed, ${others} as of servers`;
  });
  await prove("connections are tracked in the bridge", async () => {
    const entries = await vm.sh(
      "conntrack -L -p tcp --orig-dst 10.7.0.13 --orig-port-dst 5432 2>/dev/null; conntrack -L -s 10.7.0.99 2>/dev/null",
    );
    must(/src=10\.7\.0\.11 dst=10\.7\.0\.13 .*dport=5432/.test(entries), entries);
    must(!entries.includes("src=10.7.0.99"), `a forged packet left a trace: ${entries}`);
    return "10.7.0.11 to 10.7.0.13:5432 is in the table, the forged source is not";
  });
  await prove(
    "T5 an icmpv6 match sees multicast listener reports behind their hop-by-hop header",
    async () => {
      const heard = await counter("multicast");
      const seen = await vm.sh(`${capture}
begin - tap-db 'ip6[6] = 0 and ip6[48] = 143'
ip -n g-db link set dev eth0 down
ip -n g-db link set dev eth0 up
tries=0
until grep -q 'HBH.*multicast listener report v2' /run/capture/-; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
finish -
ip -n g-db addr add 2001:db8:7::13/64 dev eth0 nodad`);
      const more = (await counter("multicast")) - heard;
      must(more > 0, `${seen}not counted`);
      return `${more} counted; tcpdump: ${seen.split("\n")[0]}`;
    },
  );
  await prove("a tap that is in no program hears nothing", async () => {
    const seen = await vm.sh(`${capture}
begin g-rogue eth0 'ether src 52:54:00:00:00:11 or ether src 52:54:00:00:00:12'
ip -n g-web1 neigh flush all
ip netns exec g-web1 ping -n -q -c 1 -W 3 10.7.0.12 >/dev/null
ip netns exec g-web1 arping -q -b -c 1 -w 2 -I eth0 10.7.0.12 >/dev/null || :
finish g-rogue`);
    must(seen === "", seen);
    return "0 frames of web1 and web2, broadcasts among them";
  });

  await prove("T2 a bad rule in the middle of an update: the old filter still stands", async () => {
    await project.ok(["config", "set", "--path", "extra[0]", 'iifname "tap-db" accept']);
    await project.ok(["config", "set", "--path", "extra[1]", "tcp dport 99999 accept"]);
    const output = await project.fails();
    must(/99999/.test(output), output);
    const seen = await asDeclared();
    await project.ok(["config", "rm", "--path", "extra[1]"]);
    await project.up();
    const opened = await attempts(vm);
    must(opened.includes("db to web2: yes"), `the good rule alone: ${opened.join("; ")}`);
    await project.ok(["config", "rm", "--path", "extra"]);
    return `up fails, ${seen.split("; ").length} attempts end as before; without the bad one the good rule opens`;
  });
  for (const rules of [0, 1]) {
    await prove(`the same with bridge-nf-call-iptables = ${rules}`, async () => {
      await project.ok(["config", "set", "ipRules", String(rules)]);
      await project.up();
      await vm.sh(`grep -qx ${rules} /proc/sys/net/bridge/bridge-nf-call-iptables
nft add table ip witness
nft 'add chain ip witness forward { type filter hook forward priority 0; }'
nft add rule ip witness forward counter`);
      const seen = await asDeclared();
      await onlyRightful();
      const [, met] = /packets (\d+)/.exec(
        await vm.sh("nft list table ip witness; nft delete table ip witness"),
      )!;
      must(rules === 1 ? Number(met) > 0 : Number(met) === 0, `${met} packets met the IP rules`);
      return `${seen.split("; ").length} attempts and ${all.length} frames end as before; ${met} packets met the IP rules`;
    });
  }

  await prove("each part is needed: without it, the same packets pass", async () => {
    await without("crossing", "ct state.*accept");
    const stateless = await attempts(vm);
    must(stateless.includes("web1 to db, the open port: no"), `stateless: ${stateless.join("; ")}`);
    await without("crossing", 'counter name "refused" drop');
    await without("crossing", "oifname != @guests");
    await without("reaching", 'counter name "refused" drop');
    await without("sending", "oifname != @guests");
    await without("entering", 'counter name "unknown" drop');
    await vm.sh("nft insert rule bridge taps from-tap-web1 accept");
    const open = await attempts(vm);
    const closed = open.filter((line) => line.endsWith(": no"));
    must(closed.length === 0, closed.join("; "));
    equal(await arrivals(vm), all);
    return `everybody reaches everybody, ${all.length} of ${all.length} frames arrive`;
  });
  await prove("refresh shows it, up repairs it", async () => {
    const output = await project.refresh();
    must(/ct state .*accept is missing/.test(output), output);
    await project.up();
    await asDeclared();
    return onlyRightful();
  });
  await prove("destroyed, the host is as it was", async () => {
    await stopGuests(vm);
    await project.destroy();
    const rest = differences(before, await settled(vm));
    must(rest.length === 0, rest.join("\n"));
    return "no difference";
  });
});

test("beside overlapping-subnets, whose LANs come in by bridges", async () => {
  await buildLans(vm);
  // Their cards become ports of bridges, which take over the names.
  await vm.sh(`n=0
for card in middleman-eth0 middleman-eth1; do
  ip link set dev $card down
  ip link set dev $card name wire$n
  ip link add name $card address 02:00:00:00:03:0$n type bridge
  ip link set dev wire$n master $card up
  ip link set dev $card up
  n=$((n + 1))
done`);
  const overlap = new Project(readLab().pulumi, process.cwd());
  try {
    await newStack(vm, overlap, "overlap");
    await overlap.up();
    await prove("alone, its zones work", async () => (await sameSourcePort(vm)).seen);
    await project.ok(["config", "set", "--path", "zones.middleman-eth0", "100"]);
    await project.ok(["config", "set", "--path", "zones.middleman-eth1", "200"]);
    await project.up();
    await prove("beside the tap firewall they still do", async () => {
      const { seen } = await pingsAcross(vm, "inner");
      return `${seen}; ${(await sameSourcePort(vm)).seen}`;
    });
    await prove("without the zones in the bridge, they would be lost", async () => {
      await without("entering", "ct original zone set");
      const lost = await sameSourcePort(vm).then(
        () => undefined,
        (error: Error) => error.message,
      );
      must(lost !== undefined, "both connections found their own zones all the same");
      return lost.split("\n").find((line) => line.startsWith("tcp")) ?? lost.split("\n")[0]!;
    });
    await project.destroy();
    await overlap.destroy();
  } finally {
    overlap.close();
  }
});
