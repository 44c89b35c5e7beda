// The system's `ssh`, one connection per user: a tool of our own choosing, independent of the package's SSH code.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SshOptions {
  /** @default "root" */
  readonly user?: string;
  readonly stdin?: string;
  /** Seconds until the command is given up; @default 60 */
  readonly timeout?: number;
}

export class Ssh {
  private readonly port: number;
  private readonly keyFile: string;
  // A short path: a Unix socket's may have 108 bytes.
  private readonly sockets = mkdtempSync(join(tmpdir(), "lab-"));
  private readonly masters = new Map<string, Promise<Result>>();

  constructor(port: number, keyFile: string) {
    this.port = port;
    this.keyFile = keyFile;
  }

  /** Runs a command line in the user's shell on the host. */
  async run(command: string, options: SshOptions = {}): Promise<Result> {
    const { user = "root", stdin = "", timeout = 60 } = options;
    await this.connect(user);
    return execute(["-S", this.socket(user), ...this.common(user), command], stdin, timeout);
  }

  /** Ends the connections; the commands on them end too. */
  async close(): Promise<void> {
    for (const user of this.masters.keys()) {
      if (existsSync(this.socket(user))) {
        await execute(["-S", this.socket(user), "-O", "exit", ...this.common(user)], "", 10);
      }
    }
    this.masters.clear();
    rmSync(this.sockets, { recursive: true, force: true });
  }

  /** Arguments with which a person logs in. */
  login(user = "root"): string {
    return `ssh ${this.common(user).join(" ")}`;
  }

  private async connect(user: string): Promise<void> {
    const open = this.masters.get(user);
    if (open) await open;
    if (existsSync(this.socket(user))) return;
    const opening = execute(["-M", "-N", "-f", "-S", this.socket(user), ...this.common(user)], "", 30, true);
    this.masters.set(user, opening);
    const result = await opening;
    if (result.code !== 0)
      throw new Error(`no SSH connection for ${user} on port ${this.port}: code ${result.code}`);
  }

  private socket(user: string): string {
    return join(this.sockets, user);
  }

  private common(user: string): string[] {
    const options = [
      "BatchMode=yes",
      "StrictHostKeyChecking=no",
      "UserKnownHostsFile=/dev/null",
      "LogLevel=ERROR",
      "ConnectTimeout=20",
      "ServerAliveInterval=15",
    ];
    return [
      ...["-F", "/dev/null", "-i", this.keyFile, "-p", String(this.port)],
      ...options.flatMap((option) => ["-o", option]),
      `${user}@127.0.0.1`,
    ];
  }
}

/** `alone`: the program goes into the background and would keep our pipes open. */
function execute(args: string[], stdin: string, seconds: number, alone = false): Promise<Result> {
  return new Promise((done, fail) => {
    const ssh = spawn("ssh", args, { stdio: alone ? "ignore" : "pipe" });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    ssh.stdout?.on("data", (data) => out.push(data));
    ssh.stderr?.on("data", (data) => err.push(data));
    ssh.stdin?.on("error", () => {}); // a command may end without reading
    ssh.stdin?.end(stdin);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      ssh.kill("SIGKILL");
    }, seconds * 1000);
    ssh.once("error", fail);
    ssh.once("close", (code) => {
      clearTimeout(timer);
      const text = (parts: Buffer[]) => Buffer.concat(parts).toString();
      if (late)
        return fail(new Error(`not done after ${seconds} s: ssh ${args.at(-1)}\n${text(out)}${text(err)}`));
      done({ code: code ?? -1, stdout: text(out), stderr: text(err) });
    });
  });
}
