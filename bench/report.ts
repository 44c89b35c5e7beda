// What was measured, as a table and as a file.
import { writeFileSync } from "node:fs";
import { arch, cpus } from "node:os";

export interface Row {
  readonly job: string;
  /** Milliseconds there and back; absent where it does not matter. */
  readonly latency?: number;
  readonly unit: "connections" | "scripts" | "round trips" | "ms" | "s";
  readonly runs: readonly number[];
  /** The most that it may be. */
  readonly bar?: number;
  readonly note?: string;
}

export const median = (runs: readonly number[]): number => {
  const sorted = [...runs].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
};

const short = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toFixed(value < 100 ? 2 : 0);

export class Report {
  readonly rows: Row[] = [];

  add(row: Row): void {
    this.rows.push({ ...row, runs: row.runs.map((value) => Math.round(value * 1000) / 1000) });
    const { job, latency, unit, runs, bar, note } = row;
    const at = latency === undefined ? "" : `${latency} ms`;
    const spread = runs.length > 1 ? ` (${short(Math.min(...runs))} to ${short(Math.max(...runs))})` : "";
    const verdict =
      bar === undefined ? "" : median(runs) <= bar ? `  at most ${bar}: yes` : `  at most ${bar}: NO`;
    console.log(
      `${job.padEnd(66)} ${at.padStart(6)}  ${short(median(runs)).padStart(8)} ${unit}${spread}${verdict}${note ? `  [${note}]` : ""}`,
    );
  }

  write(machine: Readonly<Record<string, unknown>>): void {
    const rows = this.rows.map((row) => ({ ...row, median: median(row.runs) }));
    const workstation = { cores: cpus().length, architecture: arch(), node: process.version };
    writeFileSync(
      "bench/results.json",
      `${JSON.stringify({ workstation, host: machine, rows }, undefined, 2)}\n`,
    );
  }
}
