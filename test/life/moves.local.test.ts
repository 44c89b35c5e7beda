// A resource that is renamed, moved, replaced, tainted: the object lives on.
import { bridge } from "../../provider/bridge";
import { lifecycle } from "../../provider/lifecycle";
import { sysctl } from "../../provider/sysctl";
import { Stack } from "../engine";
import { LocalHost } from "../local-host";

const host = new LocalHost();
let dev: Stack;

beforeAll(() => host.ready());
afterAll(() => host.close());
beforeEach(() => {
  dev = new Stack("dev", () => ({ Bridge: lifecycle(bridge, host), Sysctl: lifecycle(sysctl, host) }));
});
afterEach(() => {
  host.sh(
    "ip -br link show type bridge | while read -r l _; do ip link del dev $l; done; rm -rf /etc/hostnet/*",
  );
  host.sh("echo 0 >/proc/sys/net/ipv4/ip_forward");
});

const args = { addresses: ["10.1.0.1/24"], ageingTime: 60 };
const on = { settings: { "net.ipv4.ip_forward": 1 } };
const ifindex = (name: string) =>
  host
    .sh(`cat /sys/class/net/${name}/ifindex 2>/dev/null || ip -o link show dev ${name} | cut -d: -f1`)
    .trim();
const owner = () => JSON.parse(host.sh("cat /etc/hostnet/objects/*")).owner;
const forwarding = () => host.sh("cat /proc/sys/net/ipv4/ip_forward").trim();
/** How many scripts went to the host meanwhile. */
async function scripts(act: () => Promise<unknown>): Promise<number> {
  const before = host.scripts.length;
  await act();
  return host.scripts.length - before;
}

test("nothing changed: no change, and no connection", async () => {
  await dev.up("Bridge", "lan", { ...args, ports: [], routes: [] });
  await dev.up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1, "net/ipv4/conf/lo/rp_filter": "0" } });
  const sent = await scripts(async () => {
    dev.run();
    await dev.up("Bridge", "lan", { addresses: ["10.1.0.1/24"], ageingTime: 60, up: true });
    await dev.up("Sysctl", "s", {
      settings: { "net.ipv4.conf.lo.rp_filter": 0, "net.ipv4.ip_forward": "1" },
    });
  });
  expect(dev.steps).toEqual(["create lan", "create s", "same lan", "same s"]);
  expect(sent).toBe(0);
});

describe("renamed with an alias", () => {
  test("nothing changes, nothing is sent, though the name came from the resource; the next change rewrites the owner", async () => {
    await dev.up("Bridge", "lan", args);
    const index = ifindex("lan");
    const as = dev.urn("Bridge", "lan");
    expect(await scripts(() => dev.run().up("Bridge", "office", args, { as }))).toBe(0);
    expect(dev.steps).toEqual(["create lan", "same office"]);
    expect(owner()).toBe(as);
    await dev.run().up("Bridge", "office", { ...args, ageingTime: 70 });
    expect(ifindex("lan")).toBe(index);
    expect(owner()).toBe(dev.urn("Bridge", "office"));
    await dev.run().destroy("Bridge", "office");
    expect(host.sh("ip -br link")).not.toContain("lan");
  });

  test("and then replaced, it keeps its name", async () => {
    await dev.up("Bridge", "lan", args);
    await dev.run().up("Bridge", "office", args, { as: dev.urn("Bridge", "lan") });
    await dev.run().up("Bridge", "office", args, { replace: "delete first" });
    expect(dev.steps).toEqual(["create lan", "same office", "delete lan", "create lan"]);
    await dev.run().destroy("Bridge", "office");
    expect(host.sh("ip -br link")).not.toContain("lan");
  });

  test("a setting: its claim goes along", async () => {
    await dev.up("Sysctl", "s", on);
    await dev.run().up("Sysctl", "t", on, { as: dev.urn("Sysctl", "s") });
    await dev.run().up("Sysctl", "t", { settings: { ...on.settings, "net.ipv4.conf.lo.rp_filter": 1 } });
    expect(host.sh("grep -rh owner /etc/hostnet/shared").trim().split("\n")).toEqual(
      [1, 2].map(() => `owner ${dev.urn("Sysctl", "t")}`),
    );
    await dev.run().destroy("Sysctl", "t");
    expect(forwarding() + host.sh("ls -A /etc/hostnet")).toBe("0");
  });
});

