// The provider of this package in this process, as the engine calls it, and what it sends.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchHost } from "./here.ts";
import type { Line } from "./line.ts";

// Compiled, as users run it.
const load = createRequire(join(process.cwd(), "package.json"));
const { RunHosts } = load("./dist/provider/hosts.js") as typeof import("../provider/hosts");
const { lifecycle } = load("./dist/provider/lifecycle.js") as typeof import("../provider/lifecycle");
const { bridge } = load("./dist/provider/bridge/index.js") as typeof import("../provider/bridge");
const { nftSet } = load("./dist/provider/nft-set/index.js") as typeof import("../provider/nft-set");
const { dial } = load("./dist/provider/host/dial.js") as typeof import("../provider/host/dial");
const { connect } = load("./dist/provider/host/session.js") as typeof import("../provider/host/session");

const { KEEPALIVE } = load("./dist/provider/host/link.js") as typeof import("../provider/host/link");
// A sign of life while a long script runs would pass for a request.
KEEPALIVE.interval = 600;

type Props = Record<string, unknown>;
export interface Made {
  readonly id: string;
  outs: Props;
}

/** A copy as Pulumi's engine makes it: the keys in the order of their letters. */
const json = <T>(value: T): T => JSON.parse(JSON.stringify(value, (_, inner) => sorted(inner)));

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const record = value as Props;
  return Object.fromEntries(
    Object.keys(record)
      .sort()
      .map((key) => [key, record[key]]),
  );
}

export const hostArgs = (vm: BenchHost, port: number) => ({
  connection: { host: "127.0.0.1", port, user: "root", hostKey: vm.hostKey },
  ssh: { identityFile: vm.keyFile },
});

/** One run: a pool with no connection yet. */
export class Ours {
  private readonly hosts = new RunHosts();
  private readonly kinds = {
    Bridge: lifecycle(bridge, this.hosts),
    NftSet: lifecycle(nftSet, this.hosts),
  };
  private readonly folder = mkdtempSync(join(tmpdir(), "bench-"));
  private readonly host: ReturnType<typeof hostArgs>;

  /** Seconds that the last of each took, without the copies that stand for the way through Pulumi's engine. */
  readonly took = { check: 0, create: 0, update: 0 };

  constructor(vm: BenchHost, line: Line) {
    this.host = hostArgs(vm, line.port);
    process.env.HOSTNET_LOG = join(this.folder, "log");
  }

  /** The connection and the driver on it. */
  async open(): Promise<void> {
    await this.hosts.at(this.host).greet();
  }

  /** A login of its own, up to where a command could be run; how to end it. */
  async login(): Promise<() => void> {
    const link = await dial(this.host.connection, this.host.ssh, {});
    return () => link.close();
  }

  async session(): Promise<() => void> {
    const session = await connect(this.host.connection, this.host.ssh, {});
    return () => session.close();
  }

  async create(kind: "Bridge" | "NftSet", args: Props): Promise<Made> {
    const inputs = await this.check(kind, args);
    const { id, outs } = await this.timed("create", () => this.kinds[kind].create(inputs));
    return { id, outs: json(outs) };
  }

  async update(kind: "Bridge" | "NftSet", made: Made, args: Props): Promise<void> {
    const inputs = await this.check(kind, args);
    const { outs } = await this.timed("update", () => this.kinds[kind].update(made.id, made.outs, inputs));
    made.outs = json(outs);
  }

  async read(kind: "Bridge" | "NftSet", made: Made): Promise<void> {
    const { props } = await this.kinds[kind].read(made.id, made.outs);
    if ((props?.drift as readonly string[] | undefined)?.length !== 0)
      throw new Error(`${made.id} has drifted`);
  }

  delete(kind: "Bridge" | "NftSet", made: Made): Promise<void> {
    return this.kinds[kind].delete(made.id, made.outs);
  }

  /** Scripts that went to the host since the last call. */
  scripts(): number {
    const file = process.env.HOSTNET_LOG!;
    try {
      return readFileSync(file, "utf8").split("\n").length - 1;
    } catch {
      return 0;
    } finally {
      rmSync(file, { force: true });
    }
  }

  /** Seconds that the longest of them took. */
  longest(): number {
    const lines = readFileSync(process.env.HOSTNET_LOG!, "utf8").split("\n").filter(Boolean);
    return (
      Math.max(...lines.map((line) => (JSON.parse(line) as { milliseconds: number }).milliseconds)) / 1000
    );
  }

  close(): void {
    this.hosts.close();
    delete process.env.HOSTNET_LOG;
    rmSync(this.folder, { recursive: true });
  }

  private async timed<T>(call: keyof Ours["took"], run: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    const result = await run();
    this.took[call] = (performance.now() - begin) / 1000;
    return result;
  }

  async check(kind: "Bridge" | "NftSet", args: Props): Promise<Props> {
    const owner = `urn:pulumi:bench::net::pulumi-nodejs:dynamic/hostnet:${kind}::${args.name}`;
    const news = { ...this.host, ...args, __provider: "", __owner: owner, __resource: args.name };
    const given = json(news);
    const { inputs, failures } = await this.timed("check", () => this.kinds[kind].check({}, given));
    if (failures.length > 0) throw new Error(JSON.stringify(failures));
    return json(inputs);
  }
}
