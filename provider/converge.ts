import { randomBytes } from "node:crypto";
import type { z } from "zod";
import { type Claimant, changesOfClaims, refuseOtherValue, type SharedByKey } from "./claims";
import { difference, same } from "./compare";
import { HostnetError, UnknownOutcome } from "./errors";
import { failure, requireTools } from "./failure";
import { newlyDeclared, remember, returning } from "./former";
import type { Answer } from "./host/commit";
import {
  type HostRecord,
  parseRecord,
  parseShared,
  recordQueries,
  release,
  removeRecord,
  sharedQuery,
  writeRecord,
} from "./host/records";
import type { ClaimFile, File, Plan } from "./host/script";
import type { Desired, Kind, Last, Observed, Query, Result, Step } from "./kind";
import {
  inherits,
  ours,
  refuseForeignRecord,
  requireAdoption,
  requireMachine,
  requireUnchanged,
} from "./ownership";
import { version } from "./version";

/** The one seam to the host: takes a plan, gives its outcome. */
export interface Host {
  /** "root@10.0.0.5", for messages. */
  readonly label: string;
  submit(plan: Plan): Promise<Answer>;
}

/** What the state keeps beside the fields, in the hidden output `__last`. */
export interface Stored<S extends z.ZodRawShape, F> extends Last<S, F> {
  readonly incarnation: string;
  readonly machineId: string;
  readonly adopted: boolean;
}

export interface Options {
  readonly owner: string;
  readonly persist: boolean;
  readonly adopt?: string;
  readonly acceptMachine?: string;
}

interface Seen<S extends z.ZodRawShape, F> {
  readonly observed: Observed<S, F>;
  readonly record?: HostRecord;
  /** The record lies where it outlives a reboot. */
  readonly persistent: boolean;
  readonly shared: SharedByKey;
  readonly queries: readonly Query[];
  readonly guard: string;
  readonly machineId: string;
}

/** One object of one kind on one host: look, decide, converge, look again. */
export class Convergence<S extends z.ZodRawShape, F> {
  constructor(
    private readonly kind: Kind<S, F>,
    private readonly host: Host,
    private readonly options: Options,
  ) {}

  async create(desired: Desired<S>): Promise<{ stored: Stored<S, F>; observed: Observed<S, F> }> {
    return this.insist(async () => {
      let seen = await this.look(desired);
      const { record } = seen;
      const incarnation = randomBytes(8).toString("hex");
      const machineId = seen.machineId;
      if (record) {
        if (!inherits(record, this.options.owner)) refuseForeignRecord(record);
        const last = inherited<S, F>(record);
        seen = await this.look(desired, last);
        return this.apply(desired, seen, { ...last, incarnation, machineId, adopted: record.adopted }, last);
      }
      const { state, facts, rest, broken = [] } = seen.observed;
      const found = state !== undefined && !this.kind.setting;
      // Another resource's is told as such, not offered for adoption.
      this.refuseOthers(desired, seen, incarnation);
      if (found)
        requireAdoption(this.options.adopt, [...difference(desired, state, Object.keys(desired)), ...broken]);
      const former = { state: found ? state : undefined, rest, facts };
      return this.apply(desired, seen, { desired, former, incarnation, machineId, adopted: found });
    });
  }

  async update(desired: Desired<S>, stored: Stored<S, F>) {
    return this.insist(async () => {
      const seen = await this.look(desired, stored);
      requireMachine(stored.machineId, seen.machineId, this.options.acceptMachine);
      this.requireOurs(seen, stored);
      const former = remember(stored.former, seen.observed, newlyDeclared(desired, stored.desired));
      return this.apply(desired, seen, { ...stored, former, machineId: seen.machineId }, stored);
    });
  }

  async read(stored: Stored<S, F>) {
    const seen = await this.insist(() => this.look(stored.desired, stored));
    requireMachine(stored.machineId, seen.machineId, this.options.acceptMachine);
    const { observed, record } = seen;
    const present = observed.state !== undefined && !(this.kind.setting && !record);
    if (!present && !record) return undefined;
    const drift = [
      ...(present
        ? difference(stored.desired, observed.state!, Object.keys(stored.desired))
        : ["it is missing on the host"]),
      ...(observed.broken ?? []),
      ...(record ? [] : ["its record is missing on the host"]),
      ...(record && !ours(record, stored.incarnation) ? [`it now belongs to ${record.owner}`] : []),
    ];
    return { observed, drift };
  }

