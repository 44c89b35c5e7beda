// npm run bench: how long things take beside other ways to do them, on a virtual machine behind a delay.
import { setUp } from "../test/lab/setup/index.mjs";
import { typescript } from "../test/lab/setup/npm.mjs";
import { foreground, main } from "../test/lab/setup/shell.mjs";
import { ansible } from "./setup.mjs";

await main(async () => {
  await setUp();
  return foreground("node", [...typescript, "bench/bench.ts", await ansible(), ...process.argv.slice(2)]);
});
