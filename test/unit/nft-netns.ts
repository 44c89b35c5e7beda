import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { difference } from "../../provider/compare";
import { keyOf, parseBody, printBlock } from "../../provider/formats/nft-block";
import type { Last, Observed, Result, Step } from "../../provider/kind";
import { nftTable } from "../../provider/nft-table";
import type { NftTable, NftTableFields, schema } from "../../provider/nft-table/args";
import type { Facts } from "../../provider/nft-table/parse";
import { parseFields } from "../../provider/schema";
import { Shell } from "../shell";

type Shape = typeof schema.shape;
export type Applied = Last<Shape, Facts> & { readonly facts: Facts };

/** A network namespace of its own, with nothing but a loopback: real nft, and nothing of this machine in reach. */
export class Netns {
  private shell?: Shell;

  /** @param tools a folder whose nft comes before this machine's */
  constructor(public tools = process.env.HOSTNET_NFT) {}

  async open(): Promise<void> {
    const probe = spawnSync("unshare", ["-n", "nft", "list", "ruleset"], { encoding: "utf8" });
    if (probe.status !== 0) {
      throw new Error(
        "these tests run nft in a network namespace of their own; `unshare -n nft list ruleset` must work here: " +
          `${probe.error?.message ?? probe.stderr.trim()} (needs root, util-linux and nftables)`,
      );
    }
    this.shell = new Shell("unshare", "-n");
    this.run({ argv: ["ip", "link", "set", "dev", "lo", "up"] });
  }

  close(): void {
    this.shell?.close();
  }

  run({ argv, stdin }: Pick<Step, "argv" | "stdin">): Result {
    const env = { LC_ALL: "C", TZ: "UTC", PATH: this.path() };
    const { code, stdout, stderr } = this.shell!.run({ argv, stdin, env });
    return { code, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  private path(): string {
    return [...(this.tools ? [this.tools] : []), process.env.PATH].join(delimiter);
  }

  /** Runs until it is killed. */
  start(...argv: string[]): ChildProcess {
    return spawn("nsenter", ["-t", String(this.shell!.pid), "-n", ...argv], { stdio: "ignore" });
  }

  nft(...argv: string[]): string {
    const { code, stdout, stderr } = this.run({ argv: ["nft", ...argv] });
    if (code !== 0) throw new Error(`nft ${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  load(text: string): void {
    const { code, stderr } = this.run({ argv: ["nft", "-f", "-"], stdin: text });
    if (code !== 0) throw new Error(stderr);
  }

  look(d: NftTable, last?: Last<Shape, Facts>): Observed<Shape, Facts> {
    const results = nftTable.query(d, last).map((query) => this.run(query));
    return nftTable.parse(results, d, last);
  }

  /** As the script does. */
  skips({ unless }: Step): boolean {
    return unless !== undefined && this.run({ argv: unless }).code === 0;
  }

  steps(steps: readonly Step[]): void {
    for (const step of steps) {
      if (this.skips(step)) continue;
      const { code, stderr } = this.run(step);
      if (code !== 0) throw new Error(`${stderr}\n${step.stdin}`);
    }
  }

  /** As the lifecycle does: look, decide, change, look again; the listing then is the baseline. */
  apply(d: NftTable, last?: Last<Shape, Facts>, before = this.look(d, last)): Applied {
    this.steps(nftTable.ensure(d, before, last));
    const results = nftTable.query(d).map((query) => this.run(query));
    const { facts } = nftTable.parse(results, d);
    const former = last?.former ?? before;
    return { desired: d, facts, former };
  }

  flush(): void {
    this.nft("flush", "ruleset");
  }

  /** What tests say of a table here. */
  readonly table = tables(this);
}

function tables(ns: Netns) {
  /** All of the table as nft shows it, elements included, whatever the order in which it was made. */
  function shown({ family, name }: NftTable): Record<string, string> {
    const { code, stdout } = ns.run({ argv: ["nft", "-s", "-n", "list", "table", family, name] });
    if (code !== 0) return {};
    const body = parseBody(stdout.slice(stdout.indexOf("{") + 1, stdout.lastIndexOf("}")));
    return Object.fromEntries([
      ["table", body.statements.join("; ")],
      ...body.passages.map(({ block }) => [keyOf(block), printBlock(block)] as const),
    ]);
  }

  const drift = (d: NftTable, last: Applied, { state, broken = [] } = ns.look(d, last)): string[] =>
    state ? [...difference(d, state, Object.keys(d)), ...broken] : ["it is missing"];

  /** What is on the host is what was declared, and nothing is left to do. */
  function settled(d: NftTable, last: Applied): void {
    const now = ns.look(d, last);
    expect(drift(d, last, now)).toEqual([]);
    expect(nftTable.ensure(d, now, last)).toEqual([]);
  }

  /** The undo of a change, as the lifecycle makes it before it runs the change. */
  function undo(before: Observed<Shape, Facts>, target: NftTable): readonly Step[] {
    const reached = { state: target, facts: before.facts };
    return nftTable.ensure({ ...before.rest, ...before.state! }, reached, {
      desired: target,
      facts: before.facts,
      former: before,
    });
  }

  /** From `a`, which is applied, to `b` and back. */
  function becomes(
    a: NftTable,
    first: Applied,
    b: NftTable,
    alone: Record<string, string>,
    was = shown(a),
  ): void {
    const before = ns.look(b, first);
    const back = undo(before, b);
    const last = ns.apply(b, first, before);
    expect(shown(b)).toEqual(alone);
    settled(b, last);
    ns.steps(back);
    expect(shown(a)).toEqual(was);
    // An undo of what did not happen changes nothing, even where nft refuses it.
    for (const step of back) if (!ns.skips(step)) ns.run(step);
    expect(shown(a)).toEqual(was);
  }

  function fresh(d: NftTable): Record<string, string> {
    ns.flush();
    ns.apply(d);
    const all = shown(d);
    ns.flush();
    return all;
  }

  return { shown, drift, settled, undo, becomes, fresh };
}

/** What `check` makes of what a program says. */
export function desired(fields: NftTableFields): NftTable {
  const { desired: d, problems } = parseFields(nftTable.schema, fields as unknown as Record<string, unknown>);
  if (!d) throw new Error(problems.map((p) => `${p.property}: ${p.reason}`).join("\n"));
  const refused = nftTable.refine!(d);
  if (refused.length > 0) throw new Error(refused.map((p) => `${p.property}: ${p.reason}`).join("\n"));
  return d;
}

const lab = join("node_modules", ".cache", "pulumi-hostnet", "lab-bookworm.json");

/** A folder with an nft that is newer than this machine's, if test/lab/setup has unpacked one. */
export const newerNft: string | undefined = existsSync(lab)
  ? JSON.parse(readFileSync(lab, "utf8")).nft?.trixie
  : undefined;

/** While `again` runs: what a listing looks like is tested with each ruleset, not with each pair. */
export const isAgain = (): boolean => process.env.HOSTNET_NFT !== undefined;

/** Suites of this folder once more, with the newer nft. */
export function again(...suites: string[]): void {
  if (newerNft === undefined) {
    // Its name is what `npm test` tells of it.
    test.skip("there is no newer nft: test/lab/setup unpacks one", () => {});
    return;
  }
  jest.isolateModules(() => {
    process.env.HOSTNET_NFT = newerNft;
    for (const suite of suites) require(`./nft-${suite}.netns.test`);
    delete process.env.HOSTNET_NFT;
  });
}
