// As test/life/samples.local, for the kinds that need a whole machine: VRFs, VLANs, modules, libvirt, systemd.
// HOSTNET_SAMPLE=write adds those of the version at hand, before it is released.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dhcpDns } from "../../provider/dhcp-dns";
import { kernelModules } from "../../provider/kernel-modules";
import { nwFilter } from "../../provider/nw-filter";
import { nwFilterBinding } from "../../provider/nw-filter-binding";
import { version } from "../../provider/version";
import { vlan } from "../../provider/vlan";
import { vrf } from "../../provider/vrf";
import type { State } from "../engine";
import { startVm, type Vm } from "../lab/vm.ts";
import { WholeHost } from "./whole.ts";

interface Sample {
  readonly states: Readonly<Record<string, State>>;
  /** Of the host: path and text, or what a link leads to. */
  readonly files: Readonly<Record<string, { readonly text?: string; readonly link?: string }>>;
  /** Of libvirt: what it has by name, and its binding. */
  readonly filters: readonly string[];
  readonly binding: string;
}

let vm: Vm;
let whole: WholeHost;
beforeAll(async () => {
  vm = await startVm();
  whole = new WholeHost(vm, {
    KernelModules: kernelModules,
    Vlan: vlan,
    Vrf: vrf,
    NwFilter: nwFilter,
    NwFilterBinding: nwFilterBinding,
    DhcpDns: dhcpDns,
  });
  await vm.sh(WORLD);
}, 600_000);
afterAll(async () => {
  whole?.close();
  await vm?.stop();
});

/** What is not ours. */
const WORLD = `modprobe vrf; modprobe dummy
for n in 1 2; do ip link add name e$n address 02:00:00:00:00:0$n type dummy; ip link set dev e$n up; done
ip link add name lan address 02:00:00:00:00:07 type bridge; ip addr add 10.7.0.1/24 dev lan; ip link set dev lan up
ip link add name tap0 type veth peer name far0; ip link set dev tap0 master lan up
touch /run/before-samples; sleep 1`;

const declared = {
  KernelModules: { name: "ftp", modules: ["nf_conntrack_ftp"] },
  Vlan: { name: "v10", link: "e2", vlanId: 10, addresses: ["10.2.0.1/24"] },
  Vrf: {
    name: "blue",
    table: 100,
    interfaces: [{ name: "e1", addresses: ["10.1.0.1/24"] }],
    routes: [{ destination: "10.9.0.0/16", gateway: "10.1.0.9" }],
  },
  NwFilter: {
    name: "guest-in",
    uuid: "0a1b2c3d-0000-4000-8000-000000000001",
    chain: "ipv4",
    entries: [{ action: "drop", direction: "in", ip: { srcipaddr: "192.0.2.0", srcipmask: "24" } }],
  },
  NwFilterBinding: { name: "tap0", portDev: "tap0", macAddress: "52:54:00:00:00:0a", filter: "guest-in" },
  DhcpDns: {
    name: "lan",
    interface: "lan",
    ranges: [{ start: "10.7.0.100", end: "10.7.0.199" }],
    upstreams: [],
  },
} as const;
const order = ["KernelModules", "Vlan", "Vrf", "NwFilter", "NwFilterBinding", "DhcpDns"] as const;

/** Only `name`s that a kind has are fields of it. */
function args(kind: keyof typeof declared) {
  const { name, ...fields } = declared[kind];
  return {
    ...(kind === "NwFilterBinding" || kind === "DhcpDns" ? {} : { name }),
    ...fields,
    connection: whole.connection,
  };
}

const folder = "test/samples/lab";
const virsh = (words: string) => vm.sh(`LC_ALL=C.UTF-8 virsh -q -c qemu:///system ${words}`);
const machineId = async () => (await vm.sh("cat /etc/machine-id")).trim();

/** What differs from one lab to the next. */
async function volatile(): Promise<[string, string][]> {
  return [
    [`"port":${vm.port}`, '"port":"@port@"'],
    [vm.hostKey, "@hostKey@"],
    [await machineId(), "@machine@"],
  ];
}

async function write(sample: Sample): Promise<void> {
  const swaps = await volatile();
  const text = swaps.reduce((all, [here, name]) => all.replaceAll(here, name), JSON.stringify(sample));
  writeFileSync(join(folder, `${version}.json`), `${JSON.stringify(JSON.parse(text), undefined, 1)}\n`);
}

async function read(name: string): Promise<Sample> {
  const text = JSON.stringify(JSON.parse(readFileSync(join(folder, name), "utf8")));
  return JSON.parse((await volatile()).reduce((all, [here, mark]) => all.replaceAll(mark, here), text));
}

/** But for the chains that libvirt makes for itself, and the sessions that are open. */
async function lasting() {
  const { nft: _, files, ...rest } = await vm.snapshot();
  return { ...rest, files: files.filter((file) => !file.includes("/run/hostnet")) };
}

