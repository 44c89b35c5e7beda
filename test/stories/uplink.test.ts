// The uplink that a change itself comes in by, taken into a bridge with its addresses, through the real CLI.
import { readFileSync } from "node:fs";
import { newProject, program, settled, verify } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";
import { differences } from "../lab/snapshot.ts";
import { descendants } from "./processes.ts";

jest.setTimeout(300_000);

let host: Namespaces;
let project: Project;
let pristine: Awaited<ReturnType<typeof settled>>;

/** A bit of everything that an uplink carries. */
const WORLD = `
  ip addr add 192.0.2.5/24 brd + label uplink:1 dev uplink
  ip addr add 203.0.113.7/32 dev uplink
  ip addr add fd00:2::1/64 nodad dev uplink
  ip addr add fd00:2::5/64 dev uplink
  ip route add default via 192.0.2.9 proto static
  ip route add 10.8.0.0/16 via 192.0.2.9 src 192.0.2.5 metric 5
  ip route add 10.9.0.0/16 via 192.0.2.9 dev uplink table 77
  ip -6 route add default via fd00:2::9 dev uplink metric 30
  ip -6 route add fd00:99::/48 via fd00:2::9 dev uplink table 77
  ip rule add pref 500 iif uplink lookup 77`;

beforeEach(async () => {
  host = await Namespaces.start();
  await host.outside("ip addr add fd00:2::9/64 nodad dev way");
  await verify(host, WORLD);
  project = newProject();
  await project.init();
  pristine = await settled(host);
});
afterEach(async () => {
  project?.close();
  await host?.stop();
});

const timeout = 10;
const bridge = (ports: string, more = "") =>
  program(
    host,
    `new Bridge("br0", { ...host, confirm: { timeout: ${timeout} }, ports: [${ports}]${more} });`,
  );
const taking = '{ name: "uplink", takeAddresses: true }';

/** How many pings the neighbour misses while something is done, one each 20 ms. */
async function lost(address: string, during: () => Promise<unknown>): Promise<number> {
  const file = `${host.folder}/pings-${address.replaceAll(":", "-")}`;
  const pid = (await host.outside(`ping -q -i 0.02 ${address} >${file} 2>&1 & echo $!`)).trim();
  try {
    await during();
  } finally {
    await host.outside(`sleep 0.2; kill -INT ${pid}; while kill -0 ${pid} 2>/dev/null; do sleep 0.05; done`);
  }
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(readFileSync(file, "utf8"))!;
  expect(Number(sent)).toBeGreaterThan(50);
  return Number(sent) - Number(received);
}
/** What a link costs that is taken down and up: half a second. */
const FEW = 25;
/** Neighbours of IPv6 ask anew after some seconds, where the MAC that they know is gone. */
const ASKED_ANEW = 500;
/** Both families meanwhile; on the way back the bridge's MAC is gone. */
async function lively(during: () => Promise<unknown>, six = FEW): Promise<void> {
  const losses: number[] = [];
  losses.push(await lost("192.0.2.1", async () => losses.push(await lost("fd00:2::1", during))));
  if (process.env.HOSTNET_LOSSES) console.log(`IPv6 ${losses[0]}, IPv4 ${losses[1]} of one each 20 ms`);
  expect(losses[0]).toBeLessThan(six);
  expect(losses[1]).toBeLessThan(FEW);
}

const TAKEN = `
  [ -z "$(ip -o addr show dev uplink scope global)" ]
  for a in 192.0.2.1/24 192.0.2.5/24 203.0.113.7/32 fd00:2::1/64 fd00:2::5/64; do ip -br addr show dev br0 | grep -q " $a"; done
  ip route show default | grep -q 'via 192.0.2.9 dev br0 proto static'
  ip route show 10.8.0.0/16 | grep -q 'via 192.0.2.9 dev br0 src 192.0.2.5 metric 5'
  ip route show table 77 | grep -q '10.9.0.0/16 via 192.0.2.9 dev br0'
  ip -6 route show default | grep -q 'via fd00:2::9 dev br0 metric 30'
  ip -6 route show table 77 | grep -q 'fd00:99::/48 via fd00:2::9 dev br0'
  no "ip -4 route show table all | grep 'dev uplink'"
  ip rule show pref 500 | grep -q 'iif uplink lookup 77'`;

