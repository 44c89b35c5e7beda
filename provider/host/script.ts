import { dirname } from "node:path/posix";
import type { Query, Step } from "../kind";
import { END_OF_SOURCE, FOLDER, INSTALL } from "./boot";
import { ending, MODES, opening, settling } from "./checkpoint";
import { Data } from "./data";
import { sedOf } from "./edit";
import { CUT } from "./outcome";
import { type Change, END, type File, type Plan } from "./plan";
import { sha256 } from "./shared";
import { ASIDE, block, command, guarded, PRELUDE, quote } from "./shell";

/**
 * Many plans as one script: each with its own guard, steps and undo, in order. A bad one touches no neighbour.
 * `by` says who sends it, for those who have to wait.
 */
export function compile(plans: readonly Plan[], mark: string, by = ""): Buffer {
  const data = new Data();
  const framed = (step: Step, n: number): string => {
    const run = `s ${n} ${command(step.argv)}`;
    const fed = step.stdin === undefined ? run : `feed ${data.place(step.stdin)} | ${run}`;
    return guarded(step, fed);
  };

  const functions = plans.map((plan, n) => {
    if (!plan.change)
      return `${looks(`q${n}`, plan.queries, framed)}${block(`o${n}`, [`M="$R ${n} q"; q${n}`])}`;
    return operation(n, plan, plan.change, { framed, data }, by);
  });
  const changes = plans.some((plan) => plan.change);
  const written = plans.flatMap(({ change }) =>
    change ? [...change.intent, ...change.record, ...change.restore] : [],
  );
  const set = aside(plans);
  const folders = [
    ...foldersOf(written.filter((file) => file.text !== undefined)),
    ...(set.length > 0 ? [ASIDE] : []),
  ];
  // What runs at boot is there when the first object is: with its intent.
  const keeps = folders.includes(FOLDER) && plans.some(({ change }) => (change?.intent.length ?? 0) > 0);
  const main = [
    ...(changes ? opening(plans, by) : []),
    ...(folders.length > 0 ? [`mkdir -p ${folders.map(quote).join(" ")} || { rm -rf $P; exit 73; }`] : []),
    ...(keeps ? ["boots || { rm -rf $P; tidy; exit 73; }"] : []),
    ...(set.length > 0 ? ["asides || { rm -rf $P; tidy; exit 73; }"] : []),
    ...plans.map((_, n) => `o${n}`),
    ...(changes ? ending(plans) : []),
    "return 0",
  ];
  const modes = changes
    ? `${block("asides", set)}${block("kept", kept(written))}${settling(plans)}case \${1-} in watch | undo | confirm) "$@"; exit ;; esac\n`
    : "";
  const body = `${PRELUDE}R=${mark} C=${quote(CUT)}
${MODES}${keeps ? INSTALL : ""}${functions.join("")}${modes}${block("main", main)}lock ${changes ? "-x" : "-s"}
main 9>&-
exit
`;
  // The offset of the data has a fixed width, so that writing it does not move the data.
  const offset = (length: number): string => `B=$((1${String(length).padStart(9, "0")} - 1000000000))\n`;
  const header = offset(offset(0).length + Buffer.byteLength(body));
  return Buffer.concat([Buffer.from(header + body, "utf8"), ...data.blobs]);
}

type Framed = (step: Step, n: number) => string;

const foldersOf = (files: readonly File[]): string[] => [...new Set(files.map(({ path }) => dirname(path)))];

/** Texts that are known before the first step are written to the disk at one go, and get their places by a rename. */
function aside(plans: readonly Plan[]): readonly string[] {
  const each = plans.flatMap(({ change }, n) =>
    change
      ? waiting(change).map((file, k) => `aside ${besides(file, n, k)} ${quote(file.text!)} || return`)
      : [],
  );
  return each.length > 0 ? [...each, "sync $A"] : [];
}

const waiting = ({ intent, record }: Change): readonly File[] =>
  [...intent, ...record].filter(({ text, source }) => text !== undefined && source === undefined);

/** On the same file system, where nothing else looks. */
const besides = ({ path }: File, n: number, k: number): string =>
  `${path.startsWith("/run/") ? "$P" : ASIDE}/${n}.${k}`;

/** The names too are on the disk, before anybody is told. */
function kept(written: readonly File[]): readonly string[] {
  const lasting = foldersOf(written).filter((folder) => !folder.startsWith("/run/"));
  if (lasting.length === 0) return [];
  return [
    `for x in ${lasting.map(quote).join(" ")}; do [ ! -d $x ] || set -- "$@" $x; done`,
    '[ $# = 0 ] || sync "$@"',
  ];
}

const looks = (name: string, queries: readonly Query[], framed: Framed): string =>
  block(name, [...queries.map(framed), "return 0"]);

