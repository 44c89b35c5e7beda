import type { Neighbours } from "../kind";
import type { Route } from "./route";

/** Written with the first object that is kept: it lets others' routes and rules alone, from its next start on. */
export const DROP_IN = "/etc/systemd/networkd.conf.d/hostnet.conf";

/** The drop-in is younger than the networkd that runs. A unit's invocation is a link to an id, which is no file. */
const LOOK = `u=/run/systemd/units/invocation:systemd-networkd.service
[ -e "$1" ] && [ -L $u ] && [ "$(stat -c %Y "$1")" -ge "$(stat -c %Y $u)" ] && echo unread
:`;

/**
 * systemd-networkd takes routes of others that lead to no link, whenever it configures one of its own anew: unless it was told
 * not to by the time it started.
 */
export function networkd(routes: readonly Route[] = []): Neighbours | undefined {
  const swept = routes.find(({ type }) => type !== undefined && type !== "unicast");
  if (!swept) return undefined;
  return {
    query: { argv: ["sh", "-c", LOOK, "sh", DROP_IN], free: true },
    warnings: ({ stdout }) =>
      stdout === ""
        ? []
        : [
            `systemd-networkd reads ${DROP_IN} when it starts again (systemctl restart systemd-networkd, or a reboot): until then ` +
              `its networkctl reconfigure takes routes such as ${swept.type} ${swept.destination}`,
          ],
  };
}
