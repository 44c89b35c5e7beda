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

/** A filter, and one that it refers to. */
const filters = (child: string[] = [], ...entries: string[]): string =>
  `const child = new NwFilter("child", { ...host, entries: [${child.join(", ")}] });
const f = new NwFilter("held", { ...host, entries: [{ filter: "no-mac-spoofing" }, { filter: child.name }, ${entries.join(", ")}] });`;
const binding = (fields: string): string =>
  `new NwFilterBinding("b", { ...host, portDev: "tap1", macAddress: "52:54:00:00:00:31", filter: f.name, ${fields} });`;
/** What libvirt's own log says that it was asked to change, and how often the kernel saw it build the rules of tap1. */
async function watched(act: () => Promise<unknown>): Promise<{ calls: string[]; built: number }> {
  await vm.sh(`systemctl start libvirtd-admin.socket
set_log() { LC_ALL=C.UTF-8 virt-admin -q -c libvirtd:///system daemon-log-$1 "$2"; }
rm -f /run/lab/calls; set_log outputs 1:file:/run/lab/calls; set_log filters 1:libvirt.nwfilter
nft monitor new chains >/run/lab/chains 2>&1 </dev/null & echo $! >/run/lab/monitor.pid`);
  await act().finally(() => vm.sh("kill $(cat /run/lab/monitor.pid)"));
  const [log, chains] = (await vm.sh("cat /run/lab/calls; echo ----; cat /run/lab/chains")).split("----\n");
  return {
    calls: callsIn(log!),
    // Under this name, which becomes libvirt-I-tap1 when all rules are there.
    built: chains!.split("\n").filter((line) => /create chain bridge nat libvirt-J-tap1/.test(line)).length,
  };
}