if (process.env.HOSTNET_SAMPLE === "write")
  test("write the sample of this version", async () => {
    const dev = whole.stack();
    for (const kind of order) await dev.up(kind, declared[kind].name, args(kind));
    const found = await vm.sh(
      "find /etc /var/lib/hostnet -newer /run/before-samples ! -type d -printf '%p %l\\n' | grep -E 'hostnet|nf_conntrack' | grep -v libvirt | sort",
    );
    const files: Record<string, { text?: string; link?: string }> = {};
    for (const line of found.trim().split("\n")) {
      const [path, link] = line.split(" ") as [string, string];
      files[path] = link ? { link } : { text: await vm.sh(`cat ${path}`) };
    }
    const names = (await vm.sh("virsh -q nwfilter-list | grep -oE '(hostnet|guest-in)[^ ]*'"))
      .trim()
      .split("\n");
    const filters = await Promise.all(names.map((name) => virsh(`nwfilter-dumpxml ${name}`)));
    const binding = await virsh("nwfilter-binding-dumpxml tap0");
    await write({ states: Object.fromEntries(dev.resources), files, filters, binding });
    for (const kind of [...order].reverse()) await dev.destroy(kind, declared[kind].name);
  }, 600_000);

test("there is a sample of this version", () => {
  expect(existsSync(join(folder, `${version}.json`))).toBe(true);
});

/** Makes the objects as that version left them, without it. */
async function restore({ files, filters, binding }: Sample): Promise<void> {
  for (const [path, { text, link }] of Object.entries(files))
    await vm.ssh(`mkdir -p $(dirname ${path}); ${link ? `ln -s ${link} ${path}` : `cat >${path}`}`, {
      stdin: text,
    });
  await vm.sh(`modprobe nf_conntrack_ftp
ip link add link e2 name v10 type vlan id 10; ip addr add 10.2.0.1/24 brd + dev v10; ip link set dev v10 up
ip link add name blue type vrf table 100; ip link set dev blue up
# The kernel adds it with the first VRF since the boot alone.
for v in -4 -6; do ip $v rule list l3mdev | grep -q l3mdev || ip $v rule add pref 1000 l3mdev protocol kernel; done
ip link set dev e1 master blue; ip addr add 10.1.0.1/24 brd + dev e1
ip route add 10.9.0.0/16 via 10.1.0.9 dev e1 table 100 proto 210
systemctl daemon-reload; systemctl start hostnet-dhcp-dns-lan.service`);
  // Those that are referred to come first.
  for (const xml of [...filters].sort((a) => (a.includes("<filterref") ? 1 : -1)))
    await vm.ssh("cat >/run/x.xml && virsh -q nwfilter-define /run/x.xml", { stdin: xml });
  await vm.ssh("cat >/run/x.xml && virsh -q nwfilter-binding-create /run/x.xml", { stdin: binding });
}

test.each(readdirSync(folder))(
  "%s: no diff, no drift, an update and a delete",
  async (name) => {
    const before = await lasting();
    const sample = await read(name);
    await restore(sample);
    const dev = whole.stack();
    for (const [urn, state] of Object.entries(sample.states)) dev.resources.set(urn, structuredClone(state));
    for (const kind of order) await dev.up(kind, declared[kind].name, args(kind));
    expect(dev.steps).toEqual(order.map((kind) => `same ${declared[kind].name}`));
    for (const kind of order)
      expect([kind, (await dev.refresh(kind, declared[kind].name))?.outputs.drift]).toEqual([kind, []]);

    await dev.run().up("Vlan", "v10", { ...args("Vlan"), addresses: ["10.2.0.2/24"] });
    await dev.up("Vrf", "blue", {
      ...args("Vrf"),
      routes: [{ destination: "10.8.0.0/16", gateway: "10.1.0.9" }],
    });
    const more = { action: "accept", direction: "out", ip: { protocol: "udp" } };
    await dev.up("NwFilter", "guest-in", {
      ...args("NwFilter"),
      entries: [...declared.NwFilter.entries, more],
    });
    await dev.up("DhcpDns", "lan", { ...args("DhcpDns"), records: { db: "10.7.0.9" } });
    expect(
      await vm.sh(
        "ip -4 -o addr show dev v10; ip route show vrf blue; virsh nwfilter-dumpxml guest-in; cat /etc/hostnet/dhcp-dns-lan.conf",
      ),
    ).toMatch(/10\.2\.0\.2\/24[\s\S]*10\.8\.0\.0\/16 via 10\.1\.0\.9[\s\S]*udp[\s\S]*db[^\n]*10\.7\.0\.9/);
    for (const kind of [...order].reverse()) await dev.destroy(kind, declared[kind].name);
    const left =
      "ls -A /etc/hostnet; lsmod | grep nf_conntrack_ftp; virsh -q nwfilter-list; virsh -q nwfilter-binding-list";
    expect((await vm.ssh(`{ ${left}; } 2>&1`)).stdout).not.toMatch(
      /guest-in|hostnet-|boot|nf_conntrack_ftp|tap0/,
    );
    expect(await lasting()).toEqual(before);
  },
  600_000,
);