/** Functions of one change: g guard, w intent, a steps, p look afterwards, r record, u undo; and o, e, b as below. */
function operation(
  n: number,
  { queries, label = "a change" }: Plan,
  change: Change,
  { framed, data }: { framed: Framed; data: Data },
  by: string,
): string {
  const end = (code: number): string => `{ M="$R ${n} end"; f 0 ${code}; return; }`;
  // Before the files, which may say the same at length.
  const steps = change.steps.map(framed);
  const set = waiting(change);
  const write = (file: File): string => {
    const { path, text, source, listing, former } = file;
    if (text === undefined) return `drop ${quote(path)}`;
    if (set.includes(file)) return `mv ${besides(file, n, set.indexOf(file))} ${quote(path)}`;
    if (source === undefined) return `put ${quote(path)} ${quote(text)}`;
    const fill = `fill ${quote(path)} ${quote(text)} ${quote(END_OF_SOURCE)}`;
    if (!listing || data.holds(source)) return `${fill} i ${data.place(source)}`;
    const edit = former === undefined ? undefined : sedOf(former, source);
    if (edit === undefined) return `${fill} ${command(listing)}`;
    return `${fill} edited ${command([path, sha256(source), edit, ...listing])}`;
  };
  const files = (list: readonly File[]): string => list.map(write).join(" && ") || ":";
  const said = quote(by === "" ? label : `${label} by ${by}`);
  const guard = [`M=-; g${n} >"$D/g" 2>/dev/null`, `case $(hash "$D/g") in ${change.guard}*)`];
  const claims = claiming(n, change);
  return [
    looks(
      `g${n}`,
      queries.filter((query) => !query.free),
      framed,
    ),
    ...(change.unseen ? [looks(`q${n}`, queries, framed)] : []),
    looks(`p${n}`, change.after, framed),
    block(`w${n}`, [
      ...claims.aside,
      [`echo begun >$P/u${n}`, ...claims.take, files(change.intent)].join(" && "),
    ]),
    block(`r${n}`, [files(change.record)]),
    block(`a${n}`, [...steps.map((step) => `${step} || return`), "return 0"]),
    // The claims first: a step of the undo that waits for their release must not wait for our own.
    block(`u${n}`, [...claims.back, ...change.undo.map(framed), `${files(change.restore)} || :`]),
    // o: the change, up to where it waits for its confirmation, if it must.
    block(`o${n}`, [
      `[ -z "$T" ] || ${end(END.late)}`,
      guard[0]!,
      `${guard[1]} ;; *) ${change.unseen ? `M="$R ${n} q"; q${n}; ` : ""}${end(END.missed)} ;; esac`,
      ...claims.conflict.map((test) => `${test} || ${end(END.missed)}`),
      `M="$R ${n} i"`,
      `s 0 w${n} && M="$R ${n} a" && a${n} || { b${n}; return; }`,
      ...(change.confirm ? [`echo applied >$P/u${n}; M="$R ${n} end"; f 0 ${END.armed}`] : [`e${n}`]),
    ]),
    // e: it is kept: looked at, and recorded.
    block(`e${n}`, [
      `M="$R ${n} p"; p${n}`,
      `M="$R ${n} r"`,
      `s 0 r${n} || { b${n}; return; }`,
      ...claims.empty,
      `echo done >$P/u${n}`,
      `say ${said} done`,
      end(END.done),
    ]),
    // b: it is taken back.
    block(`b${n}`, [
      `M="$R ${n} u"; u${n}`,
      `echo done >$P/u${n}`,
      guard[0]!,
      `${guard[1]} say ${said} undone; ${end(END.undone)} ;; *) say ${said} "half undone"; ${end(END.half)} ;; esac`,
    ]),
  ].join("");
}

/** Claims of one change: to test, to take, to keep aside for the way back, and folders that nobody claims any more. */
function claiming(n: number, { claims }: Change) {
  const claimed = claims.filter((claim) => claim.value !== undefined);
  const own = (claim: (typeof claims)[number]): string => quote(`${claim.folder}/${claim.incarnation}`);
  const ours = (folder: string): string =>
    claims.flatMap((claim) => (claim.folder === folder ? [` -e ${quote(claim.incarnation)}`] : [])).join("");
  const folders = [...new Set(claims.map(({ folder }) => quote(folder)))];
  const empty = folders.map((folder) => `[ "$(ls ${folder} 2>/dev/null)" != former ] || rm -r ${folder}`);
  return {
    conflict: claimed.map(
      ({ folder, value }) =>
        `[ -z "$(ls ${quote(folder)} 2>/dev/null | grep -vxe former${ours(folder)} | ( cd ${quote(folder)} 2>/dev/null && xargs -r grep -LFxe ${quote(`value ${value}`)} ))" ]`,
    ),
    aside: claims.map(
      (claim, k) => `${claim.value === undefined ? "mv" : "cp"} ${own(claim)} $P/c${n}.${k} 2>/dev/null || :`,
    ),
    take: claimed.map(
      (claim) =>
        `mkdir -p ${quote(claim.folder)} && { [ -e ${quote(`${claim.folder}/former`)} ] || put ${quote(`${claim.folder}/former`)} ${quote(claim.former ?? "")}; } && put ${own(claim)} ${quote(`value ${claim.value}\nowner ${claim.owner}\n`)}`,
    ),
    back: [
      ...claims.map((claim, k) => `mv $P/c${n}.${k} ${own(claim)} 2>/dev/null || rm -f ${own(claim)}`),
      ...empty,
    ],
    empty,
  };
}
