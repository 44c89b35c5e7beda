import { refuseForGood } from "../errors";
import type { Kind, Observed, Way } from "../kind";
import { refine, type Sysctl, schema } from "./args";
import { keyAt } from "./keys";
import { type Facts, parse, query, routesIPv6 } from "./parse";
import { boot, claims, ensure, formerValue, remove } from "./render";

/** Many of them decide whether a packet gets through, ours included: a TTL, tcp_l3mdev_accept, the size of a table. */
const cuts = (d?: Sysctl): boolean => Object.keys(d?.settings ?? {}).some((key) => key.startsWith("net."));

/** The kernel gives no address and no route back that goes with IPv6, or with forwarding: neither if told to, nor if it was so before us. */
function lockout(
  { shared, facts }: Observed<typeof schema.shape, Facts>,
  after: Sysctl | undefined,
  { server, links, gateway }: Way,
): undefined {
  const own = (link: string, name: string) => keyAt(`/proc/sys/net/ipv6/conf/${link}/${name}`);
  const offs = server.includes(":") ? ["all", ...links] : [];
  const off = offs
    .map((device) => own(device, "disable_ipv6"))
    .find((key) => !/^(0+)?$/.test(after?.settings[key] ?? formerValue(key, shared) ?? "0"));
  if (off) refuseForGood(`it is by IPv6, which settings.${off} takes off its link`);
  const forwards = Object.entries(after?.settings ?? {}).some(
    ([key, value]) => routesIPv6(key) && value !== "0",
  );
  const lost = forwards && facts.advertised?.find((route) => route.gateway === gateway);
  if (lost && after?.settings[own(lost.link, "accept_ra")] !== "2")
    refuseForGood(
      `its route by ${gateway} is from router advertisements, which a host that forwards IPv6 heeds only with ` +
        `${own(lost.link, "accept_ra")}: 2: declare that in the same settings`,
    );
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