test("up, refresh, repair, destroy: the connection lives, a login works, few packets are lost, and all is as before", async () => {
  project.program(bridge(taking));
  await lively(() => project.up());
  expect(await host.login()).toBe(true);
  await verify(host, TAKEN);
  expect(await project.ok(["up", "--yes", "--skip-preview", "--expect-no-changes"])).toContain("unchanged");
  expect(await project.refresh()).not.toContain("missing");

  // A hand takes one away; the host's own configuration puts one back.
  await verify(host, "ip addr del 192.0.2.5/24 dev br0; ip addr add 203.0.113.7/32 dev uplink");
  expect(await project.refresh()).toContain("ports: uplink takeAddresses=true is missing");
  await project.up();
  await verify(host, TAKEN);

  await lively(() => project.destroy(), ASKED_ANEW);
  expect(await host.login()).toBe(true);
  expect(differences(pristine, await settled(host))).toEqual([]);
});

test("a port that leaves the program gets them back; what the bridge declares itself stays", async () => {
  project.program(bridge(taking, ', addresses: ["198.18.7.1/24"]'));
  await project.up();
  project.program(bridge("", ', addresses: ["198.18.7.1/24"]'));
  await lively(() => project.up(), ASKED_ANEW);
  await verify(host, "ip -br addr show dev br0 | grep 198.18.7.1/24 | grep -vq 192.0.2");
  await verify(host, "ip route show default | grep -q 'via 192.0.2.9 dev uplink'; ip link del dev br0");
  const now = await settled(host);
  expect([now.addresses, now.routes]).toEqual([pristine.addresses, pristine.routes]);
});

test("takeAddresses alone leaves the program: only once the bridge declares what it has", async () => {
  project.program(bridge(taking));
  await project.up();
  project.program(bridge('"uplink"'));
  expect(await project.fails()).toContain(
    "ports: without takeAddresses br0 has no claim to 192.0.2.1/24, 203.0.113.7/32, 192.0.2.5/24, fd00:2::1/64, fd00:2::5/64 of uplink",
  );
  await verify(host, TAKEN);
  const all = ["192.0.2.1/24", "192.0.2.5/24", "203.0.113.7/32", "fd00:2::1/64", "fd00:2::5/64"];
  project.program(bridge('"uplink"', `, addresses: ${JSON.stringify(all)}`));
  await lively(() => project.up());
  await verify(host, TAKEN);
  await project.destroy();
  expect(differences(pristine, await settled(host))).toEqual([]);
});

test("a step that fails in the middle: everything is as it was before", async () => {
  project.program(bridge(taking, ', routes: [{ destination: "10.66.0.0/16", gateway: "10.1.2.3" }]'));
  await lively(
    async () => expect(await project.fails()).toContain("Everything is as it was before."),
    ASKED_ANEW,
  );
  expect(differences(pristine, await settled(host))).toEqual([]);
});

test("T13: the workstation is killed before it could confirm: the host takes it back", async () => {
  project.program(bridge(taking));
  const watching = host.sh("until ip route show default | grep -q br0; do sleep 0.02; done");
  const cli = project.start(["up", "--yes", "--skip-preview"]);
  await watching;
  for (const pid of descendants(cli.pid!)) process.kill(pid, "SIGKILL");
  await host.sh(
    `t=0; while [ -e /run/hostnet/pending ]; do t=$((t + 1)); [ $t -lt ${timeout * 10 + 50} ]; sleep 0.1; done`,
  );
  expect(await host.login()).toBe(true);
  expect(differences(pristine, await settled(host))).toEqual([]);
  await project.ok(["cancel", "--yes"]);
  await project.up();
  await verify(host, TAKEN);
  await project.destroy();
  expect(differences(pristine, await settled(host))).toEqual([]);
});

test("the default route that a router announces comes over the bridge, though the host routes itself", async () => {
  await host.outside(
    "timeout 120 dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --port=0 --interface=way --dhcp-leasefile=/dev/null --enable-ra --dhcp-range=fd00:2::,ra-only,64 >/dev/null 2>&1 &",
  );
  const announced = (link: string) => `tries=0
    until ip -6 route show default | grep -q 'dev ${link} proto ra'; do tries=$((tries + 1)); [ $tries -lt 200 ]; sleep 0.1; done`;
  await verify(
    host,
    `sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.uplink.accept_ra=2; ${announced("uplink")}`,
  );
  project.program(bridge(taking));
  await project.up();
  await verify(host, announced("br0"));
});

test("an address of DHCP is refused, with the way to make it static", async () => {
  await verify(host, "ip addr change 192.0.2.1/24 dev uplink valid_lft 5000 preferred_lft 5000");
  project.program(bridge(taking));
  expect(await project.fails()).toMatch(
    /ports: uplink has its addresses by DHCP \(192.0.2.1\/24 has a lifetime\).*DHCP=no, Address=192.0.2.1\/24.*Gateway=192.0.2.9.*dhcp4: false/s,
  );
  await verify(host, "no 'ip link show dev br0'");
});
