import type { z } from "zod";
import { same } from "./compare";
import { HostnetError } from "./errors";
import { asFound } from "./former";
import type { File } from "./host/plan";
import {
  abridged,
  forgetAtBoot,
  type HostRecord,
  recordQueries,
  recordResults,
  writeAtBoot,
  writeRecord,
} from "./host/records";
import type { Desired, Kind, Last, Observed, Query, Result, Way } from "./kind";
import { memorize } from "./memory";
import { version } from "./version";

/** What is written on the host about an object of a kind: its record, and what makes it again after a boot. */
export class Notes<S extends z.ZodRawShape, F> {
  constructor(
    private readonly kind: Kind<S, F>,
    private readonly persist: boolean,
  ) {}

  write(record: HostRecord): readonly File[] {
    return writeRecord(record, this.persist, version);
  }

  /** Whether the host has this record, in its place. */
  stands(noted: HostRecord, record: HostRecord | undefined, persistent: boolean): boolean {
    return persistent === this.persist && same(record, json({ ...noted, desired: abridged(noted.desired) }));
  }

  /** With what runs at boot; of a long list that only the host knows, that stays as it is. */
  keep(
    record: HostRecord,
    { state, facts, shared }: Observed<S, F>,
    way?: Way,
    earlier?: Desired<S>,
  ): readonly File[] {
    const { boot, name } = this.kind;
    const files = this.write(record);
    if (!boot) return files;
    if (!this.persist) return [...files, forgetAtBoot(name, record.id)];
    const last = inherited<S, F>(record);
    if (last.desired !== record.desired) return files;
    const then = boot(last.desired, facts);
    const steps = then.steps ?? this.kind.ensure(last.desired, { facts: then.facts });
    const made = { state: last.desired, facts: then.facts, shared };
    // What the host had of its own goes back to that; where a link of it is there again, it is changed as when it was adopted.
    const own = record.adopted ? asFound(last) : undefined;
    const undo = own ? this.kind.ensure(own, made, last) : this.kind.remove(made, last);
    const there = then.link !== undefined && own && { state: scalars(own), facts: then.facts };
    const over = there ? this.kind.ensure(last.desired, there) : undefined;
    const anew = own && then.anew;
    // What is made now is sent anyway.
    const listing = state && then.listing;
    const former = listing && earlier && boot(earlier, facts).steps;
    const members = this.kind.members?.(last.desired);
    return [
      ...files,
      writeAtBoot(record, { ...then, anew, steps, former, over, undo, listing, members }, way?.port),
    ];
  }

  /** The same of an earlier record, after the later one was written: what needs a port that has gone since is not made at boot. */
  formerly(record: HostRecord, before: Observed<S, F>, way?: Way): readonly File[] {
    try {
      return this.keep(record, before, way);
    } catch (error) {
      if (!(error instanceof HostnetError)) throw error;
      return [...this.write(record), forgetAtBoot(record.kind, record.id)];
    }
  }

  /** The record as it was just written, and the look after the change: for the state. */
  memorize(noted: HostRecord, after: readonly Query[], results: readonly Result[]): string | undefined {
    const records = recordResults(this.write(noted));
    return memorize([...recordQueries(noted.kind, noted.id), ...after], [...records, ...results]);
  }
}

/** What a record tells of the last apply. */
export function inherited<S extends z.ZodRawShape, F>(record: HostRecord): Last<S, F> {
  const { elements, ...rest } = record.desired;
  // Of a long list the record has but the hash: what there is, is all that is known of it.
  const desired = typeof elements === "string" ? rest : record.desired;
  return { desired: desired as Last<S, F>["desired"], former: record.former as unknown as Observed<S, F> };
}

/** What its lists held may be there or not: all that is declared is put in. */
const scalars = <T extends object>(state: T): T =>
  Object.fromEntries(Object.entries(state).filter(([, value]) => typeof value !== "object")) as T;

const json = <T>(value: T): T => JSON.parse(JSON.stringify(value));
