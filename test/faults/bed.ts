import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KeyPair, keyPair } from "../host/server";
import type { Bed } from "./oracles";
import { TcpProxy } from "./proxy";

const isRoot = process.getuid?.() === 0;
export const ADDRESS = { host: "192.0.2.1", client: "192.0.2.9" };
export const MACHINE = "0123456789abcdef0123456789abcdef";

/** What is on the host before us, and must stay as it is. */
const FOREIGN = `
nft -f - <<'END'
table ip foreign {
  set s { type ipv4_addr; elements = { 198.51.100.1 }; }
  chain c { type filter hook forward priority 5; ip saddr @s counter drop; }
}
END
ip link add name theirs type bridge; ip addr add 198.51.100.1/24 dev theirs; ip link set dev theirs up
ip link add name port1 type veth peer name port2; ip link set dev port1 up; ip link set dev port2 up
ip rule add pref 12000 from 198.51.100.0/24 table 77; ip route add 203.0.113.0/24 dev theirs table 77
`;

/** A host's namespaces: its own /etc, /run, /root, /dev and processes, an sshd as the first of these, one uplink. */
const HOST = `set -e
trap 'echo failed' EXIT
mount -t proc none /proc; mount -t sysfs none /sys
mount -t tmpfs none /run; mkdir -p /run/sshd /run/lock /run/dev/pts /run/dev/shm
cp -a /etc /run/etc 2>/dev/null || :; rm -rf /run/etc/hostnet; mount --bind /run/etc /etc
mount -t tmpfs none /root; mount -t tmpfs none /home; chmod 700 /root
for f in null zero full random urandom tty; do : >/run/dev/$f; mount --bind /dev/$f /run/dev/$f; done
ln -s /proc/self/fd /run/dev/fd; mount --rbind /run/dev /dev
echo ${MACHINE} >/etc/machine-id
rm -f /etc/motd /root/.hushlogin; : >/etc/bash.bashrc
t=0; until [ -e /sys/class/net/uplink ]; do t=$((t + 1)); [ $t -lt 200 ] || exit 1; sleep 0.05; done
ip link set dev lo up; ip addr add ${ADDRESS.host}/24 dev uplink; ip link set dev uplink up
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
busybox syslogd -O /run/syslog
${FOREIGN}
mkdir -p /root/.ssh; printf '%s\\n' "$CLIENT_KEY" >/root/.ssh/authorized_keys
printf '%s' "$HOST_KEY" >/run/sshd/key; chmod 600 /run/sshd/key
printf '%s\\n' 'HostKey /run/sshd/key' 'UsePAM no' 'PidFile none' 'PermitRootLogin yes' 'MaxStartups 100' 'LogLevel ERROR' >/run/sshd/config
unset CLIENT_KEY HOST_KEY
echo ready
exec /usr/sbin/sshd -D -f /run/sshd/config -o ListenAddress=${ADDRESS.host}:22
`;

/** The client's namespace, which holds the host's; both end with our end of its stdin. */
const CLIENT = `set -e
ip link set dev lo up
ip link add name way type veth peer name uplink
ip addr add ${ADDRESS.client}/24 dev way; ip link set dev way up
unshare -n -m -p --fork --kill-child --propagation private sh -c "$HOST" &
t=0; until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do t=$((t + 1)); [ $t -lt 200 ] || exit 1; sleep 0.02; done
ip link set dev uplink netns $!
t=0; until p=$(ps -o pid= --ppid $!); do t=$((t + 1)); [ $t -lt 200 ] || exit 1; sleep 0.02; done
echo $$ $p
read x || :
kill -9 $p
`;

/** Shell for one more sshd, which goes to the background before it listens. */
export const sshdAt = (address: string, options = "", config = "config"): string =>
  `/usr/sbin/sshd -f /run/sshd/${config} -o ListenAddress=${address} ${options}
tries=0; until ss -Hltn src ${address} | grep -q .; do tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.05; done`;

