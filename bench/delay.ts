// The far end of line.ts: a proxy that delays and counts.
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setPriority } from "node:os";

const nothing = () => ({ connections: 0, host: 0, up: 0, down: 0 });
let traffic = nothing();
const settle = new Set<() => void>();

/** Bytes arrive after the delay, in order. A timer is late by up to a millisecond: the rest is waited for awake. */
function delayed(milliseconds: number, deliver: (chunk: Buffer) => void): (chunk: Buffer) => void {
  const queue: { readonly due: number; readonly chunk: Buffer }[] = [];
  let waiting = false;
  const run = (): void => {
    waiting = false;
    while (queue.length > 0) {
      const left = queue[0]!.due - performance.now();
      if (left > 0) {
        waiting = true;
        if (left > 2) setTimeout(run, left - 1.5);
        else setImmediate(run);
        return;
      }
      deliver(queue.shift()!.chunk);
    }
  };
  return (chunk) => {
    queue.push({ due: performance.now() + milliseconds, chunk });
    if (!waiting) run();
  };
}

/**
 * A connection to a port of this machine comes about at once. Over a long line the client has it after one round trip,
 * the server after one and a half: so that much is waited here before the first byte goes on, either way.
 */
function accept(client: Socket, port: number, oneWay: number): void {
  traffic.connections++;
  const server = connect({ host: "127.0.0.1", port, noDelay: true });
  client.setNoDelay(true);
  // Since when the host has all of it, and when it said something last.
  let asked = performance.now() + 3 * oneWay;
  let answered: number | undefined;
  const turn = (): void => {
    if (answered === undefined) return;
    traffic.host += Math.max(0, answered - asked);
    answered = undefined;
  };
  settle.add(turn);
  const up = delayed(oneWay, (chunk) => {
    turn();
    asked = performance.now();
    server.write(chunk);
  });
  const down = delayed(oneWay, (chunk) => client.write(chunk));
  const established = 2 * oneWay;
  const fromClient = (chunk: Buffer): void => {
    traffic.up += chunk.length;
    up(chunk);
  };
  const fromServer = (chunk: Buffer): void => {
    traffic.down += chunk.length;
    answered = performance.now();
    down(chunk);
  };
  setTimeout(() => client.on("data", fromClient), established);
  setTimeout(() => server.on("data", fromServer), established + oneWay);
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on("error", () => {});
    one.on("close", () => {
      settle.delete(turn);
      turn();
      setTimeout(() => other.destroy(), oneWay + 5);
    });
  }
}

try {
  setPriority(-20);
} catch {
  // Only root may: on a busy machine the delay is less exact without.
}
const [port, oneWay] = process.argv.slice(2).map(Number) as [number, number];
const server = createServer((client) => accept(client, port, oneWay));
server.listen(0, "127.0.0.1", () => process.send!((server.address() as AddressInfo).port));
process.on("message", (what) => {
  for (const turn of settle) turn();
  process.send!(traffic);
  if (what === "reset") traffic = nothing();
});
process.on("disconnect", () => process.exit());
