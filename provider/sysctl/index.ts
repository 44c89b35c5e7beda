import type { Kind } from "../kind";
import { refine, type Sysctl, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, claims, ensure, remove } from "./render";

/** What decides whether a packet gets through, ours included. */
const CUTS = /^net\..*(forward|disable_ipv6|rp_filter|accept_ra|arp_(filter|ignore|announce)|bridge-nf-call)/;

const cuts = (d?: Sysctl): boolean => Object.keys(d?.settings ?? {}).some((key) => CUTS.test(key));

export const sysctl: Kind<typeof schema.shape, Facts> = {
  name: "Sysctl",
  schema,
  refine,
  identity: ["name"],
  setting: true,
  id: (d) => d.name,
  query,
  parse,
  ensure,
  remove,
  claims,
  boot,
  exposure: ({ state }, after) => (cuts(state) || cuts(after) ? { routing: true } : undefined),
};
