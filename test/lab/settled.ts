// The host as a test compares it, and what it says of visitors.
import type { Host } from "./host.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Vm } from "./vm.ts";

/**
 * The whole state once addresses are no longer tentative, but for what stays by design in /run until the next boot: the
 * lock, and how the last change that had to be confirmed ended.
 */
export async function settled(host: Host): Promise<Snapshot> {
  await host.sh(
    "tries=0; while ip -6 addr show tentative | grep -q . && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done",
  );
  const { files, ...rest } = await host.snapshot();
  return {
    ...rest,
    files: files.filter((line) => !/\/run\/hostnet(\/lock|\/outcome(\.err)?)?( |$)/.test(line)),
  };
}

/** How many logins the host has seen. */
export async function logins(host: Host): Promise<number> {
  return (await host.log()).match(/sshd\S*: Accepted /g)?.length ?? 0;
}

/** How many scripts of ours have armed their undo there, each of which a new connection is to confirm. */
export async function checkpoints(vm: Vm): Promise<number> {
  return Number(
    await vm.sh("journalctl -q -b --no-pager _PID=1 | grep -c 'Started .*pending/script watch' || :"),
  );
}
