import { changedPrefixes, interfaceLockout } from "../formats/interface";
import { addressOf } from "../formats/listed";
import type { Exposure, Observed, Way } from "../kind";
import type { Bridge, Port, schema } from "./args";
import type { Facts } from "./parse";
import { takes } from "./take";

type Seen = Observed<typeof schema.shape, Facts>;

export function exposure({ state, facts }: Seen, after?: Bridge): Exposure {
  return {
    links: [state?.name, after?.name, after?.vrf, ...Object.keys(facts.members)].filter(
      (name) => name !== undefined,
    ),
    prefixes: changedPrefixes(state, after),
  };
}

/** What it took from a port stays, or goes back with the port. */
export function lockout({ state, facts }: Seen, after: Bridge | undefined, way: Way): string | undefined {
  const kept = (state?.ports ?? []).filter(
    ({ name }) => takes(after, name) || !after?.ports?.some((p) => p.name === name),
  );
  const own = ({ name }: Port) =>
    facts.found[name]?.carried?.addresses.some((text) => addressOf(text).split("/")[0] === way.server);
  return kept.some(own) ? undefined : interfaceLockout(state, after, way);
}
