// A long line to the host: delay.ts, in a process of its own, so that what is measured does not slow it down.
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";

/** What went over the line since the last `reset`. */
export interface Traffic {
  readonly connections: number;
  /** Milliseconds from when the host had all that was sent until the last it said to that: its own work. */
  readonly host: number;
  readonly up: number;
  readonly down: number;
}

/** The near end: a line with so many milliseconds there and back. */
export class Line {
  readonly port: number;
  readonly roundTrip: number;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, port: number, roundTrip: number) {
    this.child = child;
    this.port = port;
    this.roundTrip = roundTrip;
  }

  static async to(port: number, roundTrip: number): Promise<Line> {
    const child = fork(join(process.cwd(), "bench", "delay.ts"), [String(port), String(roundTrip / 2)]);
    const own = await new Promise<number>((resolve) => child.once("message", (m) => resolve(m as number)));
    return new Line(child, own, roundTrip);
  }

  reset(): Promise<Traffic> {
    return this.ask("reset");
  }

  traffic(): Promise<Traffic> {
    return this.ask("traffic");
  }

  close(): void {
    this.child.disconnect();
  }

  private ask(what: string): Promise<Traffic> {
    return new Promise((resolve) => {
      this.child.once("message", (answer) => resolve(answer as Traffic));
      this.child.send(what);
    });
  }
}
