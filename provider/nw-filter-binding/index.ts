import type { Kind } from "../kind";
import { schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, ensure, explain, remove } from "./render";

export const nwFilterBinding: Kind<typeof schema.shape, Facts> = {
  name: "NwFilterBinding",
  schema,
  identity: ["portDev"],
  whole: true,
  id: (d) => d.portDev,
  query,
  parse,
  ensure,
  remove,
  explain,
  boot,
  // libvirt builds the rules with a process for each.
  patience: () => 120,
  exposure: ({ state }, after) => ({ links: [(after ?? state)?.portDev ?? []].flat() }),
};