/** By which address we come, and what that takes beside the usual, on either side. */
const LAYOUTS = {
  plain: { address: ADDRESS.host, client: ":", host: ":", mend: ":" },
  /** Over a bridge of others, by IPv6. */
  bridged: {
    address: "fd00:2::1",
    client: "ip addr add fd00:2::9/64 dev way nodad",
    host: `ip link add name br0 type bridge; sysctl -qw net.ipv6.conf.all.disable_ipv6=0
for d in /proc/sys/net/ipv6/conf/*; do case $d in */all | */br0) ;; *) echo 1 >$d/disable_ipv6 ;; esac; done; ip addr flush dev uplink; ip link set dev uplink master br0; ip link set dev br0 up
ip addr add ${ADDRESS.host}/24 dev br0; ip addr add fd00:2::1/64 dev br0 nodad
${sshdAt("[fd00:2::1]:22")}`,
    mend: "ip link set dev br0 up mtu 1500 type bridge stp_state 0 vlan_filtering 0; ip addr replace fd00:2::1/64 dev br0 nodad",
  },
  /** The sshd is in a container, so that the host forwards what comes; from there \`nsenter\` leads to the host. */
  routed: {
    address: "198.18.0.2",
    client: `ip route add 198.18.0.0/24 via ${ADDRESS.host}`,
    host: `sysctl -qw net.ipv4.ip_forward=1
ip netns add inner; ip link add name front type veth peer name eth0 netns inner
ip addr add 198.18.0.1/24 dev front; ip link set dev front up
ip -n inner addr add 198.18.0.2/24 dev eth0; ip -n inner link set dev eth0 up; ip -n inner route add default via 198.18.0.1
ip netns exec inner /usr/sbin/sshd -f /run/sshd/config -o ListenAddress=198.18.0.2:22`,
    mend: "sysctl -qw net.ipv4.ip_forward=1",
  },
} as const;
export type Layout = keyof typeof LAYOUTS;

/** A host with a real sshd in namespaces of this machine, and a proxy on the way to it. */
export class FaultBed implements Bed {
  readonly folder = mkdtempSync(join(tmpdir(), "hostnet-"));
  readonly key: KeyPair = keyPair();
  readonly hostKey: KeyPair = keyPair();
  proxy!: TcpProxy;
  private holder!: ChildProcess;
  private dialler!: ChildProcess;
  private readonly proxies: TcpProxy[] = [];
  private pids: readonly string[] = [];
  private readonly dialling = new Map<number, (socket?: Socket) => void>();
  private dialled = 0;

  private constructor(readonly layout: Layout) {}

  static async make(layout: Layout = "plain"): Promise<FaultBed> {
    const bed = new FaultBed(layout);
    await bed.start();
    return bed;
  }

