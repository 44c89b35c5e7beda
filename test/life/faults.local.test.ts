// What goes wrong in the middle, and what the next attempt makes of it.
import { bridge } from "../../provider/bridge";
import { UnknownOutcome } from "../../provider/errors";
import { lifecycle } from "../../provider/lifecycle";
import { sysctl } from "../../provider/sysctl";
import { Stack } from "../engine";
import { LocalHost } from "../local-host";

let host: LocalHost;
let dev: Stack;

beforeEach(async () => {
  host = await new LocalHost().ready();
  host.sh("ip link add name v1 type veth peer name v2");
  dev = new Stack("dev", () => ({ Bridge: lifecycle(bridge, host), Sysctl: lifecycle(sysctl, host) }));
});
afterEach(() => host.close());

const args = { addresses: ["10.1.0.1/24"], ageingTime: 60 };
const links = () =>
  host
    .sh("ip -br link")
    .split("\n")
    .map((line) => line.split(/[ @]/)[0])
    .filter(Boolean)
    .sort();
const isChange = (script: string) => script.includes("\na0() {");
/** All that a change could have touched, but for what comes and goes by itself with the carrier. */
const everything = () =>
  host
    .sh(
      "ip -d -o link; ip -o addr show scope global; grep -r '' /etc/hostnet /proc/sys/net/ipv4/conf /proc/sys/net/ipv4/ip_forward 2>/dev/null | sort",
    )
    .replaceAll(/_timer +[\d.]+|tentative|(state|qdisc) \w+|NO-CARRIER,|,LOWER_UP|,M-DOWN/g, "");

/** Does something by hand on the host, before each of the first so many changes. */
function meddle(times: number, command: string): void {
  let left = times;
  host.around = (run, script) => {
    if (isChange(script) && left-- > 0) host.sh(command);
    return run();
  };
}

describe("the host changes between look and change", () => {
  test("once: looked at again, then done", async () => {
    meddle(
      1,
      "ip link add name lan type bridge && ip link del dev v1 && ip link add name v1 type veth peer name v2",
    );
    // It was not there a moment ago, and belongs to somebody else now.
    await expect(dev.up("Bridge", "lan", args)).rejects.toThrow("it exists on the host and is not ours");
    host.sh("ip link del dev lan");
    meddle(1, "ip link set dev v1 up");
    await dev.run().up("Bridge", "lan", { ...args, ports: ["v1"] });
    expect(host.sh("ip -o link show dev v1")).toContain("master lan");
    expect(host.scripts.filter(isChange)).toHaveLength(3);
  });

  test("since the last up: what was met instead comes with the answer, and one more script does it", async () => {
    await dev.up("Bridge", "lan", args);
    host.sh("ip link set dev lan mtu 1400");
    const before = host.scripts.length;
    await dev.run().up("Bridge", "lan", { ...args, mtu: 1450 });
    expect(host.scripts.slice(before).map(isChange)).toEqual([true, true]);
    expect(host.sh("ip -o link show dev lan")).toContain("mtu 1450");
    await dev.run().up("Bridge", "lan", { ...args, mtu: 1460 });
    expect(host.scripts.length - before).toBe(3);
  });

  test("again and again: an error, and nothing is done", async () => {
    meddle(9, "ip link set dev v1 mtu $((1000 + $(date +%N | tail -c 3 | sed 's/^0*//')0))");
    await expect(dev.up("Bridge", "lan", { ...args, ports: ["v1"] })).rejects.toThrow(
      'Unable to create Bridge "lan" on root@local: it keeps changing on the host while it is looked at: nothing was done',
    );
    expect(links()).not.toContain("lan");
    expect(host.sh("ls -A /etc/hostnet")).toBe("");
    expect(host.scripts.filter(isChange)).toHaveLength(2);
  });
});

