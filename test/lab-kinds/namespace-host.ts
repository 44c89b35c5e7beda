import { randomBytes } from "node:crypto";
import type { Query, Result, Step } from "../../provider/kind";
import { Commit } from "../../provider/host/commit";
import { compile } from "../../provider/host/script";
import type { Hosts } from "../../provider/lifecycle";
import type { Vm } from "../lab/vm.ts";

/**
 * A network namespace of the lab's machine as a host of its own, with its own /etc and /run: VRFs, rules, routes and
 * the kernel's memory of its first VRF are per namespace.
 */
export class NamespaceHost implements Hosts {
  readonly scripts: string[] = [];
  private readonly queue: Commit;

  private constructor(
    private readonly vm: Vm,
    private readonly name: string,
  ) {
    this.queue = new Commit(async () => ({
      greeting: { uid: 0, machineId: "0123456789abcdef0123456789abcdef", bootId: "boot" },
      alive: true,
      close: () => {},
      run: async (text) => {
        this.scripts.push(text.toString("latin1"));
        // The script reads its own file, and its steps' stdin from it.
        const inside = 'd=$(mktemp -d) && cat >"$d/s" && sh "$d/s"; e=$?; rm -r "$d"; exit $e';
        const { code, stdout, stderr } = await this.vm.ssh(this.enter(inside), { stdin: text.toString("utf8") });
        return { code, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) };
      },
    }));
  }

  static async make(vm: Vm): Promise<NamespaceHost> {
    const host = new NamespaceHost(vm, `k${randomBytes(4).toString("hex")}`);
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
    return { label: "root@lab", submit: this.queue.submit.bind(this.queue) };
  }

  /** Another tool than ours, on the same host. Throws when it fails. */
  async sh(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.vm.ssh(this.enter("exec sh -eu"), { stdin: script });
    if (code !== 0) throw new Error(`code ${code}: ${stderr}${stdout}of ${script}`);
    return stdout;
  }

  /** The steps alone, without guard, record or undo. Each result, whatever it is. */
  async run(steps: readonly Step[]): Promise<readonly Result[]> {
    const mark = randomBytes(8).toString("hex");
    // Probes and stdin are the script's matter: it takes the steps as the undo of a change that does nothing.
    const plan = { queries: [], change: { ...NOTHING, guard: "", steps: [{ argv: ["false"] }], undo: steps } };
    await this.vm.ssh(this.enter('d=$(mktemp -d) && cat >"$d/s" && sh "$d/s"; e=$?; rm -r "$d"; exit $e'), {
      stdin: compile([plan], mark).toString("utf8"),
    });
    return [];
  }

  async look(queries: readonly Query[]): Promise<readonly Result[]> {
    const { outcome } = await this.at().submit({ queries });
    if (outcome.type !== "looked") throw new Error(outcome.type);
    return outcome.results;
  }

  /** All links, addresses, rules and routes, without what changes by itself. */
  async snapshot(): Promise<string> {
    const text = await this.sh(`
      ip -d -j addr | sed -E 's/"(valid_life_time|preferred_life_time)":[0-9]+,?//g; s/},/},\\n/g'
      for v in -4 -6; do ip $v -d rule; ip $v -N -d route show table all; done
      find /etc/hostnet -type f 2>/dev/null || :`);
    return text;
  }

  async close(): Promise<void> {
    await this.vm.sh(`ip netns del ${this.name}; rm -rf /run/kinds/${this.name}`);
  }

  private enter(command: string): string {
    const folder = `/run/kinds/${this.name}`;
    const quoted = command.replaceAll("'", "'\\''");
    const mounts = `mount --bind ${folder}/etc /etc && mount --bind ${folder}/tmp /tmp && mount --bind ${folder}/run /run`;
    return `ip netns exec ${this.name} sh -c '${mounts} && ${quoted}'`;
  }
}

const NOTHING = { claims: [], intent: [], after: [], record: [], restore: [] };
