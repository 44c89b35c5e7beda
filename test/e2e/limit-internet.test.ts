// examples/limit-internet: a guest is cut off, and freed while it runs; another has its connections counted.
import { must, prove } from "../demo/claims.ts";
import { ping } from "../lab/network.ts";
import { exampleProject, newStack, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(1_200_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  await vm.reset();
  // The internet is a namespace behind the host; the guests answer each other, too.
  await vm.sh(`
guest() {
  ip netns add g-$1
  ip link add name tap-$1 type veth peer name eth0 address 52:54:00:00:00:$2 netns g-$1
  ip netns exec g-$1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1
  ip link set dev tap-$1 up
  ip -n g-$1 link set dev eth0 up
  ip -n g-$1 addr add 10.7.0.$2/24 dev eth0
  ip -n g-$1 route add default via 10.7.0.1
}
guest closed 11
guest few 12
ip netns add net
ip link add name up0 type veth peer name eth0 netns net
ip addr add 198.51.100.1/24 dev up0
ip link set dev up0 up
ip -n net link set dev eth0 up
ip -n net addr add 198.51.100.9/24 dev eth0
ip -n net route add default via 198.51.100.1
sysctl -qw net.ipv4.ip_forward=1`);
  project = exampleProject("limit-internet");
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

const virsh = (words: string): Promise<string> => vm.sh(`LC_ALL=C.UTF-8 virsh -q -c qemu:///system ${words}`);
const reaches = async (guest: string, target: string): Promise<boolean> =>
  (await vm.ssh(ping(`g-${guest}`, target))).code === 0;
const uuid = async (): Promise<string> =>
  /<uuid>(.*)<\/uuid>/.exec(await virsh("nwfilter-dumpxml limit-internet"))![1]!;
const count = async (file: string): Promise<number> =>
  Number(await vm.sh(`grep -c 'bytes from' ${file} || :`));

test("limit-internet", async () => {
  await newStack(vm, project);
  await prove("before, the guest reaches what is behind the host", async () => {
    await vm.sh(`ip link add name br-x type bridge; ip link set dev tap-closed master br-x
ip addr add 10.7.0.1/24 dev br-x; ip link set dev br-x up`);
    must(await reaches("closed", "198.51.100.9"), "it does not");
    // The next bridge has another MAC address.
    await vm.sh("ip link delete dev br-x; ip -n g-closed neigh flush all");
    return "198.51.100.9 answers";
  });
  await project.up();
  await prove("$GATEWAYIP: its own network answers, the internet does not", async () => {
    must(await reaches("closed", "10.7.0.1"), "the gateway does not answer");
    must(!(await reaches("closed", "198.51.100.9")), "198.51.100.9 answers");
    return "10.7.0.1 yes, 198.51.100.9 no";
  });
  await prove(
    "connlimit: of four pings at once, two pass; TCP does, UDP does not; no other source",
    async () => {
      const passed = await vm.sh(`conntrack -F 2>/dev/null
for n in 1 2 3 4; do ( ${ping("g-few", "198.51.100.9")} && echo one || : ) & done; wait`);
      must(passed.split("one").length - 1 === 2, `${passed.split("one").length - 1} passed`);
      await vm.sh(`timeout 100 ip netns exec net nc -l -k -p 80 >/dev/null 2>&1 </dev/null &
timeout 100 ip netns exec net nc -l -u -p 53 >/run/udp 2>/dev/null </dev/null &
sleep 1
ip netns exec g-few nc -z -w 5 198.51.100.9 80
echo hello | ip netns exec g-few nc -u -w 1 198.51.100.9 53 || :
[ ! -s /run/udp ]
ip -n g-few addr add 10.7.0.99/24 dev eth0
if ip netns exec g-few nc -z -w 2 -s 10.7.0.99 198.51.100.9 80; then exit 1; fi
ip -n g-few addr del 10.7.0.99/24 dev eth0`);
      return "2 of 4 pings, TCP 80 yes, UDP 53 no, TCP from 10.7.0.99 no";
    },
  );

  await vm.sh(
    `timeout 600 ip netns exec g-closed ping -n -i 0.2 198.51.100.9 >/run/pings 2>&1 </dev/null & echo $! >/run/pings.pid`,
  );
  const before = await uuid();
  await prove("T12 the redefinition with the same UUID frees the running guest", async () => {
    const unheard = await count("/run/pings");
    must(unheard === 0, `${unheard} answers before`);
    await project.ok(["config", "set", "internet", "open"]);
    await project.up();
    await vm.sh(
      "tries=0; until grep -q 'bytes from' /run/pings; do tries=$((tries + 1)); [ $tries -lt 50 ]; sleep 0.2; done",
    );
    must((await uuid()) === before && before === "fce8ae34-e69e-83bf-262e-30786c1f8073", "another UUID");
    return `${before}; the ping that ran all the time is answered`;
  });
  await prove("destroyed, no binding and no filter of ours is left, and the guest runs on", async () => {
    await vm.sh("kill $(cat /run/pings.pid) || :");
    await project.destroy();
    const left = `${await virsh("nwfilter-binding-list")}${await virsh("nwfilter-list")}`;
    must(!/limit|hostnet|tap-/.test(left), left);
    return "virsh lists neither";
  });
});
