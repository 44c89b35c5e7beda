// Whose an object is: create, adopt, records, two stacks, another machine.
import { bridge } from "../../provider/bridge";
import { lifecycle } from "../../provider/lifecycle";
import { sysctl } from "../../provider/sysctl";
import { Stack } from "../engine";
import { LocalHost } from "../local-host";

let host: LocalHost;
let dev: Stack;
let prod: Stack;
const start = () => ({ Bridge: lifecycle(bridge, host), Sysctl: lifecycle(sysctl, host) });

beforeEach(async () => {
  host = await new LocalHost().ready();
  host.sh("ip link add name v1 type veth peer name v2");
  dev = new Stack("dev", start);
  prod = new Stack("prod", start);
});
afterEach(() => host.close());

const links = () =>
  host
    .sh("ip -br link")
    .split("\n")
    .map((line) => line.split(/[ @]/)[0])
    .filter(Boolean);
/** The bridge as it is, but for the timers that run by themselves. */
const shown = () =>
  host.sh("ip -d -o link show dev lan; ip -o addr show dev lan").replaceAll(/_timer +[\d.]+|tentative/g, "");
const records = () =>
  host
    .sh("cat /etc/hostnet/objects/* 2>/dev/null || :")
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
const value = (key: string) => host.sh(`cat /proc/sys/net/${key}`).trim();
const args = { addresses: ["10.1.0.1/24"], ageingTime: 60 };

describe("an object that is there already", () => {
  beforeEach(() =>
    host.sh(
      "ip link add name lan type bridge ageing_time 6000 && ip addr add 10.1.0.1/24 dev lan && ip link set dev lan up",
    ),
  );

  test("is refused without adopt, and not touched", async () => {
    const before = shown();
    await expect(dev.up("Bridge", "lan", { ...args, ageingTime: 90 })).rejects.toThrow(
      'Unable to create Bridge "lan" on root@local: it exists on the host and is not ours: set adopt to "identical" or "overwrite"',
    );
    expect(shown()).toBe(before);
    expect(records()).toEqual([]);
  });

  test("is taken over identical, and goes back to how it was found", async () => {
    const before = shown();
    const { outputs } = await dev.up("Bridge", "lan", { ...args, adopt: "identical" });
    expect(outputs).toMatchObject({ name: "lan", ageingTime: 60 });
    expect(shown()).toBe(before);
    expect(records()).toMatchObject([{ adopted: true, owner: dev.urn("Bridge", "lan") }]);
    await dev.destroy("Bridge", "lan");
    expect(shown()).toBe(before);
    expect(records()).toEqual([]);
  });

  test("is not taken over identical where something would change: the error says what", async () => {
    await expect(
      dev.up("Bridge", "lan", { ...args, ageingTime: 90, stp: true, adopt: "identical" }),
    ).rejects.toThrow(
      /adopt: "identical" takes over only what would not change, but stp: false instead of true; ageingTime: 60 instead of 90$/,
    );
    expect(records()).toEqual([]);
  });

  test("is overwritten, and destroyed goes back to how it was found", async () => {
    host.sh("ip addr add 10.9.0.1/24 dev lan");
    await dev.up("Bridge", "lan", {
      addresses: ["10.1.0.2/24"],
      ageingTime: 90,
      stp: true,
      mtu: 1400,
      ports: ["v1"],
      adopt: "overwrite",
    });
    expect(shown()).toMatch(/mtu 1400 .*ageing_time 9000 stp_state 1/);
    await dev.run().up("Bridge", "lan", { addresses: ["10.1.0.2/24"], ageingTime: 120 });
    await dev.run().destroy("Bridge", "lan");
    expect(shown()).toMatch(/mtu 1500 .*ageing_time 6000 stp_state 0/);
    expect(host.sh("ip -o link show dev v1")).not.toContain("master");
    // The address that was neither ours nor in the program has never been touched.
    expect(
      host
        .sh("ip -o -4 addr show dev lan")
        .match(/10\.\d\.0\.\d/g)!
        .sort(),
    ).toEqual(["10.1.0.1", "10.9.0.1"]);
  });
});

