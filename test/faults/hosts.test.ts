// Rows 14 to 16, 18 to 20, 22, 24, 28 and 30: what the host and the program may be like.
import { connect } from "../../provider/host/session";
import { FaultBed } from "./bed";
import { differing, look, noSecrets, survives, Workstation } from "./oracles";
import { row } from "./table";

let bed: FaultBed;
beforeAll(async () => {
  bed = await FaultBed.make();
}, 60_000);
afterAll(() => bed.close());

const table = (rules: readonly string[] = ["tcp dport 1 drop"]) => ({
  family: "inet",
  chains: { c: { type: "filter", hook: "forward", priority: 0, rules } },
});

/** A change of a table that stands, with something wrong, then with all well; then the table goes. */
async function standing(
  change: (at: Workstation) => Promise<unknown>,
  { error, before = ":", after = ":" }: { error?: RegExp; before?: string; after?: string } = {},
) {
  const at = new Workstation(bed);
  try {
    await at.up("NftTable", "own", table());
    at.stack.run();
    await survives({
      at,
      fault: () => bed.sh(before).then(() => change(at)),
      error,
      mend: () => bed.sh(`${after}; :`),
      again: () => at.up("NftTable", "own", table(["tcp dport 2 drop"])),
    });
    at.stack.run();
    for (const [urn, { type }] of [...at.stack.resources].reverse())
      await at.stack.destroy(type, urn.split("::").at(-1)!);
  } finally {
    at.close();
  }
}
const changed = (at: Workstation) => at.up("NftTable", "own", table(["tcp dport 2 drop"]));

const big = Array.from({ length: 900 }, (_, n) => `ip saddr 10.0.${n >> 8}.${n & 255} drop`);
const DISKS: Record<string, { before: string; after: string; error: RegExp }> = {
  "full /etc/hostnet": {
    before:
      "cp -a /etc/hostnet /run/keep; mount -t tmpfs -o size=8k none /etc/hostnet; cp -a /run/keep/. /etc/hostnet; head -c 100k /dev/zero >/etc/hostnet/fill 2>/dev/null || :",
    after: "umount /etc/hostnet 2>/dev/null",
    error: /No space left/,
  },
  "no inodes in /etc/hostnet": {
    before:
      "rm -rf /run/keep; cp -a /etc/hostnet /run/keep; mount -t tmpfs -o nr_inodes=4 none /etc/hostnet; cp -a /run/keep/. /etc/hostnet; touch /etc/hostnet/1 /etc/hostnet/2 2>/dev/null || :",
    after: "umount /etc/hostnet 2>/dev/null",
    error: /No space left/,
  },
  "read-only /etc/hostnet": {
    before: "mount --bind /etc/hostnet /etc/hostnet; mount -o remount,bind,ro /etc/hostnet",
    after: "umount /etc/hostnet 2>/dev/null",
    error: /Read-only/,
  },
  "full /run/hostnet": {
    before:
      "mount -t tmpfs -o size=12k none /run/hostnet; head -c 100k /dev/zero >/run/hostnet/fill 2>/dev/null || :",
    after: "umount -l /run/hostnet 2>/dev/null",
    error: /No space left|could not be stored|cannot make a folder/,
  },
};
row("14", "full and read-only file systems", { cases: Object.keys(DISKS), few: 4 }, (name) => {
  const { before, after, error } = DISKS[name]!;
  return standing((at) => at.up("NftTable", "own", table(big)), { before, after, error });
});

