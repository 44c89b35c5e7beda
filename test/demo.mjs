// npm run demo: two LANs with the same addresses reach each other, and a host becomes its guests' router, on virtual machines made for it.
import { setUp } from "./lab/setup/index.mjs";
import { typescript } from "./lab/setup/npm.mjs";
import { foreground, main } from "./lab/setup/shell.mjs";

const begin = Date.now();
await main(async () => {
  const keep = process.argv.includes("--keep");
  await setUp();
  if (keep && (await foreground("node", [...typescript, "test/lab/up.ts"])) !== 0) return 1;
  return foreground("node", [...typescript, "test/demo/demo.ts", String(begin), ...(keep ? ["--keep"] : [])]);
});