const CHANGES: Readonly<Record<string, string>> = {
  DefineXML: "define",
  Undefine: "undefine",
  BindingCreateXML: "bind",
  BindingDelete: "unbind",
};
function callsIn(log: string): string[] {
  let name: string | undefined;
  return log.split(/\n(?=\d{4}-)/).flatMap((entry) => {
    // virsh looks up by name what it then takes away by a handle.
    name = /(?:<filter |<portdev |, )name='?([\w-]+)/.exec(entry)?.[1] ?? name;
    const change = CHANGES[/ virNWFilter(\w+):/.exec(entry)?.[1] ?? ""];
    return change ? [`${change} ${name}`] : [];
  });
}

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
  // The child is late, so that what does not wait for it is there before it.
  const late = "...host, name: new Promise((known) => setTimeout(known, 3000, 'child'))";
  project.program(program(vm, filters().replace("...host", late), binding(""), ...others));
  const created = await watched(() => project.up());
  await more();
  await prove("with the filter nothing does; four filters and a binding were one connection", async () => {
    const [seen, came] = [await more(), (await logins(vm)) - before];
    must(seen === 0, `${seen} frames`);
    must(came === 1, `${came} logins`);
    return "0 frames, 1 login";
  });
  await prove("what is referred to is there before what refers to it", () => {
    const calls = created.calls.filter((call) => !/other/.test(call));
    const wanted = ["define child", "define held", "define hostnet-tap1", "bind tap1"];
    must(calls.join() === wanted.join(), created.calls.join(", "));
    return calls.join(", ");
  });
  const uuid = async () => /<uuid>(.*)<\/uuid>/.exec(await virsh("nwfilter-dumpxml child"))![1]!;
  const first = await uuid();
  await prove(
    "T12 a child that changes is defined once, nothing else is; the rules of its port are built once; no frame slips through",
    async () => {
      project.program(program(vm, filters([rarp]), binding(""), ...others));
      const { calls, built } = await watched(() => project.up());
      must(calls.join() === "define child" && built === 1, `${calls.join(", ")}; built ${built} times`);
      must((await uuid()) === first, "another UUID");
      const rules = await vm.sh("ebtables-save -t nat | grep -- '-A libvirt-O-tap1'");
      must(/0x8035|RARP/.test(rules), rules);
      const seen = await more();
      must(seen === 0, `${seen} frames`);
      return `${calls.join(", ")}; built ${built} time; 0 frames`;
    },
  );
  await prove("T12 the binding's parameters and MAC address change: no frame slips through", async () => {
    project.program(
      program(vm, filters([rarp]), binding('parameters: { IP: "10.0.0.5" }').replace("0:31", "0:35")),
    );
    await project.up();
    must(
      /52:54:00:00:00:35/.test(await vm.sh("ebtables-save -t nat | grep I-tap1-mac")),
      "the old MAC address",
    );
    const seen = await more();
    must(seen === 0, `${seen} frames`);
    return "0 frames";
  });
  await prove(
    "a redefinition that libvirt refuses fails, names why, and leaves the old one in force",
    async () => {
      const old = await virsh("nwfilter-dumpxml child");
      project.program(
        program(
          vm,
          filters([rarp, '{ filter: "nowhere" }']),
          binding('parameters: { IP: "10.0.0.5" }').replace("0:31", "0:35"),
        ),
      );
      const output = await project.fails();
      must(/libvirt refuses the filter: .*'nowhere' is missing/.test(output), output);
      must(/Everything is as it was before/.test(output), output);
      must((await virsh("nwfilter-dumpxml child")) === old, "it is another one");
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
  await prove("what is not ours is refused; so is a port that is not there", async () => {
    project.program(
      program(
        vm,
        filters([rarp]),
        'new NwFilter("clean-traffic", { ...host, entries: [] });',
        'new NwFilterBinding("b", { ...host, portDev: "tap9", macAddress: "52:54:00:00:00:39", filter: "no-mac-spoofing" });',
      ),
    );
    const output = await project.fails();
    must(/"clean-traffic".*it exists on the host and is not ours/.test(output), output);
    must(/portDev: tap9 does not exist on the host/.test(output), output);
    return "two errors";
  });
  const refused = (output: string): string => {
    const errors = [...output.matchAll(/^ +error: (?!update failed)(.*)/gm)].map(([, error]) => error!);
    must(errors.length === 1, output);
    return errors[0]!;
  };
  const filterDaemon = 'host.uri = "nwfilter:///system";';
  await prove(
    "where only the daemon for filters listens, the default uri is one error, and that of the daemon works",
    async () => {
      // virsh goes by the sockets that are there. Behind this one is libvirtd all the same: Debian 12 has no other.
      await vm.sh("cd /run/libvirt; mv libvirt-sock virtnwfilterd-sock");
      project.program(program(vm, filters()));
      const error = refused(await project.fails());
      must(
        /NwFilter "child" on .*: libvirt at qemu:\/\/\/system does not answer: .*uri may have to name/.test(
          error,
        ),
        error,
      );
      project.program(program(vm, filterDaemon, filters(), binding("")));
      await project.up();
      await vm.sh("cd /run/libvirt; mv virtnwfilterd-sock libvirt-sock");
      await virsh("nwfilter-binding-dumpxml tap1");
      return error;
    },
  );
  await prove("whom libvirt or the host does not let in is told so", async () => {
    const restart =
      "systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd; systemctl start libvirtd.socket";
    await vm.sh(`cp /etc/libvirt/libvirtd.conf /run/lab
echo 'auth_unix_rw = "sasl"' >>/etc/libvirt/libvirtd.conf; ${restart}`);
    project.program(program(vm, filterDaemon, filters([rarp]), binding("")));
    const byLibvirt = refused(await project.fails());
    await vm.sh(`cp /run/lab/libvirtd.conf /etc/libvirt; ${restart}`);
    must(
      /NwFilter "child" on root@.*: libvirt at nwfilter:\/\/\/system refuses virsh: .*authentication failed.*auth_unix_rw/.test(
        byLibvirt,
      ),
      byLibvirt,
    );
    project.program(
      program(vm, 'host.connection.user = "plain";', filterDaemon, filters([rarp]), binding("")),
    );
    const byHost = refused(await project.fails());
    must(/NwFilter "child" on plain@.*: the user is not root .*: log in as root/.test(byHost), byHost);
    return `${byLibvirt}\n           ${byHost}`;
  });
  await prove("destroyed, in the opposite order, no filter of ours is left", async () => {
    const { calls } = await watched(() => project.destroy());
    const wanted = ["unbind tap1", "undefine hostnet-tap1", "undefine held", "undefine child"];
    must(calls.join() === wanted.join(), calls.join(", "));
    const left = `${await virsh("nwfilter-binding-list")}${await virsh("nwfilter-list")}`;
    must(!/held|child|other[0-9]|hostnet|tap/.test(left), left);
    const seen = await more();
    must(seen > 0, "nothing arrives");
    return `${calls.join(", ")}; ${seen} frames arrive again`;
  });
});
