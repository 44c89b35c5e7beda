// Starts the machine that a developer keeps up, and says how to log in.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { end } from "./qemu.ts";
import { launchOf, readLab, readMachine, standing, Vm } from "./vm.ts";

async function up(): Promise<void> {
  const lab = readLab();
  const { folder, state } = standing(lab);
  const standingMachine = readMachine(state);
  if (standingMachine && standingMachine.image !== lab.image) {
    console.log("The machine that is up is of another image: ending it.");
    await end(standingMachine);
  }
  const begin = Date.now();
  const running = readMachine(state, lab);
  if (!running) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
  const machine = running ?? (await launchOf(lab, { folder, keepDisk: false, detached: true }));
  writeFileSync(state, JSON.stringify(machine));
  const vm = new Vm(machine, () => {});
  await vm.settle();
  console.log(
    running
      ? "The lab's host is up already."
      : `The lab's host is up after ${((Date.now() - begin) / 1000).toFixed(1)} s.`,
  );
  console.log(`Log in:   ${vm.login()}   (or as op, asked, plain)`);
  console.log("End it:   node test/lab/down.mjs");
  await vm.stop();
}

void up();
