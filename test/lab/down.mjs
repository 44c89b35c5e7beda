// Ends the host that up.mjs keeps: node test/lab/down.mjs
import { nodeOnPath, typescript } from "./setup/npm.mjs";
import { foreground, main } from "./setup/shell.mjs";

await main(async () => {
  await nodeOnPath();
  return foreground("node", [...typescript, "test/lab/down.ts"]);
});
