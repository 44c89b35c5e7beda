import { createHash } from "node:crypto";
import { HostnetError } from "../errors";
import type { Query, Result } from "../kind";
import { type Change, END, type Look, type Outcome, type Plan, type Probe } from "./plan";

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
/** For `sed -E` on the host. */
export const CUT = VOLATILE.map((expression) => `s/${expression}//g`).join(";");
const CUTS = VOLATILE.map((expression) => {
  const escaped = expression.replaceAll(/\[(\^?)\]/g, "[$1\\]").replaceAll("[^", "[^\\n");
  return new RegExp(escaped, "g");
});

/** An answer as bytes, one a character: it need not be UTF-8. */
interface Answer {
  readonly code: number;
  readonly raw: string;
}

export const answerOf = ({ code, stdout }: Result): Answer => ({
  code,
  raw: Buffer.from(stdout).toString("latin1"),
});

/** The hash that the guard of a change compares: what the watched queries printed, byte for byte, and their exit codes. */
export function fingerprint(answers: readonly Answer[]): string {
  const text = answers.map(({ raw, code }, i) => `${raw}\n- ${i} ${code}\n`).join("");
  const stable = CUTS.reduce((t, cut) => t.replace(cut, ""), text);
  return createHash("sha256").update(stable, "latin1").digest("hex");
}

interface Frame {
  readonly plan: number;
  readonly phase: string;
  readonly number: number;
  readonly result: Result;
  readonly raw: string;
}

/** The reply of a script, told apart again: one outcome for each plan. Throws at an answer that is not whole. */
export function outcomes(plans: readonly Plan[], mark: string, stdout: Buffer, stderr: Buffer): Outcome[] {
  return known(plans, mark, stdout, stderr).map((outcome) => outcome ?? incomplete());
}

/** As far as the answer tells: that of a script whose connection was lost lacks the beginning. */
export function known(
  plans: readonly Plan[],
  mark: string,
  stdout: Buffer,
  stderr: Buffer,
): (Outcome | undefined)[] {
  const frames = read(mark, stdout, stderr);
  const failedProbe = frames.find(({ phase }) => phase === "b")?.number;
  const probe = failedProbe === undefined ? undefined : probesOf(plans)[failedProbe]?.name;
  return plans.map((plan, n) => {
    const own = frames.filter((f) => f.plan === n);
    return plan.change ? ofChange(plan, plan.change, own, probe) : ofLook(plan.queries, own);
  });
}

function incomplete(): never {
  throw new HostnetError("the host's answer is not whole");
}

function ofLook(queries: readonly Query[], frames: readonly Frame[]): Look | undefined {
  const asked = frames.filter(({ phase }) => phase === "q");
  if (asked.length !== queries.length) return undefined;
  const watched = asked.filter((_, n) => !queries[n]!.free);
  const guard = fingerprint(watched.map(({ raw, result }) => ({ raw, code: result.code })));
  return { type: "looked", results: asked.map((f) => f.result), guard };
}

function ofChange(
  { queries }: Plan,
  change: Change,
  frames: readonly Frame[],
  probe?: string,
): Outcome | undefined {
  const of = (phase: string) => frames.filter((f) => f.phase === phase);
  const code = of("end").at(-1)?.result.code;
  switch (code) {
    case END.done: {
      const results = of("p").map((f) => f.result);
      return results.length === change.after.length ? { type: "done", results } : undefined;
    }
    case END.armed:
      return { type: "armed" };
    case END.missed:
      return { type: "missed", look: ofLook(queries, frames) };
    case END.late:
      return { type: "not run" };
    case END.undone:
    case END.half: {
      const undone = code === END.undone;
      const bad = [...of("i"), ...of("a"), ...of("r")].filter((f) => f.result.code !== 0).at(-1);
      if (!bad && change.confirm) return { type: "unconfirmed", undone, probe };
      return {
        type: "failed",
        step: bad?.phase === "a" ? change.steps[bad.number] : undefined,
        number: (bad?.number ?? 0) + 1,
        result: bad?.result ?? { code: 1, stdout: "", stderr: "" },
        undone,
      };
    }
    default:
      return undefined;
  }
}

/** The probes of a script, each once. */
export function probesOf(plans: readonly Plan[]): readonly Probe[] {
  const all = plans.flatMap(({ change }) => change?.confirm?.probes ?? []);
  return [...new Map(all.map((probe) => [probe.name, probe])).values()];
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
