import { execFileSync, spawn } from "node:child_process";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { command } from "../provider/host/shell";

interface Command {
  readonly argv: readonly string[];
  readonly stdin?: string;
  /** Beside what the shell itself got. */
  readonly env?: Readonly<Record<string, string>>;
}

interface Done {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const SERVE = `while read -r n <&3; do
  ( . "$0/run" ) <"$0/in" >"$0/out.$n" 2>"$0/err.$n" 3<&- 4>&-
  echo $? >&4
done`;

/**
 * A shell that stays, and runs one command after the other while this process waits. As children of this process they
 * would take up to 20 ms more each: the kernel copies the page tables of all that jest holds.
 */
export class Shell {
  private readonly folder = mkdtempSync(join(tmpdir(), "hostnet-shell-"));
  private readonly asks: number;
  private readonly answers: number;
  private runs = 0;
  private closed = false;
  readonly pid: number;

  /** @param enter what the shell is started by, as `unshare -n` */
  constructor(...enter: string[]) {
    const [asks, answers] = ["asks", "answers"].map((name) => join(this.folder, name)) as [string, string];
    execFileSync("mkfifo", [asks, answers]);
    // It ends by itself when this process does, and this process learns when it did: the other end is closed.
    const open = 'exec 3<"$0/asks" 4>"$0/answers"; exec "$@"';
    const args = ["-c", open, this.folder, ...enter, "sh", "-c", SERVE, this.folder];
    const child = spawn("sh", args, { stdio: ["ignore", "inherit", "inherit"] });
    child.unref();
    this.pid = child.pid!;
    this.asks = openSync(asks, "w");
    this.answers = openSync(answers, "r");
  }

  run({ argv, stdin = "", env = {} }: Command): Done {
    const [n, at] = [++this.runs, (name: string) => join(this.folder, name)];
    const variables = Object.entries(env).map(([name, value]) => `export ${name}=${command([value])}\n`);
    writeFileSync(at("in"), stdin);
    writeFileSync(at("run"), `${variables.join("")}exec ${command(argv)}\n`);
    writeSync(this.asks, `${n}\n`);
    const code = this.answer();
    const [stdout, stderr] = [`out.${n}`, `err.${n}`].map((name) => {
      const said = readFileSync(at(name));
      rmSync(at(name));
      return said;
    }) as [Buffer, Buffer];
    return { code, stdout, stderr };
  }

  private answer(): number {
    const buffer = Buffer.alloc(8);
    const length = readSync(this.answers, buffer);
    if (length === 0) throw new Error("the shell has ended");
    return Number(buffer.toString("utf8", 0, length));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.asks);
    closeSync(this.answers);
    rmSync(this.folder, { recursive: true });
  }
}
