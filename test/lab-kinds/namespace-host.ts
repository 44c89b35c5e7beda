import { randomBytes } from "node:crypto";
import { Commit } from "../../provider/host/commit";
import type { Session } from "../../provider/host/session";
import type { Hosts } from "../../provider/lifecycle";
import type { Vm } from "../lab/vm.ts";
import type { Bed } from "./laws.ts";

/** By nothing that the tests touch: their changes are not confirmed. */
const WAY = { client: "192.0.2.9", clientPort: 50000, server: "192.0.2.1", port: 22, links: ["uplink"] };

/**
 * A network namespace of the lab's machine as a host of its own, with its own /etc and /run: VRFs, rules, routes and
 * the kernel's memory of its first VRF are per namespace.
 */
export class NamespaceHost implements Hosts, Bed {
  /** HOSTNET_LAWS=all: every step all the same. */
  readonly slow = process.env.HOSTNET_LAWS !== "all";
  readonly scripts: string[] = [];
  private readonly queue: Commit;
  private readonly session: () => Promise<Session>;

  private constructor(
    private readonly vm: Vm,
    readonly name: string,
    private readonly tools?: string,
  ) {
    const session = async (): Promise<Session> => ({
      greeting: { uid: 0, machineId: "0123456789abcdef0123456789abcdef", bootId: "boot", way: WAY },
      alive: true,
      close: () => {},
      run: async (text) => {
        this.scripts.push(text.toString("latin1"));
        // The script reads its own file, and its steps' stdin from it.
        const inside = 'd=$(mktemp -d) && cat >"$d/s" && sh "$d/s"; e=$?; rm -r "$d"; exit $e';
        const { code, stdout, stderr } = await this.vm.ssh(this.enter(inside), {
          stdin: text.toString("utf8"),
        });
        return { code, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) };
      },
    });
    this.session = session;
    this.queue = new Commit({ label: "root@lab", session, renew: session });
  }

  /** @param tools a folder there to put first on PATH */
  static async make(vm: Vm, tools?: string): Promise<NamespaceHost> {
    const host = new NamespaceHost(vm, `k${randomBytes(4).toString("hex")}`, tools);
    await vm.sh(`modprobe vrf; modprobe dummy
      ip netns add ${host.name}
      mkdir -p /run/kinds/${host.name}/run/hostnet /run/kinds/${host.name}/tmp
      cp -a /etc /run/kinds/${host.name}/etc
      rm -rf /run/kinds/${host.name}/etc/hostnet
      mkdir /run/kinds/${host.name}/etc/hostnet`);
    await host.sh("ip link set dev lo up");
    return host;
  }

  configure(): void {}

  at() {
    const greet = async () => (await this.session()).greeting;
    return { label: "root@lab", submit: this.queue.submit.bind(this.queue), greet };
  }

  /** Another tool than ours, on the same host. Throws when it fails. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.vm.ssh(this.enter("exec sh -eu"), { stdin: script });
    if (code !== 0) throw new Error(`code ${code}: ${stderr}${stdout}of ${script}`);
    return stdout;
  }

  /** Gives a link to a neighbour, another namespace, and returns how to run a command line there. */
  async neighbour(link: string): Promise<(command: string) => Promise<string>> {
    const there = `${this.name}-${link}`;
    await this.vm.sh(`ip netns add ${there}; ip -n ${this.name} link set dev ${link} netns ${there}
      ip -n ${there} link set dev ${link} up; ip -n ${there} link set dev lo up`);
    return (command) => this.vm.sh(`ip netns exec ${there} ${command}`);
  }

  async close(): Promise<void> {
    await this.vm.sh(`for n in $(ip netns list | grep -o '^${this.name}[^ ]*'); do ip netns del $n; done
      rm -rf /run/kinds/${this.name}`);
  }

  private enter(command: string): string {
    const folder = `/run/kinds/${this.name}`;
    const quoted = command.replaceAll("'", "'\\''");
    const mounts = `mount --bind ${folder}/etc /etc && mount --bind ${folder}/tmp /tmp && mount --bind ${folder}/run /run`;
    const path = this.tools ? `PATH=${this.tools}:$PATH && ` : "";
    return `ip netns exec ${this.name} sh -c '${mounts} && ${path}${quoted}'`;
  }
}
