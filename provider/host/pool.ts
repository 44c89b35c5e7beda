import { createHash } from "node:crypto";
import { dialJump } from "./dial";
import type { Link } from "./link";
import { connect, type Session } from "./session";
import { hopsOf, type LookUp } from "./ssh-config";
import { readSshConfig, surroundings } from "./ssh-config-file";
import {
  type Configuration,
  label,
  labelHop,
  NotSent,
  Refused,
  type ResolvedHop,
  type Target,
} from "./target";

export { type Configuration, label } from "./target";

/** As @pulumi/command has it: ten attempts, the pauses growing from 0.1 to 5 s; and a minute for all, unless told. */
const ATTEMPTS = 10;
const PAUSE = { first: 100, factor: 1.5, most: 5000 };
const BUDGET = { usual: 60_000, told: 30 * 60_000 };

interface Place {
  session?: Session;
  /** The one attempt under way, which all callers share. */
  connecting?: Promise<Session>;
  /** Said once by the host, true for the rest of the run: a hundred resources must not make a hundred attempts. */
  refused?: Refused;
  /** It was not reachable a moment ago: the next caller looks once, and does not wait for it again. */
  down?: boolean;
}

/** The hosts of this process: one connection each, shared by all resources, and one to each jump host. */
export class Hosts {
  private readonly places = new Map<string, Place>();
  private readonly jumps = new Map<string, Promise<Link>>();
  private config?: LookUp;

  /** How errors call a host; one that cannot be found in ~/.ssh/config is told of when it is dialled. */
  label(target: Target): string {
    try {
      return labelHop(this.way(target).at(-1)!);
    } catch {
      return label(target);
    }
  }

  session(target: Target, configuration: Configuration): Promise<Session> {
    const key = identity([target, configuration]);
    const place = this.places.get(key) ?? {};
    this.places.set(key, place);
    if (place.refused) return Promise.reject(place.refused);
    if (place.connecting) return place.connecting;
    if (place.session?.alive) return Promise.resolve(place.session);

    place.connecting = this.connect(target, configuration, place.down === true)
      .then(
        (session) => {
          place.session = session;
          place.down = false;
          return session;
        },
        (error: unknown) => {
          if (error instanceof Refused) place.refused = error;
          place.down = true;
          throw error;
        },
      )
      .finally(() => {
        place.connecting = undefined;
      });
    return place.connecting;
  }

  /**
   * A new connection, dialled once for at most so many seconds, in the place of the one that is open: it shows that the
   * host still lets us in.
   */
  async renew(target: Target, configuration: Configuration, seconds: number): Promise<Session> {
    const key = identity([target, configuration]);
    const session = await this.dial(target, configuration, seconds);
    this.places.get(key)?.session?.close();
    this.places.set(key, { session });
    return session;
  }

  close(): void {
    for (const place of this.places.values()) place.session?.close();
    for (const jump of this.jumps.values()) jump.then((link) => link.close()).catch(() => {});
    this.places.clear();
    this.jumps.clear();
  }

  private async connect(target: Target, configuration: Configuration, once: boolean): Promise<Session> {
    const { dialErrorLimit, perDialTimeout } = target.connection;
    const told = dialErrorLimit !== undefined || perDialTimeout !== undefined;
    const limit = dialErrorLimit === -1 ? Number.POSITIVE_INFINITY : Math.max(1, dialErrorLimit ?? ATTEMPTS);
    const end = Date.now() + (told ? BUDGET.told : BUDGET.usual);
    let pause = PAUSE.first;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.dial(target, configuration);
      } catch (error) {
        if (!(error instanceof NotSent) || once || attempt >= limit || Date.now() + pause > end) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * PAUSE.factor, PAUSE.most);
    }
  }

  /** Each hop of the way there takes at most so many seconds. */
  private async dial(target: Target, configuration: Configuration, seconds = 0): Promise<Session> {
    const way = this.way(target).map((hop) => ({
      ...hop,
      perDialTimeout: sooner(hop.perDialTimeout, seconds),
    }));
    const jump = await this.jump(way.slice(0, -1), target, configuration);
    return connect(way.at(-1)!, target.ssh, configuration, jump);
  }

  private way(target: Target): ResolvedHop[] {
    if (target.ssh.config === false) return hopsOf(target, () => ({}), surroundings());
    this.config ??= readSshConfig();
    return hopsOf(target, this.config, surroundings());
  }

  /**
   * The last of these jump hosts, each on a connection that all ways share which begin with the same hops. One that
   * refuses us does so for all hosts behind it.
   */
  private async jump(
    way: readonly ResolvedHop[],
    target: Target,
    configuration: Configuration,
  ): Promise<Link | undefined> {
    const hop = way.at(-1);
    if (!hop) return undefined;
    const { identityFile, knownHosts, acceptNewHostKey } = target.ssh;
    const ssh = { identityFile, knownHosts, acceptNewHostKey };
    const key = identity([way.map(withoutName), ssh, configuration]);
    const dial = async (): Promise<Link> =>
      dialJump(hop, ssh, configuration, await this.jump(way.slice(0, -1), target, configuration));
    const dialled = this.jumps.get(key) ?? dial();
    this.jumps.set(key, dialled);
    const forget = (): void => {
      if (this.jumps.get(key) === dialled) this.jumps.delete(key);
    };
    try {
      const link = await dialled;
      link.onLost(forget);
      return link;
    } catch (error) {
      if (!(error instanceof Refused)) forget();
      throw error;
    }
  }
}

/** 0 is no limit. */
const sooner = (told: number | undefined, seconds: number): number | undefined =>
  seconds === 0 ? told : Math.min(told || seconds, seconds);

/** What makes no difference to the connection. */
const withoutName = ({ field, alias, dialErrorLimit, perDialTimeout, ...hop }: ResolvedHop): object => hop;

/** Equal data, equal text, whatever the order of its keys; hashed, since secrets are in it. */
function identity(data: unknown): string {
  const sorted = JSON.stringify(data, (_key, value) =>
    value && typeof value === "object" && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash("sha256").update(sorted).digest("hex");
}
