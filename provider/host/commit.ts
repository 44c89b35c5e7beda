import { randomBytes } from "node:crypto";
import { HostnetError, NotSent } from "../errors";
import { compile, type Outcome, outcomes, type Plan } from "./script";
import type { Greeting, Session } from "./session";

/** What one script may carry: beyond it the answer grows past what the session takes in. */
const MOST = 200;
/** Seconds: a change of a libvirt filter in use takes 22 s under emulation, a look a fraction of one. */
const LIMIT = { base: 60, look: 1, change: 30 };

export interface Answer {
  readonly outcome: Outcome;
  /** An earlier change of the same script may be why this one was missed: no sign of trouble, only of company. */
  readonly crowded: boolean;
  readonly greeting: Greeting;
}

interface Waiting {
  readonly plan: Plan;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: the first plan waits one tick, so that a burst is one script; while a script is under way, plans that
 * arrive are collected, and the next script carries them all, in order of arrival.
 */
export class Commit {
  private waiting: Waiting[] = [];
  private busy = false;

  constructor(private readonly session: () => Promise<Session>) {}

  submit(plan: Plan): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ plan, resolve, reject });
      if (!this.busy) {
        this.busy = true;
        setImmediate(() => this.drain());
      }
    });
  }

  private async drain(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MOST);
      try {
        const session = await this.session();
        // Those that came while the connection was made go along.
        batch.push(...this.waiting.splice(0, MOST - batch.length));
        await this.send(session, batch).catch(async (error: unknown) => {
          // The connection had gone before anything was sent: a new one may do.
          if (!(error instanceof NotSent)) throw error;
          await this.send(await this.session(), batch);
        });
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.busy = false;
  }

  private async send(session: Session, batch: readonly Waiting[]): Promise<void> {
    const plans = batch.map(({ plan }) => plan);
    const mark = randomBytes(16).toString("hex");
    const limit = plans.reduce((sum, plan) => sum + (plan.change ? LIMIT.change : LIMIT.look), LIMIT.base);
    const { code, stdout, stderr } = await session.run(compile(plans, mark), limit);
    if (code === 75) throw new HostnetError("another change has held the host's lock for 30 s: try again");
    if (code === 73) throw new HostnetError(`cannot write the records: ${stderr.toString().trim()}`);
    // 124: stopped at its limit, after the change under way was undone; the others tell that they were not run.
    if (code !== 0 && code !== 124)
      throw new HostnetError(`the script ended with ${code}: ${stderr.toString().trim().slice(-400)}`);
    const results = outcomes(plans, mark, stdout, stderr);
    batch.forEach(({ resolve }, n) => {
      const crowded = results.slice(0, n).some(({ type }) => type === "done" || type === "failed");
      resolve({ outcome: results[n]!, crowded, greeting: session.greeting });
    });
  }
}
