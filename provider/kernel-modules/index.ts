import type { Kind } from "../kind";
import { type KernelModules, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { claims, ensure, remove } from "./render";

/** With br_netfilter, what only crosses a bridge meets the IP rules of the host too. */
const cuts = (d?: KernelModules): boolean => d?.modules.includes("br_netfilter") ?? false;

export const kernelModules: Kind<typeof schema.shape, Facts> = {
  name: "KernelModules",
  schema,
  identity: ["name"],
  setting: true,
  id: (d) => d.name,
  query,
  parse,
  ensure,
  remove,
  claims,
  exposure: ({ state }, after) => (cuts(state) !== cuts(after) ? { routing: true } : undefined),
};
