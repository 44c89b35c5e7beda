import { admitted, chainsOf, listOthers, obstacles, parseOthers } from "../formats/nft-others";
import type { Neighbours } from "../kind";
import type { NftTable } from "./args";
import { tableOf } from "./blocks";

/** What other tables still drop of that which this one accepts. Asked only where it accepts something. */
export function neighbours(d: NftTable): Neighbours | undefined {
  if (d.dormant) return undefined;
  const chains = chainsOf(tableOf(d).blocks.values());
  const bases = [...chains.values()].flatMap(({ name, hook }) => {
    const accepted = hook === undefined ? [] : admitted(chains, name);
    return accepted.length > 0 ? [{ name, hook: hook!, accepted }] : [];
  });
  if (bases.length === 0) return undefined;
  return {
    query: listOthers,
    warnings: ({ stdout }) => {
      const others = parseOthers(stdout).filter(({ name }) => name !== `${d.family} ${d.name}`);
      return bases.flatMap(({ name, hook, accepted }) =>
        obstacles(d.family, hook, accepted, others).map(
          ({ rule, more, place, advice }) =>
            `what "${rule}"${more > 0 ? ` and ${more} more of its rules` : ""} in its chain ${name} accept${more > 0 ? "" : "s"} ` +
            `is still dropped by ${place}: an accept ends one chain only. Needed there: ${advice}`,
        ),
      );
    },
  };
}
