import { HostnetError } from "./errors";
import type { Outcome } from "./host/plan";
import type { Query, Result, Step } from "./kind";

/** Where Debian keeps the tools that the kinds' steps call. */
const PACKAGES: Readonly<Record<string, string>> = {
  ip: "iproute2",
  bridge: "iproute2",
  ss: "iproute2",
  nft: "nftables",
  sysctl: "procps",
  modprobe: "kmod",
  modinfo: "kmod",
  virsh: "libvirt-clients",
};

/** A tool that is not there is no answer: it must not be taken for an absent object. */
export function requireTools(queries: readonly Query[], results: readonly Result[]): void {
  const missing = results.findIndex(({ code }) => code === 127);
  if (missing < 0) return;
  // A shell that is a query itself says which one it did not find.
  const [, named] = /(\S+): (?:command )?not found$/m.exec(results[missing]!.stderr) ?? [];
  const tool = named ?? queries[missing]!.argv.find((word) => word !== "env" && !word.includes("="))!;
  throw new HostnetError(`${tool} is not installed there: on Debian, apt install ${PACKAGES[tool] ?? tool}`);
}

/** What failed, in which step, in the tool's own words, and how the host was left. */
export function failure(
  outcome: Extract<Outcome, { type: "failed" }>,
  count: number,
  explain?: (step: Step, result: Result) => string | undefined,
): string {
  const { step, number, result, undone } = outcome;
  const explained = step && explain?.(step, result);
  if (explained) return `${explained}\n${left(undone)}`;
  const lacking = /Unknown device type/.test(result.stderr)
    ? /(?<= type )\S+/.exec(step?.argv.join(" ") ?? "")
    : null;
  const hint = lacking ? `\nThe host's kernel lacks its module ${lacking[0]}.` : "";
  // Of a batch, `ip` tells only the number of the line.
  const line = step?.stdin?.split("\n")[Number(/Command failed -:(\d+)/.exec(result.stderr)?.[1]) - 1];
  const what = step
    ? `${step.argv.map(shortly).join(" ")} (step ${number} of ${count})`
    : "writing its record under /etc/hostnet";
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  return `${what} exited ${result.code}: ${said}${line ? `: ${line}` : ""}${hint}\n${left(undone)}`;
}

/** A script of the shell is not to bury what the tool said. */
const shortly = (word: string): string => (word.length > LONG ? `${word.slice(0, LONG)}…` : word);
const LONG = 120;

/** Why the host took back a change that was applied. */
export function unconfirmed(
  { undone, probe }: Extract<Outcome, { type: "unconfirmed" }>,
  timeout?: number,
  reason?: string,
): string {
  const why = probe
    ? `the change was taken back, for after it a probe failed that had passed before it: ${probe}`
    : `the change was taken back by the host itself, for no new connection confirmed it within ${timeout} s${reason ? `: ${reason}` : ""}`;
  return `${why}\n${left(undone)}`;
}

const left = (undone: boolean): string =>
  undone ? "Everything is as it was before." : "The undo did not end where it began: look at the host.";
