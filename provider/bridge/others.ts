import { listBridged, obstacles, parseOthers } from "../formats/nft-others";
import { ownerOf } from "../formats/nft-words";
import type { Neighbours } from "../kind";
import type { Bridge } from "./args";

/**
 * With br_netfilter, which docker loads, frames from port to port pass the forward chains of IP, with the bridge as both
 * links: a firewall that drops what it does not know cuts guests off from each other.
 */
export function neighbours({ name }: Bridge): Neighbours {
  const both = ["iifname", "oifname"].map((field) => [field, { not: false, list: [name] }] as const);
  const frames = { rule: name, traffic: new Map(both) };
  return {
    query: listBridged,
    warnings: ({ stdout }) => {
      const tools = parseOthers(stdout).filter((table) => {
        const [family, own] = table.name.split(" ") as [string, string];
        return ownerOf(family, own) !== undefined;
      });
      return obstacles("ip", "forward", [frames], tools).map(
        ({ place, advice }) =>
          `IP packets from one of its ports to another are dropped by ${place}, for net.bridge.bridge-nf-call-iptables is 1. ` +
          `Needed there: ${advice}; or that setting at 0`,
      );
    },
  };
}