  private async start(): Promise<void> {
    const spaces = ["-n", ...(isRoot ? [] : ["-r", "--map-auto"])];
    this.holder = spawn("unshare", [...spaces, "sh", "-c", CLIENT], {
      stdio: "pipe",
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        HOST,
        CLIENT_KEY: this.key.public,
        HOST_KEY: this.hostKey.private,
      },
    });
    const said = await new Promise<string>((resolve, reject) => {
      let [text, errors] = ["", ""];
      this.holder.stderr!.on("data", (data) => {
        errors += data;
      });
      this.holder.stdout!.on("data", (data) => {
        text += data;
        if (/failed/.test(text)) reject(new Error(`the host could not be set up: ${errors}`));
        if (/ready/.test(text) && /\d+ \d+/.test(text)) resolve(text);
      });
      this.holder.once("exit", () => reject(new Error(`the namespaces could not be made: ${errors}`)));
    });
    this.pids = /(\d+) (\d+)/.exec(said)!.slice(1);
    this.dialler = spawn(
      "nsenter",
      [...this.enter("client"), process.execPath, join(__dirname, "dialler.cjs")],
      {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      },
    );
    this.dialler.on("message", ({ id }: { id: number }, socket) => {
      this.dialling.get(id)?.(socket as Socket | undefined);
      this.dialling.delete(id);
    });
    const { client, host } = LAYOUTS[this.layout];
    await this.run(this.enter("client"), ["sh", "-c", client]);
    await this.sh(host);
    this.proxy = await this.through();
    for (let tries = 0; !(await this.login()); tries++) if (tries > 20) throw new Error("no sshd answers");
  }

  /** Another proxy, to another port of the host; closed with it. */
  through(port = 22): Promise<TcpProxy> {
    const proxy = new TcpProxy(() => this.dial(port));
    this.proxies.push(proxy);
    return proxy.listen();
  }

  private dial(port: number): Promise<Socket> {
    const id = ++this.dialled;
    return new Promise((resolve, reject) => {
      this.dialling.set(id, (socket) => (socket ? resolve(socket) : reject(new Error("no connection"))));
      this.dialler.send({ id, host: LAYOUTS[this.layout].address, port });
    });
  }

  /** Another sshd on the host, with options of its own, and the way to it. */
  async sshd(port: number, options: Readonly<Record<string, string | number>>): Promise<TcpProxy> {
    const words = Object.entries(options).map(([name, value]) => `-o '${name}=${value}'`);
    await this.sh(sshdAt(`${ADDRESS.host}:${port}`, words.join(" ")));
    return this.through(port);
  }

  /** Of the host's first process, which has its namespaces. */
  get pid(): string {
    return this.pids[1]!;
  }

  /** Another tool than ours, on the host. Throws when it fails. */
  sh(command: string): Promise<string> {
    return this.run(this.enter("host"), ["sh", "-c", command]);
  }

  /** The same where we come from, at the other end of the uplink. */
  outside(command: string): Promise<string> {
    return this.run(this.enter("client"), ["sh", "-c", command]);
  }

  /** A new login by OpenSSH, from where we come. */
  async login(seconds = 5): Promise<boolean> {
    const key = join(this.folder, "key");
    writeFileSync(key, this.key.private, { mode: 0o600 });
    const options = ["StrictHostKeyChecking=no", `UserKnownHostsFile=${this.folder}/hosts`, "LogLevel=ERROR"];
    const ssh = ["ssh", "-F", "none", "-i", key, ...options.flatMap((option) => ["-o", option])];
    const timed = ["timeout", String(seconds), ...ssh, `root@${LAYOUTS[this.layout].address}`, "echo in"];
    return this.run(this.enter("client"), timed).then(
      (said) => said === "in\n",
      () => false,
    );
  }

  /** Takes away what is ours, by hand, and puts right what others need. */
  async wipe(): Promise<void> {
    await this.sh(`${LAYOUTS[this.layout].mend}; rm -rf /run/hostnet /etc/hostnet
      nft list tables | grep ' own' | while read -r x family name; do nft delete table $family $name; done
      for l in /sys/class/net/own*; do [ ! -e $l ] || ip link del dev \${l##*/}; done
      while ip rule | grep -q '^5[0-9]:'; do ip rule del pref $(ip rule | sed -n '/^5[0-9]:/{s/:.*//;p;q}'); done; :`);
  }

  private run(enter: readonly string[], argv: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile("nsenter", [...enter, ...argv], { maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
        error ? reject(new Error(`${argv.at(-1)}: ${stderr || error.message}`)) : resolve(stdout),
      );
    });
  }

  private enter(which: "host" | "client"): string[] {
    const [client, host] = this.pids;
    const user = isRoot ? [] : ["-U", "--preserve-credentials"];
    return which === "host" ? ["-t", host!, "-n", "-m", "-p", ...user] : ["-t", client!, "-n", ...user];
  }

  log(): Promise<string> {
    return this.sh("cat /run/syslog");
  }

  close(): void {
    for (const proxy of this.proxies) proxy.close();
    this.dialler?.disconnect();
    this.holder.stdin!.end();
    rmSync(this.folder, { recursive: true });
  }
}