describe("a step fails", () => {
  /** Of the next change, the nth step fails: after it has run, or instead of it. */
  function fail(at: number, runs: boolean): void {
    host.around = (run, script) =>
      isChange(script) ? run(Buffer.from(broken(script, at, runs), "latin1")) : run();
  }
  /** What follows the script is found by its offset, which grows along. */
  function broken(script: string, at: number, runs: boolean): string {
    const begin = script.indexOf("\na0() {");
    const steps = script.slice(begin, script.indexOf("\n}", begin)).split("\n");
    const lines = steps
      .map((line) => (line.includes(`s ${at} `) ? line.replace(`s ${at} `, `S ${at} `) : line))
      .join("\n");
    const whole = script.slice(0, begin) + lines + script.slice(begin + steps.join("\n").length);
    const grown = `S() { k=$1; shift; ${runs ? '"$@";' : ""} f "$k" 9; return 9; }\n`;
    const offset = (text: string, more: number) =>
      text.replace(/^B=\$\(\(1(\d{9})/, (_, n) => `B=$((1${String(Number(n) + more).padStart(9, "0")}`);
    return offset(whole.replace("\nR=", `\n${grown}R=`), grown.length);
  }
  const stepCount = () => {
    const script = host.scripts.filter(isChange).at(-1)!;
    const begin = script.indexOf("\na0() {");
    return [...script.slice(begin, script.indexOf("\n}", begin)).matchAll(/(?:^|\| )\s*s \d+ /gm)].length;
  };

  /** Each step of a change fails in turn; then it is let through. */
  async function each(act: () => Promise<unknown>, runs = true): Promise<number> {
    const before = everything();
    for (let at = 0; ; at++) {
      fail(at, runs);
      const failed = await act().then(
        () => undefined,
        (error: Error) => error.message,
      );
      host.around = (run) => run();
      if (failed === undefined) return at;
      expect(failed).toMatch(
        new RegExp(
          ` \\(step ${at + 1} of ${stepCount()}\\) exited 9: .*\\nEverything is as it was before\\.$`,
          "s",
        ),
      );
      expect(everything()).toBe(before);
    }
  }

  test("of a create, an update and a delete of a bridge: as it was before, whichever step it is", async () => {
    const full = { ...args, ports: ["v1", { name: "v2", isolated: true }], mtu: 1400, stp: true };
    expect(await each(() => dev.run().up("Bridge", "lan", full))).toBeGreaterThan(5);
    const other = {
      addresses: ["10.1.0.2/24"],
      ports: [{ name: "v2", isolated: false, hairpin: true }],
      mtu: 1300,
      up: false,
    };
    expect(await each(() => dev.run().up("Bridge", "lan", other))).toBeGreaterThan(5);
    expect(await each(() => dev.run().destroy("Bridge", "lan"), false)).toBeGreaterThan(0);
    expect(links()).not.toContain("lan");
  }, 60_000);

  test("of a create, an update and a delete of settings: as it was before, on every device too", async () => {
    host.sh(
      "cd /proc/sys/net/ipv4/conf; echo 1 >v1/forwarding; echo 0 >all/accept_redirects; echo 0 >v2/forwarding",
    );
    const first = {
      "net.ipv4.ip_forward": 1,
      "net.ipv4.conf.v2.forwarding": 0,
      "net.ipv4.tcp_rmem": "4096 131072 6000000",
      "net.ipv4.ip_local_reserved_ports": "1-3",
    };
    expect(await each(() => dev.run().up("Sysctl", "s", { settings: first }))).toBe(4);
    const second = {
      "net.ipv4.conf.v2.forwarding": 1,
      "net.ipv4.conf.v1.rp_filter": 2,
      "net.ipv4.ip_local_reserved_ports": "",
    };
    expect(await each(() => dev.run().up("Sysctl", "s", { settings: second }))).toBeGreaterThan(4);
    expect(await each(() => dev.run().destroy("Sysctl", "s"))).toBeGreaterThan(1);
    expect(
      host.sh(
        "cd /proc/sys/net/ipv4/conf; cat v1/forwarding all/accept_redirects v2/forwarding all/forwarding | tr '\\n' ' '",
      ),
    ).toBe("1 0 0 0 ");
  }, 60_000);
});

test("a value that the kernel refuses: its own words, and everything is as it was", async () => {
  const before = everything();
  await expect(
    dev.up("Sysctl", "s", {
      settings: { "net.ipv4.conf.v1.rp_filter": 1, "net.ipv4.ip_local_port_range": "9 8" },
    }),
  ).rejects.toThrow(
    /^Unable to create Sysctl "s" on root@local: sysctl -qw net\/ipv4\/ip_local_port_range=9 8 \(step 2 of 2\) exited 1: sysctl: setting key "net.ipv4.ip_local_port_range": Invalid argument/,
  );
  expect(everything()).toBe(before);
});

test("a value that the kernel takes and shows otherwise: said, and undone", async () => {
  const before = everything();
  await expect(
    dev.up("Sysctl", "s", { settings: { "net.ipv4.conf.v1.rp_filter": "0x2", "net.ipv4.ip_forward": 1 } }),
  ).rejects.toThrow(
    "every step succeeded, but the host does not show it: settings.net.ipv4.conf.v1.rp_filter: 2 instead of 0x2\nIt was undone.",
  );
  expect(everything()).toBe(before);
});

test("and whose undo fails too: both are said", async () => {
  let changes = 0;
  host.around = (run, script) => {
    const undo = isChange(script) && ++changes > 1;
    return undo ? run(Buffer.from(script.replaceAll(/(?<=\bs \d )sysctl /g, "absent "), "latin1")) : run();
  };
  await expect(dev.up("Sysctl", "s", { settings: { "net.ipv4.conf.v1.rp_filter": "0x2" } })).rejects.toThrow(
    /0x2\nThe undo did not end where it began, look at the host: sysctl .*rp_filter=0 \(step 1 of 1\) exited 127/,
  );
});

describe("the connection is lost", () => {
  /** The nth script is run, or not, and its answer never comes. */
  function lose(which: (script: string) => boolean, runs: boolean): void {
    let lost = false;
    host.around = (run, script) => {
      if (lost || !which(script)) return run();
      lost = true;
      if (runs) run();
      throw new UnknownOutcome("the connection was lost: what the script did is not known");
    };
  }

  test.each([
    ["while it looks", (script: string) => !isChange(script), true],
    ["before the change ran", isChange, false],
    ["after the change ran", isChange, true],
  ])("%s: the next attempt ends the same way, and nothing is there twice", async (_when, which, runs) => {
    lose(which, runs);
    await dev.up("Bridge", "lan", { ...args, ports: ["v1"] });
    expect(links().filter((name) => name === "lan")).toHaveLength(1);
    expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual([]);
    lose(which, runs);
    await dev.run().up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1 } });
    expect(host.sh("grep -rc owner /etc/hostnet/shared/*/[0-9a-f]*[0-9a-f]").trim().split("\n")).toHaveLength(
      1,
    );
    lose(which, runs);
    await dev.run().up("Bridge", "lan", { ...args, ageingTime: 70 });
    lose(which, runs);
    await dev.run().destroy("Bridge", "lan");
    lose(which, runs);
    await dev.run().destroy("Sysctl", "s");
    expect(links()).not.toContain("lan");
    expect(host.sh("cat /proc/sys/net/ipv4/ip_forward; ls -A /etc/hostnet")).toBe("0\n");
  });

  test("twice: said, and the next run ends the same way", async () => {
    host.around = (run, script) => {
      if (!isChange(script)) return run();
      run();
      throw new UnknownOutcome("the connection was lost");
    };
    await expect(dev.up("Bridge", "lan", args)).rejects.toThrow(
      'Unable to create Bridge "lan" on root@local: the connection was lost',
    );
    host.around = (run) => run();
    await dev.run().up("Bridge", "lan", args);
    await dev.run().destroy("Bridge", "lan");
    expect(host.sh("ip -br link; ls -A /etc/hostnet")).not.toContain("lan");
  });
});