test("something else under the name is never taken for ours", async () => {
  host.sh("ip link add name lan type veth peer name lan2");
  for (const adopt of ["identical", "overwrite", undefined]) {
    await expect(dev.run().up("Bridge", "lan", { ...args, adopt })).rejects.toThrow(
      /lan is there, but is no bridge: veth/,
    );
  }
});

test("a state, or /etc, that was put back from a backup: refused, with the way on", async () => {
  const urn = dev.urn("Bridge", "lan");
  await dev.up("Bridge", "lan", args);
  const backup = structuredClone(dev.resources.get(urn)!);
  await dev.run().destroy("Bridge", "lan");
  await dev.run().up("Bridge", "lan", args);
  dev.resources.set(urn, backup);
  const again = () => dev.run().up("Bridge", "lan", { ...args, ageingTime: 90 });
  await expect(again()).rejects.toThrow(/another creation of it than the state, by .*pulumi state delete/);
  expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual([
    `another creation of it, by ${urn}, is on the host`,
  ]);
  // pulumi state delete
  dev.resources.delete(urn);
  await again();
  expect(shown()).toContain("ageing_time 9000");
  await dev.run().destroy("Bridge", "lan");
  expect(records()).toEqual([]);
});

describe("two stacks on one host", () => {
  test("the second to claim a bridge is refused, naming the first; with adopt too", async () => {
    await dev.up("Bridge", "lan", args);
    const before = shown() + host.sh("cat /etc/hostnet/objects/*");
    for (const adopt of [undefined, "identical", "overwrite"]) {
      await expect(prod.run().up("Bridge", "mine", { ...args, name: "lan", adopt })).rejects.toThrow(
        `Unable to create Bridge "lan" on root@local: it belongs to ${dev.urn("Bridge", "lan")}: remove it there, or give this one another name`,
      );
    }
    expect(shown() + host.sh("cat /etc/hostnet/objects/*")).toBe(before);
  });

  test("a project of the same name in another stack's state is another owner for ever", async () => {
    await dev.up("Bridge", "lan", args);
    const again = new Stack("dev", start);
    // The same stack, its state lost: it made the object, and may take it up again.
    await again.up("Bridge", "lan", { ...args, ageingTime: 70 });
    expect(shown()).toContain("ageing_time 7000");
    // The first state is no longer of the living object.
    await expect(dev.run().up("Bridge", "lan", { ...args, ageingTime: 80 })).rejects.toThrow(
      "go on with the state that made it",
    );
    await dev.run().destroy("Bridge", "lan");
    expect(links()).toContain("lan");
  });

  test("one setting with one value, until the last of them is gone", async () => {
    host.sh("echo 1 >/proc/sys/net/ipv4/conf/v1/forwarding");
    await dev.up("Sysctl", "a", { settings: { "net.ipv4.ip_forward": 1 } });
    await prod.up("Sysctl", "b", { settings: { "net.ipv4.ip_forward": 1 } });
    await expect(
      prod.run().up("Sysctl", "c", { settings: { "net.ipv4.conf.all.forwarding": 0 } }),
    ).rejects.toThrow(/net\.ipv4\.ip_forward is wanted as 0 here, but as 1 by urn:pulumi:(dev|prod)::/);
    await expect(prod.run().up("Sysctl", "b", { settings: { "net.ipv4.ip_forward": 0 } })).rejects.toThrow(
      `Unable to update Sysctl "b" on root@local: net.ipv4.ip_forward is wanted as 0 here, but as 1 by ${dev.urn("Sysctl", "a")}`,
    );
    await dev.run().destroy("Sysctl", "a");
    expect(value("ipv4/ip_forward")).toBe("1");
    // Now it is alone, and may change its mind; what was found first is not forgotten.
    await prod.run().up("Sysctl", "b", { settings: { "net.ipv4.ip_forward": 0 } });
    expect(value("ipv4/ip_forward")).toBe("0");
    await prod.run().up("Sysctl", "b", { settings: { "net.ipv4.ip_forward": 1 } });
    await prod.run().destroy("Sysctl", "b");
    expect(value("ipv4/ip_forward")).toBe("0");
    expect(value("ipv4/conf/v1/forwarding")).toBe("1");
    expect(host.sh("ls -A /etc/hostnet")).toBe("");
  });
});

