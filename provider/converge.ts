import { randomBytes } from "node:crypto";
import type { z } from "zod";
import { type Claimant, changesOfClaims, refuseOtherValue, type SharedByKey } from "./claims";
import { difference } from "./compare";
import { HostnetError, UnknownOutcome } from "./errors";
import { confirmation, refuseLockout } from "./exposure";
import { failure, requireTools, unconfirmed } from "./failure";
import { asFound, newlyDeclared, remember, returning } from "./former";
import type { Change, ClaimFile, Confirm, File } from "./host/plan";
import { type HostRecord, release, removeRecord } from "./host/records";
import type { HostArgs } from "./host-args";
import type { Desired, Kind, Last, Observed, Result, Step } from "./kind";
import { type Host, Looking, type Seen } from "./look";
import { contested } from "./managers";
import { inherited, Notes } from "./notes";
import {
  inherits,
  ours,
  refuseForeignRecord,
  refuseSuccessor,
  requireAdoption,
  requireMachine,
  requireUnchanged,
} from "./ownership";

/** What the state keeps beside the fields, in the hidden output `__last`. */
export interface Stored<S extends z.ZodRawShape, F> extends Last<S, F> {
  readonly incarnation: string;
  readonly machineId: string;
  readonly adopted: boolean;
  /** What the host answered right after the change: the next one can do without a look (memory.ts). */
  readonly memory?: string;
}

export interface Options {
  readonly owner: string;
  readonly persist: boolean;
  readonly adopt?: string;
  readonly acceptMachine?: string;
  readonly confirm?: HostArgs["confirm"];
}

/** What a create or an update comes to. */
interface Made<S extends z.ZodRawShape, F> {
  readonly stored: Stored<S, F>;
  readonly observed: Observed<S, F>;
  /** Absent where nobody has looked. */
  readonly warnings?: readonly string[];
}

/** One object of one kind on one host: look, decide, converge, look again. */
export class Convergence<S extends z.ZodRawShape, F> {
  private readonly looking: Looking<S, F>;
  private readonly notes: Notes<S, F>;

  constructor(
    private readonly kind: Kind<S, F>,
    private readonly host: Host,
    private readonly options: Options,
  ) {
    const label = (desired: Desired<S>) => this.label("look at", desired);
    this.looking = new Looking(kind, host, options.persist, label);
    this.notes = new Notes(kind, options.persist);
  }

