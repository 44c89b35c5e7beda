// Ways to a host that its main routing table does not tell: what cuts them is taken back by the host all the same.
import { ADDRESS, FaultBed, sshdAt } from "./bed";
import { Workstation } from "./oracles";
import type { TcpProxy } from "./proxy";

jest.setTimeout(120_000);

let bed: FaultBed;
beforeEach(async () => {
  bed = await FaultBed.make();
});
afterEach(() => bed.close());

/** A second uplink, by which a client comes from behind a router of its own; the default route is the first one's. */
async function second(routes: string): Promise<TcpProxy> {
  await bed.outside(`ip link add name way2 type veth peer name uplink2
    ip addr add 10.20.0.9/24 dev way2; ip link set dev way2 up; ip addr add 10.30.0.9/32 dev lo
    nft 'add table ip t; add chain ip t o { type nat hook output priority -100; }; add rule ip t o tcp dport 2022 dnat to 10.20.0.1:22
      add chain ip t p { type nat hook postrouting priority 100; }; add rule ip t p ip daddr 10.20.0.1 snat to 10.30.0.9'
    ip link set dev uplink2 netns ${bed.pid}`);
  await bed.sh(`ip addr add 10.20.0.1/24 dev uplink2; ip link set dev uplink2 up
    for d in all default uplink uplink2; do echo 0 >/proc/sys/net/ipv4/conf/$d/rp_filter; done
    ip route add default via ${ADDRESS.client}; ${routes}; ${sshdAt("10.20.0.1:22")}`);
  return bed.through(2022);
}

/** A port that lets nothing through for a minute. */
async function cut(proxy: TcpProxy, port: string): Promise<void> {
  const at = new Workstation(bed, { connection: { port: proxy.port } });
  const ports = [{ name: port, takeAddresses: true }];
  try {
    await expect(at.up("Bridge", "own", { ports, stp: true, forwardDelay: 30 })).rejects.toThrow(
      /taken back by the host itself/,
    );
    at.stack.run();
    await at.up("Bridge", "own", {});
  } finally {
    at.close();
  }
}

test("the answers go by a rule for the host's own address", async () => {
  const rule = "ip rule add pref 100 from 10.20.0.1 lookup 120; ip route add default via 10.20.0.9 table 120";
  await cut(await second(rule), "uplink2");
});

test("the answers go out by another link", async () => {
  await cut(await second(":"), "uplink2");
});

test("a forwarder on the host comes from its loopback", async () => {
  await bed.sh(`${sshdAt("127.0.0.1:22")}; cp ${bed.folder}/key /run/key; chmod 600 /run/key
    ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i /run/key -f -N -L ${ADDRESS.host}:2022:127.0.0.1:22 root@127.0.0.1`);
  await cut(await bed.through(2022), "uplink");
});
