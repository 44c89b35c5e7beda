// `npm run faults`: every case of the fault table, and the counts tried and survived for each row.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setUpFaults } from "./lab/setup/index.mjs";
import { foreground, main } from "./lab/setup/shell.mjs";

await main(async () => {
  const begin = Date.now();
  await setUpFaults();
  const folder = mkdtempSync(join(tmpdir(), "hostnet-faults-"));
  try {
    process.env.HOSTNET_FAULTS = join(folder, "table");
    const code = await foreground("jest", ["--testPathPatterns", "/test/faults/"]);
    return report(
      existsSync(process.env.HOSTNET_FAULTS) ? process.env.HOSTNET_FAULTS : "/dev/null",
      code,
      begin,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function report(file, code, begin) {
  const rows = readFileSync(file, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .sort((a, b) => a.number.localeCompare(b.number, "en", { numeric: true }));
  console.log("\nrow   tried  survived  what");
  for (const { number, what, tried, failed } of rows)
    console.log(
      `${number.padEnd(6)}${String(tried).padStart(5)}${String(tried - failed).padStart(10)}  ${what}`,
    );
  const [tried, failed] = ["tried", "failed"].map((key) => rows.reduce((sum, one) => sum + one[key], 0));
  console.log(
    `\n${tried} tried, ${tried - failed} survived, in ${((Date.now() - begin) / 60_000).toFixed(1)} minutes`,
  );
  return code !== 0 || failed > 0 || tried === 0 ? 1 : 0;
}
