import type { Neighbours } from "../kind";
import type { Route } from "./route";

/** Written with the first object that is kept: it lets others' routes and rules alone, from networkd's next start on. */
export const DROP_IN = "/etc/systemd/networkd.conf.d/hostnet.conf";
/** When networkd starts it takes away the rules of others, and their routes that lead to no link (`unreachable`), ours among them. */
export const KEEP = "[Network]\nManageForeignRoutingPolicyRules=no\nManageForeignRoutes=no";
/** A link to an id, which is another at each start; the drop-in ends with the one that ran when it was written. */
const RUNS = "/run/systemd/units/invocation:systemd-networkd.service";
export const WRITTEN = `# written while this one ran: $(readlink ${RUNS})`;

const FOLDERS = ["/etc", "/run", "/usr/lib"]
  .map((folder) => `${folder}/systemd/networkd.conf.d/*.conf`)
  .join(" ");
const LOOK = `[ -L ${RUNS} ] || exit 0
case $(grep -Els '^ManageForeignRoutes *= *(no|n|false|f|off|0) *$' /etc/systemd/networkd.conf ${FOLDERS}) in
"") echo untold ;;
${DROP_IN}) ! grep -qsx "${WRITTEN}" ${DROP_IN} || echo unread ;;
esac`;

/**
 * systemd-networkd takes routes of others that lead to no link whenever it configures one of its own anew, unless it was told
 * not to by the time it started.
 */
export function networkd(routes: readonly Route[] = []): Neighbours | undefined {
  const swept = routes.find(({ type }) => type !== undefined && type !== "unicast");
  if (!swept) return undefined;
  const takes = `its networkctl reconfigure takes routes such as ${swept.type} ${swept.destination}`;
  return {
    query: { argv: ["sh", "-c", LOOK], free: true },
    warnings: ({ stdout }) => {
      if (stdout === "untold\n")
        return [`systemd-networkd is not told ManageForeignRoutes=no ([Network] in networkd.conf): ${takes}`];
      if (stdout === "unread\n")
        return [
          `systemd-networkd reads ${DROP_IN} when it starts again (systemctl restart systemd-networkd, or a reboot): until then ${takes}`,
        ];
      return [];
    },
  };
}