  async delete(stored: Stored<S, F>): Promise<void> {
    return this.insist(async () => {
      const seen = await this.look(stored.desired, stored);
      requireMachine(stored.machineId, seen.machineId, this.options.acceptMachine);
      const { observed, record } = seen;
      // A successor owns the object: it moved, or was replaced the other way round. Nothing of it is ours.
      if (record && !ours(record, stored.incarnation)) return;
      const keys = Object.keys(this.kind.claims?.(stored.desired) ?? {});
      const claims = keys.filter((key) =>
        seen.shared.get(key)?.claims.some((c) => ours(c, stored.incarnation)),
      );
      // A setting is known to be ours by its claims alone, should its record be lost.
      if (!record && (observed.state === undefined || (this.kind.setting && claims.length === 0))) return;
      if (!record && !this.kind.setting)
        requireUnchanged(difference(stored.desired, observed.state!, Object.keys(stored.desired)));
      const back = stored.adopted ? stored.former.state : undefined;
      if (!back && observed.state !== undefined) {
        const obstacle = this.kind.blocked?.(observed, stored);
        if (obstacle !== undefined) throw new HostnetError(obstacle);
      }
      const before = { ...observed, shared: formers(seen.shared) };
      const steps = back ? this.kind.ensure(back, before, stored) : this.kind.remove(before, stored);
      const results = await this.act(seen, {
        claims: claims.map((key) => release(key, stored.incarnation)),
        intent: [],
        steps,
        after: this.kind.query(stored.desired, stored),
        record: removeRecord(this.kind.name, this.kind.id(stored.desired)),
        undo: observed.state ? this.undo(observed, back, stored) : [],
        restore: record ? this.write(record) : [],
      });
      const after = this.kind.parse(results, stored.desired, stored);
      if (!back && !this.kind.setting && after.state !== undefined) {
        throw new HostnetError("every step succeeded, but it is still there");
      }
    });
  }

  private async apply(desired: Desired<S>, seen: Seen<S, F>, next: Stored<S, F>, last?: Last<S, F>) {
    const { observed, record } = seen;
    const claimant = this.refuseOthers(desired, seen, next.incarnation);
    const before = { ...observed, shared: formers(seen.shared) };
    const target = this.kind.whole ? desired : { ...returning(desired, last, next.former), ...desired };
    const steps = this.kind.ensure(target, before, last);
    const { claims, unclaim } = changesOfClaims(
      this.kind.claims?.(desired, before) ?? {},
      seen.shared,
      claimant,
    );
    const noted: HostRecord = {
      kind: this.kind.name,
      id: this.kind.id(desired),
      owner: this.options.owner,
      incarnation: next.incarnation,
      adopted: next.adopted,
      desired,
      former: next.former as unknown as Record<string, unknown>,
    };
    const noteStands = same(record, json(noted)) && seen.persistent === this.options.persist;
    const settled = steps.length === 0 && claims.length === 0 && noteStands;
    const undo = this.undo(before, target, next);
    const restore = record ? this.write(record) : removeRecord(noted.kind, noted.id);
    const results = settled
      ? undefined
      : await this.act(
          seen,
          {
            claims,
            intent: ours(record, next.incarnation) ? [] : this.write({ ...noted, changing: true }),
            steps,
            after: this.kind.query(desired, { desired, former: next.former }),
            record: this.write(noted),
            undo,
            restore,
          },
          desired,
        );
    const after = results ? this.settle(results, desired, next) : observed;
    const facts = this.kind.keep?.(after.facts, before.facts) ?? after.facts;
    const wrong = [...difference(desired, after.state ?? {}, Object.keys(desired)), ...(after.broken ?? [])];
    if (wrong.length > 0) {
      const end = await this.takeBack(desired, undo, restore, unclaim);
      throw new HostnetError(
        `every step succeeded, but the host does not show it: ${wrong.join("; ")}\n${end}`,
      );
    }
    return { stored: { ...next, desired, facts }, observed: { ...after, facts } };
  }

  /** A change that the host took and did not keep: undone like one that failed, each step of it, whatever the others do. */
  private async takeBack(
    desired: Desired<S>,
    undo: readonly Step[],
    restore: readonly File[],
    claims: readonly ClaimFile[],
  ): Promise<string> {
    const seen = await this.look(desired);
    const change = { claims, intent: [], steps: undo, after: [], record: restore, undo, restore };
    try {
      await this.act(seen, change);
      return "It was undone.";
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      return `The undo did not end where it began, look at the host: ${error.message.split("\n")[0]}`;
    }
  }

