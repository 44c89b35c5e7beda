import type { z } from "zod";
import type { SharedByKey } from "./claims";
import { HostnetError } from "./errors";
import { requireTools } from "./failure";
import type { Answer } from "./host/commit";
import type { Look, Plan } from "./host/plan";
import { type HostRecord, parseRecord, parseShared, recordQueries, sharedQuery } from "./host/records";
import type { Greeting } from "./host/session";
import type { Desired, Kind, Last, Neighbours, Observed, Query, Result, Way } from "./kind";
import { handed, handingOver, lookAtManagers, type ManagedLinks, parseManagers } from "./managers";
import { answers, recall } from "./memory";

/** The one seam to the host: takes a plan, gives its outcome. */
export interface Host {
  /** "root@10.0.0.5", for messages. */
  readonly label: string;
  submit(plan: Plan): Promise<Answer>;
  /** Whom the session is with. */
  greet(): Promise<Greeting>;
}

/** What one look shows. */
export interface Seen<S extends z.ZodRawShape, F> {
  readonly observed: Observed<S, F>;
  readonly record?: HostRecord;
  /** The record lies where it outlives a reboot. */
  readonly persistent: boolean;
  readonly shared: SharedByKey;
  readonly queries: readonly Query[];
  readonly guard: string;
  readonly machineId: string;
  readonly way?: Way;
  /** Who else configures its members. */
  readonly links: ManagedLinks;
  readonly warnings: readonly string[];
}

interface Met {
  readonly queries: readonly Query[];
  readonly look: Look;
  readonly greeting: Greeting;
}

interface Remembering<S extends z.ZodRawShape, F> extends Last<S, F> {
  readonly memory?: string;
}

/** How one object is looked at: on the host, or in what is remembered of it, or in what a change has just met. */
export class Looking<S extends z.ZodRawShape, F> {
  /** What was seen last is remembered only: unless that turns out to be so, the host is looked at. */
  remembered = false;
  private remembers = true;
  private met: Met | undefined;

  constructor(
    private readonly kind: Kind<S, F>,
    private readonly host: Host,
    private readonly persist: boolean,
    private readonly label: (desired: Desired<S>) => string,
  ) {}

  async look(desired: Desired<S>, last?: Last<S, F>, neighbours?: Neighbours): Promise<Seen<S, F>> {
    const records = recordQueries(this.kind.name, this.kind.id(desired));
    const own = this.kind.query(desired, last);
    const claimed = { ...(last && this.kind.claims?.(last.desired)), ...this.kind.claims?.(desired) };
    const keys = Object.keys(claimed);
    const asked = [...records, ...own, ...keys.map(sharedQuery)];
    const beside = this.beside(desired, last, neighbours);
    const queries = [...asked, ...beside.queries];
    const { outcome, greeting } =
      this.again(queries) ?? (await this.host.submit({ label: this.label(desired), queries }));
    if (outcome.type !== "looked") throw new HostnetError("the host's answer is not whole");
    requireTools(queries, outcome.results);
    const results = outcome.results.slice(0, asked.length);
    const seen = this.seen(results, { queries, guard: outcome.guard }, desired, last, greeting, keys);
    return { ...seen, ...beside.read(outcome.results.slice(asked.length), greeting.way) };
  }

  /**
   * Without the host, once, what the last apply left there; undefined where that is not known. Settings that others share
   * have to be looked at, and so have members that are to be given back.
   *
   * @param wanted left out: the object is to go
   */
  async recall(wanted: Desired<S> | undefined, last: Remembering<S, F>): Promise<Seen<S, F> | undefined> {
    const desired = wanted ?? last.desired;
    const claims = { ...this.kind.claims?.(last.desired), ...this.kind.claims?.(desired) };
    const stay = wanted ? this.members(wanted) : [];
    const leaving = this.members(last.desired).some((link) => !stay.includes(link));
    if (!this.remembers || leaving || Object.keys(claims).length > 0) return undefined;
    this.remembers = false;
    const records = recordQueries(this.kind.name, this.kind.id(desired));
    const memory = recall(last.memory, [...records, ...this.kind.query(desired, last)]);
    if (!memory) return undefined;
    const { machineId, way } = await this.host.greet();
    const seen = this.seen(memory.results, memory, desired, last, { machineId, way });
    if (stay.length > 0 && seen.persistent !== this.persist) return undefined;
    this.remembered = true;
    return seen;
  }

  /** What a change has met that was decided on something else: the next look's answer. */
  meet(met: Met): void {
    this.met = met;
  }

  /** What is asked beside the object itself: who else configures its members, and what others do to it. */
  beside(desired: Desired<S>, last?: Last<S, F>, neighbours?: Neighbours) {
    const now = this.members(desired);
    const members = [...new Set([...now, ...(last ? this.members(last.desired) : [])])];
    const managers = members.length > 0 ? [lookAtManagers(members)] : [];
    return {
      queries: [...managers, ...(neighbours ? [neighbours.query] : [])],
      read: (results: readonly Result[], way?: Way): Pick<Seen<S, F>, "links" | "warnings"> => {
        const links: ManagedLinks = managers.length > 0 ? parseManagers(results[0]!) : new Map();
        const own = new Map([...links].filter(([link]) => now.includes(link)));
        return { links, warnings: [...handed(own, way), ...(neighbours?.warnings(results.at(-1)!) ?? [])] };
      },
    };
  }

  /** Members come, stay or go; all of them go without an `after`. */
  handingOver({ links, way }: Seen<S, F>, after: Desired<S> | undefined, last?: Last<S, F>) {
    const members = {
      before: last ? this.members(last.desired) : [],
      after: after ? this.members(after) : [],
    };
    return handingOver(links, members, way, this.persist);
  }

  private members(d: Desired<S>): readonly string[] {
    return this.kind.members?.(d) ?? [];
  }

  /** The answer to the same questions, once. */
  private again(queries: readonly Query[]) {
    const { met } = this;
    this.met = undefined;
    const results = met && answers(met.queries, met.look.results, queries);
    return results && { outcome: { type: "looked" as const, ...results }, greeting: met.greeting };
  }

  private seen(
    results: readonly Result[],
    asked: Pick<Seen<S, F>, "queries" | "guard">,
    desired: Desired<S>,
    last: Last<S, F> | undefined,
    { machineId, way }: Pick<Greeting, "machineId" | "way">,
    keys: readonly string[] = [],
  ): Seen<S, F> {
    const [first, from] = [2, results.length - keys.length];
    return {
      ...asked,
      persistent: results[0]!.code === 0,
      record: parseRecord(results.slice(0, first), `${this.kind.name} "${this.kind.id(desired)}"`),
      observed: this.kind.parse(results.slice(first, from), desired, last),
      shared: new Map(keys.map((key, n) => [key, parseShared(results[from + n]!, key)])),
      links: new Map(),
      warnings: [],
      machineId,
      way,
    };
  }
}
