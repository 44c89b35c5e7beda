import { keepFound } from "../formats/link";
import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { exposure, lockout } from "./exposure";
import { neighbours } from "./others";
import { type Facts, parse, query } from "./parse";
import { blocked, boot, ensure, remove } from "./render";

export const bridge: Kind<typeof schema.shape, Facts> = {
  name: "Bridge",
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
  blocked,
  members: (d) => (d.ports ?? []).map(({ name }) => name),
  neighbours,
  boot,
  exposure,
  lockout,
  outputs: ({ ifindex, macAddress }) => ({ ifindex, macAddress }),
};
