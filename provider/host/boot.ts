import { dirname } from "node:path/posix";
import { DROP_IN, KEEP, WRITTEN } from "../formats/networkd";
import type { Boot, Step } from "../kind";
import { GIVE_ALL } from "../managers";
import { LONG } from "./data";
import type { File } from "./plan";
import { digest } from "./shared";
import { ASIDE, block, command, guarded, quote } from "./shell";

/**
 * What makes the objects again after a boot lies on the host, a file for each, and needs nothing of ours but a shell:
 *
 *   /etc/hostnet/boot.d/*   functions of one object: `text`, of nft, or `make`, and `again` for a link that went; and `undo`
 *   /etc/hostnet/boot       runs them: `tables` before the network is up, `links` when links are there, `late`; `remove`
 *   hostnet-nft.service     the first, also when nftables is restarted or reloaded, which empties the ruleset
 *   hostnet.service         the second
 *   hostnet-late.service    what needs libvirt, and what had no link yet: after libvirt, and whenever a link appears
 *
 * They come with the first object that is to persist, and go with the last.
 */
export const FOLDER = "/etc/hostnet/boot.d";

export interface AtBoot
  extends Pick<Boot<unknown>, "order" | "table" | "closed" | "anew" | "when" | "link" | "again" | "listing"> {
  readonly steps: readonly Step[];
  /** What the steps were before the change. */
  readonly former?: readonly Step[];
  /** Where its link is there already: what makes of that what is declared. Left out: it is another's. */
  readonly over?: readonly Step[];
  readonly undo: readonly Step[];
  /** Links that it takes in: without one of them the rest of it is made. */
  readonly members?: readonly string[];
}

/** What `make` exits with where it has done nothing, so that nothing is undone. */
const ANOTHERS = 9;

export function bootFile(name: string, label: string, boot: AtBoot, ssh = 22): File {
  const path = `${FOLDER}/${name}`;
  const order = String(boot.order).padStart(2, "0");
  const head = (kind: string, key: string) => `# ${kind} ${key} ${label.replace(/\s+/g, " ")}\n`;
  const undone = block("undo", boot.undo.map(run));
  // A line of its own, to be found however broken the rest is.
  const closed = boot.closed === undefined ? "" : `# closed define ssh = ${ssh}; ${boot.closed}\n`;
  if (boot.table === undefined) {
    const { link, over, members = [] } = boot;
    const all = (steps: readonly Step[]) => [
      ...steps.map((step) => `${run(step)} || ${isAbout(step, members) ? "${or:-return}" : "return"}`),
      "return 0",
    ];
    const needs = members.length > 0 ? `# needs ${members.join(" ")}\n` : "";
    const others = [`echo ${quote(`${link} is there, made by another`)} >&2`, `exit ${ANOTHERS}`];
    const there =
      link === undefined
        ? []
        : [`if ip link show dev ${quote(link)} >/dev/null 2>&1; then`, ...(over ? all(over) : others), "fi"];
    const made = block("make", [...there, ...all(boot.steps)]);
    const again = boot.again ? block("again", boot.again.map(run)) : "";
    return { path, text: `${head(boot.when ?? "link", order)}${closed}${needs}${made}${again}${undone}` };
  }
  const anew = boot.anew === undefined ? "" : `# anew ${boot.anew}\n`;
  const text = `${head("table", `${digest(boot.table)}-${order}`)}${closed}${anew}${undone}`;
  const fed = (steps: readonly Step[]): string => steps.map(({ stdin = "" }) => stdin).join("");
  const lines = fed(boot.steps);
  if (lines.length > LONG && !/^HOSTNET$/m.test(lines)) {
    const { listing, former } = boot;
    return {
      path,
      text: `${text}text() { command cat <<'HOSTNET'\n`,
      source: lines,
      ...(listing && { listing }),
      ...(former && { former: fed(former) }),
    };
  }
  return { path, text: `${text}${block("text", [`printf %s ${quote(lines)}`])}` };
}

