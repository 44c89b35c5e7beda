import { probesOf } from "./outcome";
import type { Plan } from "./plan";
import { block, command, quote } from "./shell";

/**
 * Every change is open until its record is written, and an open change is a folder on the host:
 *
 *   /run/hostnet/pending/script   the script itself, which has the undo of every change in it
 *                        ready     the folder is whole; without it nothing was begun
 *                        holder    whose it is, for those who wait
 *                        u0 u1 …   one for each change: "begun", "applied" (waits), "done" (kept, or taken back already)
 *
 * Whoever gets the lock and finds the folder finishes the job first: what has begun is taken back, last change first.
 * So a script that died in the middle, its machine's memory short or its shell killed, leaves no half of a change.
 *
 * A change that could cut the way to the host (`Change.confirm`) must be confirmed from outside:
 *
 *   1. The script arms the undo before the first step: `script watch`, detached from the login (a unit of systemd, for
 *      logind may kill what is merely in a session of its own; else setsid). No watcher, no change.
 *   2. The steps run. Their end sets the deadline, in the host's uptime, which no clock change moves.
 *   3. The workstation logs in anew and runs `script confirm`: probes that passed before must pass again. Then, under
 *      the lock, `open` becomes `confirmed`, the host is looked at, the records are written, the folder goes.
 *   4. At the deadline, or when the script dies, the watcher takes the lock: unless confirmed, `open` becomes
 *      `expired`, the undo runs, the folder goes. One that finds no watcher and a deadline gone by does the same.
 *
 * Either way the frames of the end lie in /run/hostnet/outcome, for a workstation that lost its connection meanwhile.
 * After a boot the folder is gone as the changes are.
 */
export const MODES = `now() { read -r N _ </proc/uptime; N=\${N%.*}\${N#*.}; }
ours() { { read -r x <$P/token; } 2>/dev/null && [ "$x" = $R ]; }
# Takes the lock for $1 (-s to look, -x to change) once no change is open.
lock() {
  exec 9>/run/hostnet/lock
  t=0
  while flock -w 30 $1 9 || exit 75; [ -e $P ]; do
    now
    if [ ! -e $P/ready ]; then rm -rf $P
    elif [ -e $P/open ] && [ -e $P/applied ] && read -r x <$P/applied && [ $N -lt $((x + 100)) ]; then
      flock -u 9
      [ $((t += 1)) -lt 180 ] || { command cat $P/holder >&2; exit 76; }
      sleep 0.5
    else
      flock -u 9
      sh $P/script undo 9>&- >/dev/null 2>&1
      [ $((t += 30)) -lt 180 ] || exit 74
    fi
  done
}
# Under the lock: what was applied is kept (k) or taken back (z), and whoever asks later is told how that ended.
settle() {
  o=/run/hostnet/outcome
  true >$o.new 2>/dev/null && true >$o.err 2>/dev/null || o=/dev/null
  if [ $o = /dev/null ]; then $1 >$o 2>&1; kept; else $1 >$o.new 2>$o.err; kept && mv $o.new $o; fi
  rm -rf $P
  tidy
}
recover() { if [ -e $P/confirmed ]; then settle k; else settle z; fi; }
undo() {
  exec 9>/run/hostnet/lock
  flock -w 30 -x 9 || exit 75
  ! ours || recover 9>&-
}
watch() {
  trap - TERM
  echo $$ >$P/watch
  while ours && [ -e $P/open ]; do
    if [ -e $P/applied ] && read -r x <$P/applied && [ -n "$x" ]; then
      now
      [ $N -lt $x ] || break
      if [ $((x - N)) -gt 100 ]; then sleep 1; else sleep 0.1; fi
    else
      kill -0 $1 2>/dev/null || break
      sleep 0.2
    fi
  done
  exec 9>/run/hostnet/lock
  flock -x 9
  { ! ours || [ ! -e $P/open ]; } || { mv $P/open $P/expired; recover 9>&-; }
}
passes() { until v$1; do now; [ $N -lt $((E - 100)) ] || { V=$1; return 1; }; sleep 1; done; }
confirm() {
  ours && [ "$1" = $R ] || return 0
  exec 9>/run/hostnet/lock
  # Not before the steps are done.
  flock -w 60 -x 9 || exit 75
  flock -u 9
  if { read -r E <$P/applied; } 2>/dev/null; then probe 9>&-; fi
  flock -w 30 -x 9 || exit 75
  ours && [ -e $P/open ] || return 0
  if [ -e $P/applied ] && [ -z "$V" ]; then mv $P/open $P/confirmed; else mv $P/open $P/expired; fi
  read -r x <$P/watch && kill $x 2>/dev/null
  recover 9>&-
}
# Nothing is begun before the watcher has said that it is there.
arm() {
  true >$P/open
  if [ ! -d /run/systemd/system ] || ! systemd-run --quiet --collect --unit=hostnet-$R --property=Restart=on-failure \\
    --setenv=PATH="$PATH" --setenv=LC_ALL=C sh $P/script watch $$; then
    setsid sh $P/script watch $$ </dev/null >/dev/null 2>&1 &
  fi
  t=0
  until [ -e $P/watch ]; do [ $((t += 1)) -lt 100 ] || return 1; sleep 0.1; done
}
`;

