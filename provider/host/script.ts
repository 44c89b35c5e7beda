import { createHash } from "node:crypto";
import { dirname } from "node:path/posix";
import { HostnetError } from "../errors";
import type { Query, Result, Step } from "../kind";
import { sharedFolder } from "./records";

/** A file of ours on the host, written by rename; without a text it is removed. */
export interface File {
  readonly path: string;
  readonly text?: string;
}

/** A claim to a shared setting: a file of our own in the setting's folder, beside the value found there first. */
export interface ClaimFile {
  readonly folder: string;
  readonly incarnation: string;
  /** Absent: the claim is released. */
  readonly value?: string;
  readonly owner?: string;
  readonly former?: string;
}

/** A look at one object; with `change`, the guard, the steps, the look afterwards and the undo. */
export interface Plan {
  readonly queries: readonly Query[];
  readonly change?: Change;
}

export interface Change {
  /** Hash of what `queries` printed when the change was decided. */
  readonly guard: string;
  readonly claims: readonly ClaimFile[];
  /** Written before the first step, so that a crash in the middle leaves a note of whose the object is. */
  readonly intent: readonly File[];
  readonly steps: readonly Step[];
  readonly after: readonly Query[];
  readonly record: readonly File[];
  readonly undo: readonly Step[];
  /** Puts back the files that `intent` wrote. */
  readonly restore: readonly File[];
}

export type Outcome =
  | { readonly type: "looked"; readonly results: readonly Result[]; readonly guard: string }
  | { readonly type: "done"; readonly results: readonly Result[] }
  /** The host no longer is as it was seen, or another resource claimed another value: look again. */
  | { readonly type: "missed" }
  | {
      readonly type: "failed";
      readonly step?: Step;
      readonly number: number;
      readonly result: Result;
      readonly undone: boolean;
    }
  | { readonly type: "not run" };

const END = { done: 0, missed: 1, undone: 2, half: 3, late: 4, files: 5 } as const;

/**
 * What iproute2's JSON changes by itself: cut before hashing, here and by sed on the host, in the same way: sed takes the
 * longest alternative, JavaScript the first, so that no two may match at one place. Commas go too, for a cut item at the
 * end of a list takes the one before it.
 */
const VOLATILE = [
  // A link-local address, which comes a moment after the link is up.
  '\\{"family":"inet6","local":"fe80:[^}]*\\}',
  '"(operstate|state|qdisc|[a-z_]*_timer|valid_life_time|preferred_life_time|promiscuity|allmulti|bridge_id|root_id|root_port|' +
    'root_path_cost|topology_change|topology_change_detected|designated_[a-z]*|config_pending|carrier[a-z_]*)":' +
    '("[^"]*[],}][^"]*"|[^],}]*)',
  '"(NO-CARRIER|LOWER_UP|RUNNING|PROMISC|ALLMULTI|DORMANT|tentative|dadfailed)"(:true)?',
  // nft 1.1 counts the elements of a set even where asked not to.
  "\t# count [0-9]+",
  ",",
];
const CUT = VOLATILE.map((expression) => `s/${expression}//g`).join(";");
const CUTS = VOLATILE.map((expression) => {
  const escaped = expression.replaceAll(/\[(\^?)\]/g, "[$1\\]").replaceAll("[^", "[^\\n");
  return new RegExp(escaped, "g");
});

/** The hash that the guard of a change compares: what the watched queries printed, byte for byte, and their exit codes. */
function fingerprint(queries: readonly Query[], frames: readonly Frame[]): string {
  const watched = frames.filter((_, i) => !queries[i]!.free);
  const text = watched.map(({ raw, result }, i) => `${raw}\n- ${i} ${result.code}\n`).join("");
  const stable = CUTS.reduce((t, cut) => t.replace(cut, ""), text);
  return createHash("sha256").update(stable, "latin1").digest("hex");
}

const quote = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
const command = (argv: readonly string[]): string => argv.map(quote).join(" ");

const PRELUDE = `umask 077
export TZ=UTC
D=\${0%/*} T=
trap '' HUP PIPE
trap T=1 TERM INT
# f ends the output of a command with a frame, on both streams; s runs a command and frames it.
f() { printf '\\n%s %s %s\\n' "$M" "$1" "$2"; printf '\\n%s %s\\n' "$M" "$1" >&2; }
s() { k=$1; shift; "$@"; e=$?; f "$k" $e; return $e; }
# i prints the stdin of a step, which lies behind the end of this script.
i() { tail -c +$((B + $1)) "$0" | head -c "$2"; }
# put leaves no file behind that ls shows, wherever it is cut; cat can say why a disk takes no more, printf cannot.
put() { p=\${1%/*}/.new; w "$2" && mv "$p" "$1" || { rm -f "$p"; return 1; }; }
w() { printf %s "$1" 2>/dev/null >"$p" || printf %s "$1" | cat >"$p"; }
# cat without a process for what is not there: on a slow host each process counts.
cat() { if [ $# != 1 ] || [ -e "$1" ]; then command cat "$@"; else echo "$1: No such file or directory" >&2; return 1; fi; }
drop() { [ ! -e "$1" ] || rm "$1"; }
hash() { sed -E "$C" "$1" | sha256sum; }
`;