/** What fails where one of these links is missing. */
const isAbout = ({ argv, stdin = "" }: Step, links: readonly string[]): boolean =>
  links.some((link) => argv.includes(link) || stdin.split(/\s+/).includes(link));

/** What a source's text ends with. */
export const END_OF_SOURCE = "HOSTNET\n}\n";

const run = (step: Step): string =>
  guarded(
    step,
    step.stdin === undefined ? command(step.argv) : `printf %s ${quote(step.stdin)} | ${command(step.argv)}`,
  );

const UNITS: Readonly<Record<string, string>> = {
  // A restart reaches it by PartOf, a reload by ReloadPropagatedFrom, a stop and a start by the link in nftables' wants.
  "hostnet-nft.service": `[Unit]
Description=Tables of nftables that pulumi-hostnet keeps
DefaultDependencies=no
After=nftables.service local-fs.target
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/hostnet/boot tables
ExecReload=/bin/sh /etc/hostnet/boot tables
`,
  "hostnet.service": `[Unit]
Description=Links, routes and rules that pulumi-hostnet keeps
After=hostnet-nft.service systemd-modules-load.service systemd-sysctl.service systemd-networkd.service NetworkManager.service networking.service
Before=libvirtd.service virtqemud.service virtnetworkd.service libvirt-guests.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/hostnet/boot links
`,
  // Many links may appear at once.
  "hostnet-late.service": `[Unit]
Description=What pulumi-hostnet keeps on links that come late
After=hostnet.service libvirtd.service virtqemud.service
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=/bin/sh /etc/hostnet/boot late
`,
};

const SYSTEMD = "/etc/systemd/system";
const WANTS: readonly (readonly [wanted: string, by: string])[] = [
  ["hostnet-nft.service", "sysinit.target"],
  ["hostnet-nft.service", "nftables.service"],
  ["hostnet.service", "multi-user.target"],
  ["hostnet-late.service", "multi-user.target"],
];
const UDEV = "/etc/udev/rules.d/80-hostnet.rules";
const APPEARS =
  'ACTION=="add", SUBSYSTEM=="net", TAG+="systemd", ENV{SYSTEMD_WANTS}+="hostnet-late.service"\n';
const LINKS = WANTS.map(([unit, by]) => [`${SYSTEMD}/${by}.wants`, unit] as const);
/** Those of them that were not there before us. */
const FOLDERS = [...new Set([...LINKS.map(([folder]) => folder), dirname(DROP_IN)])].join(" ");
const FILES = [
  ...Object.keys(UNITS).map((unit) => `${SYSTEMD}/${unit}`),
  ...LINKS.map((link) => link.join("/")),
  DROP_IN,
  UDEV,
].join(" ");

