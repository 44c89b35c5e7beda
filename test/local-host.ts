import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Commit } from "../provider/host/commit";
import type { Greeting, Reply, Session } from "../provider/host/session";
import type { Hosts } from "../provider/lifecycle";
import { Shell } from "./shell";

/** Runs the script, or another instead, for at most so many seconds. */
type Run = (instead?: Buffer, limit?: number) => Reply;
type Around = (run: Run, script: string) => Reply | Promise<Reply>;

const isRoot = process.getuid?.() === 0;

/**
 * A host without SSH: the scripts run in a network namespace and a mount namespace of their own on this machine, with
 * empty /etc/hostnet and /run. What needs more than this kernel has (VRFs, systemd) belongs in the lab.
 */
export class LocalHost implements Hosts {
  machineId = "0123456789abcdef0123456789abcdef";
  /** All that were sent, looks and changes. */
  readonly scripts: string[] = [];
  /** How this host is reached, as the session tells it. */
  way: Greeting["way"] = {
    client: "192.0.2.9",
    clientPort: 50000,
    server: "192.0.2.1",
    port: 22,
    links: ["uplink"],
  };
  /** What a new connection meets, which is to confirm a change. */
  renew = (session: () => Promise<Session>): Promise<Session> => session();
  /** Comes between a script and the host: to change things before it, or to lose its answer. */
  around: Around = (run) => run();
  readonly folder = mkdtempSync(join(tmpdir(), "hostnet-"));
  private readonly holder;
  private inside!: Shell;
  /** A queue of another workstation. */
  readonly another: () => Commit;
  private readonly queue: Commit;
  private readonly session: () => Promise<Session>;

  /**
   * @param shell that runs the scripts
   * @param tools a folder of tools that come before the system's, with a colon behind it
   */
  constructor(
    private readonly shell: readonly string[] = ["sh"],
    private readonly tools = "",
  ) {
    const setUp = [
      "mount -t tmpfs none /run && mkdir /run/hostnet",
      // A copy of its own, so that nothing is left behind in the machine's; files that only root may read are not wanted.
      "{ cp -a /etc /run/etc 2>/dev/null; rm -rf /run/etc/hostnet; mkdir /run/etc/hostnet; }",
      "mount --bind /run/etc /etc && mount --bind /etc/hostnet /etc/hostnet",
      "ip link set dev lo up && echo ready && exec sleep 3600",
    ];
    const spaces = ["-n", "-m", "--propagation", "private", ...(isRoot ? [] : ["-r"])];
    this.holder = spawn("unshare", [...spaces, "sh", "-c", setUp.join(" && ")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const script = join(this.folder, "s");
    const session = async (): Promise<Session> => ({
      greeting: { uid: 0, machineId: this.machineId, bootId: "boot", way: this.way },
      alive: true,
      close: () => {},
      run: async (text) => {
        const shown = text.toString("latin1");
        this.scripts.push(shown);
        return this.around((instead = text, limit = 600) => {
          writeFileSync(script, instead);
          const environment = Object.entries(this.env).map(([name, value]) => `${name}=${value}`);
          const timed = ["timeout", String(limit), ...this.shell, script];
          return this.inside.run({ argv: ["env", "-i", ...environment, ...timed] });
        }, shown);
      },
    });
    const aside = async () => ({ ...(await session()), run: (text: Buffer) => this.aside(text) });
    this.another = () => new Commit({ label: "root@local", session: aside, renew: aside });
    this.session = session;
    this.queue = new Commit({ label: "root@local", session, renew: () => this.renew(session) });
  }

  /** Resolves when the namespaces are there. */
  async ready(): Promise<this> {
    const ready = await new Promise<boolean>((resolve) => {
      this.holder.stdout!.once("data", () => resolve(true));
      this.holder.once("exit", () => resolve(false));
    });
    if (!ready) throw new Error("unshare could not make the namespaces");
    this.inside = new Shell("nsenter", ...this.enter());
    return this;
  }

  configure(): void {}

  at() {
    const greet = async () => (await this.session()).greeting;
    return { label: "root@local", submit: this.queue.submit.bind(this.queue), greet };
  }

  /** Another tool than ours, on the same host. Throws when it fails. */
  sh(command: string): string {
    const { code, stdout, stderr } = this.inside.run({ argv: ["sh", "-c", command] });
    if (code !== 0) throw new Error(`${command}\nended with code ${code}: ${stderr}`);
    return stdout.toString();
  }

  /** Runs a script while another runs. */
  private aside(text: Buffer): Promise<Reply> {
    const script = join(mkdtempSync(join(this.folder, "aside-")), "s");
    writeFileSync(script, text);
    return new Promise((resolve) => {
      // As the driver runs it, with nothing to read.
      const child = spawn("nsenter", [...this.enter(), ...this.shell, script], {
        stdio: ["ignore", "pipe", "pipe"],
        env: this.env,
      });
      const [out, err]: Buffer[][] = [[], []];
      child.stdout.on("data", (data: Buffer) => out!.push(data));
      child.stderr.on("data", (data: Buffer) => err!.push(data));
      child.on("close", (code) =>
        resolve({ code: code ?? 137, stdout: Buffer.concat(out!), stderr: Buffer.concat(err!) }),
      );
    });
  }

  close(): void {
    this.inside?.close();
    this.holder.kill("SIGKILL");
    rmSync(this.folder, { recursive: true });
  }

  private get env() {
    return { PATH: `${this.tools}/usr/sbin:/usr/bin:/sbin:/bin`, LC_ALL: "C" };
  }

  /** Arguments of nsenter for its namespaces. */
  enter(): string[] {
    return ["-t", String(this.holder.pid), "-n", "-m", ...(isRoot ? [] : ["-U", "--preserve-credentials"])];
  }
}