describe("moved without an alias: create, then delete of the same object", () => {
  test("the bridge lives on, untouched", async () => {
    await dev.up("Bridge", "lan", args);
    const index = ifindex("lan");
    await dev.run().up("Bridge", "in-a-component", { ...args, name: "lan" });
    await dev.destroy("Bridge", "lan");
    expect(ifindex("lan")).toBe(index);
    expect(owner()).toBe(dev.urn("Bridge", "in-a-component"));
    await dev.run().destroy("Bridge", "in-a-component");
    expect(host.sh("ip -br link")).not.toContain("lan");
  });

  test("what an adopted object was is inherited", async () => {
    host.sh("ip link add name lan type bridge ageing_time 9000");
    await dev.up("Bridge", "lan", { ...args, adopt: "overwrite" });
    await dev.run().up("Bridge", "moved", { ...args, name: "lan" });
    await dev.destroy("Bridge", "lan");
    await dev.run().destroy("Bridge", "moved");
    expect(host.sh("ip -d link show dev lan")).toContain("ageing_time 9000");
  });

  test.each([
    ["the same value", { "net.ipv4.ip_forward": 1 }],
    ["another value at once", { "net.ipv4.ip_forward": 0, "net.ipv4.conf.lo.rp_filter": 1 }],
    ["another key at once", { "net.ipv4.conf.lo.rp_filter": 1 }],
  ])("a setting: %s", async (_what, settings) => {
    await dev.up("Sysctl", "s", on);
    await dev.run().up("Sysctl", "moved", { settings, name: "s" });
    await dev.destroy("Sysctl", "s");
    expect(forwarding()).toBe(String((settings as Record<string, number>)["net.ipv4.ip_forward"] ?? 0));
    await dev.run().destroy("Sysctl", "moved");
    expect(forwarding()).toBe("0");
    expect(host.sh("cat /proc/sys/net/ipv4/conf/lo/rp_filter; ls -A /etc/hostnet")).toBe("0\n");
  });
});

describe.each(["create first", "delete first"] as const)("--replace or a taint, %s", (replace) => {
  test("the bridge lives on", async () => {
    await dev.up("Bridge", "lan", args);
    await dev.run().up("Bridge", "lan", args, { replace });
    expect(host.sh("ip -o -4 addr show dev lan")).toContain("10.1.0.1/24");
    expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual([]);
    await dev.run().destroy("Bridge", "lan");
    expect(host.sh("ip -br link; ls -A /etc/hostnet")).not.toContain("lan");
  });

  test.each([1, 0])("a setting lives on, or takes another value at once: %d", async (value) => {
    await dev.up("Sysctl", "s", on);
    await dev.run().up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": value } }, { replace });
    expect(forwarding()).toBe(String(value));
    expect((await dev.run().refresh("Sysctl", "s"))!.outputs.drift).toEqual([]);
    await dev.run().destroy("Sysctl", "s");
    expect(forwarding() + host.sh("ls -A /etc/hostnet")).toBe("0");
  });
});

describe("a change of the identity replaces", () => {
  test("a bridge is deleted first: two cannot hold one port", async () => {
    host.sh("ip link add name v1 type veth peer name v2");
    await dev.up("Bridge", "lan", { ...args, ports: ["v1"] });
    await dev.run().up("Bridge", "lan", { ...args, name: "wan", ports: ["v1"] });
    expect(dev.steps).toEqual(["create lan", "delete lan", "create wan"]);
    expect(host.sh("ip -o link show dev v1")).toContain("master wan");
    expect(host.sh("ip -br link")).not.toContain("lan");
  });

  test("a label is no reason to turn forwarding off in between", async () => {
    await dev.up("Sysctl", "s", on);
    const seen: string[] = [];
    host.around = (run) => {
      const reply = run();
      seen.push(forwarding());
      return reply;
    };
    await dev.run().up("Sysctl", "s", { ...on, name: "label" });
    host.around = (run) => run();
    expect(dev.steps).toEqual(["create s", "create label", "delete s"]);
    expect(new Set(seen)).toEqual(new Set(["1"]));
    await dev.run().destroy("Sysctl", "s");
    expect(forwarding() + host.sh("ls -A /etc/hostnet")).toBe("0");
  });

  test("a label and a value at once", async () => {
    await dev.up("Sysctl", "s", on);
    await dev.run().up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 0 }, name: "label" });
    expect(forwarding()).toBe("0");
    await dev.run().destroy("Sysctl", "s");
    expect(host.sh("ls -A /etc/hostnet")).toBe("");
  });
});

