import { refuseForGood } from "../errors";
import type { Kind, Observed, Way } from "../kind";
import { refine, type Sysctl, schema } from "./args";
import { type Facts, parse, query } from "./parse";
import { boot, claims, ensure, formerValue, remove } from "./render";

/** Many of them decide whether a packet gets through, ours included: a TTL, tcp_l3mdev_accept, the size of a table. */
const cuts = (d?: Sysctl): boolean => Object.keys(d?.settings ?? {}).some((key) => key.startsWith("net."));

/** The kernel gives no address and no route back that goes with IPv6: neither if told to, nor if it was so before us. */
function lockout(
  { shared }: Observed<typeof schema.shape, Facts>,
  after: Sysctl | undefined,
  { server, links }: Way,
): undefined {
  const offs = server.includes(":") ? ["all", ...links.map((link) => link.replaceAll(".", "/"))] : [];
  const off = offs
    .map((device) => `net.ipv6.conf.${device}.disable_ipv6`)
    .find((key) => !/^(0+)?$/.test(after?.settings[key] ?? formerValue(key, shared) ?? "0"));
  if (off) refuseForGood(`it is by IPv6, which settings.${off} takes off its link`);
  return undefined;
}

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
  lockout,
};
