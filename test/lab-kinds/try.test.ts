import { policyRoute } from "../../provider/policy-route";
import { vrf } from "../../provider/vrf";
import { lifecycle } from "../../provider/lifecycle";
import { startVm, type Vm } from "../lab/vm.ts";
import { NamespaceHost } from "./namespace-host.ts";

let vm: Vm;
beforeAll(async () => { vm = await startVm(); }, 240_000);
afterAll(() => vm?.stop());
const owner = "urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:Vrf::";
test("try", async () => {
  const host = await NamespaceHost.make(vm);
  await host.sh(`ip link add name e1 type dummy; ip link set e1 up; ip addr add 10.1.0.1/24 dev e1
   ip addr add 10.1.0.2/24 dev e1; ip addr add 2001:db8:1::1/64 dev e1; ip addr add 2001:db8:1::2/64 nodad noprefixroute dev e1; ip addr add fe80::1/64 dev e1
   ip route add 10.9.0.0/16 via 10.1.0.9 dev e1 metric 5 mtu 1400 proto static
   ip route add 10.8.0.0/16 via 10.1.0.9 table 77
   ip -6 route add 2001:db8:9::/48 via 2001:db8:1::9 dev e1
   ip -6 route add default via fe80::9 dev e1 table 77 pref high
   sleep 2`);
  const before = await host.snapshot();
  const p = lifecycle(vrf, host);
  const check = async (args: object, name: string, provider: any) => { const { inputs, failures } = await provider.check({}, { connection: { host: "h" }, __provider: "p", __owner: owner + name, __resource: name, ...args }); expect(failures).toEqual([]); return inputs; };
  const a = await check({ table: 100, interfaces: [{ name: "e1", addresses: ["10.5.0.1/24"] }], routes: [{ destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 }, { destination: "10.66.0.0/16", gateway: "10.5.0.9" }] }, "v1", p);
  const made = await p.create(a);
  console.log(JSON.stringify(made.outs, null, 1));
  console.log(await host.snapshot());
  const b = await check({ table: 200, interfaces: [{ name: "e1", addresses: ["10.5.0.1/24"] }], routes: [{ destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 }, { destination: "10.66.0.0/16", gateway: "10.5.0.9" }] }, "v1", p);
  const up = await p.update("v1", made.outs, b);
  console.log(await host.snapshot());
  const q = lifecycle(policyRoute, host);
  const r = await q.create(await check({ family: "ipv4", priority: 100, from: "10.0.0.0/8", fwmark: 100, table: 5, routes: [{ destination: "0.0.0.0/0", type: "blackhole" }]}, "pr", q));
  console.log(JSON.stringify(r.outs), await host.sh("ip -N rule; ip route show table 5"));
  await q.delete("pr", r.outs);
  await p.delete("v1", up.outs);
  expect(await host.snapshot()).toBe(before);
  await host.close();
}, 120_000);
