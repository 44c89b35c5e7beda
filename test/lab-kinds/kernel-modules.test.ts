// KernelModules with several owners, on a real kernel; the modules are the whole machine's, the files the namespace's own.
import { kernelModules } from "../../provider/kernel-modules";
import { startVm, type Vm } from "../lab/vm.ts";
import { NamespaceHost } from "./namespace-host.ts";
import { resources } from "./resources.ts";

let vm: Vm;
let host: NamespaceHost;
beforeAll(async () => {
  vm = await startVm();
  await vm.sh("for m in br_netfilter nf_conntrack_ftp bridge dummy; do rmmod $m 2>/dev/null || :; done");
  host = await NamespaceHost.make(vm);
}, 600_000);
afterAll(async () => {
  await host?.close();
  await vm?.stop();
});

const loaded = (module: string) =>
  vm.ssh(`grep -q '^${module} ' /proc/modules`).then(({ code }) => code === 0);
const files = () => host.sh("ls /etc/modules-load.d | grep hostnet || :");

test("several owners, drift, a module that was there, one in use, one that makes links, one that there is not", async () => {
  const provider = resources(kernelModules, host, host.name);
  const a = await provider.create("a", { modules: ["br-netfilter", "ipv6"] });
  const b = await provider.create("b", { modules: ["br_netfilter"], persist: false });
  expect(await files()).toBe("hostnet-br_netfilter.conf\nhostnet-ipv6.conf\n");
  expect(await host.sh("cat /etc/modules-load.d/hostnet-br_netfilter.conf")).toMatch(/^#.*\nbr_netfilter\n$/);

  await vm.sh("rmmod br_netfilter");
  expect(await provider.drift("a", a)).toEqual(["modules: br_netfilter is missing"]);
  await provider.update("a", await provider.refresh("a", a), { modules: ["br_netfilter", "ipv6"] });
  expect(await loaded("br_netfilter")).toBe(true);

  await provider.delete("a", a);
  expect([await files(), await loaded("br_netfilter")]).toEqual(["", true]);
  await provider.delete("b", b);
  expect(await loaded("br_netfilter")).toBe(false);
  // It came along, and no count tells whether it carries bridges.
  expect(await loaded("bridge")).toBe(true);

  const foreign = await provider.create("foreign", { modules: ["vrf", "nf_conntrack"] });
  await provider.delete("foreign", foreign);
  expect([await loaded("vrf"), await loaded("nf_conntrack")]).toEqual([true, true]);

  const used = await provider.create("used", { modules: ["nf_conntrack_ftp"] });
  await host.sh(`nft -f - <<'END'
table ip x { ct helper ftp { type "ftp" protocol tcp; } ; }
END`);
  await provider.delete("used", used);
  expect(await loaded("nf_conntrack_ftp")).toBe(true);

  await vm.sh("rmmod dummy 2>/dev/null || :");
  const links = await provider.create("links", { modules: ["dummy"] });
  await host.sh("ip link add name d1 type dummy");
  await provider.delete("links", links);
  expect(await host.sh("ip -br link show type dummy")).toMatch(/^d1 /);

  await expect(provider.create("none", { modules: ["br_netfilter", "no_such_module"] })).rejects.toThrow(
    /: modules: no_such_module: the host's kernel 6\.\S+ has no such module$/,
  );
  expect([await files(), await loaded("br_netfilter")]).toEqual(["", false]);
  expect(await host.sh("ls -A /etc/hostnet 2>/dev/null || :")).toBe("");
}, 600_000);
