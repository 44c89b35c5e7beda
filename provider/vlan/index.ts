import { changedPrefixes, interfaceLockout } from "../formats/interface";
import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { blocked, boot, claims, ensure, remove } from "./render";

export const vlan: Kind<typeof schema.shape, Facts> = {
  name: "Vlan",
  schema,
  refine,
  identity: ["name"],
  deleteBeforeReplace: true,
  id: (d) => d.name,
  query,
  parse,
  ensure,
  remove,
  blocked,
  claims,
  boot,
  exposure: ({ state }, after) => ({
    links: [state?.name, after?.name, after?.vrf].filter((name) => name !== undefined),
    prefixes: changedPrefixes(state, after),
  }),
  lockout: ({ state }, after, way) => interfaceLockout(state, after, way),
  outputs: ({ ifindex }) => ({ ifindex }),
};