test("two resources of one program for one object are refused in check", async () => {
  await dev.up("Bridge", "lan", args);
  await expect(dev.up("Bridge", "other", { name: "lan" })).rejects.toThrow(
    `name: Bridge "lan" of dev.example is already declared by ${dev.urn("Bridge", "lan")}`,
  );
  // On another host it is another object. (The two hosts are one here, so that it is the first one, moved.)
  const there = await dev.up("Bridge", "there", { name: "lan", connection: { host: "another.example" } });
  expect(there.id).toBe("lan");
});

describe("lost", () => {
  beforeEach(async () => {
    await dev.up("Bridge", "lan", args);
    await dev.up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1 } });
  });
  const loseRecord = () => host.sh("rm /etc/hostnet/objects/*");
  const again = async () => {
    await dev.run().up("Bridge", "lan", args);
    await dev.up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1 } });
  };

  test("the records: shown as drift, and written again", async () => {
    loseRecord();
    expect((await dev.refresh("Bridge", "lan"))!.outputs.drift).toEqual([
      "its record is missing on the host",
    ]);
    expect(await dev.refresh("Sysctl", "s")).toBeUndefined();
    await again();
    expect(records()).toHaveLength(2);
    expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual([]);
    expect((await dev.refresh("Sysctl", "s"))!.outputs.drift).toEqual([]);
    await dev.destroy("Sysctl", "s");
    await dev.destroy("Bridge", "lan");
    expect(value("ipv4/ip_forward")).toBe("0");
    expect(host.sh("ls -A /etc/hostnet")).toBe("");
  });

  test("the records: destroyed all the same, while everything is as it was left", async () => {
    loseRecord();
    await dev.run().destroy("Bridge", "lan");
    await dev.destroy("Sysctl", "s");
    expect(links()).not.toContain("lan");
    expect(value("ipv4/ip_forward")).toBe("0");
    expect(host.sh("ls -A /etc/hostnet")).toBe("");
  });

  test("the record, of an object that has changed since: neither changed nor destroyed, with the way out", async () => {
    loseRecord();
    host.sh("ip link set dev lan type bridge ageing_time 9000");
    const wayOut =
      /its record on the host is lost and it is no longer as it was left \(ageingTime: 90 instead of 60\): put it back by hand/;
    await expect(dev.run().destroy("Bridge", "lan")).rejects.toThrow(wayOut);
    await expect(dev.run().up("Bridge", "lan", { ...args, stp: false })).rejects.toThrow(wayOut);
    expect(shown()).toContain("ageing_time 9000");
  });

  test("the object: drift, and made again", async () => {
    host.sh("ip link del dev lan");
    expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual(["it is missing on the host"]);
    await dev.run().up("Bridge", "lan", args);
    expect(host.sh("ip -o -4 addr show dev lan")).toContain("10.1.0.1/24");
    expect(records()).toHaveLength(2);
  });

  test("the object: destroyed, nothing stays", async () => {
    host.sh("ip link del dev lan");
    await dev.run().destroy("Bridge", "lan");
    expect(records()).toHaveLength(1);
  });

  test("both: gone from the state", async () => {
    host.sh("ip link del dev lan");
    loseRecord();
    expect(await dev.run().refresh("Bridge", "lan")).toBeUndefined();
    await dev.run().up("Bridge", "lan", args);
    expect(dev.steps.at(-1)).toBe("create lan");
  });

  test("a device of a setting: drift, and destroyed all the same", async () => {
    await dev.up("Sysctl", "dev", { settings: { "net.ipv4.conf.v1.rp_filter": 1 } });
    host.sh("ip link del dev v1");
    expect((await dev.run().refresh("Sysctl", "dev"))!.outputs.drift).toEqual([
      "settings.net.ipv4.conf.v1.rp_filter: 1 is missing",
    ]);
    await expect(
      dev.run().up("Sysctl", "dev", { settings: { "net.ipv4.conf.v1.rp_filter": 1 } }),
    ).rejects.toThrow(
      /settings\.net\.ipv4\.conf\.v1\.rp_filter: the host has no such setting: its device, or the kernel module/,
    );
    await dev.destroy("Sysctl", "dev");
    expect(records()).toHaveLength(2);
  });
});

