import { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { type Hop, labelHop, NotSent, Refused } from "./target";

/** Seconds between two signs of life, and how many may be missed. */
export const KEEPALIVE = { interval: 5, missed: 3 };

/** A host that let us in. */
export interface Link {
  readonly alive: boolean;
  /** While anybody holds it the connection keeps the process alive; idle, it does not. */
  hold(): void;
  release(): void;
  /** Told once, when the connection is gone. */
  onLost(listener: (reason: string) => void): void;
  /** `use` gets the channel in the very tick it opens: a host that hangs up at once would be missed later. */
  exec<T>(command: string, use: (channel: Exec) => T): Promise<T>;
  /** A stream to another host, as seen from this one. With the last of them the link closes. */
  forward(hop: Hop, seconds: number): Promise<Duplex>;
  close(): void;
}

/** What we use of ssh2's Client. */
interface Client {
  on(event: "error", listener: (error: Error) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  exec(command: string, done: (error: Error | undefined, channel: Exec) => void): unknown;
  forwardOut(
    fromHost: string,
    fromPort: number,
    host: string,
    port: number,
    done: (error: Error | undefined, stream: Duplex) => void,
  ): unknown;
  end(): unknown;
  destroy(): unknown;
}

type Exec = Duplex & { readonly stderr: Readable };

export function linkOf(client: Client, sock: Duplex, who: string, jump?: Link): Link {
  let held = 1;
  let streams = 0;
  let lost: string | undefined;
  const listeners: ((reason: string) => void)[] = [];
  const socket = sock instanceof Socket ? sock : undefined;
  const gone = (reason: string): void => {
    if (lost !== undefined) return;
    lost = reason;
    clearInterval(heartbeat);
    if (held > 0) jump?.release();
    for (const listener of listeners) listener(reason);
    client.destroy();
    sock.destroy();
  };
  client.on("error", (error) => gone(reason(error)));
  client.on("close", () => gone("the host closed the connection"));
  const heartbeat = keepalive(client, sock, () => gone("the host has fallen silent"));

  return {
    get alive() {
      return lost === undefined;
    },
    hold() {
      if (lost !== undefined || held++ > 0) return;
      socket?.ref();
      jump?.hold();
    },
    release() {
      if (lost !== undefined || --held > 0) return;
      socket?.unref();
      jump?.release();
    },
    onLost(listener) {
      if (lost === undefined) listeners.push(listener);
      else listener(lost);
    },
    exec(command, use) {
      return new Promise((resolve, reject) => {
        const fail = (error: Error): void => {
          if (lost !== undefined) reject(new NotSent(`${who}: the connection was lost: ${lost}`));
          else reject(new Refused(`${who}: the host runs no command for this user: ${error.message}`));
        };
        if (lost !== undefined) return fail(new Error(lost));
        client.exec(command, (error, channel) => {
          if (error) fail(error);
          else resolve(use(channel));
        });
      });
    },
    forward(hop, seconds) {
      const { host, port = 22 } = hop;
      const done = (): void => {
        if (--streams === 0) this.close();
      };
      streams++;
      return new Promise((resolve, reject) => {
        let failed = false;
        const fail = (why: string): void => {
          clearTimeout(timer);
          if (failed) return;
          failed = true;
          done();
          reject(new NotSent(`${labelHop(hop)}: cannot be reached through ${who}: ${why}`));
        };
        const timer = deadline(seconds, fail);
        if (lost !== undefined) return fail(lost);
        client.forwardOut("127.0.0.1", 0, host, port, (error, stream) => {
          if (error) return fail(error.message);
          if (failed) return void stream.destroy();
          clearTimeout(timer);
          stream.on("close", done);
          stream.on("error", () => {});
          resolve(stream);
        });
      });
    },
    close() {
      client.end();
      gone("we closed it");
    },
  };
}

/**
 * ssh2's own keepalive cannot be told to let the process end, hence this one. Anything that comes from the host counts.
 */
function keepalive(client: Client, sock: Duplex, silent: () => void): NodeJS.Timeout {
  const { _protocol: protocol } = client as unknown as { _protocol: { ping(): void } };
  let missed = 0;
  sock.on("data", () => {
    missed = 0;
  });
  const timer = setInterval(() => {
    if (missed++ >= KEEPALIVE.missed) silent();
    else protocol.ping();
  }, KEEPALIVE.interval * 1000);
  return timer.unref();
}

/** For one step of the way to a host; 0 waits for ever. */
export function deadline(seconds: number, fail: (why: string) => void): NodeJS.Timeout | undefined {
  return seconds > 0 ? setTimeout(() => fail(`no answer within ${seconds} s`), seconds * 1000) : undefined;
}

/** Several addresses that failed are one error without a text. */
export function reason(error: Error & { code?: unknown; errors?: readonly Error[] }): string {
  return error.message || error.errors?.map((e) => e.message).join("; ") || String(error.code);
}
