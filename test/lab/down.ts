// Ends the machine that up.ts started.
import { rmSync } from "node:fs";
import { end } from "./qemu.ts";
import { readLab, readMachine, standing } from "./vm.ts";

async function down(): Promise<void> {
  const { state } = standing(readLab());
  const machine = readMachine(state);
  if (machine) await end(machine);
  rmSync(state, { force: true });
  console.log(machine ? "The lab's host is down." : "No host of the lab is up.");
}

void down();
