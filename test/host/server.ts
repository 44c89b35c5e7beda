import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, connect as dialTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AuthContext,
  type ParsedKey,
  Server,
  type ServerChannel,
  type Connection as SshConnection,
  utils,
} from "ssh2";
import { dialJump } from "../../provider/host/dial";
import { readable } from "../../provider/host/keys";
import { typeOf } from "../../provider/host/known-hosts";
import type { Link } from "../../provider/host/link";
import {
  type Configuration,
  connect as connectTo,
  type Session,
  type Target,
} from "../../provider/host/session";
import { hopsOf } from "../../provider/host/ssh-config";

export const MACHINE = "0123456789abcdef0123456789abcdef";

export interface KeyPair {
  readonly private: string;
  readonly public: string;
}
/** Not by ssh2, one of whose Ed25519 keys in 256 is malformed. */
export function keyPair(type: "ed25519" | "rsa" = "ed25519"): KeyPair {
  const { privateKey } = generateKeyPairSync(type as "rsa", { modulusLength: 2048 });
  const text = readable(privateKey.export({ type: "pkcs8", format: "pem" }) as string);
  const key = (utils.parseKey(text) as ParsedKey).getPublicSSH();
  return { private: text, public: `${typeOf(key)} ${key.toString("base64")}` };
}

export interface Behaviour {
  readonly hostKeys?: readonly KeyPair[];
  /** What the login shell is; sh by default. */
  readonly shell?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Changes the command line before the shell gets it. */
  readonly rewrite?: (command: string) => string;
  /** Answers instead of a shell. */
  readonly answer?: (channel: ServerChannel, command: string) => void;
  /** Decides each attempt; by default everything but `none` is let in. */
  readonly authenticate?: (attempt: AuthContext) => void;
  readonly noExec?: boolean;
  readonly noSession?: boolean;
  /** False: as a jump host, it never answers. */
  readonly forwards?: boolean;
}

/**
 * A host in this process: a real SSH server that gives each command to a local shell. Its /run/hostnet and its machine-id
 * are in a folder of its own, and whoever runs the tests is root there.
 */
export class Host {
  readonly folder = mkdtempSync(join(tmpdir(), "hostnet-"));
  readonly hostKey: KeyPair;
  readonly attempts: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly commands: string[] = [];
  private readonly children = new Set<ChildProcess>();
  tcpConnections = 0;
  port = 0;
  private readonly ssh: Server;
  private readonly tcp = createServer((socket) => {
    this.tcpConnections++;
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {});
    socket.setNoDelay(true);
    (this.ssh as unknown as { injectSocket(socket: Socket): void }).injectSocket(socket);
  });

  constructor(readonly behaviour: Behaviour = {}) {
    const hostKeys = behaviour.hostKeys ?? [keyPair()];
    this.hostKey = hostKeys[0]!;
    mkdirSync(join(this.folder, "bin"));
    writeFileSync(join(this.folder, "machine-id"), `${MACHINE}\n`);
    this.ssh = new Server({ hostKeys: hostKeys.map((key) => key.private) }, (client) => this.serve(client));
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.tcp.listen(port, "127.0.0.1", resolve));
    this.port = (this.tcp.address() as AddressInfo).port;
    return this;
  }

  /** A command of the host's own, found before the machine's. */
  install(name: string, text: string): void {
    writeFileSync(join(this.folder, "bin", name), text);
    chmodSync(join(this.folder, "bin", name), 0o755);
  }

  /** What is left in the host's /run/hostnet, after two seconds at most in which it may go. */
  async left(): Promise<string[]> {
    const folder = join(this.folder, "run");
    for (let i = 0; i < 100 && existsSync(folder) && readdirSync(folder).length > 0; i++) await pause(20);
    return existsSync(folder) ? readdirSync(folder) : [];
  }

  get target(): Target {
    return {
      connection: {
        host: "127.0.0.1",
        port: this.port,
        password: "open",
        hostKey: this.hostKey.public,
        agentSocketPath: "",
      },
      ssh: {},
    };
  }

  reset(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Takes what comes and says nothing more, as behind a dead route. */
  silence(): void {
    for (const socket of this.sockets) {
      socket.removeAllListeners("data");
      socket.resume();
      socket.write = () => true;
    }
  }

  async close(): Promise<void> {
    if (!this.tcp.listening) return;
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.tcp.close(resolve));
    await this.left();
    for (const child of this.children) child.unref();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private serve(client: SshConnection): void {
    client.on("error", () => {});
    client.on("authentication", (attempt) => {
      this.attempts.push(attempt.method);
      if (this.behaviour.authenticate) return this.behaviour.authenticate(attempt);
      if (attempt.method === "none") attempt.reject();
      else attempt.accept();
    });
    client.on("tcpip", (accept, reject, { destIP, destPort }) => {
      if (this.behaviour.forwards === false) return;
      const socket = dialTcp({ host: destIP, port: destPort, noDelay: true });
      socket.on("error", () => reject?.());
      socket.on("connect", () => {
        const channel = accept();
        channel.on("error", () => {});
        channel.pipe(socket).pipe(channel);
        socket.on("close", () => channel.close());
        channel.on("close", () => socket.destroy());
      });
    });
    client.on("session", (accept, reject) => {
      if (this.behaviour.noSession) return reject();
      accept().on("exec", (acceptExec, rejectExec, { command }) => {
        if (this.behaviour.noExec) return rejectExec();
        this.commands.push(command);
        const channel = acceptExec();
        if (this.behaviour.answer) this.behaviour.answer(channel, command);
        else this.shell(channel, command);
      });
    });
  }

  private shell(channel: ServerChannel, command: string): void {
    const { shell = "sh", environment, rewrite = (text: string) => text } = this.behaviour;
    const local = rewrite(
      command
        .replaceAll("/run/hostnet", join(this.folder, "run"))
        .replaceAll("/etc/machine-id", join(this.folder, "machine-id"))
        .replaceAll("$(id -u)", "0"),
    );
    const child = spawn(shell, ["-c", local], {
      env: {
        PATH: `${join(this.folder, "bin")}:${process.env.PATH}`,
        HOME: this.folder,
        // As sshd sets it.
        SSH_CONNECTION: `127.0.0.1 50000 127.0.0.1 ${this.port}`,
        ...environment,
      },
      detached: true,
    });
    this.children.add(child);
    channel.on("error", () => {});
    child.stdin.on("error", () => {});
    child.stdout.on("error", () => {});
    channel.pipe(child.stdin);
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    channel.on("close", () => child.stdin.end());
    // As sshd does: the pipes close with the connection.
    channel.on("close", () => child.stdout.destroy());
    child.on("close", (code, signal) => {
      if (code === null) channel.exit(signal as never);
      else channel.exit(code);
      channel.end();
    });
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
export const script = (text: string): Buffer => Buffer.from(text);

/** One attempt, with what the program says alone, and nothing shared. */
export async function connect(target: Target, configuration: Configuration): Promise<Session> {
  const way = hopsOf(target, () => ({}), { home: "", user: "", environment: {} });
  let jump: Link | undefined;
  for (const hop of way.slice(0, -1)) jump = await dialJump(hop, target.ssh, configuration, jump);
  return connectTo(way.at(-1)!, target.ssh, configuration, jump);
}

/** The error of what must fail. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => {
      throw new Error("did not fail");
    },
    (error: Error) => error,
  );
}
