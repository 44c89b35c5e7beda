// examples/ftp-filter: a real FTP server and client, active and passive, behind each of the three filters.
import { must, prove } from "../demo/claims.ts";
import { differences } from "../lab/snapshot.ts";
import { exampleProject, newStack, settled, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(1_200_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  await vm.reset();
  await vm.sh(`
ip link add name br-guests address 02:00:00:00:06:00 type bridge
ip link set dev br-guests up
guest() {
  ip netns add g-$1
  ip link add name tap-$1 type veth peer name eth0 address 52:54:00:00:00:$2 netns g-$1
  ip netns exec g-$1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1
  ip link set dev tap-$1 master br-guests up
  ip -n g-$1 link set dev lo up
  ip -n g-$1 link set dev eth0 up
  ip -n g-$1 addr add 10.7.0.$2/24 dev eth0
}
guest ftp 21
guest client 22
mkdir -p /run/ftp /run/vsftpd/empty
echo 'a file' > /run/ftp/file
chmod -R a+rX /run/ftp
cat > /run/ftp.conf <<'END'
listen=YES
listen_ipv6=NO
background=NO
anonymous_enable=YES
local_enable=NO
no_anon_password=YES
anon_root=/run/ftp
secure_chroot_dir=/run/vsftpd/empty
connect_from_port_20=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
END
timeout 1200 ip netns exec g-ftp vsftpd /run/ftp.conf >/run/ftp.log 2>&1 </dev/null &
for port in 22 80 8080; do timeout 1200 ip netns exec g-ftp nc -l -k -p $port >/dev/null 2>&1 </dev/null & done
timeout 1200 ip netns exec g-client nc -l -k -p 80 >/dev/null 2>&1 </dev/null &
timeout 1200 ip netns exec g-client nc -l -u -k -p 53 >/run/asked 2>/dev/null </dev/null &
tries=0
until ip netns exec g-ftp ss -Hltn | grep -q ':21 '; do tries=$((tries + 1)); [ $tries -lt 100 ] || { cat /run/ftp.log; exit 1; }; sleep 0.1; done`);
  project = exampleProject("ftp-filter");
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

const ATTEMPTS: Readonly<Record<string, string>> = {
  "active FTP": "g-client curl -s -m 12 --ftp-port - ftp://10.7.0.21/file",
  "passive FTP": "g-client curl -s -m 12 ftp://10.7.0.21/file",
  "SSH in": "g-client nc -z -w 4 10.7.0.21 22",
  "HTTP in": "g-client nc -z -w 4 10.7.0.21 80",
  "another port in": "g-client nc -z -w 4 10.7.0.21 8080",
  "a connection out": "g-ftp nc -z -w 4 10.7.0.22 80",
  "ping out": "g-ftp ping -n -q -c 1 -W 4 10.7.0.22",
};
/** What succeeds, all tried at once; and whether a question over DNS arrives. */
async function passes(): Promise<string[]> {
  const lines = Object.entries(ATTEMPTS).map(
    ([what, command]) => `( ip netns exec ${command} >/dev/null 2>&1 && echo '${what}' || : ) &`,
  );
  const seen = await vm.sh(`conntrack -F 2>/dev/null; : > /run/asked
${lines.join("\n")}
( echo question | ip netns exec g-ftp nc -u -w 1 10.7.0.22 53 || : ) &
wait
grep -q question /run/asked && echo 'DNS out' || :`);
  return seen.split("\n").filter(Boolean).sort();
}

const ALWAYS = ["DNS out", "HTTP in", "SSH in", "ping out"];
const FILTERS: Readonly<Record<string, readonly string[]>> = {
  ports: ["active FTP", ...ALWAYS],
  states: ["active FTP", ...ALWAYS],
  passive: ["active FTP", "passive FTP", ...ALWAYS],
};

async function exactly(wanted: readonly string[]): Promise<string> {
  const seen = await passes();
  must(JSON.stringify(seen) === JSON.stringify([...wanted].sort()), `passes: ${seen.join(", ")}`);
  return `passes: ${seen.join(", ")}`;
}

test("ftp-filter", async () => {
  await newStack(vm, project);
  const before = await settled(vm);
  await prove("without a filter, everything passes", () =>
    exactly([...FILTERS.passive!, "another port in", "a connection out"]),
  );
  for (const [filter, wanted] of Object.entries(FILTERS)) {
    await project.ok(["config", "set", "filter", filter]);
    await project.up();
    await prove(`filter ${filter}: the rest is dropped`, () => exactly(wanted));
  }
  await prove("a spoofed source is stopped", async () => {
    await vm.sh("ip -n g-ftp addr add 10.7.0.99/24 dev eth0");
    const spoofed = await vm.ssh("ip netns exec g-ftp ping -n -q -c 1 -W 3 -I 10.7.0.99 10.7.0.22");
    const own = await vm.ssh("ip netns exec g-ftp ping -n -q -c 1 -W 3 -I 10.7.0.21 10.7.0.22");
    must(spoofed.code !== 0 && own.code === 0, `spoofed ${spoofed.code}, own ${own.code}`);
    await vm.sh("ip -n g-ftp addr del 10.7.0.99/24 dev eth0");
    return "ping from 10.7.0.99 no, from 10.7.0.21 yes";
  });
  await prove(
    "the module alone does nothing: without the rule that assigns the helper no transfer passes",
    async () => {
      await vm.sh("nft flush chain ip ftp-helper prerouting");
      return exactly(ALWAYS);
    },
  );
  await prove("destroyed, the host is as it was", async () => {
    await vm.sh("for n in g-ftp g-client; do kill -9 $(ip netns pids $n) 2>/dev/null || :; done");
    await project.destroy();
    // libvirt leaves the common chains of ebtables and iptables, empty.
    const rest = differences(before, await settled(vm)).filter(
      (line) => !/^[+-] nft|bridge-nf|nf_conntrack/.test(line),
    );
    must(rest.length === 0, rest.join("\n"));
    const left = await vm.sh("virsh -q nwfilter-binding-list; virsh -q nwfilter-list; nft list tables");
    must(!/ftp/.test(left), left);
    return "no difference";
  });
});
