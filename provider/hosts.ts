import { Commit, type Sessions } from "./host/commit";
import { type Configuration, Hosts as Pool } from "./host/pool";
import type { Target } from "./host/target";
import type { HostArgs } from "./host-args";
import type { Hosts } from "./lifecycle";
import type { Host } from "./look";
import { Trials } from "./trials";

const CREDENTIALS = ["privateKey", "privateKeyPassword", "password", "sudoPassword"] as const;

/** The hosts of this process: one queue of scripts for each, on the one connection that the pool keeps. */
export class RunHosts implements Hosts {
  readonly trials = new Trials();
  private readonly pool = new Pool();
  private readonly queues = new Map<string, { readonly label: string; readonly commit: Commit }>();
  private configuration: Configuration = {};

  /** Stores only: a second call may come in while the first is awaited. */
  configure(get: (key: string) => string | undefined): void {
    this.configuration = Object.fromEntries(CREDENTIALS.map((key) => [key, get(key)]));
  }

  at({ connection, ssh = {} }: HostArgs): Host {
    const target = { connection, ssh };
    const key = JSON.stringify(target);
    const queue = this.queues.get(key) ?? this.queue(target);
    this.queues.set(key, queue);
    const greet = async () => (await this.pool.session(target, this.configuration)).greeting;
    return { label: queue.label, submit: (plan) => queue.commit.submit(plan), greet };
  }

  private queue(target: Target): { label: string; commit: Commit } {
    const label = this.pool.label(target);
    const sessions: Sessions = {
      label,
      session: () => this.pool.session(target, this.configuration),
      renew: (seconds) => this.pool.renew(target, this.configuration, seconds),
    };
    return { label, commit: new Commit(sessions) };
  }

  close(): void {
    this.pool.close();
  }
}
