// Members of ours that systemd-networkd or NetworkManager configures: told to leave them alone, and given back.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bridge } from "../../provider/bridge";
import { resources } from "../lab-kinds/resources";
import { LocalHost } from "../local-host";

const tools = mkdtempSync(join(tmpdir(), "hostnet-tools-"));
afterAll(() => rmSync(tools, { recursive: true }));

/** What the real ones do with such files, as far as it shows. */
writeFileSync(
  join(tools, "networkctl"),
  `#!/bin/sh
echo "networkctl $* $(cat /sys/class/net/e1/master/uevent 2>/dev/null | tail -n 1)" >>/run/asked
f=/run/systemd/netif/links/$(cat /sys/class/net/e1/ifindex)
if [ -e /etc/systemd/network/00-hostnet-e1.network ] || [ -e /run/systemd/network/00-hostnet-e1.network ]
then echo ADMIN_STATE=unmanaged >$f
else printf 'ADMIN_STATE=configured\\nNETWORK_FILE=/etc/systemd/network/20-e1.network\\n' >$f; fi
`,
);
writeFileSync(
  join(tools, "nmcli"),
  `#!/bin/sh
echo "nmcli $*" >>/run/asked
case $* in
  "general reload conf") rm -f /run/unmanaged; ! ls /etc/NetworkManager/conf.d/hostnet-e1.conf >/dev/null 2>&1 || true >/run/unmanaged ;;
  -g*) if [ -e /run/unmanaged ]; then echo "10 (unmanaged)"; else echo "100 (connected)"; fi; echo "Wired connection 1" ;;
esac
`,
);
for (const tool of ["networkctl", "nmcli"]) chmodSync(join(tools, tool), 0o755);

let host: LocalHost;
const bridges = () => resources(bridge, host, "h");
beforeEach(async () => {
  host = await new LocalHost(["sh"], `${tools}:`).ready();
  host.sh(`mount -t sysfs none /sys; for l in e1 e2; do ip link add name $l type veth peer name p$l; done
    mkdir -p /run/systemd/units /run/systemd/netif/links /etc/systemd/network`);
}, 60_000);
afterEach(() => host.close());

const manager = (name: string) => {
  host.sh(`ln -s 0123 /run/systemd/units/invocation:${name}.service; true >/run/asked`);
  if (name === "systemd-networkd") host.sh(`PATH=${tools}:$PATH networkctl; true >/run/asked`);
};
const asked = () => host.sh("cat /run/asked; true >/run/asked").trim();
const IN = "/etc/systemd/network/00-hostnet-e1.network";
const files = () =>
  host
    .sh(
      "ls /etc/systemd/network/00-* /run/systemd/network/* /etc/NetworkManager/conf.d/hostnet* /run/NetworkManager/conf.d/* 2>/dev/null || :",
    )
    .trim();
const said = expect.stringMatching(
  /^systemd-networkd leaves e1 alone .*00-hostnet-e1\.network.*\/etc\/systemd\/network\/20-e1\.network/,
);

test("networkd: before it becomes a port, and given back when it is none any more", async () => {
  manager("systemd-networkd");
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1", "e2"] });
  expect(host.sh(`cat ${IN}; stat -c %a ${IN}`)).toBe(
    "# pulumi-hostnet, instead of /etc/systemd/network/20-e1.network\n[Match]\nName=e1\n[Link]\nUnmanaged=yes\n644\n",
  );
  expect(asked()).toBe("networkctl reload");
  expect(made.warnings).toEqual([said]);
  expect(await bridges().drift("lan", made)).toEqual([]);
  expect((await bridges().refresh("lan", made)).warnings).toEqual([said]);

  const kept = await bridges().update("lan", made, { name: "br-lan", ports: ["e1", "e2"], ageingTime: 20 });
  expect(asked()).toBe("");
  const left = await bridges().update("lan", kept, { name: "br-lan", ports: ["e2"], ageingTime: 20 });
  expect([asked(), files(), left.warnings]).toEqual(["networkctl reload", "", undefined]);
  const again = await bridges().update("lan", left, { name: "br-lan", ports: ["e1"], ageingTime: 20 });
  expect([asked(), files()]).toEqual(["networkctl reload", IN]);
  await bridges().delete("lan", again);
  expect([asked(), files()]).toEqual(["networkctl reload", ""]);
}, 60_000);

