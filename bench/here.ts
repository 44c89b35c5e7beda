// A host in namespaces of this machine, with an sshd of its own: without emulation, for multiples of the round trip.
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the benchmark asks of a host; a Vm is one. */
export interface BenchHost {
  readonly port: number;
  readonly keyFile: string;
  readonly hostKey: string;
  sh(script: string, options?: { readonly timeout?: number }): Promise<string>;
  stop(): Promise<void>;
}

const SET_UP = `set -e
mount -t proc none /proc; mount -t sysfs none /sys
mount -t tmpfs none /run; mkdir -p /run/sshd /run/lock
cp -a /etc /run/etc 2>/dev/null || :; rm -rf /run/etc/hostnet; mount --bind /run/etc /etc
cp "$FOLDER"/* /run/sshd; mount -t tmpfs none /root; chmod 700 /root
mkdir /root/.ssh; cp /run/sshd/key.pub /root/.ssh/authorized_keys
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
: >/etc/bash.bashrc
ip link set dev lo up
printf '%s\\n' 'HostKey /run/sshd/host' 'UsePAM no' 'PermitRootLogin yes' 'LogLevel ERROR' >/run/sshd/config
echo ready
read x
`;

export async function startHere(): Promise<BenchHost> {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  for (const name of ["key", "host"])
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  const spaces = ["-n", "-m", "-p", "--fork", "--kill-child", "--propagation", "private"];
  const holder = spawn("unshare", [...spaces, "sh", "-c", SET_UP], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, FOLDER: folder },
  });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once("data", () => resolve());
    holder.once("exit", () => reject(new Error("the namespaces could not be made: this needs root")));
  });
  const pid = execFileSync("ps", ["-o", "pid=", "--ppid", String(holder.pid)], { encoding: "utf8" }).trim();
  const enter = ["-t", pid, "-n", "-m", "-p"];
  const server = await sshd(enter);
  return {
    port: (server.address() as AddressInfo).port,
    keyFile: join(folder, "key"),
    hostKey: readFileSync(join(folder, "host.pub"), "utf8").trim(),
    sh: (script) => run("nsenter", [...enter, "sh", "-eu", "-c", script]),
    stop: () => stop(server, holder, folder),
  };
}

/** One for each connection, which it gets as its standard input. */
async function sshd(enter: readonly string[]): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
    const argv = [...enter, "/usr/sbin/sshd", "-i", "-f", "/run/sshd/config"];
    spawn("nsenter", argv, { stdio: [socket, socket, "ignore"] });
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

async function stop(server: Server, holder: ChildProcess, folder: string): Promise<void> {
  server.close();
  const ended = new Promise((resolve) => holder.once("exit", resolve));
  holder.stdin!.end();
  await ended;
  rmSync(folder, { recursive: true });
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message}\n${stderr}`)) : resolve(stdout),
    );
  });
}
