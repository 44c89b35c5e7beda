import { refuseForGood } from "../errors";
import { contains } from "../formats/cidr";
import type { Exposure, Observed, Way } from "../kind";
import type { Bridge, schema } from "./args";
import type { Facts } from "./parse";

type Seen = Observed<typeof schema.shape, Facts>;

export function exposure({ state, facts }: Seen, after?: Bridge): Exposure {
  const networks = (d?: Bridge) => [
    ...(d?.addresses ?? []),
    ...(d?.routes ?? []).map(({ destination }) => destination),
  ];
  const [now, then] = [networks(state), networks(after)];
  return {
    links: [state?.name, after?.name, after?.vrf, ...Object.keys(facts.members)].filter(
      (name) => name !== undefined,
    ),
    prefixes: [...now.filter((n) => !then.includes(n)), ...then.filter((n) => !now.includes(n))],
  };
}

export function lockout(
  { state }: Seen,
  after: Bridge | undefined,
  { links, server, client, gateway }: Way,
): string | undefined {
  if (!state || links[0] !== state.name) return undefined;
  if (!after) return `it runs over ${state.name}, which is to be deleted`;
  // With the link, or its place in a VRF, go the routes of others, and nothing brings them back.
  const routed = gateway && !state.routes?.some(({ destination }) => contains(destination, client));
  if (routed && (!after.up || after.vrf !== state.vrf))
    refuseForGood(
      `the route by ${gateway} runs over ${state.name}, which is to be ${after.up ? "moved" : "down"}`,
    );
  if (!after.up) return `it runs over ${state.name}, which is to be down (up: false)`;
  const own = (address: string) => address.split("/")[0] === server;
  const leaves = state.addresses?.find((address) => own(address) && !after.addresses?.some(own));
  return leaves && `it goes to ${leaves}, which is no more among the addresses of ${state.name}`;
}