const own = (args: object) => (at: Workstation) => at.up("NftTable", "own", { ...table(), ...args });
const list = { family: "inet", table: "own", name: "s", type: "ipv4_addr" };
const BAD: readonly { what: string; fault: (at: Workstation) => Promise<unknown>; error?: RegExp }[] = [
  { what: "no rule", fault: own(table(["tcp dport oops accept extra"])), error: /chains\.c\.rules\[0\]/ },
  { what: "no chain", fault: own(table(["jump nowhere"])), error: /jumps to nowhere/ },
  { what: "no set", fault: own(table(["ip saddr @nowhere drop"])), error: /names @nowhere/ },
  {
    what: "elements that overlap",
    fault: own({
      sets: { s: { type: "ipv4_addr", flags: ["interval"], elements: ["10.0.0.0/8", "10.1.0.0/16"] } },
    }),
    error: /sets\.s\.elements/,
  },
  {
    what: "a set that is full",
    fault: own({
      sets: { s: { type: "ipv4_addr", size: 2, elements: ["10.0.0.1", "10.0.0.2", "10.0.0.3"] } },
    }),
    error: /sets\.s\.elements: .*Too many open files/s,
  },
  {
    what: "many elements",
    fault: async (at) => {
      const length = process.env.HOSTNET_FAULTS ? 100_000 : 5000;
      const elements = Array.from({ length }, (_, n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
      await at.up("NftSet", "s", { ...list, elements });
      at.stack.run();
      const state = await at.stack.refresh("NftSet", "s");
      if (String(state?.outputs.drift) !== "") throw new Error(`drift: ${state?.outputs.drift}`);
      await at.stack.run().destroy("NftSet", "s");
      await changed(at);
    },
  },
];
row("15", "what nft refuses, and what is merely much", { cases: BAD, few: 6 }, ({ fault, error }) =>
  standing(
    (at) =>
      fault(at).catch((reason: Error) => {
        // Refused by check already: nothing was sent.
        throw /^Unable/.test(reason.message)
          ? reason
          : new Error(`Unable to update NftTable "own" on root@127.0.0.1: ${reason.message}`);
      }),
    { error },
  ),
);

/** All of a folder but one tool. */
const lacking = (folder: string, tool: string) => ({
  before: `mkdir -p /run/real /run/some; mount --bind ${folder} /run/real; ln -s /run/real/* /run/some/; rm /run/some/${tool}; mount --bind /run/some ${folder}`,
  after: `umount ${folder}; umount /run/real; rm -r /run/some`,
});
const bridged = (at: Workstation) => at.up("Bridge", "ownbr", {});
const TOOLS: Record<
  string,
  { before: string; after: string; error: RegExp; change?: (at: Workstation) => Promise<unknown> }
> = {
  "no nft": {
    ...lacking("/usr/sbin", "nft"),
    error: /nft is not installed there: on Debian, apt install nftables/,
  },
  "no nft, for a shell that asks it": {
    ...lacking("/usr/sbin", "nft"),
    change: (at) => at.up("NftSet", "s", list),
    error: /nft is not installed there: on Debian, apt install nftables/,
  },
  "an nft that nobody may run": {
    before: ": >/run/none; mount --bind /run/none /usr/sbin/nft",
    after: "umount /usr/sbin/nft",
    error: /nft.*Permission denied/s,
  },
  "no ip": {
    ...lacking("/usr/bin", "ip"),
    change: bridged,
    error: /ip is not installed there: on Debian, apt install iproute2/,
  },
  "no flock": {
    ...lacking("/usr/bin", "flock"),
    error: /the host lacks flock: install the package util-linux/,
  },
};
row(
  "16",
  "a missing tool, a kernel without VRFs",
  { cases: [...Object.keys(TOOLS), "no VRFs"], few: 6 },
  async (what) => {
    const tool = TOOLS[what];
    if (tool) return standing(tool.change ?? changed, tool);
    const vrf = (at: Workstation) => at.up("Vrf", "ownred", { table: 55 });
    if (!(await bed.sh("ip link add name ownx type vrf table 9 2>&1 && ip link del dev ownx; :")))
      return standing(async (at) => {
        await vrf(at);
        await at.stack.run().destroy("Vrf", "ownred");
        await changed(at);
      });
    return standing(vrf, { error: /kernel lacks its module vrf/ });
  },
);

const HOSTILE = [
  "$(touch /run/canary)",
  "`touch /run/canary`",
  "a;touch /run/canary",
  "a\ntouch /run/canary",
  "br%d",
  "x".repeat(16),
  "é",
  "../../etc",
  "-n",
  "a b",
  "'",
  '"',
  "\0",
  "__proto__",
  "constructor",
  "all",
  ".",
];
const FIELDS = ["table", "chain", "set", "bridge", "port", "iif", "comment"] as const;
row(
  "18",
  "hostile names in every field",
  { cases: FIELDS.flatMap((field) => HOSTILE.map((name) => ({ field, name }))), few: 24 },
  async ({ field, name }) => {
    const at = new Workstation(bed);
    const before = await look(bed);
    const base = table();
    const [type, args] = {
      table: ["NftTable", { ...base, name }],
      chain: ["NftTable", { ...base, name: "own", chains: { [name]: { rules: [] } } }],
      set: ["NftTable", { ...base, name: "own", sets: { [name]: { type: "ipv4_addr" } } }],
      bridge: ["Bridge", { name }],
      port: ["Bridge", { name: "own", ports: [name] }],
      iif: ["PolicyRoute", { family: "ipv4", priority: 50, iif: name, table: 99 }],
      comment: ["NftTable", { ...base, name: "own", chains: { c: { rules: [], comment: name } } }],
    }[field] as [string, Record<string, unknown>];
    const error = await at.up(type, "own", args).then(
      () => undefined,
      (reason: Error) => reason,
    );
    if (error instanceof TypeError) throw error;
    if (!error) {
      at.stack.run();
      const state = await at.stack.refresh(type, "own");
      if ((state?.outputs.drift as string[])?.length !== 0) throw new Error(`drift: ${state?.outputs.drift}`);
      await at.stack.run().destroy(type, "own");
    }
    at.close();
    const after = await look(bed);
    if (after.own !== before.own || after.foreign !== before.foreign)
      throw new Error(`the host changed:\n${after.own}`);
    await bed.sh("[ ! -e /run/canary ]");
  },
);

const THEIRS: Record<string, readonly [string, string]> = {
  "a link called $(id)": ["ip link add name '$(id)' type bridge", "ip link del dev '$(id)'"],
  "a link with a control character": [
    "ip link add name \"$(printf 'a\\001b')\" type bridge",
    "ip link del dev \"$(printf 'a\\001b')\"",
  ],
  "a link with a quote": ["ip link add name 'a\"b' type bridge", "ip link del dev 'a\"b'"],
  "10000 foreign rules": [
    "{ echo 'add table ip big; add chain ip big c'; for n in $(seq 10000); do echo \"add rule ip big c tcp dport $n drop\"; done; } | nft -f -",
    "nft delete table ip big",
  ],
  "1000 foreign ip rules": [
    "for n in $(seq 1000); do echo rule add pref $((20000 + n)) from 198.51.100.7 table 77; done | ip -batch -",
    "for n in $(seq 1000); do echo rule del pref $((20000 + n)); done | ip -batch -",
  ],
};
row("19", "hostile things of others", { cases: Object.keys(THEIRS), few: 5 }, async (what) => {
  const [before, after] = THEIRS[what]!;
  await bed.sh(before);
  try {
    await standing(async (at) => {
      await at.up("Bridge", "ownbr", { addresses: ["10.7.0.1/24"], ports: ["port1"] });
      await at.up("PolicyRoute", "own", { family: "ipv4", priority: 50, to: "10.7.0.0/24", table: 99 });
      await at.stack.run().destroy("PolicyRoute", "own");
      await at.stack.destroy("Bridge", "ownbr");
      await changed(at);
    });
  } finally {
    await bed.sh(after);
  }
});

row(
  "20",
  "two workstations, interleaved",
  { cases: Array.from({ length: 100 }, (_, n) => n), few: 4 },
  async (n) => {
    const [a, b] = [
      new Workstation(bed),
      new Workstation(bed, {}, { "hostnet:privateKey": bed.key.private }, "prod"),
    ];
    const foreign = (await look(bed)).foreign;
    const claim = { settings: { "net.ipv4.ip_forward": 1 } };
    await Promise.all([
      a.up("NftTable", "owna", table([`tcp dport ${n + 1} drop`])),
      a.up("Sysctl", "owns", claim),
      new Promise((tick) => setTimeout(tick, (n * 7) % 200)).then(() =>
        Promise.all([
          b.up("NftTable", "ownb", table([`udp dport ${n + 1} drop`])),
          b.up("Sysctl", "ownt", claim),
        ]),
      ),
    ]);
    const { own } = await look(bed);
    if (!own.includes(`tcp dport ${n + 1} drop`) || !own.includes(`udp dport ${n + 1} drop`))
      throw new Error(`an update was lost:\n${own}`);
    await Promise.all([
      a.stack.run().destroy("NftTable", "owna"),
      b.stack.run().destroy("NftTable", "ownb"),
      a.stack.destroy("Sysctl", "owns"),
      b.stack.destroy("Sysctl", "ownt"),
    ]);
    const after = await look(bed);
    if (after.foreign !== foreign || after.own.includes("own")) throw new Error(after.own);
    a.close();
    b.close();
  },
);

/** What somebody does by hand, and what the refresh then says of the table or of the bridge: that and nothing else. */
const EDITS: Record<string, { edit: string; table?: string; bridge?: string; mend?: string }> = {
  "a rule added": {
    edit: "nft add rule inet own c tcp dport 99 accept",
    table: "chains.c.rules: tcp dport 99 accept is there",
  },
  "a rule removed": {
    edit: "nft flush chain inet own c; nft add rule inet own c tcp dport 2 drop",
    table: "chains.c.rules: tcp dport 1 drop is missing",
  },
  "a rule put first": {
    edit: "nft insert rule inet own c tcp dport 98 accept",
    table: "chains.c.rules: tcp dport 98 accept is there",
  },
  "two rules the other way round": {
    edit: "nft flush chain inet own c; nft add rule inet own c tcp dport 2 drop; nft add rule inet own c tcp dport 1 drop",
    table: "chains.c.rules: tcp dport 1 drop is at another place",
  },
  "the same rules by other handles": {
    edit: "nft flush chain inet own c; nft add rule inet own c tcp dport 1 drop; nft add rule inet own c tcp dport 2 drop",
  },
  "an element added": {
    edit: "nft add element inet own s '{ 10.0.0.9 }'",
    table: "sets.s.elements.10.0.0.9:  is there",
  },
  "a chain added": { edit: "nft add chain inet own d", table: "chains.d is there" },
  "a table deleted": { edit: "nft delete table inet own", table: "it is missing on the host" },
  "a port taken": { edit: "ip link set dev port1 nomaster", bridge: "ports: port1 is missing" },
  // Others may have theirs on a bridge of ours.
  "an address added": {
    edit: "ip addr add 10.8.0.1/24 dev ownbr",
    mend: "ip addr del 10.8.0.1/24 dev ownbr",
  },
  "an address taken": {
    edit: "ip addr del 10.7.0.1/24 dev ownbr",
    bridge: "addresses: 10.7.0.1/24 is missing",
  },
  "a link down": { edit: "ip link set dev ownbr down", bridge: "up: false instead of true" },
  "a link renamed": {
    edit: "ip link set dev ownbr down; ip link set dev ownbr name ownother",
    bridge: "it is missing on the host",
    mend: "ip link del dev ownother",
  },
  "a link of another type": {
    edit: "ip link del dev ownbr; ip link add name ownbr type veth peer name ownpeer",
    bridge: "ownbr is there, but is no bridge: veth",
    mend: "ip link del dev ownpeer",
  },
};
row("22", "edits by hand", { cases: Object.keys(EDITS), few: 7 }, async (what) => {
  const { edit, table: ofTable = "", bridge: ofBridge = "", mend = ":" } = EDITS[what]!;
  const at = new Workstation(bed);
  const seen = async (type: string, name: string): Promise<string> => {
    const state = await at.stack.refresh(type, name).catch((error: Error) => error);
    if (!state) return "gone";
    return state instanceof Error
      ? state.message.replace(/^Unable to read \w+ "\w+" on [^ ]*: /, "")
      : (state.outputs.drift as string[]).join("; ");
  };
  const whole = async () => {
    at.stack.run();
    await at.up("NftTable", "own", {
      ...table(["tcp dport 1 drop", "tcp dport 2 drop"]),
      sets: { s: { type: "ipv4_addr", elements: ["10.0.0.1"] } },
    });
    await at.up("Bridge", "ownbr", { ports: ["port1"], addresses: ["10.7.0.1/24"] });
  };
  try {
    await whole();
    const good = await look(bed);
    await bed.sh(edit);
    at.stack.run();
    for (const [type, name, wanted] of [
      ["NftTable", "own", ofTable],
      ["Bridge", "ownbr", ofBridge],
    ] as const) {
      const said = await seen(type, name);
      if (said !== wanted) throw new Error(`drift of ${type}: ${said}`);
    }
    // What is not ours stands in the way until somebody takes it away.
    await bed.sh(mend);
    at.stack.run();
    await at.stack.refresh("Bridge", "ownbr");
    await whole();
    const { own } = await look(bed);
    const shape = (text: string) => text.replaceAll(/if\d+|^\d+|[0-9a-f]{2}(:[0-9a-f]{2}){5}/gm, "");
    if (differing(shape(good.own), shape(own)) !== "->")
      throw new Error(differing(shape(good.own), shape(own)));
    // What is gone already is no error.
    if (what === "a table deleted") await bed.sh(edit);
    await at.stack.run().destroy("NftTable", "own");
    await at.stack.destroy("Bridge", "ownbr");
  } finally {
    at.close();
    await bed.wipe();
  }
});

const MANY = process.env.HOSTNET_FAULTS
  ? [
      { hosts: 1, each: 16 },
      { hosts: 1, each: 1000 },
      { hosts: 100, each: 10 },
    ]
  : [
      { hosts: 1, each: 16 },
      { hosts: 1, each: 100 },
      { hosts: 4, each: 10 },
    ];
row(
  "24",
  "many resources on many hosts at once: one connection to each",
  { cases: MANY, few: 3 },
  async ({ hosts, each }) => {
    const beds = [bed];
    // A few at a time: a hundred machines do not boot in the same second.
    while (beds.length < hosts) {
      const more = Math.min(8, hosts - beds.length);
      beds.push(...(await Promise.all(Array.from({ length: more }, () => FaultBed.make()))));
    }
    const at = new Workstation(bed);
    const wanted = beds.flatMap(({ proxy: { port }, key, hostKey }, host) =>
      Array.from({ length: each }, (_, n) => ({
        name: `own${host}x${n}`,
        args: {
          connection: { host: "127.0.0.1", port, privateKey: key.private, hostKey: hostKey.public },
          family: "ipv4",
          priority: 50,
          from: `10.${n >> 8}.${n & 255}.0/24`,
          table: 99,
          confirm: { when: "never" },
        },
      })),
    );
    const count = async (connections: number, rules: number) => {
      for (const one of beds) {
        if (one.proxy.connections !== connections) throw new Error(`${one.proxy.connections} connections`);
        const there = (await one.sh("ip rule | grep -c '^50:' || :")).trim();
        if (there !== String(rules)) throw new Error(`${there} rules`);
      }
    };
    try {
      for (const { proxy } of beds) proxy.connections = 0;
      await Promise.all(wanted.map(({ name, args }) => at.up("PolicyRoute", name, args)));
      await count(1, each);
      at.stack.run();
      await Promise.all(wanted.map(({ name }) => at.stack.destroy("PolicyRoute", name)));
      await count(2, 0);
    } finally {
      at.close();
      for (const one of beds.slice(1)) one.close();
    }
  },
);

const FLOODS = {
  "1 GB on stdout": "head -c 1000000000 /dev/zero",
  "1 GB on stderr": "head -c 1000000000 /dev/zero >&2",
  "never ends": "sleep 1000",
  "never ends, and ignores TERM": "trap '' TERM; while :; do :; done",
};
row(
  "28",
  "floods, and what never ends",
  { cases: Object.keys(FLOODS) as (keyof typeof FLOODS)[], few: 2 },
  async (what) => {
    const connection = {
      host: "127.0.0.1",
      port: bed.proxy.port,
      hostKey: bed.hostKey.public,
      privateKey: bed.key.private,
    };
    const session = await connect(connection, {}, {});
    const memory = process.memoryUsage().rss;
    const ends = /ends/.test(what);
    const answer = await session
      .run(Buffer.from(`${FLOODS[what]}\n`), ends ? 1 : 60)
      .catch((error: Error) => error);
    if (
      ends
        ? !("code" in answer) || answer.code !== 124
        : !(answer instanceof Error) || !/printed more than 64 MiB/.test(answer.message)
    )
      throw new Error(String(answer));
    if (process.memoryUsage().rss - memory > 200e6) throw new Error("the memory grew");
    // The session goes on.
    const next = await session.run(Buffer.from("echo on\n"), 10);
    if (next.stdout.toString() !== "on\n") throw new Error(next.stdout.toString());
    session.close();
  },
);

row(
  "30",
  "canaries, with all processes looked at all the time",
  { cases: ["up", "fails"], few: 2 },
  async (how) => {
    const at = new Workstation(bed);
    const watching = bed.sh(
      "for n in $(seq 400); do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; sleep 0.002; done | sort -u",
    );
    const error = await at.up("NftTable", "own", table(how === "up" ? undefined : ["jump nowhere"])).then(
      () => undefined,
      (reason: Error) => reason,
    );
    if ((error === undefined) !== (how === "up")) throw new Error(String(error));
    await noSecrets(at, `${error?.stack}${await watching}`);
    if (how === "up") await at.stack.run().destroy("NftTable", "own");
    at.close();
  },
);
