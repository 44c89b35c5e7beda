import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import type { Last, Observed, Result, Step } from "../../provider/kind";
import { nftTable } from "../../provider/nft-table";
import type { NftTable, NftTableFields, schema } from "../../provider/nft-table/args";
import type { Facts } from "../../provider/nft-table/parse";
import { parseFields } from "../../provider/schema";

type Shape = typeof schema.shape;
export type Applied = Last<Shape, Facts> & { readonly facts: Facts };

/** A network namespace of its own, with nothing but a loopback: real nft, and nothing of this machine in reach. */
export class Netns {
  private holder?: ChildProcess;

  async open(): Promise<void> {
    const probe = spawnSync("unshare", ["-n", "nft", "list", "ruleset"], { encoding: "utf8" });
    if (probe.status !== 0) {
      throw new Error(
        "these tests run nft in a network namespace of their own; `unshare -n nft list ruleset` must work here: " +
          `${probe.error?.message ?? probe.stderr.trim()} (needs root, util-linux and nftables)`,
      );
    }
    // It ends by itself when this process does: its stdin closes.
    const holder = spawn("unshare", ["-n", "sh", "-c", "echo ready; read end"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.holder = holder;
    await new Promise((resolve) => holder.stdout!.once("data", resolve));
    this.run({ argv: ["ip", "link", "set", "dev", "lo", "up"] });
  }

  close(): void {
    this.holder?.stdin?.end();
  }

  run({ argv, stdin }: Pick<Step, "argv" | "stdin">): Result {
    const inside = ["-t", String(this.holder!.pid), "-n", ...argv];
    const done = spawnSync("nsenter", inside, {
      input: stdin ?? "",
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
      maxBuffer: 1 << 28,
    });
    return { code: done.status ?? -1, stdout: done.stdout, stderr: done.stderr };
  }

  /** Runs until it is killed. */
  start(...argv: string[]): ChildProcess {
    return spawn("nsenter", ["-t", String(this.holder!.pid), "-n", ...argv], { stdio: "ignore" });
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

  steps(steps: readonly Step[]): void {
    for (const step of steps) {
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
}

/** What `check` makes of what a program says. */
export function desired(fields: NftTableFields): NftTable {
  const { desired: d, problems } = parseFields(nftTable.schema, fields as unknown as Record<string, unknown>);
  if (!d) throw new Error(problems.map((p) => `${p.property}: ${p.reason}`).join("\n"));
  const refused = nftTable.refine!(d);
  if (refused.length > 0) throw new Error(refused.map((p) => `${p.property}: ${p.reason}`).join("\n"));
  return d;
}