const RUNNER = `# Written by pulumi-hostnet, and removed with the last object that it keeps.
# sh /etc/hostnet/boot tables: each table of nftables with its sets, in one transaction, before the network is up
# sh /etc/hostnet/boot links: everything else; what fails, as its links are not there yet, is tried again for a minute
# sh /etc/hostnet/boot late: what needs libvirt, what still failed, and what went with a link that is there again, once
# sh /etc/hostnet/boot remove: takes away all that is kept here, for good
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TZ=UTC
R=/run/hostnet or=
umask 077
mkdir -p $R
# Those of some kinds, in order.
objects() { for f in *; do read -r _ kind key _ <"$f" && case $kind in "$1" | "\${2:-$1}" | "\${3:-$1}") echo "$key $f" ;; esac; done | sort; }
files() { objects "$@" | sed 's/.* //'; }
complain() {
  for f; do sed -n '1s/^# [^ ]* [^ ]* /pulumi-hostnet could not put back: /p' "$f"; done
  for f; do [ ! -s "$R/$f.err" ] || command cat "$R/$f.err"; done
} >&2
# What is not there drops its traffic, rather than letting it pass.
close() {
  for f; do sed -n '2s/^# closed //p' "$f"; done >$R/boot.nft
  [ -s $R/boot.nft ] && nft -f $R/boot.nft 2>/dev/null 9>&-
}
# Of some kinds, in order: what was not made since the boot, nor written since by a change that made it.
missing() {
  for f in $(files "$@"); do
    if [ ! -e $R/failed ] || { grep -qx "$f" $R/failed && [ ! "$f" -nt $R/failed ]; }; then echo $f; fi
  done
}
# At least as new as they are, should the clock have been wrong when the host started.
failed() {
  for f; do echo "$f"; done >$R/failed
  for f; do [ ! "$f" -nt $R/failed ] || touch -r "$f" $R/failed; done
}
tables() {
  exec 9>$R/lock || return
  bad=0
  flock -x 9
  # Of a change that the machine did not live to end.
  [ -e $R/pending ] || rm -rf ${ASIDE}
  for f in *; do
    [ -e "$f" ] || continue
    kind=; read -r _ kind _ <"$f"
    case $kind in table | link | ruleset | late) ;; *) echo "pulumi-hostnet: ${FOLDER}/$f is damaged: nothing of it is put back" >&2; bad=1 ;; esac
  done
  for t in $(objects table | sed 's/-.*//' | uniq); do
    set -- $(objects table | sed -n "s/^$t-[0-9]* //p")
    for f; do sed -n '2,3s/^# anew //p' "$f"; done >$R/boot.nft
    for f; do ( . "./$f" && text ) || echo "broken"; done >>$R/boot.nft
    nft -f $R/boot.nft 9>&- || { complain "$@"; bad=1; ! close "$@" || echo "What it filters is dropped until then, but for SSH." >&2; }
  done
  absent=$(missing link ruleset late)
  for f in $absent; do close $f; done
  for f in $(files ruleset); do
    echo "$absent" | grep -qx "$f" || ( . "./$f"; make ) 9>&- || { complain $f; bad=1; }
  done
  rm -f $R/boot.nft
  flock -u 9
  return $bad
}
# What is closed stays so, and is gone on with; what is not must not stand there half.
attempt() {
  ( . "./$1"; make ) >/dev/null 2>$R/$1.err 9>&- && return
  [ $? = ${ANOTHERS} ] || sed -n 2p "$1" | grep -q '^# closed ' || ( . "./$1"; undo ) >/dev/null 2>&1 9>&-
  return 1
}
# But for what is about its members: without one of them the rest is better than nothing. It is made again when all are there.
partly() {
  sed -n '2,3p' "$1" | grep -q '^# needs ' || return 0
  or=:
  attempt "$1" && { whole "$1" || true >$R/part.$1; }
  or=
}
whole() { for l in $(sed -n '2,3s/^# needs //p' "$1"); do ip link show dev "$l" >/dev/null 2>&1 || return; done; }
links() {
  exec 9>$R/lock || return
  # Once after a boot: after that only what failed.
  todo=$(missing link ruleset)
  late=$(missing late)
  tries=0
  while :; do
    rest=
    flock -x 9
    for f in $todo; do
      [ -e "$f" ] || continue
      attempt "$f" || rest="$rest $f"
    done
    flock -u 9
    todo=$rest
    [ -n "$todo" ] && [ $((tries += 1)) -lt 60 ] || break
    sleep 1
  done
  failed $todo $late
  flock -x 9
  for f in $todo; do partly "$f"; done
  flock -u 9
  complain $todo
  rm -f $R/*.err
  [ -z "$todo" ]
}
indexes() { ip -o link | sed 's/:.*//'; }
late() {
  bound=$(files ruleset)
  [ -s $R/failed ] || [ -n "$bound" ] || return 0
  exec 9>$R/lock || return
  flock -x 9
  # Once more for a link that appears meanwhile: systemd starts no second run for it.
  there=
  until [ "$there" = "$(indexes)" ]; do
    there=$(indexes)
    rest=
    absent=$([ ! -s $R/failed ] || missing link ruleset late)
    for f in $absent; do
      if [ -e $R/part.$f ]; then
        whole "$f" || { rest="$rest $f"; continue; }
        ( . "./$f"; undo ) >/dev/null 2>&1 9>&-
        rm $R/part.$f
      fi
      attempt "$f" || { rest="$rest $f"; partly "$f"; }
    done
    for f in $bound; do
      echo "$absent" | grep -qx "$f" || ( . "./$f"; again ) >/dev/null 2>&1 9>&-
    done
    rm -f $R/*.err
    [ ! -s $R/failed ] || failed $rest
  done
}
remove() {
  exec 9>$R/lock || return
  flock -x 9
  # Nobody claims a shared setting any more.
  find /etc/hostnet/shared -type f ! -name former -delete 2>/dev/null
  for f in $(objects link ruleset late | sort -r | sed 's/.* //') $(objects table | sort -r | sed 's/.* //'); do
    ( . "./$f"; undo ) >/dev/null 9>&- || echo "not all of $(sed -n '1s/^# [^ ]* [^ ]* //p' "$f") could be taken away" >&2
  done
  ${GIVE_ALL}
  rm -rf ${FOLDER} ${ASIDE} /etc/hostnet/objects /etc/hostnet/shared /etc/modules-load.d/hostnet-*.conf
  gone
}
# With the last object.
gone() {
  rm -f ${FILES} $R/failed $R/part.*
  rmdir ${FOLDERS} 2>/dev/null
  [ ! -L /run/systemd/units/invocation:hostnet-nft.service ] || { systemctl stop hostnet-nft hostnet; systemctl daemon-reload; }
  rm -f /etc/hostnet/boot /etc/hostnet/remove-all
  rmdir /etc/hostnet 2>/dev/null
  :
}
if [ "$1" = gone ]; then gone; else cd ${FOLDER} && "$1"; fi
`;

