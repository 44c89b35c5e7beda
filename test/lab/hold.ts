// Has a host of the lab at hand for another process: prints its state file, and gives it back when standard input ends.
import { startVm } from "./vm.ts";

async function hold(): Promise<void> {
  const vm = await startVm();
  process.stdout.write(`${vm.state}\n`);
  await new Promise((ended) => process.stdin.resume().once("end", ended).once("close", ended));
  await vm.stop();
}

void hold();
