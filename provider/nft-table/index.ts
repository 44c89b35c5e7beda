import { hookOf } from "../formats/nft-block";
import type { Kind } from "../kind";
import { schema } from "./args";
import { tableOf } from "./blocks";
import { refine } from "./checks";
import { explain, trial } from "./explain";
import { lockout } from "./lockout";
import { neighbours } from "./others";
import { type Facts, parse, query } from "./parse";
import { boot, ensure, remove } from "./render";

export const nftTable: Kind<typeof schema.shape, Facts> = {
  name: "NftTable",
  schema,
  refine,
  identity: ["family", "name"],
  whole: true,
  id: (d) => `${d.family}/${d.name}`,
  query,
  parse,
  ensure,
  remove,
  explain,
  neighbours,
  trial,
  boot,
  exposure: ({ state }, after) => {
    const blocks = [state, after].flatMap((d) => [...tableOf(d ?? {}).blocks.values()]);
    const hooks = [...new Set(blocks.flatMap((block) => hookOf(block) ?? []))].sort();
    return hooks.length > 0 ? { hooks } : undefined;
  },
  lockout,
  outputs: ({ table, listing }) => ({
    listing: [`table ${table} {`, ...Object.values(listing), "}"].join("\n"),
  }),
};