const stamp = digest([RUNNER, KEEP, APPEARS, ...Object.values(UNITS)].join());

/**
 * A function of a script that keeps something: what runs at boot comes first. Only a running nftables.service has to hear
 * of its new companion now, for its next restart or reload.
 */
export const INSTALL = block("boots", [
  `[ ! -e /etc/hostnet/boot ] || read -r x </etc/hostnet/boot; [ "$x" != "# ${stamp}" ] || return 0`,
  'put /etc/hostnet/remove-all "exec sh /etc/hostnet/boot remove" || return',
  "if [ -d /run/systemd/system ]; then",
  "  # networkd reads its own as another user.",
  `  mkdir -p -m 755 ${FOLDERS} ${dirname(UDEV)} || return`,
  ...Object.entries({
    ...Object.fromEntries(Object.entries(UNITS).map(([name, text]) => [`${SYSTEMD}/${name}`, text])),
    [UDEV]: APPEARS,
  }).map(([path, text]) => `  put ${path} ${quote(text)} && chmod 644 ${path} || return`),
  `  [ "$(grep -vs '^#' ${DROP_IN})" = ${quote(KEEP)} ] || put ${DROP_IN} ${quote(`${KEEP}\n`)}"${WRITTEN}" || return`,
  `  chmod 644 ${DROP_IN} || return`,
  ...LINKS.map(([folder, unit]) => `  ln -sf ../${unit} ${folder}/${unit} || return`),
  "fi",
  "# Nothing of this boot is to be made.",
  "[ -e /run/hostnet/failed ] || true >/run/hostnet/failed",
  `put /etc/hostnet/boot ${quote(`# ${stamp}\n${RUNNER}`)} || return`,
  // A link to an id, which is no file.
  "if [ -L /run/systemd/units/invocation:nftables.service ]; then",
  "  systemctl daemon-reload 9>&- && systemctl start --no-block hostnet-nft 9>&-",
  "fi",
]);
