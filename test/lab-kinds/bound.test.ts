// A chain that is bound to a link which goes and comes back, as a tap does with its guest: before Linux 6.16 it goes with it.
import { nftTable } from "../../provider/nft-table";
import { until } from "../lab/qemu.ts";
import { startVm, type Vm } from "../lab/vm.ts";
import { WholeHost } from "./whole.ts";

let vm: Vm;
let whole: WholeHost;
beforeAll(async () => {
  vm = await startVm();
  whole = new WholeHost(vm, { NftTable: nftTable });
  await vm.sh("for n in 8 9; do ip netns add far$n; done");
  await tap(8);
  await tap(9);
}, 600_000);
afterAll(async () => {
  whole?.close();
  await vm?.sh("for n in 8 9; do ip netns del far$n; done");
  await vm?.stop();
});

const tap = (n: number) =>
  vm.sh(`ip link add name tap${n} type veth peer name eth0 netns far${n}
ip addr add 10.9${n}.0.1/24 dev tap${n}; ip link set dev tap${n} up
for a in 2 3; do ip -n far${n} addr add 10.9${n}.0.$a/24 dev eth0; done; ip -n far${n} link set dev eth0 up`);
const passes = async (n: number, from: number) =>
  (await vm.ssh(`ip netns exec far${n} ping -q -c 1 -W 2 -I 10.9${n}.0.${from} 10.9${n}.0.1`)).code === 0;
const chains = () => vm.sh("nft list table netdev taps");
/** A chain that is made anew is the last one. */
const lines = (text: string) => text.split("\n").sort();

test("its filter is back when it is, with what else the table holds as it was", async () => {
  const dev = whole.stack();
  const base = { type: "filter", hook: "ingress", priority: 0 };
  const args = {
    name: "taps",
    family: "netdev",
    chains: {
      one: { ...base, device: "tap8", rules: ["ip saddr 10.98.0.2 drop"] },
      both: { ...base, devices: ["tap8", "tap9"], priority: 5, rules: ["jump guests"] },
      guests: { rules: ["ip saddr 10.99.0.2 counter name dropped drop"] },
    },
    counters: { dropped: {} },
    connection: whole.connection,
  };
  await dev.up("NftTable", "taps", args);
  for (const n of [8, 9]) expect([await passes(n, 2), await passes(n, 3)]).toEqual([false, true]);
  const before = await chains();

  await vm.sh("ip link del dev tap9");
  expect(await chains()).not.toContain("tap9");
  await tap(9);
  await until(60, "the chain is bound again", async () => (await chains()).includes("tap9"));
  expect([await passes(9, 2), await passes(9, 3)]).toEqual([false, true]);
  // What it counted so far, and that one.
  expect(lines(await chains())).toEqual(lines(before.replace("packets 1 bytes 84", "packets 2 bytes 168")));

  await vm.sh("ip link del dev tap8");
  // Newer kernels keep the chain, without its link.
  const bound = async () => /chain one \{[^}]* device "?tap8/.test(await chains());
  expect(await bound()).toBe(false);
  await tap(8);
  await until(60, "the chain is bound again", bound);
  expect([await passes(8, 2), await passes(8, 3)]).toEqual([false, true]);
  expect((await dev.refresh("NftTable", "taps"))!.outputs.drift).toEqual([]);
  await dev.destroy("NftTable", "taps");
  expect(await vm.sh("nft list tables")).not.toContain("taps");
}, 600_000);
