// DhcpDns under a real systemd, beside others: in a VRF, killed, kept from its port.
import { must, prove } from "../demo/claims.ts";
import { ASK, LEASE } from "../lab/dhcp.ts";
import { newProject, program, settled, startVm, type Vm, verify } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(900_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  await vm.reset();
  project = newProject();
  await project.init();
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

const WORLD = `mkdir -p /run/world
cat >/run/world/lease.py <<'END'
${LEASE}
END
cat >/run/world/ask.py <<'END'
${ASK}
END
cat >/run/world/hold.py <<'END'
import socket, time
held = socket.create_server(("10.7.0.1", 53))
time.sleep(600)
END
ip netns add one; ip link add name tap-one type veth peer name eth0 netns one
ip -n one link set dev eth0 up; ip -n one link set dev lo up; ip link set dev tap-one up`;
const UNIT = "hostnet-dhcp-dns-br-a";
const lease = () => vm.sh("ip netns exec one python3 /run/world/lease.py one");
const ask = (name: string) => vm.sh(`ip netns exec one python3 /run/world/ask.py 10.7.0.1 ${name}`);
const resources = (end: string) => [
  'const vrf = new Vrf("red", { ...host, table: 100 });',
  'const lan = new Bridge("br-a", { ...host, vrf: vrf.name, addresses: ["10.7.0.1/24"], ports: ["tap-one"] });',
  `new DhcpDns("guests", { ...host, interface: lan.name, vrf: vrf.name, domain: "lan.example", upstreams: [],
     ranges: [{ start: "10.7.0.100", end: "${end}" }], records: { db: "10.7.0.9" } });`,
];

test("in a VRF, beside libvirt's own; killed, it comes again; a port that is taken is told, and the old one runs on", async () => {
  await verify(vm, WORLD);
  await vm.sh("virsh -q net-start default");
  try {
    const before = await settled(vm);
    project.program(program(vm, ...resources("10.7.0.150")));
    await project.up();
    let given = "";
    await prove("a guest in the VRF gets its lease and its names", async () => {
      given = (await lease()).trim();
      must(/^10\.7\.0\.1\d\d\/24 router 10\.7\.0\.1 dns 10\.7\.0\.1 domain lan\.example/.test(given), given);
      must((await ask("one.lan.example")).trim() === given.split("/")[0], "another address by its name");
      must((await ask("db")).trim() === "10.7.0.9", "no record");
      return given;
    });
    await prove("libvirt's dnsmasq is untouched beside it", async () => {
      const sockets = await vm.sh("ss -Hlnup 'sport = :67'");
      must(/virbr0:67/.test(sockets) && /br-a:67|red:67|0\.0\.0\.0:67/.test(sockets), sockets);
      return sockets
        .trim()
        .split("\n")
        .map((line) => line.trim().split(/\s+/)[3])
        .join(", ");
    });
    await prove("killed, systemd starts it again", async () => {
      await vm.sh(`old=$(cat /run/${UNIT}/pid); kill -9 $old
tries=0
until new=$(cat /run/${UNIT}/pid 2>/dev/null) && [ "$new" != $old ] && [ -d /proc/$new ]; do tries=$((tries + 1)); [ $tries -lt 200 ]; sleep 0.1; done
tries=0; until [ "$(systemctl is-active ${UNIT})" = active ]; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done`);
      must((await ask("db")).trim() === "10.7.0.9", "no answer");
      const told = await project.refresh();
      must(!/updated/.test(told), told);
      return "another process, and no drift";
    });
    const more = resources("10.7.0.199");
    await prove("a port that another has taken meanwhile is told, with its process", async () => {
      await vm.sh(`systemctl stop ${UNIT}
ip vrf exec red python3 /run/world/hold.py >/dev/null 2>&1 </dev/null & echo $! >/run/world/hold.pid
tries=0; until ss -Hlnt 'sport = :53' | grep -q 10.7.0.1; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done`);
      project.program(program(vm, ...more));
      const output = await project.fails();
      await vm.sh("kill $(cat /run/world/hold.pid)");
      const [told] =
        /interface: br-a: port 53 is taken: python3 \(pid \d+\) listens at 10\.7\.0\.1 of red/.exec(output) ??
        [];
      must(told !== undefined, output);
      return told!;
    });
    await prove("where it does not start, dnsmasq's own words are told", async () => {
      await vm.sh(`mkdir /etc/systemd/system/${UNIT}.service.d
printf '[Service]\\nInaccessiblePaths=/var/lib/hostnet\\n' >/etc/systemd/system/${UNIT}.service.d/x.conf; systemctl daemon-reload`);
      const output = await project.fails();
      await vm.sh(`rm -r /etc/systemd/system/${UNIT}.service.d; systemctl daemon-reload`);
      const [told] = /dnsmasq does not start: .*lease file.*/.exec(output) ?? [];
      must(told !== undefined, output);
      return told!;
    });
    await project.up();
    await prove("then it is as declared, and the lease is the same", async () => {
      // dnsmasq has just started: the first question may go unheard.
      let again = "";
      for (let tries = 0; tries < 5 && !again.startsWith(given); tries++) again = await lease().catch(String);
      must(again.startsWith(given), `another lease: ${again}`);
      return given;
    });
    await project.destroy();
    await prove("destroyed, nothing is left, and libvirt's runs on", async () => {
      must((await vm.sh("pgrep -fc '[h]ostnet/dhcp-dns' || :")).trim() === "0", "a process is left");
      await vm.sh("ss -Hlnup 'sport = :67' | grep -q virbr0:67");
      const rest = await vm.sh("ls -d /var/lib/hostnet /etc/hostnet /run/hostnet-* 2>/dev/null || :");
      must(rest === "", rest);
      return "no process, no file";
    });
    expect((await settled(vm)).files).toEqual(before.files);
  } finally {
    await vm.sh("virsh -q net-destroy default");
  }
});