  /** The listing right after the apply is the baseline: what equals it is observed in the user's own words. */
  private settle(results: readonly Result[], desired: Desired<S>, { former }: Stored<S, F>): Observed<S, F> {
    const { facts } = this.kind.parse(results, desired, { desired, former });
    return this.kind.parse(results, desired, { desired, facts, former });
  }

  /** No second piece of code: the way back is the same ensure, or remove where there was nothing. */
  private undo(before: Observed<S, F>, target: Desired<S> | undefined, next: Last<S, F>): readonly Step[] {
    const reached = { state: target, facts: before.facts, shared: before.shared };
    const last = { desired: target ?? next.desired, facts: before.facts, former: before };
    if (before.state)
      return this.kind.ensure({ ...before.rest, ...before.state }, reached, target ? last : undefined);
    return this.kind.remove(reached, last);
  }

  private requireOurs({ record, observed }: Seen<S, F>, stored: Stored<S, F>): void {
    if (record && !ours(record, stored.incarnation)) refuseForeignRecord(record);
    if (record || observed.state === undefined || this.kind.setting) return;
    requireUnchanged(difference(stored.desired, observed.state, Object.keys(stored.desired)));
  }

  private refuseOthers(desired: Desired<S>, { shared, record }: Seen<S, F>, incarnation: string): Claimant {
    const claimant = { owner: this.options.owner, incarnation, predecessor: record?.incarnation };
    refuseOtherValue(this.kind.claims?.(desired) ?? {}, shared, claimant);
    return claimant;
  }

  private write(record: HostRecord) {
    return writeRecord(record, this.options.persist, version);
  }

  private async look(desired: Desired<S>, last?: Last<S, F>): Promise<Seen<S, F>> {
    const { name } = this.kind;
    const id = this.kind.id(desired);
    const records = recordQueries(name, id);
    const own = this.kind.query(desired, last);
    const claimed = { ...(last && this.kind.claims?.(last.desired)), ...this.kind.claims?.(desired) };
    const keys = Object.keys(claimed);
    const queries = [...records, ...own, ...keys.map(sharedQuery)];
    const { outcome, greeting } = await this.host.submit({ queries });
    if (outcome.type !== "looked") throw new HostnetError("the host's answer is not whole");
    const { results } = outcome;
    requireTools(queries, results);
    const from = records.length + own.length;
    return {
      persistent: results[0]!.code === 0,
      record: parseRecord(results.slice(0, records.length), `${name} "${id}"`),
      observed: this.kind.parse(results.slice(records.length, from), desired, last),
      shared: new Map(keys.map((key, n) => [key, parseShared(results[from + n]!, key)])),
      queries,
      guard: outcome.guard,
      machineId: greeting.machineId,
    };
  }

  private async act(
    { queries, guard }: Seen<S, F>,
    change: Omit<NonNullable<Plan["change"]>, "guard">,
    desired?: Desired<S>,
  ) {
    const { outcome, crowded } = await this.host.submit({ queries, change: { ...change, guard } });
    if (outcome.type === "done") {
      requireTools(change.after, outcome.results);
      return outcome.results;
    }
    if (outcome.type === "failed") {
      const explain = (step: Step, result: Result) => desired && this.kind.explain?.(step, result, desired);
      throw new Failed(failure(outcome, change.steps.length, explain));
    }
    if (outcome.type === "not run")
      throw new HostnetError("the host was too slow: the script ran out of time before this change began");
    if (crowded) throw new Crowded();
    throw new Missed("it keeps changing on the host while it is looked at: nothing was done");
  }

  /** Once more, from the look, where the host had changed in between, or where a lost connection left the outcome unknown. */
  private async insist<T>(attempt: () => Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      // Each round lets at least one of those that came together through, so it ends.
      if (error instanceof Crowded) return this.insist(attempt);
      if (error instanceof Missed || error instanceof UnknownOutcome) return attempt();
      throw error;
    }
  }
}

class Missed extends HostnetError {}
class Failed extends HostnetError {}
class Crowded extends HostnetError {}

function inherited<S extends z.ZodRawShape, F>(record: HostRecord): Last<S, F> {
  return { desired: record.desired as Desired<S>, former: record.former as unknown as Observed<S, F> };
}

const formers = (shared: SharedByKey) =>
  Object.fromEntries([...shared].map(([key, { former }]) => [key, former]));

const json = <T>(value: T): T => JSON.parse(JSON.stringify(value));
