// Removes the folders named on the command line, in the checkout only: `rm -rf` that works on every system.
import { rmSync } from "node:fs";
import { relative, resolve } from "node:path";

for (const name of process.argv.slice(2)) {
  const inside = relative(process.cwd(), resolve(name));
  if (inside === "" || inside.startsWith("..")) throw new Error(`not inside the checkout: ${name}`);
  rmSync(inside, { recursive: true, force: true });
}