/** Many plans as one script: each with its own guard, steps and undo, in order. A bad one touches no neighbour. */
export function compile(plans: readonly Plan[], mark: string): Buffer {
  const data: Buffer[] = [];
  let size = 0;
  const stored = (text: string): string => {
    const blob = Buffer.from(text, "utf8");
    data.push(blob);
    const at = `i ${size + 1} ${blob.length}`;
    size += blob.length;
    return at;
  };
  const framed = (step: Step, n: number): string => {
    const run = `s ${n} ${command(step.argv)}`;
    const fed = step.stdin === undefined ? run : `${stored(step.stdin)} | ${run}`;
    const probes = [
      ...(step.released ?? []).map(
        (key) => `[ -n "$(ls ${quote(sharedFolder(key))} 2>/dev/null | grep -vx former)" ]`,
      ),
      ...(step.unless ? [`${command(step.unless)} >/dev/null 2>&1`] : []),
    ];
    return [...probes, fed].join(" || ");
  };
  const looks = (name: string, queries: readonly Query[]): string =>
    `${name}() {\n${queries.map((q, n) => `  s ${n} ${command(q.argv)}\n`).join("")}  return 0\n}\n`;

  const functions = plans.map((plan, n) => {
    if (!plan.change) return `${looks(`q${n}`, plan.queries)}o${n}() { M="$R ${n} q"; q${n}; }\n`;
    return operation(n, plan, plan.change, looks, framed);
  });
  const changes = plans.some((plan) => plan.change);
  const written = plans.flatMap(({ change }) =>
    change ? [...change.intent, ...change.record, ...change.restore] : [],
  );
  const folders = [
    ...new Set(written.filter((file) => file.text !== undefined).map((file) => dirname(file.path))),
  ];
  const main = [
    folders.length > 0 ? `mkdir -p ${folders.map(quote).join(" ")} || exit 73` : "",
    ...plans.map((_, n) => `o${n}`),
    changes
      ? "rmdir /run/hostnet/objects /etc/hostnet/objects /etc/hostnet/shared /etc/hostnet 2>/dev/null"
      : "",
    "return 0",
  ].filter((line) => line !== "");
  const body = `${PRELUDE}R=${mark} C=${quote(CUT)}
${functions.join("")}main() {
  ${main.join("\n  ")}
}
exec 9>/run/hostnet/lock
flock ${changes ? "" : "-s "}-w 30 9 || exit 75
main 9>&-
exit
`;
  // The offset of the data has a fixed width, so that writing it does not move the data.
  const offset = (length: number): string => `B=$((1${String(length).padStart(9, "0")} - 1000000000))\n`;
  const header = offset(offset(0).length + Buffer.byteLength(body));
  return Buffer.concat([Buffer.from(header + body, "utf8"), ...data]);
}