/** The script and its watcher, if it has one, end on the spot. */
const POWER_CUT = "kill -9 $(command cat /run/hostnet/pending/watch 2>/dev/null) $$";

describe("a crash between the change and its record", () => {
  const note = () => JSON.parse(host.sh("cat /etc/hostnet/objects/*"));
  /** The intent is written, some steps ran; what comes after does not. */
  async function crash(act: () => Promise<unknown>, keep: number): Promise<void> {
    host.around = (run, script) => {
      if (!isChange(script)) return run();
      // The power goes after so many steps: neither undo nor record. (The stdin of a step is lost too: none has any.)
      const steps = script.indexOf("\na0() {");
      const cut = script.slice(steps).replace(`\n  s ${keep} `, () => `\n  ${POWER_CUT}; s ${keep} `);
      run(Buffer.from(script.slice(0, steps) + cut, "latin1"));
      // What would take it back went with the power, too.
      host.sh("rm -rf /run/hostnet/pending");
      throw new Error("power cut");
    };
    await expect(act()).rejects.toThrow("power cut");
    host.around = (run) => run();
  }

  test.each([0, 1, 2])(
    "of a create, after %d steps: the intent tells whose it is, and create ends it",
    async (steps) => {
      await crash(() => dev.up("Bridge", "lan", { ...args, ports: ["v1"] }), steps);
      expect(note()).toMatchObject({ changing: true, owner: dev.urn("Bridge", "lan"), adopted: false });
      const prod = new Stack("prod", () => ({ Bridge: lifecycle(bridge, host) }));
      await expect(prod.up("Bridge", "lan", args)).rejects.toThrow(
        `it belongs to ${dev.urn("Bridge", "lan")}`,
      );
      await dev.run().up("Bridge", "lan", { ...args, ports: ["v1"] });
      expect(note()).not.toHaveProperty("changing");
      await dev.run().destroy("Bridge", "lan");
      expect(host.sh("ip -br link; ls -A /etc/hostnet")).not.toContain("lan");
      expect(host.sh("ip -o link show dev v1")).toMatch(/state DOWN/);
    },
  );

  test("of the taking over of a foreign bridge: what it was is not forgotten", async () => {
    host.sh("ip link add name lan type bridge ageing_time 9000");
    await crash(() => dev.up("Bridge", "lan", { ...args, adopt: "overwrite" }), 1);
    expect(host.sh("ip -d link show dev lan")).toContain("ageing_time 6000");
    await dev.run().up("Bridge", "lan", { ...args, adopt: "overwrite" });
    await dev.run().destroy("Bridge", "lan");
    expect(host.sh("ip -d link show dev lan")).toContain("ageing_time 9000");
  });

  test("of an update: the next one ends it", async () => {
    await dev.up("Bridge", "lan", { ...args, ports: ["v1"] });
    await crash(
      () => dev.run().up("Bridge", "lan", { addresses: ["10.1.0.2/24"], ageingTime: 70, ports: [] }),
      1,
    );
    await dev.run().up("Bridge", "lan", { addresses: ["10.1.0.2/24"], ageingTime: 70, ports: [] });
    expect((await dev.run().refresh("Bridge", "lan"))!.outputs.drift).toEqual([]);
    expect(host.sh("ip -o -4 addr show dev lan").match(/inet \S+/g)).toEqual(["inet 10.1.0.2/24"]);
    expect(host.sh("ip -o link show dev v1")).not.toContain("master");
  });

  test("of a setting: what was found before is not forgotten", async () => {
    await crash(
      () =>
        dev.up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1, "net.ipv4.conf.v1.rp_filter": 2 } }),
      1,
    );
    expect(host.sh("cat /proc/sys/net/ipv4/ip_forward")).toBe("1\n");
    await dev
      .run()
      .up("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1, "net.ipv4.conf.v1.rp_filter": 2 } });
    await dev.run().destroy("Sysctl", "s");
    expect(
      host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/v1/rp_filter; ls -A /etc/hostnet"),
    ).toBe("0\n0\n");
  });
});

