import fc from "fast-check";
import type { Last, Observed, Result } from "../../provider/kind";
import { parseFields } from "../../provider/schema";
import { sysctl } from "../../provider/sysctl";
import type { Sysctl } from "../../provider/sysctl/args";
import { claimKey, inOrder, keyAt, keyOf, pathOf, slashes } from "../../provider/sysctl/keys";
import type { Facts } from "../../provider/sysctl/parse";

type Shape = typeof sysctl.schema.shape;
type Seen = Observed<Shape, Facts>;

function desired(settings: object, name = "s"): Sysctl {
  const parsed = parseFields(sysctl.schema, { name, settings });
  expect(parsed.problems).toEqual([]);
  return parsed.desired!;
}
const problems = (settings: unknown) =>
  parseFields(sysctl.schema, { name: "s", settings }).problems.map((p) => `${p.property}: ${p.reason}`);

describe("a key", () => {
  test.each([
    ["net.ipv4.ip_forward", "net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"],
    ["net/ipv4/ip_forward", "net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"],
    [
      "net/ipv4/conf/eth0.10/rp_filter",
      "net.ipv4.conf.eth0/10.rp_filter",
      "/proc/sys/net/ipv4/conf/eth0.10/rp_filter",
    ],
    [
      "net.ipv4.conf.eth0/10.rp_filter",
      "net.ipv4.conf.eth0/10.rp_filter",
      "/proc/sys/net/ipv4/conf/eth0.10/rp_filter",
    ],
    [
      "net.ipv4.conf.br-lan.rp_filter",
      "net.ipv4.conf.br-lan.rp_filter",
      "/proc/sys/net/ipv4/conf/br-lan/rp_filter",
    ],
    ["kernel/panic", "kernel.panic", "/proc/sys/kernel/panic"],
    ["net/a.b.c/d", "net.a/b/c.d", "/proc/sys/net/a.b.c/d"],
  ])("%s is %s", (given, key, path) => {
    expect(keyOf(given)).toBe(key);
    expect(keyOf(key)).toBe(key);
    expect([pathOf(key), `/proc/sys/${slashes(key)}`, keyAt(path)]).toEqual([path, path, key]);
  });

  test.each([
    ...[
      "",
      "net",
      ".",
      "..",
      "net..ip",
      "net.",
      ".net",
      "/net/ipv4",
      "net/",
      "net//ip_forward",
      "net/../kernel/panic",
      "net/./x",
    ],
    ...[
      "net/ipv4/conf/../../x",
      "net.ipv4.conf.//.x",
      "net.ipv4.conf./../.x",
      "/proc/sys/net/ipv4/ip_forward",
      "Net.ipv4",
      "-w.x",
      "net.ipv4=1",
      "net.ipv4.*",
    ],
    ...[
      "net.ip v4",
      "net.ipv4.ip_forward\n",
      "net.ipv4.$(id)",
      "net.ipv4.é",
      `net.${"x".repeat(65)}`,
      `net${".x".repeat(200)}`,
    ],
  ])("%j is none", (text) => expect(keyOf(text)).toBeUndefined());

  test("never leaves /proc/sys, whatever the text", () => {
    const part = fc.oneof(
      fc.constantFrom(".", "..", "/", "net", "a.b", "-", "_"),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 6 }).map((parts) => parts.join("")),
        (text) => {
          const key = keyOf(text);
          if (key === undefined) return;
          expect(keyOf(key)).toBe(key);
          expect(pathOf(key)).toMatch(/^\/proc\/sys(\/[A-Za-z0-9_.-]+){2,}$/);
          expect(pathOf(key).split("/")).not.toContain("..");
          expect(keyAt(pathOf(key))).toBe(key);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("all come before the default of new devices, and that before the devices", () => {
    const keys = [
      "net.ipv4.conf.eth0.forwarding",
      "net.ipv6.conf.default.forwarding",
      "net.ipv6.conf.all.forwarding",
      "net.ipv4.conf.all.rp_filter",
      "net.ipv4.ip_forward",
      "net.ipv4.conf.all.accept_redirects",
      "net.ipv6.conf.eth0.accept_ra",
    ];
    expect(inOrder(keys)).toEqual([
      // Before the host begins to forward, or the default route that it keeps is gone by then.
      "net.ipv6.conf.eth0.accept_ra",
      ...["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"],
      "net.ipv6.conf.default.forwarding",
      ...[
        "net.ipv4.conf.all.accept_redirects",
        "net.ipv4.conf.all.rp_filter",
        "net.ipv4.conf.eth0.forwarding",
      ],
    ]);
  });
});

describe("settings", () => {
  test("are canonical: one form of key and value, sorted", () => {
    const { settings } = desired({
      "net/ipv4/tcp_rmem": " 4096\t131072  6291456 ",
      "net.ipv4.ip_forward": 1,
      "kernel.panic": -1,
      "net.ipv4.ip_local_reserved_ports": "",
    });
    expect(JSON.stringify(settings)).toBe(
      '{"kernel.panic":"-1","net.ipv4.ip_forward":"1","net.ipv4.ip_local_reserved_ports":"","net.ipv4.tcp_rmem":"4096 131072 6291456"}',
    );
    expect(desired(settings).settings).toEqual(settings);
  });

  test.each([
    [
      "net.ipv4.ip_forward=1",
      'settings: "net.ipv4.ip_forward=1": must be values by key, as { "net.ipv4.ip_forward": 1 }',
    ],
    [
      ["net.ipv4.ip_forward"],
      'settings: ["net.ipv4.ip_forward"]: must be values by key, as { "net.ipv4.ip_forward": 1 }',
    ],
    [{}, "settings: {}: must not be empty"],
    [undefined, 'settings: must be values by key, as { "net.ipv4.ip_forward": 1 }'],
    [{ ip_forward: 1 }, "settings.ip_forward: 1: is no key of sysctl, as net.ipv4.ip_forward"],
    [{ "net.ipv4.ip_forward": true }, "settings.net.ipv4.ip_forward: true: must be a whole number or a text"],
    [{ "net.ipv4.ip_forward": 1.5 }, "settings.net.ipv4.ip_forward: 1.5: must be a whole number or a text"],
    [
      { "net.ipv4.ip_forward": "1\n2" },
      'settings.net.ipv4.ip_forward: "1\\n2": must be at most 1000 printable ASCII characters on one line',
    ],
    [
      { "net.ipv4.ip_forward": 1, "net/ipv4/ip_forward": 0 },
      'settings: {"net.ipv4.ip_forward":1,"net/ipv4/ip_forward":0}: net.ipv4.ip_forward is listed twice',
    ],
  ])("%j is refused", (settings, message) => expect(problems(settings)).toEqual([message]));

  test("the kernel's two names of one setting cannot differ", () => {
    const both = (value: string) =>
      sysctl.refine!(desired({ "net.ipv4.ip_forward": 1, "net.ipv4.conf.all.forwarding": value }));
    expect(both("1")).toEqual([]);
    expect(both("0")).toEqual([
      {
        property: "settings.net.ipv4.conf.all.forwarding",
        reason: "0: is the same as net.ipv4.ip_forward, which is 1",
      },
    ]);
    expect(claimKey("net.ipv4.conf.all.forwarding")).toBe("net.ipv4.ip_forward");
    expect(claimKey("net.ipv6.conf.all.forwarding")).toBe("net.ipv6.conf.all.forwarding");
  });
});

/** What a host with these values answers to the queries of `d`. */
function answers(values: Readonly<Record<string, string>>, d: Sysctl, last?: Last<Shape, Facts>): Result[] {
  const print = (keys: readonly string[]) =>
    keys.map((key) => `${pathOf(key)}:${values[key]!.replaceAll(" ", "\t")}\n`).join("");
  return sysctl.query(d, last).map(({ argv }) => {
    if (argv[0] === "find") {
      const under = Object.keys(values).filter((key) => pathOf(key).startsWith(`${argv[1]!}/`));
      const named = argv.flatMap((word, n) => (argv[n - 1] === "-path" ? [word.replace("*", "")] : []));
      return {
        code: 0,
        stdout: print(under.filter((key) => named.some((name) => pathOf(key).endsWith(name)))),
        stderr: "",
      };
    }
    const asked = argv.slice(3).map(keyAt);
    const missing = asked.filter((key) => values[key] === undefined);
    const stderr = missing.map((key) => `grep: ${pathOf(key)}: No such file or directory\n`).join("");
    return {
      code: missing.length > 0 ? 2 : 0,
      stdout: print(asked.filter((key) => values[key] !== undefined)),
      stderr,
    };
  });
}
const look = (values: Record<string, string>, d: Sysctl, last?: Last<Shape, Facts>): Seen =>
  sysctl.parse(answers(values, d, last), d, last);
const words = (steps: ReturnType<typeof sysctl.ensure>) =>
  steps.map(({ argv, stdin, released, unless }) =>
    [
      argv.join(" "),
      ...(stdin === undefined ? [] : [`< ${stdin.trim()}`]),
      ...(released ? [`released ${released.join(", ")}`] : []),
      ...(unless ? [`unless ${unless.join(" ")}`] : []),
    ].join(" "),
  );
const applied = (d: Sysctl): Last<Shape, Facts> => ({ desired: d, former: { facts: { devices: {} } } });

const forward = desired({ "net.ipv4.ip_forward": 1 });
const host = {
  "net.ipv4.ip_forward": "0",
  "net.ipv4.conf.all.forwarding": "0",
  "net.ipv4.conf.all.accept_redirects": "0",
  "net.ipv4.conf.default.forwarding": "0",
  "net.ipv4.conf.eth0.forwarding": "1",
  "net.ipv4.conf.eth0/10.forwarding": "0",
  "net.ipv4.conf.eth0.rp_filter": "2",
  "net.ipv4.tcp_rmem": "4096 131072 6291456",
};
const on = {
  ...host,
  ...Object.fromEntries(
    [
      "ip_forward",
      "conf.all.forwarding",
      "conf.default.forwarding",
      "conf.eth0.forwarding",
      "conf.eth0/10.forwarding",
    ].map((key) => [`net.ipv4.${key}`, "1"]),
  ),
};
/** As the lifecycle fills it in from the host's notes. */
const withFormer = (seen: Seen, d: Sysctl, was: Record<string, string>): Seen => ({
  ...seen,
  shared: Object.fromEntries(
    Object.entries(sysctl.claims!(d, look(was, d))).map(([key, { former }]) => [key, former]),
  ),
});

describe("cases", () => {
  test("query: one process for the values, one for the devices, which come and go, two for what IPv6 forwarding takes away", () => {
    expect(sysctl.query(forward)).toEqual([
      { argv: ["grep", "-H", "", "/proc/sys/net/ipv4/ip_forward"] },
      {
        argv: [
          "find",
          "/proc/sys/net/ipv4/conf",
          "(",
          "-path",
          "*/forwarding",
          "-o",
          "-path",
          "/proc/sys/net/ipv4/conf/all/accept_redirects",
          ")",
          "-exec",
          "grep",
          "-H",
          "",
          "{}",
          "+",
        ],
        free: true,
      },
    ]);
    expect(
      sysctl.query(desired({ "net.ipv4.conf.eth0.forwarding": 1, "net.ipv4.tcp_rmem": "1 2 3" })),
    ).toHaveLength(1);
    expect(
      sysctl.query(
        desired({
          "net.ipv4.ip_forward": 1,
          "net.ipv4.conf.all.forwarding": 1,
          "net.ipv6.conf.all.forwarding": 1,
        }),
      ),
    ).toHaveLength(5);
  });

  test("create", () => {
    const d = desired({
      "net.ipv4.conf.eth0.rp_filter": 0,
      "net.ipv4.tcp_rmem": "4096 131072 6291456",
      "net/ipv4/conf/eth0.10/forwarding": 1,
    });
    expect(words(sysctl.ensure(d, look(host, d)))).toEqual([
      "sysctl -qw net/ipv4/conf/eth0/rp_filter=0",
      "sysctl -qw net/ipv4/conf/eth0.10/forwarding=1",
    ]);
  });

  test("create: a key that writes into every device comes first, and the device that is declared otherwise after it", () => {
    const d = desired({
      "net.ipv4.conf.eth0.forwarding": 1,
      "net/ipv4/conf/eth0.10/forwarding": 0,
      "net.ipv4.ip_forward": 1,
    });
    expect(words(sysctl.ensure(d, look(host, d)))).toEqual([
      "sysctl -qw net/ipv4/ip_forward=1",
      "sysctl -qw net/ipv4/conf/eth0/forwarding=1",
      "sysctl -qw net/ipv4/conf/eth0.10/forwarding=0",
    ]);
  });

  test("create: an empty value, which sysctl would take for a mistake", () => {
    const d = desired({ "net.ipv4.ip_local_reserved_ports": "" });
    expect(sysctl.ensure(d, look({ "net.ipv4.ip_local_reserved_ports": "1-3" }, d))).toEqual([
      { argv: ["tee", "/proc/sys/net/ipv4/ip_local_reserved_ports"], stdin: "\n" },
    ]);
  });

  test("no-change", () => {
    const d = desired({ "net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.forwarding": 1 });
    expect(sysctl.ensure(d, look(on, d), applied(d))).toEqual([]);
  });

  test("drift", () => {
    const d = desired({ "net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.rp_filter": 2 });
    expect(look(host, d).state!.settings).toEqual({
      "net.ipv4.ip_forward": "0",
      "net.ipv4.conf.eth0.rp_filter": "2",
    });
    expect(words(sysctl.ensure(d, look(host, d), applied(d)))).toEqual(["sysctl -qw net/ipv4/ip_forward=1"]);
  });

  test("update: a key that left goes back, with the last claim; one that stays is set again where it was overwritten", () => {
    const before = desired({ "net.ipv4.ip_forward": 1, "net.ipv4.conf.eth0.forwarding": 1 });
    const d = desired({ "net.ipv4.conf.eth0.forwarding": 1, "net.ipv4.conf.eth0.rp_filter": 2 });
    const seen = withFormer(look(on, d, applied(before)), before, host);
    expect(words(sysctl.ensure(d, seen, applied(before)))).toEqual([
      "tee /proc/sys/net/ipv4/ip_forward < 0 released net.ipv4.ip_forward",
      "tee /proc/sys/net/ipv4/conf/all/accept_redirects < 0 released net.ipv4.ip_forward, net.ipv4.conf.all.accept_redirects unless test ! -e /proc/sys/net/ipv4/conf/all/accept_redirects",
      "tee /proc/sys/net/ipv4/conf/eth0/forwarding < 1 released net.ipv4.ip_forward, net.ipv4.conf.eth0.forwarding unless test ! -e /proc/sys/net/ipv4/conf/eth0/forwarding",
      "sysctl -qw net/ipv4/conf/eth0/forwarding=1",
    ]);
  });

  test("remove: the value, then each device that is still there and was otherwise", () => {
    const gone = { ...on, "net.ipv4.conf.new.forwarding": "1" } as Record<string, string>;
    delete gone["net.ipv4.conf.eth0/10.forwarding"];
    const seen = withFormer(look(gone, forward), forward, {
      ...host,
      "net.ipv4.conf.eth0/10.forwarding": "1",
    });
    expect(words(sysctl.remove(seen, applied(forward)))).toEqual([
      "tee /proc/sys/net/ipv4/ip_forward < 0 released net.ipv4.ip_forward",
      expect.stringMatching(/^tee \/proc\/sys\/net\/ipv4\/conf\/all\/accept_redirects < 0 /),
      expect.stringMatching(/^tee \/proc\/sys\/net\/ipv4\/conf\/eth0\/forwarding < 1 /),
    ]);
  });

  test("remove: what was so before us stays, and so does what others set on a device since", () => {
    const seen = withFormer(look({ ...on, "net.ipv4.conf.eth0.forwarding": "0" }, forward), forward, on);
    expect(sysctl.remove(seen, applied(forward))).toEqual([]);
  });

  test("remove: set back by hand already; the devices that we changed go back all the same", () => {
    const byHand = {
      ...host,
      "net.ipv4.conf.eth0.forwarding": "0",
      "net.ipv4.conf.all.accept_redirects": "1",
    };
    const seen = withFormer(look(byHand, forward), forward, host);
    expect(words(sysctl.remove(seen, applied(forward))).map((line) => line.split(" released")[0])).toEqual([
      "tee /proc/sys/net/ipv4/conf/all/accept_redirects < 0",
      "tee /proc/sys/net/ipv4/conf/eth0/forwarding < 1",
    ]);
  });

  test("remove: nobody knows what was there, or the key is gone: nothing", () => {
    expect(sysctl.remove(look(on, forward), applied(forward))).toEqual([]);
    const d = desired({ "net.ipv4.conf.eth9.rp_filter": 1 });
    expect(
      sysctl.remove(withFormer(look({}, d), d, { "net.ipv4.conf.eth9.rp_filter": "0" }), applied(d)),
    ).toEqual([]);
  });

  test("undo: the devices go back to what they were before the change", () => {
    const before = look(host, forward);
    const reached = { state: forward, facts: before.facts };
    const steps = sysctl.ensure(before.state!, reached, {
      desired: forward,
      facts: before.facts,
      former: before,
    });
    expect(words(steps)).toEqual([
      "sysctl -qw net/ipv4/ip_forward=0",
      ...[
        "default/forwarding < 0",
        "all/accept_redirects < 0",
        "eth0/forwarding < 1",
        "eth0.10/forwarding < 0",
      ].map(
        (text) =>
          `tee /proc/sys/net/ipv4/conf/${text} unless test ! -e /proc/sys/net/ipv4/conf/${text.split(" ")[0]}`,
      ),
    ]);
  });

  test("claims: under one name, with the value, what was there, and the devices it changes", () => {
    const d = desired({ "net.ipv4.conf.all.forwarding": 1, "net.ipv4.conf.eth0.rp_filter": 1 });
    expect(sysctl.claims!(d, look(host, d))).toEqual({
      "net.ipv4.ip_forward": {
        value: "1",
        former: {
          value: "0",
          devices: {
            "net.ipv4.conf.all.accept_redirects": "0",
            "net.ipv4.conf.default.forwarding": "0",
            "net.ipv4.conf.eth0.forwarding": "1",
            "net.ipv4.conf.eth0/10.forwarding": "0",
          },
        },
      },
      "net.ipv4.conf.eth0.rp_filter": { value: "1", former: { value: "2", devices: {} } },
    });
  });

  test("invalid: a key that the host has not", () => {
    const d = desired({ "net.bridge.bridge-nf-call-iptables": 0 });
    expect(look({}, d).state!.settings).toEqual({});
    expect(() => sysctl.ensure(d, look({}, d))).toThrow(
      "settings.net.bridge.bridge-nf-call-iptables: the host has no such setting: its device, or the kernel module that brings it, may be missing (br_netfilter for net.bridge",
    );
  });

  test.each([
    [
      "grep: /proc/sys/net/ipv4/ip_forward: Permission denied\n",
      2,
      /^settings\.net\.ipv4\.ip_forward cannot be read: grep: .*Permission denied$/,
    ],
    [
      "grep: /proc/sys/net/ipv4/ip_forward: Input/output error\n",
      2,
      /^settings\.net\.ipv4\.ip_forward cannot be read: grep: .*Input\/output error$/,
    ],
    ["grep: /proc/sys/net/ipv4/ip_forward2: No such file or directory\n", 2, /cannot be read/],
    ["", 0, /^settings\.net\.ipv4\.ip_forward cannot be read: the host printed no value$/],
    ["sh: 1: grep: not found\n", 127, /cannot be read: sh: 1: grep: not found$/],
  ])("invalid: an odd answer is never an absence: %j", (stderr, code, message) => {
    const results = [
      { code, stdout: "", stderr },
      { code: 0, stdout: "", stderr: "" },
    ];
    expect(() => sysctl.parse(results, forward)).toThrow(message);
  });

  test("what can cut a connection is exposed, and what cannot is not", () => {
    const exposed = (settings: object) => sysctl.exposure(look({}, desired(settings)), desired(settings));
    expect(exposed({ "net.ipv4.ip_forward": 0 })).toEqual({ routing: true });
    expect(exposed({ "net/ipv6/conf/eth0.1/disable_ipv6": 1 })).toEqual({ routing: true });
    expect(exposed({ "net.ipv4.conf.all.rp_filter": 1 })).toEqual({ routing: true });
    expect(exposed({ "net.ipv4.ip_default_ttl": 1 })).toEqual({ routing: true });
    expect(exposed({ "vm.swappiness": 1, "kernel.panic": 1 })).toBeUndefined();
    const leaves = sysctl.exposure(look(on, forward), desired({ "kernel.panic": 1 }));
    expect(leaves).toEqual({ routing: true });
  });
});

describe("laws", () => {
  const names = Object.keys(host).filter((key) => key !== "net.ipv4.conf.all.forwarding");
  const settings = fc
    .uniqueArray(fc.constantFrom(...names), { minLength: 1 })
    .chain((keys) =>
      fc.tuple(...keys.map((key) => fc.tuple(fc.constant(key), fc.constantFrom("0", "1", 2)))),
    );

  test("the schema is idempotent, and the order of keys means nothing", () => {
    fc.assert(
      fc.property(
        settings.chain((list) =>
          fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
        ),
        ([a, b]) => {
          const [one, two] = [desired(Object.fromEntries(a)), desired(Object.fromEntries(b))];
          expect(JSON.stringify(one)).toBe(JSON.stringify(two));
          expect(desired(one.settings)).toEqual(one);
          expect(sysctl.ensure(one, look(host, one))).toEqual(sysctl.ensure(two, look(host, two)));
        },
      ),
    );
  });

  /** The kernel, as far as these keys go. */
  function run(
    values: Record<string, string>,
    steps: ReturnType<typeof sysctl.ensure>,
  ): Record<string, string> {
    const now = { ...values };
    for (const { argv, stdin } of steps) {
      const [path, text] =
        argv[0] === "tee"
          ? [argv[1]!, stdin!.trim()]
          : [`/proc/sys/${argv[2]!.split("=")[0]}`, argv[2]!.split("=")[1]!];
      const key = keyAt(path);
      if (key === "net.ipv4.ip_forward" && now[key] !== text) {
        for (const device of Object.keys(now)) if (device.endsWith(".forwarding")) now[device] = text;
        now["net.ipv4.conf.all.accept_redirects"] = text === "0" ? "1" : "0";
      }
      now[key] = text;
      if (key === "net.ipv4.ip_forward") now["net.ipv4.conf.all.forwarding"] = text;
    }
    return now;
  }

  test("ensure ends where it should, and again there is nothing to do", () => {
    fc.assert(
      fc.property(settings, (list) => {
        const d = desired(Object.fromEntries(list));
        const end = run(host, sysctl.ensure(d, look(host, d)));
        expect(look(end, d).state).toEqual(d);
        expect(sysctl.ensure(d, look(end, d), applied(d))).toEqual([]);
      }),
    );
  });

  test("remove ends where it began", () => {
    fc.assert(
      fc.property(settings, (list) => {
        const d = desired(Object.fromEntries(list));
        const end = run(host, sysctl.ensure(d, look(host, d)));
        expect(run(end, sysctl.remove(withFormer(look(end, d), d, host), applied(d)))).toEqual(host);
      }),
    );
  });

  test("the undo of a half-run ends at before, wherever it was cut", () => {
    fc.assert(
      fc.property(settings, settings, fc.nat(9), (first, second, cut) => {
        const [d, next] = [desired(Object.fromEntries(first)), desired(Object.fromEntries(second))];
        const start = run(host, sysctl.ensure(d, look(host, d)));
        const before = withFormer(look(start, next, applied(d)), d, host);
        const half = run(start, sysctl.ensure(next, before, applied(d)).slice(0, cut));
        const reached = { state: next, facts: before.facts, shared: before.shared };
        const undo = sysctl.ensure(before.state!, reached, {
          desired: next,
          facts: before.facts,
          former: before,
        });
        expect(run(half, undo)).toEqual(start);
      }),
    );
  });

  test("parse returns nothing from junk but an error", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(255), (stdout, stderr, code) => {
        const results = [
          { code, stdout, stderr },
          { code: 0, stdout, stderr },
        ];
        expect(() => sysctl.parse(results, forward)).toThrow("settings.net.ipv4.ip_forward cannot be read");
      }),
    );
  });
});
