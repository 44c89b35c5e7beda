import type { Query, Result, Step, Way } from "./kind";

/**
 * systemd-networkd and NetworkManager configure links of their own: when they start again they take them out of bridges
 * and VRFs. A link that becomes a member of ours gets a drop-in that tells its manager to leave it alone, which goes when
 * it is released. Both are told by file, for only that outlasts their restart.
 */

/** What is known of a link's manager. */
interface Managed {
  readonly by: keyof typeof MANAGERS;
  /** What of the manager's own is about it: its file, as far as it says. */
  readonly file: string;
  /** Our drop-in, where there is one: the manager leaves it alone. */
  readonly dropIn?: string;
}
export type ManagedLinks = ReadonlyMap<string, Managed>;

const MANAGERS = {
  "systemd-networkd": {
    folder: "systemd/network",
    // Before all others: of the files that match, the first counts.
    name: (link: string) => `00-hostnet-${link}.network`,
    text: (link: string) => `[Match]\nName=${link}\n[Link]\nUnmanaged=yes\n`,
    reload: "networkctl reload",
    gone: 'grep -qs ^ADMIN_STATE=unmanaged "/run/systemd/netif/links/$(cat "/sys/class/net/$2/ifindex")"',
  },
  NetworkManager: {
    folder: "NetworkManager/conf.d",
    name: (link: string) => `hostnet-${link}.conf`,
    text: (link: string) => `[keyfile]\nunmanaged-devices+=interface-name:=${link}\n`,
    reload: "nmcli general reload conf",
    gone: 'nmcli -g GENERAL.STATE device show "$2" | grep -q ^10',
  },
} as const;

const FROM = "# pulumi-hostnet, instead of ";
const pathOf = (by: Managed["by"], link: string, persist: boolean) =>
  `${persist ? "/etc" : "/run"}/${MANAGERS[by].folder}/${MANAGERS[by].name(link)}`;
/** Wherever it may lie, in words of the shell. */
const anywhere = (by: Managed["by"], link: string) =>
  [true, false].map((persist) => pathOf(by, link, persist)).join(" ");
const ALL = Object.keys(MANAGERS) as readonly Managed["by"][];

/** A line for each link that one of them configures, or is kept from: LINK MANAGER DROP-IN FILE. What runs has an invocation. */
const LOOK = `on() { [ -L "/run/systemd/units/invocation:$1.service" ]; }
for l; do
  { read -r i <"/sys/class/net/$l/ifindex"; } 2>/dev/null || continue
  ${ALL.map(
    (by) => `for f in ${anywhere(by, "$l")}; do
    [ -e "$f" ] && read -r x <"$f" && echo "$l ${by} $f \${x#"${FROM}"}" && continue 2
  done`,
  ).join("\n  ")}
  f=/run/systemd/netif/links/$i s= n=
  if on systemd-networkd && [ -e $f ]; then
    while IFS== read -r k v; do case $k in ADMIN_STATE) s=$v ;; NETWORK_FILE) n=$v ;; esac; done <$f
    [ -z "$n" ] || [ "$s" = unmanaged ] || echo "$l systemd-networkd - $n"
  fi
  if on NetworkManager; then
    s=$(nmcli -g GENERAL.STATE,GENERAL.CONNECTION device show "$l" 2>/dev/null | { read -r s; read -r n; echo "$s:$n"; })
    case $s in 10\\ * | *externally* | : | "") ;; *) echo "$l NetworkManager - \${s#*:}" ;; esac
  fi
done
:`;

export const lookAtManagers = (links: readonly string[]): Query => ({
  argv: ["sh", "-c", LOOK, "sh", ...links],
  free: true,
});

export function parseManagers({ stdout }: Result): ManagedLinks {
  const lines = stdout.split("\n").flatMap((line) => {
    const [, link, by, dropIn, file] = /^(\S+) (\S+) (\S+) ?(.*)$/.exec(line) ?? [];
    if (link === undefined || !(by! in MANAGERS)) return [];
    return [[link, { by: by as Managed["by"], file: file!, ...(dropIn !== "-" && { dropIn }) }] as const];
  });
  return new Map(lines);
}