describe("a record", () => {
  test("of a newer package is refused, naming it, and nothing is touched", async () => {
    await dev.up("Bridge", "lan", args);
    host.sh(`sed -i 's/"format":1,"version":"[^"]*"/"format":7,"version":"9.0.0"/' /etc/hostnet/objects/*`);
    const before = everything();
    for (const act of [
      () => dev.refresh("Bridge", "lan"),
      () => dev.destroy("Bridge", "lan"),
      () => dev.up("Bridge", "lan", {}),
    ]) {
      await expect(act()).rejects.toThrow(
        'the record of Bridge "lan" was written by pulumi-hostnet 9.0.0, which is newer than this one: upgrade',
      );
    }
    expect(everything()).toBe(before);
  });

  test("that is damaged is named, and harms no other resource", async () => {
    await dev.up("Bridge", "lan", args);
    host.sh("f=$(ls /etc/hostnet/objects/*); head -c 50 $f >/run/x; cat /run/x >$f");
    await dev.run().up("Bridge", "wan", {});
    await expect(dev.destroy("Bridge", "lan")).rejects.toThrow(
      'the record of Bridge "lan" under /etc/hostnet is damaged',
    );
    expect(links()).toContain("lan");
  });

  test("on a full disk: said before anything is done", async () => {
    // Room for what runs at boot, and for nothing more: as a disk that is full.
    host.sh("mount -t tmpfs -o size=16k none /etc/hostnet && mkdir -p /etc/hostnet/objects");
    const before = everything();
    const routes = Array.from({ length: 99 }, (_, n) => ({ destination: `10.2.${n}.0/24` }));
    await expect(dev.up("Bridge", "lan", { ...args, routes })).rejects.toThrow(
      /cannot write the records: .*No space left on device/,
    );
    expect(everything()).toBe(before);
    expect(host.sh("ls -A /etc/hostnet")).toBe("");
  });

  test("on a read-only disk: said before anything is done", async () => {
    host.sh("mount -o remount,bind,ro /etc/hostnet");
    await expect(dev.up("Bridge", "lan", args)).rejects.toThrow(
      /cannot write the records: .*Read-only file system/,
    );
    expect(links()).not.toContain("lan");
  });
});

