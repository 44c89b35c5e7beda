import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { HostnetError, NotSent, Refused, UnknownOutcome } from "../errors";
import { confirmation, timeoutOf } from "./checkpoint";
import { plain } from "./driver";
import { log } from "./log";
import { known, outcomes } from "./outcome";
import type { Outcome, Plan } from "./plan";
import { compile } from "./script";
import type { Greeting, Reply, Session } from "./session";
import { surroundings } from "./ssh-config-file";

/** What one script may carry: beyond it the answer grows past what the session takes in. */
const MOST = 200;
/**
 * Seconds: a change of a libvirt filter in use takes 22 s under emulation, a look a fraction of one. The base has the
 * minute and a half in it that a script waits for another's confirmation.
 */
const LIMIT = { base: 150, look: 1, change: 30 };
/** Seconds after its deadline in which the host should have undone what was not confirmed, and be there again. */
const RETURN = 30;
/** Milliseconds between two attempts to confirm. */
const PAUSE = { first: 200, factor: 1.5, most: 5000 };
const NOTHING: Reply = { code: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };

export interface Answer {
  readonly outcome: Outcome;
  /** Why no new connection confirmed the change. */
  readonly reason?: string;
  /** An earlier change of the same script may be why this one was missed: no sign of trouble, only of company. */
  readonly crowded: boolean;
  readonly greeting: Greeting;
}

interface Waiting {
  readonly plan: Plan;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** How the changes of a script ended, as far as it is known, and why they were not confirmed at once. */
interface End {
  readonly outcomes: readonly (Outcome | undefined)[];
  readonly reason?: string;
  readonly greeting?: Greeting;
}

/** Where a queue gets its sessions from. */
export interface Sessions {
  /** For messages: "root@10.0.0.5". */
  readonly label: string;
  /** The one that is open, or a new one, dialled as often as it takes. */
  session(): Promise<Session>;
  /** A new connection, dialled once for at most so many seconds, which takes the place of the one that is open. */
  renew(seconds: number): Promise<Session>;
}

/**
 * Group commit: the first plan waits one tick, so that a burst is one script; while a script is under way, plans that
 * arrive are collected, and the next script carries them all, in order of arrival.
 */
export class Commit {
  private waiting: Waiting[] = [];
  private busy = false;

