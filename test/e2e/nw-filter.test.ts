// NwFilter and NwFilterBinding while packets run: no moment without a filter, and what libvirt refuses changes nothing.
import { must, prove } from "../demo/claims.ts";
import { logins, newProject, program, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(1_200_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  await vm.reset();
  project = newProject();
  await project.init();
  // tap1's guest sends frames of another's MAC address all the time, and tap2's counts those that arrive.
  await vm.sh(`
ip link add name br-t address 02:00:00:00:07:00 type bridge
ip link set dev br-t up
guest() {
  ip netns add g-$1
  ip link add name tap$1 type veth peer name eth0 address 52:54:00:00:00:3$1 netns g-$1
  ip link set dev tap$1 master br-t up
  ip -n g-$1 link set dev eth0 up
}
guest 1
guest 2
cat > /run/forge.py <<'END'
import socket, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
frame = bytes.fromhex("525400000032" + "020000000066" + "88b5") + b"forged" * 10
while True:
    wire.send(frame)
    time.sleep(0.02)
END
ip netns exec g-2 nft -f - <<'END'
table netdev seen {
  chain in {
    type filter hook ingress device eth0 priority filter
    ether type 0x88b5 counter
  }
}
END
timeout 1200 ip netns exec g-1 python3 /run/forge.py >/dev/null 2>&1 </dev/null & echo $! > /run/forge.pid
sleep 5`);
});
afterAll(async () => {
  project?.close();
  await vm?.ssh("kill $(cat /run/forge.pid)");
  await vm?.stop();
});

const virsh = (words: string): Promise<string> => vm.sh(`LC_ALL=C.UTF-8 virsh -q -c qemu:///system ${words}`);
let counted = 0;
/** How many forged frames arrived since the last call. */
async function more(): Promise<number> {
  const rules = await vm.sh("sleep 0.5; ip netns exec g-2 nft list chain netdev seen in");
  const seen = Number(/packets (\d+)/.exec(rules)![1]);
  const since = seen - counted;
  counted = seen;
  return since;
}

const filter = (...entries: string[]): string =>
  `const f = new NwFilter("held", { ...host, entries: [{ filter: "no-mac-spoofing" }, ${entries.join(", ")}] });`;
const binding = (fields: string): string =>
  `new NwFilterBinding("b", { ...host, portDev: "tap1", macAddress: "52:54:00:00:00:31", filter: f.name, ${fields} });`;
const rarp = '{ action: "drop", direction: "in", mac: { protocolid: "rarp" } }';

test("held", async () => {
  await prove("before, what is forged arrives", async () => {
    const seen = await more();
    must(seen > 0, "nothing does");
    return `${seen} frames`;
  });
  const before = await logins(vm);
  const others = Array.from(
    { length: 2 },
    (_, n) =>
      `new NwFilter("other${n}", { ...host, entries: [{ filter: "clean-traffic", parameters: { A: "${n}" } }] });`,
  );
  project.program(program(vm, filter(), binding(""), ...others));
  await project.up();
  await more();
  await prove("with the filter nothing does; three filters and a binding were one connection", async () => {
    const [seen, came] = [await more(), (await logins(vm)) - before];
    must(seen === 0, `${seen} frames`);
    must(came === 1, `${came} logins`);
    return "0 frames, 1 login";
  });
  const uuid = async () => /<uuid>(.*)<\/uuid>/.exec(await virsh("nwfilter-dumpxml held"))![1]!;
  const first = await uuid();
  await prove(
    "T12 the filter is redefined, then the binding's parameters and MAC address change: no frame slips through",
    async () => {
      project.program(program(vm, filter(rarp), binding("")));
      await project.up();
      must((await uuid()) === first, "another UUID");
      project.program(
        program(vm, filter(rarp), binding('parameters: { IP: "10.0.0.5" }').replace("0:31", "0:35")),
      );
      await project.up();
      must(
        /52:54:00:00:00:35/.test(await vm.sh("ebtables-save -t nat | grep I-tap1-mac")),
        "the old MAC address",
      );
      const seen = await more();
      must(seen === 0, `${seen} frames`);
      return "0 frames";
    },
  );
  await prove(
    "a redefinition that libvirt refuses fails, names why, and leaves the old one in force",
    async () => {
      const old = await virsh("nwfilter-dumpxml held");
      project.program(
        program(
          vm,
          filter(rarp, '{ filter: "nowhere" }'),
          binding('parameters: { IP: "10.0.0.5" }').replace("0:31", "0:35"),
        ),
      );
      const output = await project.fails();
      must(/libvirt refuses the filter: .*'nowhere' is missing/.test(output), output);
      must(/Everything is as it was before/.test(output), output);
      must((await virsh("nwfilter-dumpxml held")) === old, "it is another one");
      const seen = await more();
      must(seen === 0, `${seen} frames`);
      return "'nowhere' is missing; the same definition, 0 frames";
    },
  );
  await prove("what is used by a port of others is not undefined, and the port is named", async () => {
    await vm.sh(`cat > /run/b.xml <<'END'
<filterbinding><owner><name>x</name><uuid>5c6d49af-b071-6127-b4ec-6f8ed4b55335</uuid></owner><portdev name='tap2'/>
<mac address='52:54:00:00:00:32'/><filterref filter='held'/></filterbinding>
END
virsh -q nwfilter-binding-create /run/b.xml`);
    project.program(program(vm));
    const output = await project.fails();
    must(/it is a part of the filter of tap2, running/.test(output), output);
    await virsh("nwfilter-binding-delete tap2");
    return "tap2";
  });
  await prove(
    "what is not ours is refused; so is a port that is not there, and a libvirt that is not",
    async () => {
      project.program(
        program(
          vm,
          filter(rarp),
          'new NwFilter("clean-traffic", { ...host, entries: [] });',
          'new NwFilterBinding("b", { ...host, portDev: "tap9", macAddress: "52:54:00:00:00:39", filter: "no-mac-spoofing" });',
        ),
      );
      const output = await project.fails();
      must(/"clean-traffic".*it exists on the host and is not ours/.test(output), output);
      must(/portDev: tap9 does not exist on the host/.test(output), output);
      await vm.sh("systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd");
      const stopped = await project.fails("refresh", "--yes", "--skip-preview");
      must(/libvirt at qemu:\/\/\/system does not answer: .*Is libvirt installed/.test(stopped), stopped);
      await vm.sh("systemctl start libvirtd.socket");
      return "three errors";
    },
  );
  await prove("destroyed, no filter of ours is left", async () => {
    await project.destroy();
    const left = `${await virsh("nwfilter-binding-list")}${await virsh("nwfilter-list")}`;
    must(!/held|other[0-9]|hostnet|tap/.test(left), left);
    const seen = await more();
    must(seen > 0, "nothing arrives");
    return `${seen} frames arrive again`;
  });
});