describe("another machine under the address", () => {
  const other = "f".repeat(32);
  const recipe = `another machine answers there (machine-id ${other}, was 0123456789abcdef0123456789abcdef): declare replaceWith and deletedWith`;
  /** Reinstalled: nothing of ours is there. */
  function reinstall() {
    host.sh("ip link del dev lan; rm -rf /etc/hostnet/*");
    host.machineId = other;
  }
  beforeEach(() => dev.up("Bridge", "lan", args));

  test("read, update and delete refuse, with the way out; create goes ahead", async () => {
    reinstall();
    await expect(dev.run().refresh("Bridge", "lan")).rejects.toThrow(recipe);
    await expect(dev.run().up("Bridge", "lan", { ...args, ageingTime: 70 })).rejects.toThrow(recipe);
    await expect(dev.run().destroy("Bridge", "lan")).rejects.toThrow(recipe);
    expect(links()).not.toContain("lan");
    await dev.run().up("Bridge", "wan", args);
    expect(links()).toContain("wan");
  });

  test("accepted, its objects are made anew", async () => {
    reinstall();
    await dev.run().up("Bridge", "lan", { ...args, acceptMachine: other });
    expect(links()).toContain("lan");
    expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual([]);
    // It may stay in the program, and may go.
    await dev.run().up("Bridge", "lan", { ...args, acceptMachine: other });
    await dev.run().up("Bridge", "lan", { ...args, ageingTime: 70 });
    expect(dev.steps).toEqual(["create lan", "update lan", "same lan", "update lan"]);
    await dev.run().destroy("Bridge", "lan");
    expect(links()).not.toContain("lan");
  });

  test("what was adopted on the other machine was not there on this one, or was otherwise", async () => {
    const adopting = { ...args, name: "old", adopt: "overwrite" };
    const old = (more: string) =>
      `ip link add name old type bridge ageing_time ${more}; ip link set dev old up`;
    const accepting = { ...adopting, acceptMachine: other };
    host.sh(old("6000"));
    await dev.up("Bridge", "old", adopting);
    reinstall();
    host.sh("ip link del dev old");
    await dev.run().up("Bridge", "old", accepting);
    await dev.run().destroy("Bridge", "old");
    expect(links()).not.toContain("old");

    host.machineId = "e".repeat(32);
    host.sh(old("6000"));
    await dev.run().up("Bridge", "old", adopting);
    host.sh(`ip link del dev old; rm -rf /etc/hostnet/*; ${old("7000")}`);
    host.machineId = other;
    const { adopt, ...unasked } = accepting;
    await expect(dev.run().up("Bridge", "old", unasked)).rejects.toThrow(
      "it exists on the host and is not ours",
    );
    await dev.run().up("Bridge", "old", accepting);
    await dev.run().destroy("Bridge", "old");
    expect(host.sh("ip -d -o link show dev old")).toContain("ageing_time 7000");
  });

  test("a third machine is not the accepted one", async () => {
    reinstall();
    await expect(dev.run().up("Bridge", "lan", { ...args, acceptMachine: "e".repeat(32) })).rejects.toThrow(
      recipe,
    );
  });
});

test("persist decides where the record lies, and may change", async () => {
  const where = () =>
    host.sh("ls /etc/hostnet/objects /run/hostnet/objects 2>/dev/null | grep -o '/.*' || :").trim();
  await dev.up("Bridge", "lan", { ...args, persist: false });
  const files = () => host.sh("find /etc/hostnet /run/hostnet -name '*.json'").trim();
  expect(files()).toMatch(/^\/run\/hostnet\/objects\/\w+\.json$/);
  await dev.run().up("Bridge", "lan", args);
  expect(files()).toMatch(/^\/etc\/hostnet\/objects\/\w+\.json$/);
  await dev.run().up("Bridge", "lan", { ...args, persist: false });
  expect(files()).toMatch(/^\/run\/hostnet\/objects\/\w+\.json$/);
  await dev.run().destroy("Bridge", "lan");
  expect([files(), where()]).toEqual(["", ""]);
});
