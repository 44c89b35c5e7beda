// The demo's second scene: examples/routed-vm-network, with a reboot in the middle.
import { newStack } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { ask, fetched, type Guest, lease, OUTSIDE, serve, startGuests, stopGuests } from "../lab/routed.ts";
import { settled } from "../lab/settled.ts";
import { differences, unnumbered } from "../lab/snapshot.ts";
import type { Vm } from "../lab/vm.ts";
import { chapter, must, prove } from "./claims.ts";

/** @param vm one that keeps its disk */
export async function router(vm: Vm, project: Project): Promise<void> {
  chapter("Another host, which is to become its guests' router: pulumi up");
  const pristine = unnumbered(await settled(vm));
  await newStack(vm, project, "demo");
  await project.ok(["config", "set", "uplink", "wan0"]);
  await prove("it makes the network: a bridge, forwarding, NAT, leases and names", async () => {
    const output = await project.up();
    return /\+ \d+ created/.exec(output)![0];
  });
  const before = unnumbered(await settled(vm));
  await outside(vm);
  await startGuests(vm);
  let former = "";
  await prove("a guest gets its lease, and a name", async () => {
    former = await leased(vm, "one");
    return `${former}; one.vms.example is ${await named(vm, former)}`;
  });
  await proveWays(vm);

  chapter("A reboot");
  await prove("the host comes back with all of it, and with nothing else", async () => {
    await vm.reboot();
    const left = differences(before, unnumbered(await settled(vm)));
    must(left.length === 0, left.join("\n           "));
    return "no difference in links, addresses, rules, routes, nftables, sysctls, files";
  });
  await prove("its tables stood before there was a network", async () => {
    const at = async (unit: string, what: string) =>
      Number(await vm.sh(`systemctl show -P ${what} ${unit}`)) / 1e6;
    const loaded = await at("hostnet-nft", "ExecMainExitTimestampMonotonic");
    const network = await at("systemd-networkd", "ExecMainStartTimestampMonotonic");
    must(loaded > 0 && loaded < network, `${loaded} s and ${network} s`);
    return `tables ${loaded.toFixed(1)} s after the kernel, systemd-networkd ${network.toFixed(1)} s`;
  });
  await outside(vm);
  await startGuests(vm);
  await prove("a guest that starts again has the lease that it had", async () => {
    const now = await leased(vm, "one");
    must(now === former, `${now} instead of ${former}`);
    return `${now}; one.vms.example is ${await named(vm, now)}`;
  });
  await proveWays(vm);
  await prove("refresh finds no drift, and a second up changes nothing", async () => {
    const output = await project.refresh();
    must(!/~ \d+ updated|- \d+ deleted/.test(output), output);
    return /\d+ unchanged/.exec(await project.up("--expect-no-changes"))![0];
  });

  chapter("pulumi destroy");
  await stopGuests(vm);
  await prove("the host is as it was", async () => {
    await project.destroy();
    await vm.sh("ip netns pids net-10 | xargs -r kill; ip link del dev wan0; ip -all netns del");
    const left = differences(pristine, unnumbered(await settled(vm)));
    must(left.length === 0, left.join("\n           "));
    return "no difference";
  });
}

const outside = async (vm: Vm): Promise<void> => {
  await vm.sh(OUTSIDE);
  await serve(vm, "net-10", 8000);
};

/** Right after a start the first question may go unheard. */
async function leased(vm: Vm, guest: Guest): Promise<string> {
  for (let tries = 1; ; tries++)
    try {
      return await lease(vm, guest);
    } catch (error) {
      if (tries === 5) throw error;
    }
}

async function named(vm: Vm, leasedAs: string): Promise<string> {
  await leased(vm, "two");
  const address = await ask(vm, "two", "one.vms.example");
  must(leasedAs.startsWith(`${address}/`), `${address} by its name, ${leasedAs} by its lease`);
  return address;
}

async function proveWays(vm: Vm): Promise<void> {
  await leased(vm, "web");
  await serve(vm, "web", 80);
  await prove("out with the host's address, in by the port that is published alone", async () => {
    const out = await fetched(vm, "one", "http://10.5.0.10:8000/");
    const back = await fetched(vm, "net-11", "http://10.5.0.1:8080/");
    await vm.sh("ip -n net-11 route add 10.7.0.0/24 via 10.5.0.1");
    const past = await fetched(vm, "net-11", "http://10.7.0.5/");
    const seen = `out: ${out}; in: ${back}; past it: ${past}`;
    must(seen === "out: net-10 saw 10.5.0.1; in: web saw 10.5.0.11; past it: nothing", seen);
    return seen;
  });
}
