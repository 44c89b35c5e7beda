// examples/ftp-filter: a real FTP server and client, active and passive, behind each of the three filters.
import { must, prove } from "../demo/claims.ts";
import { ALWAYS, exactly, FILTERS, startGuests, stopGuests } from "../lab/ftp.ts";
import { differences } from "../lab/snapshot.ts";
import { exampleProject, newStack, settled, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(1_200_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  await vm.reset();
  await startGuests(vm);
  project = exampleProject("ftp-filter");
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

test("ftp-filter", async () => {
  await newStack(vm, project);
  const before = await settled(vm);
  await prove("without a filter, everything passes", () =>
    exactly(vm, [...FILTERS.passive, "another port in", "a connection out"]),
  );
  for (const [filter, wanted] of Object.entries(FILTERS)) {
    await project.ok(["config", "set", "filter", filter]);
    await project.up();
    await prove(`filter ${filter}: the rest is dropped`, () => exactly(vm, wanted));
  }
  await prove("a spoofed source is stopped", async () => {
    await vm.sh("ip -n g-ftp addr add 10.7.0.99/24 dev eth0");
    const spoofed = await vm.ssh("ip netns exec g-ftp ping -n -q -c 1 -W 3 -I 10.7.0.99 10.7.0.22");
    const own = await vm.ssh("ip netns exec g-ftp ping -n -q -c 1 -W 3 -I 10.7.0.21 10.7.0.22");
    must(spoofed.code !== 0 && own.code === 0, `spoofed ${spoofed.code}, own ${own.code}`);
    await vm.sh("ip -n g-ftp addr del 10.7.0.99/24 dev eth0");
    return "ping from 10.7.0.99 no, from 10.7.0.21 yes";
  });
  await prove(
    "the module alone does nothing: without the rule that assigns the helper no transfer passes",
    async () => {
      await vm.sh("nft flush chain ip ftp-helper prerouting");
      return exactly(vm, ALWAYS);
    },
  );
  await prove("destroyed, the host is as it was", async () => {
    await stopGuests(vm);
    await project.destroy();
    // libvirt leaves the common chains of ebtables and iptables, empty.
    const rest = differences(before, await settled(vm)).filter(
      (line) => !/^[+-] nft|bridge-nf|nf_conntrack/.test(line),
    );
    must(rest.length === 0, rest.join("\n"));
    const left = await vm.sh("virsh -q nwfilter-binding-list; virsh -q nwfilter-list; nft list tables");
    must(!/ftp/.test(left), left);
    return "no difference";
  });
});
