import { keepFound } from "../formats/link";
import { networkd } from "../formats/networkd";
import { routeClaims } from "../formats/route";
import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, ensure, PRIORITY, RULE, remove } from "./render";

export const vrf: Kind<typeof schema.shape, Facts> = {
  name: "Vrf",
  schema,
  refine,
  identity: ["name"],
  deleteBeforeReplace: true,
  id: (d) => d.name,
  query,
  parse,
  ensure,
  keep: keepFound,
  remove,
  claims: (d, before) => ({
    [RULE]: { value: PRIORITY, former: before?.facts.rules },
    [`routing table ${d.table}`]: { value: d.name, former: null },
    ...routeClaims(d.routes ?? [], d.table, `Vrf ${d.name}`),
  }),
  members: (d) => (d.interfaces ?? []).map(({ name }) => name),
  neighbours: ({ routes }) => networkd(routes),
  boot,
  exposure: ({ state, facts }, after) => ({
    links: [state?.name, after?.name, ...Object.keys(facts.members)].filter((name) => name !== undefined),
    prefixes: [state, after].flatMap((d) => (d?.routes ?? []).map(({ destination }) => destination)),
  }),
  outputs: ({ ifindex }) => ({ ifindex }),
};