/** Either lets go a moment later, takes its addresses along, and the link down: on which whoever moves it has just counted. */
const take = ({ reload, gone }: (typeof MANAGERS)[Managed["by"]]): string => `umask 022
mkdir -p "\${1%/*}" && command cat >"$1" && sync "$1" || exit
a=/run/hostnet/$2.addresses u=$(ip -o link show dev "$2" up) n=0
ip addr save dev "$2" >"$a"
${reload} || exit
until ${gone} || [ $((n += 1)) -gt 50 ]; do sleep 0.1; done
ip addr restore <"$a" 2>/dev/null
rm -f "$a"
[ -z "$u" ] || ip link set dev "$2" up`;

const write = (link: string, { by, file }: Managed, path: string): Step => ({
  argv: ["sh", "-c", take(MANAGERS[by]), "sh", path, link],
  stdin: `${FROM}${file}\n${MANAGERS[by].text(link)}`,
});

/** A manager that is there no more needs no word. */
const remove = ({ by }: Managed, path: string): Step => ({
  argv: ["sh", "-c", `[ ! -e "$1" ] || { rm "$1" && { ${MANAGERS[by].reload} || :; }; }`, "sh", path],
});

/** The link of the connection keeps its manager: its lease has to be renewed. Without knowing all of the way, any may be it. */
const carries = (link: string, way: Way | undefined): boolean =>
  !way || way.tunnelled === true || way.links.includes(link);

/** What surrounds a change, and its undo, in which members come and go. */
export function handingOver(
  links: ManagedLinks,
  members: { readonly before: readonly string[]; readonly after: readonly string[] },
  way: Way | undefined,
  persist: boolean,
) {
  const known = (names: readonly string[]) =>
    names.flatMap((link) => {
      const managed = links.get(link);
      return managed ? [{ link, managed, wanted: pathOf(managed.by, link, persist) }] : [];
    });
  const taken = known(members.after).filter(({ link, managed, wanted }) =>
    managed.dropIn ? managed.dropIn !== wanted : !carries(link, way),
  );
  const gone = known(members.before.filter((link) => !members.after.includes(link)));
  const old = [...gone, ...taken].flatMap(({ link, managed }) =>
    managed.dropIn ? [{ link, managed, path: managed.dropIn }] : [],
  );
  return {
    around: (steps: readonly Step[]): readonly Step[] => [
      ...taken.map(({ link, managed, wanted }) => write(link, managed, wanted)),
      ...steps,
      ...old.map((it) => remove(it.managed, it.path)),
    ],
    back: (steps: readonly Step[]): readonly Step[] => [
      ...old.map((it) => write(it.link, it.managed, it.path)),
      ...steps,
      ...taken.map(({ managed, wanted }) => remove(managed, wanted)),
    ],
  };
}

/** Members that somebody else configures, although he was told not to. */
export const contested = (links: ManagedLinks, way: Way | undefined): readonly string[] =>
  [...links].flatMap(([link, { by, file, dropIn }]) =>
    dropIn || carries(link, way) ? [] : [`ports of others: ${by} configures ${link} (${file})`],
  );

/** What is to be known of members that had a manager. */
export const handed = (links: ManagedLinks, way: Way | undefined): readonly string[] =>
  [...links].flatMap(([link, { by, file, dropIn }]) => {
    if (dropIn)
      return [
        `${by} leaves ${link} alone as long as it is a member, by ${dropIn}: what ${file} says of it has to be declared here`,
      ];
    if (!carries(link, way)) return [];
    return [
      `${by} goes on configuring ${link} (${file}), for it carries the connection to this host: when it starts again it ` +
        `takes ${link} out. Tell it in that file to leave it alone`,
    ];
  });

/** For the script that takes all of ours away. */
export const GIVE_ALL = ALL.map(
  (by) => `for f in ${anywhere(by, "*")}; do [ ! -e "$f" ] || { rm "$f"; ${MANAGERS[by].reload}; }; done`,
).join("\n  ");
