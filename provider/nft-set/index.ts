import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, ensure, patience, remove } from "./render";
import { trial } from "./trial";

export const nftSet: Kind<typeof schema.shape, Facts> = {
  name: "NftSet",
  schema,
  refine,
  identity: ["family", "table", "name"],
  whole: true,
  managed: ["elements"],
  id: (d) => `${d.family}/${d.table}/${d.name}`,
  query,
  parse,
  ensure,
  remove,
  blocked: ({ facts }, { desired: d }) =>
    facts.users.length > 0
      ? `rules of ${facts.users.join(", ")} in ${d.family} ${d.table} still use it: take it out of them first`
      : undefined,
  trial,
  boot,
  patience,
  exposure: ({ facts }) => (facts.hooks.length > 0 ? { hooks: facts.hooks } : undefined),
};
