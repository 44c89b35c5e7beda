import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, ensure, explain, remove } from "./render";

export const dhcpDns: Kind<typeof schema.shape, Facts> = {
  name: "DhcpDns",
  schema,
  refine,
  identity: ["interface"],
  whole: true,
  id: (d) => d.interface,
  query,
  parse,
  ensure,
  remove,
  explain,
  boot,
  exposure: () => undefined,
};