test("with persist: false only until the next boot, and that can change", async () => {
  manager("systemd-networkd");
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1"], persist: false });
  expect(files()).toBe("/run/systemd/network/00-hostnet-e1.network");
  const kept = await bridges().update("lan", made, { name: "br-lan", ports: ["e1"] });
  expect(files()).toBe(IN);
  expect(host.sh("head -n 1 /etc/systemd/network/00-hostnet-e1.network")).toContain(
    "instead of /etc/systemd/network/20-e1.network",
  );
  await bridges().delete("lan", kept);
  expect(files()).toBe("");
}, 60_000);

test("a change that fails leaves the manager as it was", async () => {
  manager("systemd-networkd");
  const lying = join(tools, "bridge");
  writeFileSync(lying, "#!/bin/sh\nexit 3\n", { mode: 0o755 });
  const failing = { name: "br-lan", vlanFiltering: true, ports: [{ name: "e1", pvid: 5 }] };
  await expect(bridges().create("lan", failing)).rejects.toThrow();
  rmSync(lying);
  expect(files()).toBe("");
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1"] });
  host.sh("ip link add name br-other type bridge");
  // It is in another's hands: the whole change is taken back, and so is the handing back.
  host.around = (run, script) =>
    script.includes("nomaster")
      ? run(Buffer.from(script.replace("ip link set dev e1 nomaster", "false".padEnd(27)), "latin1"))
      : run();
  await expect(bridges().update("lan", made, { name: "br-lan" })).rejects.toThrow();
  host.around = (run) => run();
  expect([files(), host.sh(`cat ${IN}`).split("\n")[0]]).toEqual([
    IN,
    "# pulumi-hostnet, instead of /etc/systemd/network/20-e1.network",
  ]);
}, 60_000);

test("the link of the connection is left to its manager, and that is said", async () => {
  manager("systemd-networkd");
  host.way = { ...host.way!, links: ["e1"] };
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1"], confirm: { when: "never" } });
  expect(files()).toBe("");
  expect(made.warnings).toEqual([
    expect.stringMatching(/^systemd-networkd goes on configuring e1 .*carries the connection/),
  ]);
  expect(await bridges().drift("lan", made)).toEqual([]);
}, 60_000);

test("a drop-in taken away by hand is drift, and comes again", async () => {
  manager("systemd-networkd");
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1"] });
  host.sh(`rm ${IN}; PATH=${tools}:$PATH networkctl reload`);
  const drifted = await bridges().refresh("lan", made);
  expect(drifted.drift).toEqual([
    "ports of others: systemd-networkd configures e1 (/etc/systemd/network/20-e1.network)",
  ]);
  await bridges().update("lan", drifted, { name: "br-lan", ports: ["e1"] });
  expect(files()).toBe(IN);
}, 60_000);

test("remove-all gives it back too", async () => {
  manager("systemd-networkd");
  await bridges().create("lan", { name: "br-lan", ports: ["e1"] });
  asked();
  host.sh(`PATH=${tools}:$PATH sh /etc/hostnet/remove-all`);
  expect(files()).toBe("");
}, 60_000);

test("NetworkManager", async () => {
  manager("NetworkManager");
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1"] });
  expect(host.sh("cat /etc/NetworkManager/conf.d/hostnet-e1.conf")).toBe(
    "# pulumi-hostnet, instead of Wired connection 1\n[keyfile]\nunmanaged-devices+=interface-name:=e1\n",
  );
  expect(asked()).toContain("nmcli general reload conf");
  expect(made.warnings).toEqual([
    expect.stringMatching(/^NetworkManager leaves e1 alone .*Wired connection 1/),
  ]);
  await bridges().delete("lan", made);
  expect(files()).toBe("");
}, 60_000);

test("no manager, or one that does not run: nothing is written, nothing said", async () => {
  host.sh(
    "printf 'ADMIN_STATE=configured\\nNETWORK_FILE=/x\\n' >/run/systemd/netif/links/$(cat /sys/class/net/e1/ifindex)",
  );
  const made = await bridges().create("lan", { name: "br-lan", ports: ["e1"] });
  expect([files(), made.warnings]).toEqual(["", undefined]);
}, 60_000);
