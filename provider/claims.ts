import { HostnetError } from "./errors";
import type { ClaimFile } from "./host/plan";
import { claim, release, type Shared } from "./host/records";
import type { Claim } from "./kind";
import { inherits } from "./ownership";

/** By key: who claims the shared settings that a look asked for. */
export type SharedByKey = ReadonlyMap<string, Shared>;
type Wanted = Readonly<Record<string, Claim>>;

/** Who claims: also under the incarnation of the record that was found, before a move, a replacement or a crash. */
export interface Claimant {
  readonly owner: string;
  readonly incarnation: string;
  readonly predecessor?: string;
}

const isOwn = (c: Shared["claims"][number], { owner, incarnation, predecessor }: Claimant): boolean =>
  c.incarnation === incarnation || c.incarnation === predecessor || c.owner === owner;

export function refuseOtherValue(wanted: Wanted, shared: SharedByKey, claimant: Claimant): void {
  for (const [key, { value }] of Object.entries(wanted)) {
    const others = shared.get(key)?.claims.filter((c) => !isOwn(c, claimant));
    const other = others?.find((c) => c.value !== value);
    if (!other) continue;
    const renamed = inherits(other, claimant.owner)
      ? "; if that is this one's former name, declare it as an alias; if it is to go, pulumi destroy --target it first"
      : "";
    throw new HostnetError(
      `${key} is wanted as ${value} here, but as ${other.value} by ${other.owner}${renamed}`,
    );
  }
}

/** The claims to take and to leave, and the way back. */
export function changesOfClaims(
  wanted: Wanted,
  shared: SharedByKey,
  claimant: Claimant,
): { readonly claims: ClaimFile[]; readonly unclaim: ClaimFile[] } {
  const { owner, incarnation } = claimant;
  const held = [...shared].flatMap(([key, { claims, former }]) =>
    claims.filter((c) => isOwn(c, claimant)).map((c) => ({ ...c, key, former })),
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