test("50 resources at once are one look and one change", async () => {
  const names = Array.from({ length: 50 }, (_, n) => `br${n}`);
  await Promise.all(names.map((name, n) => dev.up("Bridge", name, { addresses: [`10.3.${n}.1/24`] })));
  expect(host.scripts).toHaveLength(2);
  expect(links().filter((name) => /^br\d/.test(name!))).toHaveLength(50);
  dev.run();
  const read = await Promise.all(names.map((name) => dev.refresh("Bridge", name)));
  expect(host.scripts).toHaveLength(3);
  expect(read.flatMap((state) => state!.outputs.drift)).toEqual([]);
  dev.run();
  // What they left is known: no look is needed.
  await Promise.all(names.map((name) => dev.destroy("Bridge", name)));
  expect(host.scripts).toHaveLength(4);
  expect(host.sh("ls -A /etc/hostnet")).toBe("");
}, 30_000);

test("one of many that fails is named, and the others are done", async () => {
  const made = await Promise.allSettled([
    dev.up("Bridge", "br1", args),
    dev.up("Bridge", "br2", { ports: ["nope"] }),
    dev.up("Bridge", "br3", { vrf: "red" }),
    dev.up("Sysctl", "s", { settings: { "net.nope": 1 } }),
    dev.up("Bridge", "br4", { routes: [{ destination: "10.9.0.0/16", gateway: "172.16.0.1" }] }),
    dev.up("Sysctl", "t", { settings: { "net.ipv4.ip_forward": 1 } }),
  ]);
  expect(
    made.map((one) => (one.status === "fulfilled" ? "made" : one.reason.message.split("\n")[0])),
  ).toEqual([
    "made",
    'Unable to create Bridge "br2" on root@local: ports: nope does not exist on the host',
    'Unable to create Bridge "br3" on root@local: vrf: red is no VRF of the host',
    expect.stringMatching(
      /^Unable to create Sysctl "s" on root@local: settings.net.nope: the host has no such setting/,
    ),
    expect.stringMatching(
      /^Unable to create Bridge "br4" on root@local: ip -4 route .* \(step \d of \d\) exited 2: /,
    ),
    "made",
  ]);
  expect(links().filter((name) => /^br\d/.test(name!))).toEqual(["br1"]);
  expect(host.sh("ls /etc/hostnet/objects | wc -l").trim()).toBe("2");
});

test("50 claims of one setting at once, of 50 resources", async () => {
  const names = Array.from({ length: 50 }, (_, n) => `s${n}`);
  await Promise.all(names.map((name) => dev.up("Sysctl", name, { settings: { "net.ipv4.ip_forward": 1 } })));
  expect(host.sh("grep -rl owner /etc/hostnet/shared | wc -l").trim()).toBe("50");
  dev.run();
  await Promise.all(names.slice(1).map((name) => dev.destroy("Sysctl", name)));
  expect(host.sh("cat /proc/sys/net/ipv4/ip_forward")).toBe("1\n");
  await dev.destroy("Sysctl", "s0");
  expect(host.sh("cat /proc/sys/net/ipv4/ip_forward; ls -A /etc/hostnet")).toBe("0\n");
}, 30_000);
