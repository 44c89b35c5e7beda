import { changedPrefixes } from "../formats/interface";
import type { Exposure, Observed } from "../kind";
import type { Bridge, schema } from "./args";
import type { Facts } from "./parse";

type Seen = Observed<typeof schema.shape, Facts>;

export function exposure({ state, facts }: Seen, after?: Bridge): Exposure {
  return {
    links: [state?.name, after?.name, after?.vrf, ...Object.keys(facts.members)].filter(
      (name) => name !== undefined,
    ),
    prefixes: changedPrefixes(state, after),
  };
}
