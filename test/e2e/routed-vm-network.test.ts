// examples/routed-vm-network with its guests apart, which takes what not every kernel has; the rest: test/stories.
import { must, prove } from "../demo/claims.ts";
import { BRIDGED, fetched, lease, OUTSIDE, ping, serve, startGuests, stopGuests } from "../lab/routed.ts";
import { differences } from "../lab/snapshot.ts";
import { exampleProject, newStack, settled, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(900_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  await vm.reset();
  project = exampleProject("routed-vm-network");
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

const is = (seen: string, wanted: string): string => {
  must(seen === wanted, `${seen} instead of ${wanted}`);
  return seen;
};

test("guests that are apart reach no other, and all the rest, with and without br_netfilter", async () => {
  await vm.sh(OUTSIDE);
  for (const port of [80, 8000]) await serve(vm, "net-10", port);
  const before = await settled(vm);
  await newStack(vm, project);
  await project.ok(["config", "set", "uplink", "wan0"]);
  await project.up();
  await startGuests(vm);
  const first = await lease(vm, "one");
  for (const guest of ["web", "two"] as const) await lease(vm, guest);
  await serve(vm, "web", 80);
  await prove("not isolated, guests reach each other", async () => is(await ping(vm, "one"), "answered"));
  await project.ok(["config", "set", "isolated", "true"]);
  await project.up();
  for (const rules of [0, 1]) {
    await prove(
      `isolated, they do not, and all else works (bridge-nf-call-iptables = ${rules})`,
      async () => {
        await vm.sh(`modprobe br_netfilter\n${BRIDGED}\nbridged ${rules}\nip -n one route flush 10.7.0.5`);
        is(await ping(vm, "one"), "nothing");
        await vm.sh("ip -n one route add 10.7.0.5/32 via 10.7.0.1");
        const seen = is(await ping(vm, "one"), "nothing");
        is(await fetched(vm, "one", "http://10.5.0.10/"), "web saw 10.7.0.1");
        is(await fetched(vm, "two", "http://10.5.0.1:8080/"), "web saw 10.7.0.1");
        is(await fetched(vm, "one", "http://10.5.0.10:8000/"), "net-10 saw 10.5.0.1");
        is(await lease(vm, "one"), first);
        return `a frame: nothing, by way of the host: ${seen}; HTTP, the way out and the lease work`;
      },
    );
  }
  await prove("destroyed, the host is as it was", async () => {
    await stopGuests(vm);
    await project.destroy();
    await vm.sh("rmmod br_netfilter");
    const rest = differences(before, await settled(vm)).filter(
      (line) => !/bridge-nf|modules-load/.test(line),
    );
    must(rest.length === 0, rest.join("\n"));
    return "no difference";
  });
});
