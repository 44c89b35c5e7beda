import { type AddressInfo, createServer, connect as dialTcp, type Socket } from "node:net";

/** "up" is from the client to the server. */
export type Direction = "up" | "down";

export interface Cut {
  readonly direction: Direction;
  /** Bytes of that direction, over all connections, that still go through. */
  readonly after: number;
  /** "stall": nothing goes through any more, either way, and nobody is told. A function: called, and all goes on. */
  readonly how: "RST" | "FIN" | "stall" | (() => void);
  /** Later connections find nobody, until `mend`. */
  readonly down?: boolean;
}

/** A TCP proxy that counts, delays, cuts and stalls. */
export class TcpProxy {
  connections = 0;
  readonly bytes = { up: 0, down: 0 };
  port = 0;
  private readonly pairs = new Set<readonly [Socket, Socket]>();
  private cutting: Cut | undefined;
  private down = false;
  private readonly server = createServer((client) => this.accept(client));

  /** @param delay milliseconds that each byte takes, for each direction */
  constructor(
    private readonly dial: () => Promise<Socket>,
    private readonly delay: Readonly<Partial<Record<Direction, number>>> = {},
  ) {}

  /** To a port of this machine's loopback. */
  static to(port: number, delay?: Readonly<Partial<Record<Direction, number>>>): TcpProxy {
    return new TcpProxy(async () => dialTcp({ host: "127.0.0.1", port, noDelay: true }), delay);
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  /** Counts begin anew. */
  cut(cut: Cut): void {
    this.mend();
    this.cutting = cut;
  }

  /** Everything goes through again, on new connections; counts begin anew. */
  mend(): void {
    this.cutting = undefined;
    this.down = false;
    Object.assign(this.bytes, { up: 0, down: 0 });
  }

  close(): void {
    this.server.close();
    for (const pair of this.pairs) for (const socket of pair) socket.destroy();
  }

  private async accept(client: Socket): Promise<void> {
    this.connections++;
    client.on("error", () => {});
    client.setNoDelay(true);
    if (this.down) return void client.resetAndDestroy();
    client.pause();
    const server = await this.dial().catch(() => undefined);
    if (!server) return void client.resetAndDestroy();
    const pair = [client, server] as const;
    this.pairs.add(pair);
    server.on("error", () => {});
    server.setNoDelay(true);
    this.join(pair, client, server, "up");
    this.join(pair, server, client, "down");
  }

  private join(pair: readonly [Socket, Socket], from: Socket, to: Socket, direction: Direction): void {
    const later = (act: () => void): void => {
      const delay = this.delay[direction] ?? 0;
      if (delay > 0) setTimeout(act, delay);
      else act();
    };
    from.on("data", (chunk: Buffer) => {
      const cut = this.cutting;
      const left = cut?.direction === direction ? cut.after - this.bytes[direction] : chunk.length;
      this.bytes[direction] += chunk.length;
      const part = chunk.subarray(0, Math.max(0, Math.min(left, chunk.length)));
      if (part.length === chunk.length) return later(() => to.write(part));
      if (typeof cut!.how === "function") {
        this.cutting = undefined;
        to.write(part);
        cut!.how();
        return void to.write(chunk.subarray(part.length));
      }
      const { how } = cut!;
      // Once only: what follows on this pair is lost.
      this.cutting = undefined;
      from.removeAllListeners("data");
      this.down = cut!.down === true;
      if (how === "stall") {
        if (part.length > 0) to.write(part);
        for (const socket of pair) socket.removeAllListeners("data").pause();
      } else {
        const end = (): void => this.end(pair, how);
        to.write(part, () => setTimeout(end, 3));
      }
    });
    from.on("close", () => {
      later(() => to.destroy());
      this.pairs.delete(pair);
    });
    from.resume();
  }

  private end(pair: readonly [Socket, Socket], how: Cut["how"]): void {
    for (const socket of pair) {
      if (how === "RST") socket.resetAndDestroy();
      else socket.end(() => socket.destroy());
    }
  }
}
