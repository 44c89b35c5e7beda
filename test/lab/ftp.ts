// Guests with FTP behind examples/ftp-filter, and what they try: shell for any host of the tests.
import { must } from "../demo/claims.ts";
import type { Host } from "./host.ts";

/** A server and a client of FTP on a bridge, as a hypervisor attaches guests. */
export const startGuests = (host: Host) =>
  host.sh(`
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

export const stopGuests = (host: Host) =>
  host.sh("for n in g-ftp g-client; do kill -9 $(ip netns pids $n) 2>/dev/null || :; done");

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
async function passes(host: Host): Promise<string[]> {
  const lines = Object.entries(ATTEMPTS).map(
    ([what, command]) => `( ip netns exec ${command} >/dev/null 2>&1 && echo '${what}' || : ) &`,
  );
  const seen = await host.sh(`conntrack -F 2>/dev/null; : > /run/asked
${lines.join("\n")}
( echo question | ip netns exec g-ftp nc -u -w 1 10.7.0.22 53 || : ) &
wait
grep -q question /run/asked && echo 'DNS out' || :`);
  return seen.split("\n").filter(Boolean).sort();
}

export const ALWAYS = ["DNS out", "HTTP in", "SSH in", "ping out"];
export const FILTERS = {
  ports: ["active FTP", ...ALWAYS],
  states: ["active FTP", ...ALWAYS],
  passive: ["active FTP", "passive FTP", ...ALWAYS],
} as const;

export async function exactly(host: Host, wanted: readonly string[]): Promise<string> {
  const seen = await passes(host);
  must(JSON.stringify(seen) === JSON.stringify([...wanted].sort()), `passes: ${seen.join(", ")}`);
  return `passes: ${seen.join(", ")}`;
}
