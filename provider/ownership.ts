import { HostnetError } from "./errors";
import type { HostRecord } from "./host/records";

/** The part of a record, or of its absence, that decides whose an object is. */
type Note = Pick<HostRecord, "owner" | "incarnation"> | undefined;

const stack = (urn: string): string => urn.split("::").slice(0, 2).join("::");

/** On create a record is ours when its owner is of the same project and stack: it moved, or a create crashed. */
export function inherits(note: NonNullable<Note>, owner: string): boolean {
  return stack(note.owner) === stack(owner);
}

export function refuseForeignRecord(note: NonNullable<Note>): never {
  throw new HostnetError(`it belongs to ${note.owner}: remove it there, or give this one another name`);
}

/** With state, but of another creation: by another resource, by another state of the same one, or after a backup was put back. */
export function refuseSuccessor(note: NonNullable<Note>, owner: string): never {
  if (!inherits(note, owner)) refuseForeignRecord(note);
  throw new HostnetError(
    `the host knows another creation of it than the state, by ${note.owner}: go on with the state that made it; or, if the ` +
      "state or the host's /etc was put back from a backup, take it out of the state (pulumi state delete): the next up takes " +
      "it over; if that is another resource, give this one another name",
  );
}

/** With state, a record is ours by its incarnation; the owner in it is information. */
export const ours = (note: Note, incarnation: string): boolean => note?.incarnation === incarnation;

/** A record was lost: the object may be changed only while it is exactly as we left it. */
export function requireUnchanged(differences: readonly string[]): void {
  if (differences.length === 0) return;
  throw new HostnetError(
    `its record on the host is lost and it is no longer as it was left (${differences.join("; ")}): put it back by hand, ` +
      'or remove it from the state (pulumi state delete) and declare it with adopt: "overwrite"',
  );
}

export function requireAdoption(adopt: string | undefined, differences: readonly string[]): void {
  if (adopt === "overwrite" || (adopt === "identical" && differences.length === 0)) return;
  throw new HostnetError(
    adopt === undefined
      ? 'it exists on the host and is not ours: set adopt to "identical" or "overwrite" to take it over, or use another name'
      : `adopt: "identical" takes over only what would not change, but ${differences.join("; ")}`,
  );
}

/** Another machine answers under the address: only a create may go ahead, or who said that this is meant. */
export function requireMachine(stored: string, found: string, accepted: string | undefined): void {
  if (stored === found || accepted === found) return;
  throw new HostnetError(
    `another machine answers there (machine-id ${found}, was ${stored}): declare replaceWith and deletedWith with the ` +
      `resource of the machine, or set acceptMachine: "${found}" when the machine was reinstalled`,
  );
}
