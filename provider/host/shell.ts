import type { Step } from "../kind";
import { sharedFolder } from "./shared";

/** The one place that quotes. */
export const quote = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
export const command = (argv: readonly string[]): string => argv.map(quote).join(" ");

/** A function; sh takes none without a command. */
export const block = (name: string, body: readonly string[]): string =>
  `${name}() {\n${(body.length > 0 ? body : [":"]).map((line) => `  ${line}\n`).join("")}}\n`;

/** A step is left out where its probe succeeds, or while somebody else claims what it undoes. */
export function guarded(step: Step, run: string): string {
  const probes = [
    ...(step.released ?? []).map(
      (key) => `[ -n "$(ls ${quote(sharedFolder(key))} 2>/dev/null | grep -vx former)" ]`,
    ),
    ...(step.unless ? [`${command(step.unless)} >/dev/null 2>&1`] : []),
  ];
  return [...probes, run].join(" || ");
}

/** Where files wait for their places. */
export const ASIDE = "/etc/hostnet/aside";

/** What every script begins with. */
export const PRELUDE = `umask 077
export TZ=UTC
P=/run/hostnet/pending
D=\${0%/*} T= L= V= A=
trap '' HUP PIPE
trap T=1 TERM INT
# f ends the output of a command with a frame, on both streams; s runs a command and frames it.
f() { printf '\\n%s %s %s\\n' "$M" "$1" "$2"; printf '\\n%s %s\\n' "$M" "$1" >&2; }
s() { k=$1; shift; "$@"; e=$?; [ ! -e "$D/unfed" ] || { rm "$D/unfed"; [ $e != 0 ] || e=74; }; f "$k" $e; return $e; }
# i prints the stdin of a step, which lies behind the end of this script, in one piece or in two.
i() {
  dd if="$0" bs=128k iflag=skip_bytes,count_bytes skip=$((B + $1 - 1)) count="$2" status=none || return
  [ $# = 2 ] || i "$3" "$4"
}
# feed is i at the head of a pipe, whose status is that of its other end: a step is not done that did not get all of its input.
# That a command does not want the rest (141, SIGPIPE) is its own affair.
feed() { trap - PIPE; i "$@" || [ $? = 141 ] || true >"$D/unfed"; }
# put leaves no file behind that ls shows, wherever it is cut, be it by the machine's power: it is on the disk before it has
# its name. cat can say why a disk takes no more, printf cannot.
put() { p=\${1%/*}/.new; w "$2" && sync "$p" && mv "$p" "$1" || { rm -f "$p"; return 1; }; }
# fill: the same with what a command prints in between.
fill() { p=\${1%/*}/.new; dest=$1 head=$2 tail=$3; shift 3; { printf %s "$head" && "$@" && printf %s "$tail"; } >"$p" && sync "$p" && mv "$p" "$dest" || { rm -f "$p"; return 1; }; }
# aside: the same for what gets its place later: many wait for the disk together.
aside() { p=$1; w "$2" && A="$A $1"; }
# edited prints what fill put in between the last time, edited by sed; where that has not the right hash, what a command prints.
edited() {
  sed -e '1,/^text() /d' -e '/^HOSTNET$/,$d' "$1" 2>/dev/null | sed -e "$3" >"$D/e"
  if [ "$(sha256sum <"$D/e")" = "$2  -" ]; then command cat "$D/e"; else shift 3; "$@"; fi
}
w() { printf %s "$1" 2>/dev/null >"$p" || printf %s "$1" | cat >"$p"; }
# cat without a process for what is not there: on a slow host each process counts.
cat() { if [ $# != 1 ] || [ -e "$1" ]; then command cat "$@"; else echo "$1: No such file or directory" >&2; return 1; fi; }
drop() { [ ! -e "$1" ] || rm "$1"; }
hash() { sed -E "$C" "$1" | sha256sum; }
# One line for each change in the system's log.
say() { L="$L$1: $2
"; }
tell() { [ -z "$L" ] || ! command -v logger >/dev/null || printf %s "$L" | logger -t hostnet; L=; }
tidy() {
  for x in ${ASIDE}/*; do [ ! -e "$x" ] || { rm -rf ${ASIDE}; break; }; done
  rmdir /run/hostnet/objects /etc/hostnet/objects /etc/hostnet/shared /etc/hostnet/boot.d ${ASIDE} /etc/hostnet 2>/dev/null
  [ -e /etc/hostnet/boot.d ] || [ ! -e /etc/hostnet/boot ] || sh /etc/hostnet/boot gone >/dev/null 2>&1
  tell
}
`;
