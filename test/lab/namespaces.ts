// A host in namespaces of this machine: fresh in a second, at full speed, with what this machine's kernel can do.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FaultBed } from "../faults/bed.ts";
import type { TcpProxy } from "../faults/proxy.ts";
import type { Host } from "./host.ts";
import { parseSnapshot, type Snapshot } from "./snapshot.ts";

/** Another user, as the virtual machine has one, and IPv6, which the bed begins without. */
const MORE = `
echo 'op:x:1500:1500::/home/op:/bin/sh' >>/etc/passwd
echo 'op:*:19000::::::' >>/etc/shadow
echo 'op:x:1500:' >>/etc/group
rm -f /etc/sudoers.d/*
printf '%s\\n' 'root ALL=(ALL) ALL' 'op ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers
mkdir -p /home/op/.ssh
cp /root/.ssh/authorized_keys /home/op/.ssh
chown -R op:op /home/op
sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
`;

export class Namespaces implements Host {
  readonly keyFile: string;
  readonly hostKey: string;

  private constructor(
    private readonly bed: FaultBed,
    private readonly way: TcpProxy,
  ) {
    this.keyFile = join(bed.folder, "id");
    writeFileSync(this.keyFile, bed.key.private, { mode: 0o600 });
    this.hostKey = bed.hostKey.public.trim();
  }

  static async start(): Promise<Namespaces> {
    const bed = await FaultBed.make();
    await bed.sh(`set -e${MORE}`);
    return new Namespaces(bed, await bed.sshd(2222, { LogLevel: "INFO" }));
  }

  /** Of this machine, removed with the host. */
  get folder(): string {
    return this.bed.folder;
  }

  get port(): number {
    return this.way.port;
  }

  sh(script: string): Promise<string> {
    return this.bed.sh(`set -eu\n${script}`);
  }

  /** Runs a script at the other end of its uplink. */
  outside(script: string): Promise<string> {
    return this.bed.outside(`set -eu\n${script}`);
  }

  /** A new login by OpenSSH. */
  login(): Promise<boolean> {
    return this.bed.login();
  }

  async snapshot(): Promise<Snapshot> {
    return parseSnapshot(await this.bed.sh(readFileSync("test/lab/host/look.sh", "utf8")));
  }

  log(): Promise<string> {
    return this.sh("cat /run/syslog");
  }

  async stop(): Promise<void> {
    this.bed.close();
  }
}
