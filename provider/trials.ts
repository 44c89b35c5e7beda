import { spawn } from "node:child_process";
import { HostnetError } from "./errors";
import { requireTools } from "./failure";
import { type NftError, nftErrors } from "./formats/nft-error";
import { everywhere, isDoubtful, isKernels, prepared, unjudged } from "./formats/nft-trial";
import type { Problem, Result, Trial } from "./kind";
import type { Host } from "./look";

type Ask = (batch: string) => Promise<Result>;

/** `hostnet:check` in the stack's configuration: what nft would say of a create, said by the preview. It changes nothing. */
export class Trials {
  setting: string | undefined;
  /** Sets of this run, by host and table: the rules of a table may name them. */
  private readonly made = new Map<string, Map<string, string>>();

  /** `onHost` is absent where it is not known yet how to reach the host. */
  async judge(trial: Trial, host: string, onHost: Ask | undefined): Promise<readonly Problem[]> {
    const judge = judgeOf(this.setting);
    if (!judge) return [];
    const place = `${host} ${trial.table}`;
    const known = this.made.get(place) ?? new Map<string, string>();
    this.made.set(place, known);
    if (trial.makes) known.set(trial.makes.name, trial.makes.line);
    const made = trial.uses.flatMap((name) => known.get(name) ?? []);
    const unknown = new Set(trial.uses.filter((name) => !known.has(name)));
    const lines = prepared(trial.table, trial.lines, made, unknown);
    if (judge === "nft") return judged(lines, trial, here, true);
    return onHost ? judged(lines, trial, onHost, false) : [];
  }
}

/** Who is asked: the nft of the machine that runs Pulumi, or the host. */
function judgeOf(setting: string | undefined): "nft" | "host" | undefined {
  if (!setting) return undefined;
  if (setting === "nft" || setting === "host") return setting;
  throw new HostnetError(
    `hostnet:check is "${setting}": it can be "nft" (the nft of the machine that runs Pulumi) or "host"`,
  );
}

/** What may be a weakness of the machine that is asked is left out, until the rest is judged. */
export async function judged(
  given: readonly string[],
  trial: Pick<Trial, "tell" | "property">,
  ask: Ask,
  elsewhere: boolean,
): Promise<Problem[]> {
  for (let lines = given; ; ) {
    const { code, stderr } = await ask(text(lines));
    if (code === 0) return [];
    const errors = nftErrors(stderr);
    if (errors.length === 0)
      throw new HostnetError(`hostnet:check: nft could not be asked: ${stderr.trim()}`);
    const sure: NftError[] = [];
    for (const error of errors) {
      const line = lines[error.line - 1] ?? "";
      const mayBeUs = elsewhere && isDoubtful(error.reason, line);
      const doubtful = mayBeUs && !(await isMisplaced(lines, error, ask));
      if (!doubtful) sure.push(error);
    }
    if (sure.length > 0)
      return sure.map((error) => trial.tell(error) ?? { property: trial.property, reason: error.reason });
    const doubted = new Set(errors.map(({ line }) => line));
    const left = lines.map((line, n) => (doubted.has(n + 1) ? unjudged(line) : line));
    if (left.every((line, n) => line === lines[n])) return [];
    lines = left;
  }
}

/** A rule that this kernel knows, in a chain where it does not take it. */
async function isMisplaced(lines: readonly string[], { line, reason }: NftError, ask: Ask): Promise<boolean> {
  if (!isKernels(reason)) return false;
  for (const tried of everywhere(lines, lines[line - 1] ?? ""))
    if ((await ask(text(tried))).code === 0) return true;
  return false;
}

/** The host as judge: one look more. */
export const byHost =
  (host: Host): Ask =>
  async (stdin) => {
    const queries = [{ argv: ["env", "TZ=UTC", "nft", "-c", "-f", "-"], stdin }];
    const { outcome } = await host.submit({ label: "judge", queries });
    if (outcome.type !== "looked") throw new HostnetError("hostnet:check: the host's answer is not whole");
    requireTools(queries, outcome.results);
    return outcome.results[0]!;
  };

const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

const PATIENCE = 120_000;

/**
 * In namespaces of its own, which end with it: no rule reaches any packet, and none of this machine's is seen. So it is
 * loaded for real, for `-c` does not see what the kernel finds last: a rule in a chain that is not for it, a loop of jumps.
 */
async function here(batch: string): Promise<Result> {
  const isRoot = process.getuid?.() === 0;
  const argv = [isRoot ? "-n" : "-rn", "nft", "-f", "-"];
  // Where Debian keeps nft, which a plain user's PATH lacks.
  const env = { ...process.env, LC_ALL: "C", TZ: "UTC", PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` };
  const result = await new Promise<Result>((resolve, reject) => {
    const child = spawn("unshare", argv, { env, timeout: PATIENCE });
    const [stdout, stderr]: [string[], string[]] = [[], []];
    child.stdout.on("data", (data) => stdout.push(String(data)));
    child.stderr.on("data", (data) => stderr.push(String(data)));
    // A program that is not there reads nothing; what it is about is told below.
    child.stdin.on("error", () => {});
    child.on("error", (error) => reject(unable(error.message)));
    child.on("close", (code, signal) => {
      if (signal) reject(unable(`nft did not answer within ${PATIENCE / 1000} s`));
      else resolve({ code: code!, stdout: stdout.join(""), stderr: stderr.join("") });
    });
    child.stdin.end(batch);
  });
  if (result.code !== 0 && /^(unshare: |.*cache initialization failed)/m.test(result.stderr))
    throw unable(result.stderr.trim());
  return result;
}

const unable = (why: string): HostnetError =>
  new HostnetError(
    `hostnet:check is "nft", but nft cannot be asked on this machine, by unshare -rn nft -f -: ${why}\n` +
      "It needs nftables, util-linux and a kernel that lets this user make namespaces; or leave hostnet:check out of this stack's configuration",
  );