  async create(desired: Desired<S>): Promise<Made<S, F>> {
    return this.insist(async () => {
      let seen = await this.looking.look(desired);
      const { record } = seen;
      const incarnation = randomBytes(8).toString("hex");
      const machineId = seen.machineId;
      if (record) {
        if (!inherits(record, this.options.owner)) refuseForeignRecord(record);
        const last = inherited<S, F>(record);
        seen = await this.looking.look(desired, last);
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

  async update(desired: Desired<S>, stored: Stored<S, F>): Promise<Made<S, F>> {
    return this.insist(async () => {
      const seen = (await this.looking.recall(desired, stored)) ?? (await this.looking.look(desired, stored));
      requireMachine(stored.machineId, seen.machineId, this.options.acceptMachine);
      // What was found on the other machine is not what was there on this one.
      if (stored.machineId !== seen.machineId) {
        this.looking.remembered = false;
        return this.create(desired);
      }
      this.requireOurs(seen, stored);
      const former = remember(stored.former, seen.observed, newlyDeclared(desired, stored.desired));
      return this.apply(desired, seen, { ...stored, former, machineId: seen.machineId }, stored);
    });
  }

  async read(stored: Stored<S, F>) {
    const neighbours = this.kind.neighbours?.(stored.desired);
    const seen = await this.insist(() => this.looking.look(stored.desired, stored, neighbours));
    requireMachine(stored.machineId, seen.machineId, this.options.acceptMachine);
    const { observed, record } = seen;
    const present = observed.state !== undefined && !(this.kind.setting && !record);
    if (!present && !record) return undefined;
    const drift = [
      ...(present
        ? difference(stored.desired, observed.state!, Object.keys(stored.desired))
        : ["it is missing on the host"]),
      ...(observed.broken ?? []),
      ...contested(seen.links, seen.way),
      ...(record ? [] : ["its record is missing on the host"]),
      ...(record && !ours(record, stored.incarnation)
        ? [`another creation of it, by ${record.owner}, is on the host`]
        : []),
    ];
    return { observed, drift, warnings: [...seen.warnings, ...(observed.warnings ?? [])] };
  }

  async delete(stored: Stored<S, F>): Promise<void> {
    return this.insist(async () => {
      const seen =
        (await this.looking.recall(undefined, stored)) ?? (await this.looking.look(stored.desired, stored));
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
      const back = stored.adopted ? asFound(stored) : undefined;
      if (!back && observed.state !== undefined) {
        const obstacle = this.kind.blocked?.(observed, stored);
        if (obstacle !== undefined) throw new HostnetError(obstacle);
      }
      const before = { ...observed, shared: formers(seen.shared) };
      const steps = back ? this.kind.ensure(back, before, stored) : this.kind.remove(before, stored);
      const { around, back: undone } = this.looking.handingOver(seen, undefined, stored);
      const results = await this.act("delete", stored.desired, seen, {
        confirm: this.checkpoint(seen, back),
        seconds: this.kind.patience?.(observed, back),
        claims: claims.map((key) => release(key, stored.incarnation)),
        intent: [],
        steps: around(steps),
        after: this.kind.query(stored.desired, stored),
        record: removeRecord(this.kind.name, this.kind.id(stored.desired)),
        undo: observed.state ? undone(this.undo(observed, back, stored)) : [],
        restore: record ? this.notes.write(record) : [],
      });
      const after = this.kind.parse(results, stored.desired, stored);
      if (!back && !this.kind.setting && after.state !== undefined) {
        throw new HostnetError("every step succeeded, but it is still there");
      }
    });
  }

  private async apply(
    desired: Desired<S>,
    seen: Seen<S, F>,
    stored: Stored<S, F>,
    last?: Last<S, F>,
  ): Promise<Made<S, F>> {
    const { observed, record } = seen;
    // The record alone has to tell how things were found, also those of later changes.
    const facts = this.kind.keep?.(stored.former.facts, observed.facts) ?? stored.former.facts;
    const next = { ...stored, former: { ...stored.former, facts } };
    const claimant = this.refuseOthers(desired, seen, next.incarnation);
    const before = { ...observed, shared: formers(seen.shared) };
    const target = this.kind.whole ? desired : { ...returning(desired, last, next.former), ...desired };
    const { around, back } = this.looking.handingOver(seen, desired, last);
    const steps = around(this.kind.ensure(target, before, last));
    const wanted = this.kind.claims?.(desired, before) ?? {};
    const { claims, unclaim } = changesOfClaims(wanted, seen.shared, claimant);
    const found = Object.entries(wanted).map(([key, { former }]) => [key, before.shared[key] ?? former]);
    const noted: HostRecord = {
      kind: this.kind.name,
      id: this.kind.id(desired),
      owner: this.options.owner,
      incarnation: next.incarnation,
      adopted: next.adopted,
      desired,
      former: next.former as unknown as Record<string, unknown>,
    };
    const settled =
      steps.length === 0 && claims.length === 0 && this.notes.stands(noted, record, seen.persistent);
    const known = ours(record, next.incarnation) && seen.persistent === this.options.persist;
    const undo = back(this.undo(before, target, next));
    const restore = record ? this.notes.write(record) : removeRecord(noted.kind, noted.id);
    if (settled && this.looking.remembered) throw new Missed("nobody has looked yet");
    const after = this.kind.query(desired, { desired, former: next.former }, true);
    const beside = this.looking.beside(desired, undefined, this.kind.neighbours?.(desired));
    const answers = settled
      ? undefined
      : await this.act(last ? "update" : "create", desired, seen, {
          confirm: steps.length > 0 ? this.checkpoint(seen, target) : undefined,
          seconds: this.kind.patience?.(observed, target),
          claims,
          intent: known ? [] : this.notes.write({ ...noted, changing: true }),
          steps,
          after: [...after, ...beside.queries],
          record: this.notes.keep(
            noted,
            { ...before, shared: Object.fromEntries(found) },
            seen.way,
            last?.desired,
          ),
          undo,
          restore,
        });
    const results = answers?.slice(0, after.length);
    const reached = results ? this.settle(results, desired, next) : observed;
    const kept = this.kind.keep?.(reached.facts, before.facts) ?? reached.facts;
    const wrong = [
      ...difference(desired, reached.state ?? {}, Object.keys(desired)),
      ...(reached.broken ?? []),
    ];
    if (wrong.length > 0) {
      const end = await this.takeBack(
        desired,
        observed.state,
        undo,
        record ? this.notes.formerly(record, before, seen.way) : restore,
        unclaim,
      );
      throw new HostnetError(
        `every step succeeded, but the host does not show it: ${wrong.join("; ")}\n${end}`,
      );
    }
    const memory = results ? this.notes.memorize(noted, after, results) : next.memory;
    const others = answers && beside.read(answers.slice(after.length), seen.way).warnings;
    return {
      stored: { ...next, desired, facts: kept, memory },
      observed: { ...reached, facts: kept },
      warnings: others && [...others, ...(reached.warnings ?? [])],
    };
  }

  /** A change that the host took and did not keep: undone like one that failed, each step of it, whatever the others do. */
  private async takeBack(
    desired: Desired<S>,
    former: Desired<S> | undefined,
    undo: readonly Step[],
    restore: readonly File[],
    claims: readonly ClaimFile[],
  ): Promise<string> {
    const seen = await this.looking.look(desired);
    const seconds = this.kind.patience?.(seen.observed, former);
    const change = { claims, intent: [], steps: undo, after: [], record: restore, undo, restore, seconds };
    try {
      await this.act("take back", desired, seen, change);
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
    if (record && !ours(record, stored.incarnation)) refuseSuccessor(record, this.options.owner);
    if (record || observed.state === undefined || this.kind.setting) return;
    requireUnchanged(difference(stored.desired, observed.state, Object.keys(stored.desired)));
  }

  /** Refuses what is certain to cut the way to the host; what may cut it must be confirmed. */
  private checkpoint(
    { observed, shared, way }: Seen<S, F>,
    after: Desired<S> | undefined,
  ): Confirm | undefined {
    const { confirm } = this.options;
    // What several claim does not go back with one of them.
    const alone = new Map([...shared].filter(([, { claims }]) => claims.length === 1));
    const before = { ...observed, shared: formers(alone) };
    if (way) refuseLockout(this.kind.lockout?.(before, after, way), confirm);
    return confirmation(this.kind.exposure(observed, after), confirm, way);
  }

  private label(verb: string, desired: Desired<S>): string {
    return `${verb} ${this.kind.name} "${this.kind.id(desired)}" (${this.options.owner})`;
  }

  private refuseOthers(desired: Desired<S>, { shared, record }: Seen<S, F>, incarnation: string): Claimant {
    const claimant = { owner: this.options.owner, incarnation, predecessor: record?.incarnation };
    refuseOtherValue(this.kind.claims?.(desired) ?? {}, shared, claimant);
    return claimant;
  }

  private async act(
    verb: string,
    desired: Desired<S>,
    { queries, guard }: Seen<S, F>,
    change: Omit<Change, "guard">,
  ) {
    const label = this.label(verb, desired);
    const unseen = this.looking.remembered || undefined;
    const answer = await this.host.submit({ label, queries, change: { ...change, guard, unseen } });
    const { outcome, crowded, greeting } = answer;
    if (outcome.type === "missed" && outcome.look)
      this.looking.meet({ queries, look: outcome.look, greeting });
    if (outcome.type === "done") {
      requireTools(change.after, outcome.results);
      return outcome.results;
    }
    if (outcome.type === "failed") {
      // The steps of the other changes do not say what the program says.
      const told = verb === "create" || verb === "update";
      const explain = (step: Step, result: Result) =>
        told ? this.kind.explain?.(step, result, desired) : undefined;
      throw new Failed(failure(outcome, change.steps.length, explain));
    }
    if (outcome.type === "unconfirmed")
      throw new Failed(unconfirmed(outcome, change.confirm?.timeout, answer.reason));
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
      // What was remembered is no reason to refuse anything: only the host is.
      if (this.looking.remembered && !(error instanceof Failed)) {
        this.looking.remembered = false;
        return this.insist(attempt);
      }
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

const formers = (shared: SharedByKey) =>
  Object.fromEntries([...shared].map(([key, { former }]) => [key, former]));
