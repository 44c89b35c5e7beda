import { networkd } from "../formats/networkd";
import { routeClaims } from "../formats/route";
import type { Kind } from "../kind";
import { refine, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, ensure, remove } from "./render";
import { ruleOf, ruleText } from "./rule";

export const policyRoute: Kind<typeof schema.shape, Facts> = {
  name: "PolicyRoute",
  schema,
  refine,
  identity: ["name"],
  // The rule is the same under another name, and the kernel holds it but once.
  deleteBeforeReplace: true,
  whole: true,
  id: (d) => d.name,
  query,
  parse,
  ensure,
  remove,
  // The name stands nowhere on the host: so a second resource that wants the same rule or route is told apart.
  claims: (d) => ({
    [`${d.family} rule ${ruleText(ruleOf(d))}`]: { value: d.name, former: null },
    ...routeClaims(d.routes ?? [], d.table ?? 0, `PolicyRoute ${d.name}`),
  }),
  neighbours: ({ routes }) => networkd(routes),
  boot,
  exposure: () => ({ routing: true }),
};
