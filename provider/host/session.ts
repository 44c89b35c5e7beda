import { randomBytes } from "node:crypto";
import type { Way } from "../kind";
import { Channel } from "./channel";
import { dial } from "./dial";
import { commandLine } from "./driver";
import type { Link } from "./link";
import { type Configuration, labelHop, type ResolvedHop, type SshOptions } from "./target";

export type { Configuration, Connection, SshOptions, Target } from "./target";

export interface Reply {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface Greeting {
  readonly uid: number;
  readonly machineId: string;
  readonly bootId: string;
  /** Absent where the host's sshd does not tell. */
  readonly way?: Way;
}

export interface Session {
  readonly greeting: Greeting;
  readonly alive: boolean;
  /**
   * Runs one script, after those before it; its folder is `${0%/*}`. Exit 124: it was stopped at its limit. Rejects with
   * UnknownOutcome when the connection goes away after anything was sent, with NotSent when nothing ran, with another
   * HostnetError otherwise.
   */
  run(script: Buffer, limitSeconds: number): Promise<Reply>;
  close(): void;
}

/** A new connection to the last hop of a way and the driver on it, in one attempt; `jump` is the hop before it. */
export async function connect(
  host: ResolvedHop,
  ssh: SshOptions,
  configuration: Configuration,
  jump?: Link,
): Promise<Session> {
  const mark = randomBytes(16).toString("hex");
  const command = commandLine(mark, ssh.sudo, configuration.sudoPassword);
  const link = await dial(host, ssh, configuration, jump);
  try {
    const channel = await link.exec(command, (stream) => {
      const channel = new Channel(stream, mark, labelHop(host));
      // Without its driver the connection is of no use.
      stream.on("close", () => link.close());
      return channel;
    });
    link.onLost((reason) => channel.lost(reason));
    const greeting = await channel.greet(ssh.sudo, configuration.sudoPassword);
    link.release();
    return new DriverSession(greeting, channel, link);
  } catch (error) {
    link.close();
    throw error;
  }
}

class DriverSession implements Session {
  constructor(
    readonly greeting: Greeting,
    private readonly channel: Channel,
    private readonly link: Link,
  ) {}

  get alive(): boolean {
    return this.channel.alive && this.link.alive;
  }

  async run(script: Buffer, limitSeconds: number): Promise<Reply> {
    this.link.hold();
    try {
      return await this.channel.run(script, limitSeconds);
    } finally {
      this.link.release();
      // A channel that broke leaves nothing to use the connection for.
      if (!this.channel.alive) this.link.close();
    }
  }

  close(): void {
    this.channel.lost("we closed it");
    this.link.close();
  }
}
