import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { ensure, explain, remove } from "./render";

export const nwFilter: Kind<typeof schema.shape, Facts> = {
  name: "NwFilter",
  schema,
  refine,
  identity: ["name"],
  whole: true,
  id: (d) => d.name,
  query,
  parse,
  ensure,
  remove,
  blocked: ({ facts }) =>
    facts.users.length > 0
      ? `it is a part of the filter of ${facts.users.join(", ")}, running: take it out of there first`
      : undefined,
  explain,
  // libvirt builds the rules of each port anew, each rule with a process of its own.
  patience: ({ facts }) => 60 * facts.users.length,
  exposure: ({ facts }) => (facts.users.length > 0 ? { links: facts.users } : undefined),
  outputs: ({ uuid, xml }) => ({ uuid, xml }),
};
