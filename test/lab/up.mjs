// Keeps a host of the lab up for the tests of a developer, so that they start in a second: node test/lab/up.mjs
import { setUpLab } from "./setup/index.mjs";
import { typescript } from "./setup/npm.mjs";
import { foreground, main } from "./setup/shell.mjs";

await main(async () => {
  await setUpLab();
  return foreground("node", [...typescript, "test/lab/up.ts"]);
});
