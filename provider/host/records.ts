import { z } from "zod";
import { HostnetError } from "../errors";
import { jsonOf } from "../formats/keys";
import type { Query, Result } from "../kind";
import { type AtBoot, bootFile, FOLDER } from "./boot";
import type { ClaimFile, File } from "./plan";
import { digest, sharedFolder } from "./shared";

/** Grows with every change that an older package could not read. Older formats are read for ever. */
const FORMAT = 1;

const record = z.object({
  format: z.number(),
  /** Of the package that wrote it. */
  version: z.string(),
  kind: z.string(),
  id: z.string(),
  /** The URN of the resource that made the object. Information: what counts is the incarnation. */
  owner: z.string(),
  incarnation: z.string(),
  /** The object was there before us, and goes back to `former` when it is destroyed. */
  adopted: z.boolean(),
  /** A change began; whether it ended is not known. */
  changing: z.boolean().optional(),
  desired: z.record(z.string(), z.unknown()),
  former: z.record(z.string(), z.unknown()),
});

/** The host's own note of an object of ours. */
export type HostRecord = Omit<z.output<typeof record>, "format" | "version">;

const PERSISTENT = "/etc/hostnet/objects";
const VOLATILE = "/run/hostnet/objects";

const file = (folder: string, kind: string, id: string): string =>
  `${folder}/${digest(`${kind}/${id}`)}.json`;

/** The record is the first thing that every look reads, so that the guard of a change covers it. */
export function recordQueries(kind: string, id: string): readonly Query[] {
  return [{ argv: ["cat", file(PERSISTENT, kind, id)] }, { argv: ["cat", file(VOLATILE, kind, id)] }];
}

/** What they print of the files that a record was written to. */
export function recordResults(files: readonly File[]): readonly Result[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  return [PERSISTENT, VOLATILE].map((folder) => {
    const text = [...texts].find(([path]) => path.startsWith(`${folder}/`))?.[1];
    return text === undefined
      ? { code: 1, stdout: "", stderr: "No such file or directory" }
      : { code: 0, stdout: text, stderr: "" };
  });
}

export function parseRecord(results: readonly Result[], what: string): HostRecord | undefined {
  const texts = results.flatMap(({ code, stdout, stderr }) => {
    if (code === 0) return [stdout];
    if (/No such file or directory/.test(stderr)) return [];
    throw new HostnetError(`cannot read the record of ${what}: ${stderr.trim()}`);
  });
  const text = texts[0];
  if (text === undefined) return undefined;
  const value = json(text);
  const newer = z.object({ format: z.number().gt(FORMAT), version: z.string() }).safeParse(value);
  if (newer.success) {
    const { version } = newer.data;
    throw new HostnetError(
      `the record of ${what} was written by pulumi-hostnet ${version}, which is newer than this one: upgrade`,
    );
  }
  const whole = record.safeParse(value);
  if (!whole.success)
    throw new HostnetError(`the record of ${what} under /etc/hostnet is damaged; move it away to go on`);
  const { format, version, ...rest } = whole.data;
  return rest;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Bytes of JSON up to which a set's elements stand in its record. */
const LONG = 64 * 1024;

/**
 * A long list of elements is noted by its hash: every look reads the record, every change writes it, and a change of one
 * element must not send all. The host has the elements themselves, in the set.
 */
export function abridged(desired: HostRecord["desired"]): HostRecord["desired"] {
  const { elements, ...rest } = desired;
  if (typeof elements !== "object" || elements === null) return desired;
  const hash = hashes.get(elements) ?? hashOf(elements);
  hashes.set(elements, hash);
  return hash === "" ? desired : { ...rest, elements: hash };
}

/** Of lists that were met: it takes a while, and one change asks several times. */
const hashes = new WeakMap<object, string>();

/** "" for a short one. */
function hashOf(elements: object): string {
  const text = jsonOf(elements);
  return text.length > LONG ? `sha256:${digest(text)}` : "";
}

/** Files to write for a record; the copy in the other place goes, so that `persist` can change. */
export function writeRecord(value: HostRecord, persist: boolean, version: string): readonly File[] {
  const desired = abridged(value.desired);
  const text = `${JSON.stringify({ format: FORMAT, version, ...value, desired })}\n`;
  const [here, there] = persist ? [PERSISTENT, VOLATILE] : [VOLATILE, PERSISTENT];
  return [{ path: file(here, value.kind, value.id), text }, { path: file(there, value.kind, value.id) }];
}

/** With what lies beside them for the next boot. */
export function removeRecord(kind: string, id: string): readonly File[] {
  return [
    ...[PERSISTENT, VOLATILE].map((folder) => ({ path: file(folder, kind, id) })),
    forgetAtBoot(kind, id),
  ];
}

const bootName = (kind: string, id: string): string => digest(`${kind}/${id}`);

export const forgetAtBoot = (kind: string, id: string): File => ({ path: `${FOLDER}/${bootName(kind, id)}` });

/** @param port of the way in */
export const writeAtBoot = ({ kind, id, owner }: HostRecord, boot: AtBoot, port?: number): File =>
  bootFile(bootName(kind, id), `${kind} "${id}" of ${owner}`, boot, port);

/** Who claims a shared setting, with which value, and what was found there first. */
export interface Shared {
  readonly claims: readonly {
    readonly incarnation: string;
    readonly owner: string;
    readonly value: string;
  }[];
  readonly former?: unknown;
}

/** Not part of the guard: others may join with the same value at any time; the script itself tests for another. */
export function sharedQuery(key: string): Query {
  return { argv: ["grep", "-rs", "", sharedFolder(key)], free: true };
}

export function parseShared({ code, stdout, stderr }: Result, key: string): Shared {
  if (code > 2 || stderr !== "") throw new HostnetError(`cannot read who claims ${key}: ${stderr.trim()}`);
  const claims = new Map<string, { owner: string; value: string }>();
  let former: unknown;
  for (const line of stdout.split("\n")) {
    // Owners and values have slashes and colons of their own.
    const [, name, text] = /^[^:]*\/([^/:]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || text === undefined || name === ".new") continue;
    if (name === "former") {
      former = json(text);
      continue;
    }
    const claim = claims.get(name) ?? { owner: "", value: "" };
    if (text.startsWith("value ")) claim.value = text.slice(6);
    if (text.startsWith("owner ")) claim.owner = text.slice(6);
    claims.set(name, claim);
  }
  return { claims: [...claims].map(([incarnation, claim]) => ({ incarnation, ...claim })), former };
}

export function claim(
  key: string,
  incarnation: string,
  owner: string,
  value: string,
  former: unknown,
): ClaimFile {
  return { folder: sharedFolder(key), incarnation, value, owner, former: JSON.stringify(former ?? null) };
}

export function release(key: string, incarnation: string): ClaimFile {
  return { folder: sharedFolder(key), incarnation };
}
