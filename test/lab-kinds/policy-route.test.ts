import { startVm, type Vm } from "../lab/vm.ts";
import { NamespaceHost } from "./namespace-host.ts";
import { livesOn } from "./policy-route-life.ts";

let vm: Vm;
const hosts: NamespaceHost[] = [];
beforeAll(async () => {
  vm = await startVm();
}, 240_000);
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.close();
});
afterAll(() => vm?.stop());

livesOn(
  async () => {
    const host = await NamespaceHost.make(vm);
    hosts.push(host);
    return host;
  },
  { brief: true },
);
