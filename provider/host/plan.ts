import type { Query, Result, Step } from "../kind";

/** A file of ours on the host, written by rename; without a text it is removed. */
export interface File {
  readonly path: string;
  readonly text?: string;
  /** What follows the text: a long one. */
  readonly source?: string;
  /** What prints as much as that on the host, where a step of the change does not send it. */
  readonly listing?: readonly string[];
  /** What followed the text before: where the file still has it, it is edited rather than listed. */
  readonly former?: string;
}

/** A claim to a shared setting: a file of our own in the setting's folder, beside the value found there first. */
export interface ClaimFile {
  readonly folder: string;
  readonly incarnation: string;
  /** Absent: the claim is released. */
  readonly value?: string;
  readonly owner?: string;
  readonly former?: string;
}

/** A look at one object; with `change`, the guard, the steps, the look afterwards and the undo. */
export interface Plan {
  /** What is done to which resource, for logs and for those who have to wait: `update Bridge "br-lan" (urn:…)`. */
  readonly label?: string;
  readonly queries: readonly Query[];
  readonly change?: Change;
}

export interface Change {
  /** Hash of what `queries` printed when the change was decided. */
  readonly guard: string;
  /** It was decided without a look: should the guard miss, the answer is one. */
  readonly unseen?: boolean;
  readonly claims: readonly ClaimFile[];
  /** Written before the first step, so that a crash in the middle leaves a note of whose the object is. */
  readonly intent: readonly File[];
  readonly steps: readonly Step[];
  readonly after: readonly Query[];
  readonly record: readonly File[];
  readonly undo: readonly Step[];
  /** Puts back the files that `intent` wrote. */
  readonly restore: readonly File[];
  /** It could cut the way to the host: undone unless a new connection confirms it (checkpoint.ts). */
  readonly confirm?: Confirm;
  /** That it may take, beyond what any change may. */
  readonly seconds?: number;
}

export interface Confirm {
  /** Seconds from the end of the steps. */
  readonly timeout: number;
  readonly probes: readonly Probe[];
}

/** A command on the host that must succeed after the change if it did before. */
export interface Probe {
  readonly name: string;
  readonly argv: readonly string[];
}

export interface Look {
  readonly type: "looked";
  readonly results: readonly Result[];
  readonly guard: string;
}

export type Outcome =
  | Look
  | { readonly type: "done"; readonly results: readonly Result[] }
  /** The steps are done and wait for their confirmation. */
  | { readonly type: "armed" }
  /** Nobody confirmed it in time, or a probe failed: the host took it back. */
  | { readonly type: "unconfirmed"; readonly undone: boolean; readonly probe?: string }
  /** The host no longer is as it was seen, or another resource claimed another value: look again, unless that was done. */
  | { readonly type: "missed"; readonly look?: Look }
  | {
      readonly type: "failed";
      readonly step?: Step;
      readonly number: number;
      readonly result: Result;
      readonly undone: boolean;
    }
  | { readonly type: "not run" };

/** How one change ended, in the last frame of its phase "end". */
export const END = { done: 0, missed: 1, undone: 2, half: 3, late: 4, armed: 5 } as const;