describe("how the host is reached", () => {
  const reach = { host: "10.0.0.1", user: "root" };

  test("other credentials are an update without a connection, and stand in the outputs", async () => {
    await dev.up("Bridge", "lan", { ...args, connection: { ...reach, password: "old" } });
    const connection = {
      ...reach,
      user: "admin",
      password: "new",
      hostKey: "ssh-ed25519 x",
      agentSocketPath: "/a",
      perDialTimeout: 3,
    };
    expect(
      await scripts(() => dev.run().up("Bridge", "lan", { ...args, connection, ssh: { sudo: true } })),
    ).toBe(0);
    expect(dev.steps.at(-1)).toBe("update lan");
    const state = dev.resources.get(dev.urn("Bridge", "lan"))!;
    expect(state.outputs).toMatchObject({
      connection,
      ssh: { sudo: true },
      name: "lan",
      ifindex: Number(ifindex("lan")),
    });
    expect(JSON.stringify(state)).not.toContain('"old"');
    await dev.run().up("Bridge", "lan", { ...args, connection, ssh: { sudo: true } });
    expect(dev.steps.at(-1)).toBe("same lan");
  });

  test.each([
    { ...reach, host: "10.0.0.2" },
    { ...reach, port: 2222 },
    { ...reach, proxy: { host: "jump" } },
  ])("another address looks for the machine there: %j", async (connection) => {
    await dev.up("Bridge", "lan", { ...args, connection: reach });
    expect(await scripts(() => dev.run().up("Bridge", "lan", { ...args, connection }))).toBe(1);
    host.machineId = "f".repeat(32);
    const away = dev.run().up("Bridge", "lan", { ...args, connection: reach });
    await expect(away).rejects.toThrow("another machine answers there");
    host.machineId = "0123456789abcdef0123456789abcdef";
  });
});

describe("a field that leaves the program", () => {
  const link = () => host.sh("ip -d link show dev lan");

  test("of a bridge we made: lists become empty, scalars go back where it is known what they were", async () => {
    await dev.up("Bridge", "lan", { addresses: ["10.1.0.1/24"], ageingTime: 60 });
    await dev.run().up("Bridge", "lan", { addresses: ["10.1.0.1/24"], ageingTime: 60, stp: true, mtu: 1400 });
    expect(link()).toMatch(/mtu 1400 .*stp_state 1/s);
    await dev.run().up("Bridge", "lan", {});
    expect(link()).toMatch(/mtu 1500 .*ageing_time 6000 stp_state 0/s);
    expect(host.sh("ip -o -4 addr show dev lan")).toBe("");
    await dev.run().up("Bridge", "lan", {});
    expect(dev.steps.at(-1)).toBe("same lan");
  });

  test("of an adopted bridge: to what was found", async () => {
    host.sh("ip link add name lan type bridge ageing_time 9000 && ip link set dev lan up mtu 1280");
    await dev.up("Bridge", "lan", { ageingTime: 60, adopt: "overwrite" });
    await dev.run().up("Bridge", "lan", { ageingTime: 60, mtu: 1400, adopt: "overwrite" });
    await dev.run().up("Bridge", "lan", { adopt: "overwrite" });
    expect(link()).toMatch(/mtu 1280 .*ageing_time 9000/s);
  });

  test.each([{}, { ports: [], addresses: ["10.1.0.1/24"] }])(
    "of an adopted bridge, and it is destroyed then: to what was found, also where that was declared later: %j",
    async (last) => {
      host.sh(`ip link add name lan type bridge ageing_time 9000; ip link add name e1 type veth peer name f1
        ip link set dev e1 master lan up; ip link set dev lan up; ip addr add 10.1.0.1/24 brd + dev lan`);
      const found = () =>
        `${link().replace(/_timer +[\d.]+|state \w+|[\w-]+CARRIER,|,LOWER_UP/g, "")}${host.sh("ip -o -4 addr show dev lan; ip -br link show master lan | cut -c1-2")}`;
      const [before, adopt] = [found(), "overwrite"];
      await dev.up("Bridge", "lan", { ageingTime: 60, ports: ["e1"], adopt });
      await dev
        .run()
        .up("Bridge", "lan", { ports: ["e1"], addresses: ["10.1.0.1/24"], priority: 4096, adopt });
      await dev.run().up("Bridge", "lan", { priority: 4096, ...last, adopt });
      await dev.run().up("Bridge", "lan", { ageingTime: 70, priority: 8192, ...last, adopt });
      await dev.run().destroy("Bridge", "lan");
      expect(found()).toBe(before);
      host.sh("ip link del dev e1");
    },
  );

  test("and was set by hand since: it is ours until it leaves", async () => {
    await dev.up("Bridge", "lan", {});
    await dev.run().up("Bridge", "lan", { ageingTime: 60 });
    host.sh("ip link set dev lan type bridge ageing_time 7000");
    await dev.run().up("Bridge", "lan", {});
    expect(link()).toContain("ageing_time 30000");
  });

  test("of a setting: to what was found", async () => {
    await dev.up("Sysctl", "s", { settings: { ...on.settings, "net.ipv4.conf.lo.rp_filter": 1 } });
    await dev.run().up("Sysctl", "s", on);
    expect(host.sh("cat /proc/sys/net/ipv4/conf/lo/rp_filter")).toBe("0\n");
    expect(forwarding()).toBe("1");
    await dev.run().destroy("Sysctl", "s");
  });
});
