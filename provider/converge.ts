import { randomBytes } from "node:crypto";
import type { z } from "zod";
import { difference, same } from "./compare";
import { HostnetError, UnknownOutcome } from "./errors";
import type { Answer } from "./host/commit";
import {
  claim,
  type HostRecord,
  parseRecord,
  parseShared,
  recordQueries,
  release,
  removeRecord,
  type Shared,
  sharedQuery,
  writeRecord,
} from "./host/records";
import type { ClaimFile, File, Outcome, Plan } from "./host/script";
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
  readonly shared: ReadonlyMap<string, Shared>;
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
      this.refuseOtherValue(desired, seen, incarnation);
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
    this.refuseOtherValue(desired, seen, next.incarnation);
    const before = { ...observed, shared: formers(seen.shared) };
    const target = this.kind.whole ? desired : { ...returning(desired, last, next.former), ...desired };
    const steps = this.kind.ensure(target, before, last);
    const { claims, unclaim } = this.claims(desired, before, next.incarnation, seen);
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
      : await this.act(seen, {
          claims,
          intent: ours(record, next.incarnation) ? [] : this.write({ ...noted, changing: true }),
          steps,
          after: this.kind.query(desired, { desired, former: next.former }),
          record: this.write(noted),
          undo,
          restore,
        });
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

  private refuseOtherValue(desired: Desired<S>, { shared, record }: Seen<S, F>, incarnation: string): void {
    for (const [key, { value }] of Object.entries(this.kind.claims?.(desired) ?? {})) {
      const others = shared.get(key)?.claims.filter((c) => !this.isOwn(c, incarnation, record));
      const other = others?.find((c) => c.value !== value);
      if (other)
        throw new HostnetError(`${key} is wanted as ${value} here, but as ${other.value} by ${other.owner}`);
    }
  }

  /** Ours, or a predecessor's: what this resource claimed before it was moved or replaced, or before a crash. */
  private isOwn(claim: Shared["claims"][number], incarnation: string, record?: HostRecord): boolean {
    return (
      [incarnation, record?.incarnation].includes(claim.incarnation) || claim.owner === this.options.owner
    );
  }

  /** The claims to take and to leave, and the way back. */
  private claims(
    desired: Desired<S>,
    before: Observed<S, F>,
    incarnation: string,
    { shared, record }: Seen<S, F>,
  ) {
    const { owner } = this.options;
    const wanted = this.kind.claims?.(desired, before) ?? {};
    const held = [...shared].flatMap(([key, { claims, former }]) =>
      claims.filter((c) => this.isOwn(c, incarnation, record)).map((c) => ({ ...c, key, former })),
    );
    const stays = (c: (typeof held)[number]) =>
      c.incarnation === incarnation && c.owner === owner && c.value === wanted[c.key]?.value;
    const taken = Object.entries(wanted).filter(([key]) => !held.some((c) => c.key === key && stays(c)));
    const left = held.filter((c) => !stays(c));
    return {
      claims: [
        ...left
          .filter((c) => c.incarnation !== incarnation || !(c.key in wanted))
          .map((c) => release(c.key, c.incarnation)),
        ...taken.map(([key, { value, former }]) => claim(key, incarnation, owner, value, former)),
      ],
      unclaim: [
        ...taken
          .filter(([key]) => !left.some((c) => c.key === key && c.incarnation === incarnation))
          .map(([key]) => release(key, incarnation)),
        ...left.map((c) => claim(c.key, c.incarnation, c.owner, c.value, c.former)),
      ],
    };
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

  private async act({ queries, guard }: Seen<S, F>, change: Omit<NonNullable<Plan["change"]>, "guard">) {
    const { outcome, crowded } = await this.host.submit({ queries, change: { ...change, guard } });
    if (outcome.type === "done") {
      requireTools(change.after, outcome.results);
      return outcome.results;
    }
    if (outcome.type === "failed") throw new Failed(failure(outcome, change.steps.length));
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

const formers = (shared: ReadonlyMap<string, Shared>) =>
  Object.fromEntries([...shared].map(([key, { former }]) => [key, former]));

const newlyDeclared = (desired: object, last: object): string[] =>
  Object.keys(desired).filter((key) => !(key in last));

/** A field that the program declares only now: what it was until now is what it goes back to. */
function remember<S extends z.ZodRawShape, F>(former: Observed<S, F>, seen: Observed<S, F>, keys: string[]) {
  const { state, rest } = former;
  const found: Record<string, unknown> = { ...seen.rest, ...seen.state };
  const known = keys.filter((key) => !isKnown(state, key) && !isKnown(rest, key) && found[key] !== undefined);
  if (known.length === 0) return former;
  return {
    ...former,
    rest: { ...rest, ...Object.fromEntries(known.map((key) => [key, found[key]])) } as typeof rest,
  };
}

const isKnown = (fields: object | undefined, key: string): boolean => fields !== undefined && key in fields;

/** Scalars that left the program go back to what they were before us, where that is known; lists are simply empty. */
function returning<S extends z.ZodRawShape, F>(
  desired: Desired<S>,
  last: Last<S, F> | undefined,
  former: Observed<S, F>,
) {
  const found: Record<string, unknown> = { ...former.rest, ...former.state };
  const left = Object.entries(last?.desired ?? {}).filter(
    ([key, value]) => !(key in desired) && typeof value !== "object" && found[key] !== undefined,
  );
  return Object.fromEntries(left.map(([key]) => [key, found[key]])) as Partial<Desired<S>>;
}

const json = <T>(value: T): T => JSON.parse(JSON.stringify(value));

const PACKAGES: Readonly<Record<string, string>> = {
  ip: "iproute2",
  bridge: "iproute2",
  nft: "nftables",
  sysctl: "procps",
  virsh: "libvirt-clients",
};

function requireTools(queries: readonly Query[], results: readonly Result[]): void {
  const missing = results.findIndex(({ code }) => code === 127);
  if (missing < 0) return;
  const tool = queries[missing]!.argv.find((word) => word !== "env" && !word.includes("="))!;
  throw new HostnetError(`${tool} is not installed there: on Debian, apt install ${PACKAGES[tool] ?? tool}`);
}

function failure(outcome: Extract<Outcome, { type: "failed" }>, count: number): string {
  const { step, number, result, undone } = outcome;
  const lacking = /Unknown device type/.test(result.stderr)
    ? /(?<= type )\S+/.exec(step?.argv.join(" ") ?? "")
    : null;
  const hint = lacking ? `\nThe host's kernel lacks its module ${lacking[0]}.` : "";
  // Of a batch, `ip` tells only the number of the line.
  const line = step?.stdin?.split("\n")[Number(/Command failed -:(\d+)/.exec(result.stderr)?.[1]) - 1];
  const what = step
    ? `${step.argv.join(" ")} (step ${number} of ${count})`
    : "writing its record under /etc/hostnet";
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  const end = undone
    ? "Everything is as it was before."
    : "The undo did not end where it began: look at the host.";
  return `${what} exited ${result.code}: ${said}${line ? `: ${line}` : ""}${hint}\n${end}`;
}
