// Other ways to the same bridges, on the same host, over the same line.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";

export interface Took {
  readonly seconds: number;
  /** How many of them were made: fewer where it is slow. */
  readonly count: number;
}

const COMMON = [
  "BatchMode=yes",
  "StrictHostKeyChecking=no",
  "UserKnownHostsFile=/dev/null",
  "LogLevel=ERROR",
].flatMap((option) => ["-o", option]);

const commands = (name: string): string =>
  `ip link add name ${name} type bridge && ip link set dev ${name} up`;

function run(
  program: string,
  args: readonly string[],
  stdin = "",
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
    let said = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => {
        said = `${said}${data}`.slice(-4000);
      });
    child.stdin.on("error", () => {});
    child.stdin.end(stdin);
    child.on("error", reject);
    // Not "close": a master connection of ssh keeps our pipes open.
    child.on("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`${program} exited ${code}: ${said}`)),
    );
  });
}

export class Rivals {
  private readonly folder = mkdtempSync(join(tmpdir(), "b-"));

  private readonly vm: BenchHost;
  private readonly line: Line;
  private readonly ansible: string;

  /** @param ansible its folder, as setup.mjs made it */
  constructor(vm: BenchHost, line: Line, ansible: string) {
    this.vm = vm;
    this.line = line;
    this.ansible = ansible;
  }

  close(): void {
    rmSync(this.folder, { recursive: true });
  }

  /** Gives the host's Python its library where it lacks it: the lab's is the minimal one. */
  async python(): Promise<void> {
    const whole = await this.vm.sh("python3 -c 'import json, zipfile' 2>/dev/null && echo whole || :");
    if (whole !== "") return;
    const target = ["-P", String(this.vm.port), join(this.ansible, "python.deb"), "root@127.0.0.1:/run/"];
    await run("scp", ["-F", "/dev/null", "-i", this.vm.keyFile, ...COMMON, ...target]);
    const path = "/opt/python/usr/lib/python3.11";
    await this.vm.sh(`
dpkg -x /run/python.deb /opt/python
printf '%s\\n' ${path} ${path}/lib-dynload >/usr/local/lib/python3.11/dist-packages/library.pth
rm /run/python.deb
`);
  }

  /** The floor: one connection, and one script written by hand. */
  byHand(count: number): Promise<Took> {
    return this.took(count, (names) => this.ssh(["sh", "-e"], `${names.map(commands).join("\n")}\n`));
  }

  /** Each command by itself on a connection that ssh keeps open. */
  controlMaster(count: number): Promise<Took> {
    return this.took(count, async (names) => {
      const socket = ["-S", join(this.folder, "s")];
      await this.ssh([], "", [...socket, "-M", "-N", "-f"]);
      for (const name of names) await this.ssh([commands(name)], "", socket);
      await this.ssh([], "", [...socket, "-O", "exit"]);
    });
  }

  /** A connection for each, as remote commands do; as many at a time as their engine has at work on two processors. */
  remoteCommands(count: number): Promise<Took> {
    return this.took(count, async (names) => {
      const left = [...names];
      const worker = async (): Promise<void> => {
        for (let name = left.shift(); name; name = left.shift()) await this.ssh([commands(name)]);
      };
      await Promise.all(Array.from({ length: 8 }, worker));
    });
  }

  playbook(count: number, pipelining: boolean): Promise<Took> {
    return this.took(count, async (names) => {
      const [inventory, book] = ["inventory", "book.yml"].map((name) => join(this.folder, name));
      const { port } = this.line;
      const host = `ansible_host=127.0.0.1 ansible_port=${port} ansible_user=root ansible_ssh_private_key_file=${this.vm.keyFile}`;
      writeFileSync(inventory!, `lab ${host} ansible_python_interpreter=/usr/bin/python3\n`);
      const tasks = names.map((name) => `  - shell: ${commands(name)}\n`);
      writeFileSync(book!, `- hosts: lab\n  gather_facts: false\n  tasks:\n${tasks.join("")}`);
      await run(join(this.ansible, "bin", "ansible-playbook"), ["-i", inventory!, book!], "", {
        ANSIBLE_PIPELINING: String(pipelining),
        ANSIBLE_HOST_KEY_CHECKING: "False",
        ANSIBLE_HOME: this.folder,
        ANSIBLE_SSH_CONTROL_PATH_DIR: this.folder,
        ANSIBLE_SSH_ARGS: "-F /dev/null -C -o ControlMaster=auto -o ControlPersist=10s",
        ANSIBLE_NOCOLOR: "1",
      });
    });
  }

  /** The old way to load a file of rules. */
  async nftFile(text: string): Promise<number> {
    const begin = performance.now();
    await this.ssh(["cat >/run/bench.nft; nft -f /run/bench.nft; rm /run/bench.nft"], text);
    return (performance.now() - begin) / 1000;
  }

  /** Seconds of nft itself, the file being there; the table goes again. */
  async nftAlone(text: string): Promise<number> {
    await this.ssh(["cat >/run/bench.nft"], text);
    const script = `a=$(date +%s%N); nft -f /run/bench.nft; b=$(date +%s%N); echo $((b - a))
nft delete table inet file; rm /run/bench.nft`;
    return Number(await this.vm.sh(script)) / 1e9;
  }

  private async took(count: number, act: (names: readonly string[]) => Promise<void>): Promise<Took> {
    const names = Array.from({ length: count }, (_, n) => `other${n}`);
    const begin = performance.now();
    await act(names);
    const seconds = (performance.now() - begin) / 1000;
    const made = await this.vm.sh(
      "n=0; for l in /sys/class/net/other*; do ip link del dev ${l##*/}; n=$((n + 1)); done; echo $n",
      { timeout: 300 },
    );
    if (Number(made) !== count) throw new Error(`${made.trim()} bridges of ${count} were made`);
    return { seconds, count };
  }

  private ssh(command: readonly string[], stdin = "", options: readonly string[] = []): Promise<void> {
    return run(
      "ssh",
      [
        ...["-F", "/dev/null", "-i", this.vm.keyFile, "-p", String(this.line.port)],
        ...COMMON,
        ...options,
        "root@127.0.0.1",
        ...command,
      ],
      stdin,
    );
  }
}