function operation(
  n: number,
  { queries }: Plan,
  change: Change,
  looks: (name: string, queries: readonly Query[]) => string,
  framed: (step: Step, n: number) => string,
): string {
  const end = (code: number): string => `{ M="$R ${n} end"; f 0 ${code}; return; }`;
  const write = ({ path, text }: File): string =>
    text === undefined ? `drop ${quote(path)}` : `put ${quote(path)} ${quote(text)}`;
  const files = (list: readonly File[]): string => list.map(write).join(" && ") || ":";
  const claimed = change.claims.filter((claim) => claim.value !== undefined);
  const own = (claim: ClaimFile): string => quote(`${claim.folder}/${claim.incarnation}`);
  const ours = (folder: string): string =>
    change.claims
      .flatMap((claim) => (claim.folder === folder ? [` -e ${quote(claim.incarnation)}`] : []))
      .join("");
  const conflict = claimed.map(
    ({ folder, value }) =>
      `[ -z "$(ls ${quote(folder)} 2>/dev/null | grep -vxe former${ours(folder)} | ( cd ${quote(folder)} 2>/dev/null && xargs -r grep -LFxe ${quote(`value ${value}`)} ))" ]`,
  );
  const take = claimed.map(
    (claim) =>
      `mkdir -p ${quote(claim.folder)} && { [ -e ${quote(`${claim.folder}/former`)} ] || put ${quote(`${claim.folder}/former`)} ${quote(claim.former ?? "")}; } && put ${own(claim)} ${quote(`value ${claim.value}\nowner ${claim.owner}\n`)}`,
  );
  const folders = [...new Set(change.claims.map(({ folder }) => quote(folder)))];
  const empty = folders.map((folder) => `[ "$(ls ${folder} 2>/dev/null)" != former ] || rm -r ${folder}`);
  const aside = change.claims.map(
    (claim, k) => `${claim.value === undefined ? "mv" : "cp"} ${own(claim)} "$D/${n}.${k}" 2>/dev/null || :`,
  );
  const back = [
    ...change.claims.map((claim, k) => `mv "$D/${n}.${k}" ${own(claim)} 2>/dev/null || rm -f ${own(claim)}`),
    ...empty,
  ];
  const guarded = queries.filter((query) => !query.free);
  const lines = [
    `[ -z "$T" ] || ${end(END.late)}`,
    `M=-; g${n} >"$D/g" 2>/dev/null`,
    `case $(hash "$D/g") in ${change.guard}*) ;; *) ${end(END.missed)} ;; esac`,
    ...conflict.map((test) => `${test} || ${end(END.missed)}`),
    `M="$R ${n} i"`,
    `if s 0 w${n} && M="$R ${n} a" && a${n} && M="$R ${n} p" && p${n} && M="$R ${n} r" && s 0 r${n}; then`,
    ...empty.map((line) => `  ${line}`),
    `  ${end(END.done)}`,
    "fi",
    `M="$R ${n} u"; u${n}`,
    `M=-; g${n} >"$D/g" 2>/dev/null`,
    `case $(hash "$D/g") in ${change.guard}*) ${end(END.undone)} ;; *) ${end(END.half)} ;; esac`,
  ];
  const block = (name: string, body: readonly string[]): string =>
    `${name}() {\n${body.map((line) => `  ${line}\n`).join("")}}\n`;
  return [
    looks(`g${n}`, guarded),
    looks(`p${n}`, change.after),
    block(`w${n}`, [...aside, [...take, files(change.intent)].join(" && ")]),
    block(`r${n}`, [files(change.record)]),
    block(`a${n}`, [...change.steps.map((step, k) => `${framed(step, k)} || return`), "return 0"]),
    // The claims first: a step of the undo that waits for their release must not wait for our own.
    block(`u${n}`, [...back, ...change.undo.map(framed), `${files(change.restore)} || :`]),
    block(`o${n}`, lines),
  ].join("");
}

interface Frame {
  readonly plan: number;
  readonly phase: string;
  readonly number: number;
  readonly result: Result;
  /** Its stdout as bytes, one a character: it need not be UTF-8. */
  readonly raw: string;
}

/** The reply of a script, told apart again: one outcome for each plan. Throws at an answer that is not whole. */
export function outcomes(plans: readonly Plan[], mark: string, stdout: Buffer, stderr: Buffer): Outcome[] {
  const frames = read(mark, stdout, stderr);
  return plans.map((plan, n) => {
    const of = (phase: string) => frames.filter((f) => f.plan === n && f.phase === phase);
    const change = plan.change;
    const whole = (phase: string, queries: readonly Query[]): readonly Result[] => {
      const results = of(phase).map((f) => f.result);
      if (results.length !== queries.length) throw new HostnetError("the host's answer is not whole");
      return results;
    };
    if (!change) {
      return { type: "looked", results: whole("q", plan.queries), guard: fingerprint(plan.queries, of("q")) };
    }
    const code = of("end")[0]?.result.code;
    if (code === END.done) return { type: "done", results: whole("p", change.after) };
    if (code === END.missed) return { type: "missed" };
    if (code === END.late) return { type: "not run" };
    if (code !== END.undone && code !== END.half) throw new HostnetError("the host's answer is not whole");
    const bad = [...of("i"), ...of("a"), ...of("r")].filter((f) => f.result.code !== 0).at(-1);
    return {
      type: "failed",
      step: bad?.phase === "a" ? change.steps[bad.number] : undefined,
      number: (bad?.number ?? 0) + 1,
      result: bad?.result ?? { code: 1, stdout: "", stderr: "" },
      undone: code === END.undone,
    };
  });
}

function read(mark: string, stdout: Buffer, stderr: Buffer): Frame[] {
  const pieces = (text: string, tail: string) => [
    ...text.matchAll(new RegExp(`([^]*?)\\n${mark} (\\d+) ([a-z]+) (\\d+)${tail}\\n`, "g")),
  ];
  const errors = new Map(
    pieces(stderr.toString("latin1"), "").map(([, text, plan, phase, number]) => [
      `${plan} ${phase} ${number}`,
      text!,
    ]),
  );
  const utf8 = (text: string): string => Buffer.from(text, "latin1").toString("utf8");
  return pieces(stdout.toString("latin1"), " (\\d+)").map(([, text, plan, phase, number, code]) => ({
    plan: Number(plan),
    phase: phase!,
    number: Number(number),
    raw: text!,
    result: {
      code: Number(code),
      stdout: utf8(text!),
      stderr: utf8(errors.get(`${plan} ${phase} ${number}`) ?? ""),
    },
  }));
}