  constructor(private readonly sessions: Sessions) {}

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
        const session = await this.sessions.session();
        // Those that came while the connection was made go along.
        batch.push(...this.waiting.splice(0, MOST - batch.length));
        await this.send(session, batch).catch(async (error: unknown) => {
          // The connection had gone before anything was sent: a new one may do.
          if (!(error instanceof NotSent)) throw error;
          await this.send(await this.sessions.session(), batch);
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
    const seconds = ({ change }: Plan): number =>
      change ? LIMIT.change + (change.seconds ?? 0) : LIMIT.look;
    const limit = plans.reduce((sum, plan) => sum + seconds(plan), LIMIT.base);
    const script = compile(plans, mark, BY);
    const confirmed = timeoutOf(plans) !== undefined;
    let reply: Reply | undefined;
    let reason: string | undefined;
    try {
      reply = await this.run(session, script, limit, plans);
      refuse(reply);
    } catch (error) {
      // It may have cut the very connection it came by: the host undoes it, or a new connection can confirm it.
      if (!(error instanceof UnknownOutcome) || !confirmed) throw error;
      reply = undefined;
      reason = error.message;
    }
    const first = reply && outcomes(plans, mark, reply.stdout, reply.stderr);
    const open = !first || first.some(({ type }) => type === "armed");
    const end = open ? await this.confirm(plans, mark, reply, reason) : { outcomes: first };
    batch.forEach(({ resolve, reject }, n) => {
      const outcome = end.outcomes[n];
      if (!outcome || outcome.type === "armed") {
        reject(new UnknownOutcome(unheard(end.reason)));
        return;
      }
      const company = first?.slice(0, n).map(({ type }) => type) ?? [];
      const crowded = company.some((type) => type === "done" || type === "failed" || type === "armed");
      resolve({ outcome, crowded, reason: end.reason, greeting: end.greeting ?? session.greeting });
    });
  }

  /**
   * A new connection confirms, or is told how it ended without. Tried until well after the host's deadline, for a host
   * that cut itself off is there again then.
   */
  private async confirm(
    plans: readonly Plan[],
    mark: string,
    { stdout, stderr }: Reply = NOTHING,
    first?: string,
  ): Promise<End> {
    const timeout = timeoutOf(plans) ?? 0;
    const [deadline, end] = [timeout, timeout + RETURN].map((seconds) => Date.now() + seconds * 1000);
    let reason = first;
    for (let pause = PAUSE.first; ; pause = Math.min(pause * PAUSE.factor, PAUSE.most)) {
      try {
        const { greeting, answer } = await this.ask(mark, timeout, plans);
        const all = (before: Buffer, after: Buffer) => Buffer.concat([before, after]);
        const outcomes = known(plans, mark, all(stdout, answer.stdout), all(stderr, answer.stderr));
        if (answer.code === 0) return { outcomes, reason, greeting };
        reason ??= `the host answered with ${answer.code}: ${plain(answer.stderr.toString("latin1"))}`;
      } catch (error) {
        if (!(error instanceof HostnetError)) throw error;
        reason ??= error.message;
        // Who is refused asks once more when the host has undone it, and not a hundred times until then.
        if (error instanceof Refused) pause = Math.max(pause, deadline! + PAUSE.most - Date.now());
      }
      if (Date.now() + pause > end!) return { outcomes: known(plans, mark, stdout, stderr), reason };
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  private async ask(mark: string, timeout: number, plans: readonly Plan[]) {
    // Several attempts in the time there is: packets of the first may have gone into a hole that is closed since.
    const session = await this.sessions.renew(Math.max(5, timeout / 4));
    const answer = await this.run(session, confirmation(mark), timeout + RETURN, plans);
    return { greeting: session.greeting, answer };
  }

  private async run(session: Session, script: Buffer, limit: number, plans: readonly Plan[]): Promise<Reply> {
    const begin = process.hrtime.bigint();
    const entry = {
      host: this.sessions.label,
      resources: plans.map(({ label }) => label),
      bytes: script.length,
    };
    try {
      const reply = await session.run(script, limit);
      log({ ...entry, exit: reply.code, milliseconds: since(begin) });
      return reply;
    } catch (error) {
      // Its message may have the host's own words in it.
      log({ ...entry, error: (error as Error).name, milliseconds: since(begin) });
      throw error;
    }
  }
}

const since = (begin: bigint): number => Number((process.hrtime.bigint() - begin) / 1_000_000n);

/** Who works here, for those who have to wait and for the host's log. */
const BY = `${surroundings().user}@${hostname()}`;

function refuse({ code, stderr }: Reply): void {
  const said = stderr.toString().trim().slice(-400);
  switch (code) {
    case 0:
    // Stopped at its limit, after the change under way was undone; the others tell that they were not run.
    case 124:
      return;
    case 73:
      throw new HostnetError(`cannot write the records: ${said}`);
    case 74:
      throw new HostnetError(
        "an earlier change was cut off in the middle and cannot be taken back: look at /run/hostnet/pending there",
      );
    case 75:
      throw new HostnetError("another change has held the host's lock for 30 s: try again");
    case 76:
      throw new HostnetError(`another change still waits for its confirmation: ${said}. Try again`);
    case 77:
      throw new UnknownOutcome(
        `the change is made, but the disk there may not have kept its records: ${said}`,
      );
    case 78:
      throw new HostnetError(`the undo of the change could not be armed, so nothing was done: ${said}`);
    case 79:
      throw new HostnetError(`confirm.probes: the host lacks the tool for ${said}; nothing was done`);
    // Killed: the next script finds what it left open, and takes it back.
    case 137:
      throw new UnknownOutcome("the script was killed on the host");
    default:
      throw new HostnetError(`the script ended with ${code}: ${said}`);
  }
}

const unheard = (reason?: string): string =>
  `no new connection could confirm the change${reason ? ` (${reason})` : ""}, and how it ended is not known; ` +
  "the host takes back by itself what nobody confirms";