/** The part of a script that differs from one to the next: which changes to keep or to take back, and the probes. */
export function settling(plans: readonly Plan[]): string {
  const changes = plans.flatMap(({ change }, n) => (change ? [n] : []));
  const each = (numbers: readonly number[], state: string, act: string): string[] =>
    numbers.map((n) => `x=; { read -r x <$P/u${n}; } 2>/dev/null; [ "$x" ${state} ] || ${act}${n}`);
  const probes = probesOf(plans);
  return [
    block("k", each(changes, "!= applied", "e")),
    block("z", [
      `[ -z "$V" ] || { M="$R 0 b"; f $V 1; }`,
      ...each([...changes].reverse(), '= "" ] || [ "$x" = done', "b"),
    ]),
    ...probes.map((probe, k) => block(`v${k}`, [`${command(probe.argv)} >/dev/null 2>&1`])),
    // Those that did not pass before the change say nothing about it.
    block("before", [
      ...probes.map(
        ({ name }, k) =>
          `v${k}; case $? in 0) true >$P/b${k} ;; 127) echo ${quote(name)} >&2; rm -rf $P; exit 79 ;; esac`,
      ),
      "return 0",
    ]),
    block("probe", [...probes.map((_, k) => `[ ! -e $P/b${k} ] || passes ${k} || return 0`), "return 0"]),
  ].join("");
}

/** Seconds: the longest of the changes that go together, so that nobody's time is cut short. Absent: none must be confirmed. */
export function timeoutOf(plans: readonly Plan[]): number | undefined {
  const all = plans.flatMap(({ change }) => change?.confirm?.timeout ?? []);
  return all.length > 0 ? Math.max(...all) : undefined;
}

/** The last lines of main: armed changes wait, and a script without any is done. */
export function ending(plans: readonly Plan[]): readonly string[] {
  const timeout = timeoutOf(plans);
  const done = ["kept || exit 77", "rm -rf $P", "tidy"];
  if (timeout === undefined) return done;
  const wait = `now; echo $((N + ${Math.ceil(timeout * 100)})) >$P/applied; tell`;
  return [`if grep -qsx applied $P/u*; then ${wait}; else`, ...done.map((line) => `  ${line}`), "fi"];
}

/** The first lines of main. */
export function opening(plans: readonly Plan[], by: string): readonly string[] {
  const labels = plans.flatMap(({ change, label }) => (change ? [label ?? "a change"] : []));
  const more = labels.length > 1 ? `, and ${labels.length - 1} more` : "";
  const armed = plans.some(({ change }) => change?.confirm);
  return [
    `{ mkdir $P && command cat "$0" >$P/script && echo $R >$P/token && echo ${quote(`${by}: ${labels[0]}${more}`)} >$P/holder; } || { rm -rf $P; exit 73; }`,
    "true >$P/ready",
    ...(armed ? ["before", "arm || { rm -rf $P; exit 78; }"] : []),
  ];
}

/** Sent over a new connection: confirms the change of this mark if it still waits, and tells how it ended. */
export function confirmation(mark: string): Buffer {
  return Buffer.from(`P=/run/hostnet/pending
[ ! -e $P/script ] || sh $P/script confirm ${mark} >/dev/null || exit
command cat /run/hostnet/outcome
command cat /run/hostnet/outcome.err >&2
exit 0
`);
}
