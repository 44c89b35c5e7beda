// A Pulumi project of a test: a program in a folder of its own, a file backend, the real CLI.
import { spawn } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

export interface Run {
  readonly code: number | null;
  /** Both streams, in order, without colours. */
  readonly output: string;
}

export interface Options {
  readonly env?: NodeJS.ProcessEnv;
  /** Seconds. */
  readonly timeout?: number;
  readonly stdin?: string;
}

/** A step of `preview --json`. */
interface PreviewStep {
  readonly op: string;
  readonly urn: string;
  readonly oldState?: { inputs: Record<string, unknown>; outputs?: Record<string, unknown> };
  readonly newState?: { inputs: Record<string, unknown> };
}

interface StateResource {
  readonly urn: string;
  readonly type: string;
  readonly id?: string;
  readonly inputs: Record<string, unknown>;
  readonly outputs: Record<string, unknown>;
}

export class Project {
  readonly folder: string;
  private readonly env: NodeJS.ProcessEnv;
  private readonly home: string;
  private readonly configFile: string | undefined;

  /** @param given a folder with a Pulumi.yaml; left out: a new one, removed by `close` */
  constructor(pulumi: readonly string[], given?: string, name = "net") {
    const home = mkdtempSync(join(tmpdir(), "hostnet-pulumi-"));
    this.folder = given ?? join(home, "project");
    const backend = join(home, "backend");
    mkdirSync(backend);
    if (given === undefined) {
      mkdirSync(this.folder);
      writeFileSync(
        join(this.folder, "Pulumi.yaml"),
        `name: ${name}\nruntime: { name: nodejs, options: { typescript: false } }\n`,
      );
      writeFileSync(join(this.folder, "package.json"), '{ "private": true }\n');
      symlinkSync(join(process.cwd(), "node_modules"), join(this.folder, "node_modules"));
    }
    const bin = join(process.cwd(), "node_modules");
    this.env = {
      ...process.env,
      PATH: [...pulumi, join(bin, ".bin"), join(bin, "@pulumi/pulumi"), process.env.PATH].join(delimiter),
      PULUMI_HOME: join(home, "home"),
      PULUMI_BACKEND_URL: `file://${backend}`,
      PULUMI_CONFIG_PASSPHRASE: "lab",
      PULUMI_SKIP_UPDATE_CHECK: "1",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      // The types of the examples are checked once, by tsc.
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
      // Node need not compile Pulumi's modules again in each of some hundred runs.
      NODE_COMPILE_CACHE: join(process.cwd(), "node_modules/.cache/pulumi-hostnet/bytecode"),
      NO_COLOR: "1",
      SSH_AUTH_SOCK: "",
    };
    this.home = home;
    // The configuration of a stack would otherwise be written into the given folder.
    this.configFile = given === undefined ? undefined : join(home, "stack.yaml");
  }

  /** What a person sets to go on by hand. */
  get environment(): Readonly<Record<string, string | undefined>> {
    const names = ["PATH", "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE"];
    return Object.fromEntries(names.map((name) => [name, this.env[name]]));
  }

  /** Where the stack's configuration is, for the commands that ask. */
  flags(command = "up"): readonly string[] {
    return this.configFile && command !== "stack" ? ["--config-file", this.configFile] : [];
  }

  /** The program: CommonJS, so that nothing has to be compiled. */
  program(text: string): void {
    writeFileSync(join(this.folder, "index.js"), text);
  }

  /** The CLI, under way; in a group of processes of its own. */
  start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    return spawn("pulumi", [...args, ...this.flags(args[0]), "--non-interactive", "--color", "never"], {
      cwd: this.folder,
      env: { ...this.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
  }

  /** Any command of the CLI; a failure is a result like another. */
  async run(args: readonly string[], options: Options = {}): Promise<Run> {
    return new Promise((resolve, reject) => {
      const child = this.start(args, options.env);
      child.stdin.on("error", () => {});
      child.stdin.end(options.stdin ?? "");
      const chunks: Buffer[] = [];
      child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
      child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
      const timer = setTimeout(() => child.kill("SIGKILL"), (options.timeout ?? 300) * 1000);
      child.on("error", reject);
      child.on("close", (code) => {
        clearTimeout(timer);
        resolve({ code, output: Buffer.concat(chunks).toString("utf8") });
      });
    });
  }

  /** A command that must succeed; its output. */
  async ok(args: readonly string[], options: Options = {}): Promise<string> {
    const { code, output } = await this.run(args, options);
    if (code !== 0) throw new Error(`pulumi ${args.join(" ")} exited ${code}:\n${output}`);
    return output;
  }

  async init(stack = "lab"): Promise<void> {
    await this.ok(["stack", "init", stack]);
  }

  /** `--skip-preview` halves the time where the preview is not what is looked at. */
  up(...more: string[]): Promise<string> {
    return this.ok(["up", "--yes", "--skip-preview", ...more]);
  }

  /** An `up` that must fail; what it said. */
  async fails(...args: string[]): Promise<string> {
    const { code, output } = await this.run(args.length > 0 ? args : ["up", "--yes", "--skip-preview"]);
    if (code === 0) throw new Error(`it should have failed:\n${output}`);
    return output;
  }

  refresh(): Promise<string> {
    return this.ok(["refresh", "--yes", "--skip-preview", "--diff"]);
  }

  destroy(): Promise<string> {
    return this.ok(["destroy", "--yes", "--skip-preview"]);
  }

  async preview(): Promise<PreviewStep[]> {
    const output = await this.ok(["preview", "--json"]);
    return (JSON.parse(output.slice(output.indexOf("{"))) as { steps: PreviewStep[] }).steps;
  }

  async state(): Promise<StateResource[]> {
    const output = await this.ok(["stack", "export", "--show-secrets"]);
    return (JSON.parse(output) as { deployment: { resources?: StateResource[] } }).deployment.resources ?? [];
  }

  /** Everything that the backend wrote, as text: where no secret may stand. */
  stateFiles(): string {
    const list = (folder: string): string[] =>
      readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory()
          ? list(join(folder, entry.name))
          : [readFileSync(join(folder, entry.name), "utf8")],
      );
    return list(join(this.home, "backend")).join("\n");
  }

  close(): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}
