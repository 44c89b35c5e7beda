// Rows 7, 21 and 26, which take a whole machine: it loses its power, other tools configure it meanwhile, its clock jumps.
import { Machine } from "./machine";
import { survives, Workstation } from "./oracles";
import { row, whole } from "./table";

let at: Workstation<Machine>;
const all: Workstation<Machine>[] = [];
const station = async (suite?: string): Promise<Workstation<Machine>> => {
  // Its processes take fifty times what others take.
  const one = new Workstation(await Machine.start(suite), { confirm: { timeout: 20 } });
  all.push(one);
  return one;
};
beforeAll(async () => {
  at = await station();
}, 600_000);
afterAll(async () => {
  for (const one of all) {
    one.close();
    await one.bed.stop();
  }
});

type Args = Record<string, unknown>;
type Kind = "Bridge" | "NftTable" | "PolicyRoute";
const NAMES: Readonly<Record<Kind, string>> = { Bridge: "ownbr", NftTable: "ownin", PolicyRoute: "ownrule" };

/** Each turn another; the table waits for its confirmation. */
const KINDS: Readonly<Record<Kind, (turn: number) => Args>> = {
  Bridge: (turn) => ({
    ports: ["ownport"],
    addresses: [`10.9.${turn}.1/24`, `2001:db8:${turn}::1/64`],
    routes: [{ destination: `10.10.${turn}.0/24`, gateway: `10.9.${turn}.9` }],
  }),
  NftTable: (turn) => ({
    family: "inet",
    chains: {
      in: { type: "filter", hook: "input", priority: 0, rules: [`tcp dport ${1000 + turn} accept`] },
      ...Object.fromEntries(
        Array.from({ length: 20 }, (_, n) => [`r${n}`, { rules: [`ip saddr 10.${turn}.0.${n} drop`] }]),
      ),
    },
  }),
  PolicyRoute: (turn) => ({ family: "ipv4", priority: 50, fwmark: turn, table: 5000 }),
};
let turn = 0;

const up = (kind: Kind, now: number, more: Args = {}) =>
  at.up(kind, NAMES[kind], { name: NAMES[kind], ...KINDS[kind](now), ...more });

/** As it is before a fault: not there, or as the turn before made it. */
async function prepared(kind: Kind, verb: "create" | "update"): Promise<void> {
  at.stack.run();
  const there = at.stack.resources.has(at.stack.urn(kind, NAMES[kind]));
  if (verb === "create" && there) await at.stack.destroy(kind, NAMES[kind]);
  if (verb === "update" && !there) await up(kind, ++turn);
}

const P = "/run/hostnet/pending";
/** What stands when the machine loses its power. The shell looks by itself: a process takes as long as a step. */
const MOMENTS = {
  "in the middle of the steps": `until { read -r x <${P}/u0; } 2>/dev/null && [ "$x" = begun ]; do :; done`,
  "a moment later": `until { read -r x <${P}/u0; } 2>/dev/null && [ "$x" = begun ]; do :; done; sleep 0.02`,
  "applied, not confirmed": `until [ -s ${P}/applied ]; do :; done`,
  "confirmed, not recorded": `until [ -e ${P}/confirmed ]; do :; done`,
  "after success": undefined,
} as const;
type Moment = keyof typeof MOMENTS;
const RESET = "echo b >/proc/sysrq-trigger";

const cuts = (Object.keys(MOMENTS) as Moment[]).flatMap((moment) =>
  (["NftTable", "Bridge"] as const).flatMap((kind) =>
    kind === "Bridge" && /confirmed/.test(moment)
      ? []
      : (["update", "create"] as const).map((verb) => ({ moment, kind, verb })),
  ),
);
row("7", "the machine loses its power", { cases: cuts, few: 3 }, async ({ moment, kind, verb }) => {
  await prepared(kind, verb);
  const now = ++turn;
  const boot = await at.bed.vm.bootId();
  const when = MOMENTS[moment];
  await survives({
    at,
    fault: async () => {
      if (when !== undefined) await at.bed.behind(`${when}; ${RESET}`);
      at.stack.run();
      // It fails, or goes on when the machine is there again.
      await up(kind, now);
      if (when === undefined) await at.bed.vm.ssh(RESET, { timeout: 5 }).catch(() => {});
    },
    mend: () => at.bed.vm.bootedSince(boot),
    left: { as: when === undefined ? "new" : "old", seen: () => at.bed.seen() },
    again: () => up(kind, now),
  });
});

/** Other tools, which end with what they began with. */
const WRITERS = {
  "systemctl restart nftables": "NftTable",
  "systemctl reload nftables": "NftTable",
  "systemctl restart systemd-networkd": "Bridge",
  "systemctl restart systemd-networkd  # sweeps rules": "PolicyRoute",
  "virsh -q net-destroy other; virsh -q net-start other": "NftTable",
  "virsh -q net-destroy other; virsh -q net-start other  # links": "Bridge",
  "for n in 1 2 3 4 5 6 7 8 9; do iptables -w -N OTHERS; iptables -w -A OTHERS -j RETURN; iptables -w -F OTHERS; iptables -w -X OTHERS; done":
    "NftTable",
} as const;
/** It looks for its chains only when it starts. */
const LIBVIRT = "systemctl restart libvirtd; virsh -q net-start other 2>/dev/null";

/** @param first what makes it ready: none of them is to answer another one */
async function writesMeanwhile(writer: string, kind: Kind, first = ":"): Promise<void> {
  const command = writer.replace(/#.*/, "");
  await prepared(kind, "update");
  // Once beforehand, for what stays of it.
  await at.bed.sh(`${first}; ${command}; sleep 3`);
  if (kind === "NftTable")
    await at.bed.sh("until nft list table inet ownin >/dev/null 2>&1; do sleep 0.2; done");
  const now = ++turn;
  await survives({
    at,
    fault: async () => {
      await at.bed.sh("rm -f /run/written");
      await at.bed.behind(`until [ -e ${P}/ready ]; do :; done; ${command}; echo $? >/run/written`);
      at.stack.run();
      await up(kind, now);
    },
    mend: async () => {
      await at.bed.sh("until [ -s /run/written ]; do sleep 0.2; done; [ $(cat /run/written) = 0 ]");
      await at.bed.sh("until networkctl list theirs | grep -q configured; do sleep 0.2; done");
    },
    reordered: command.includes("docker"),
    again: () => up(kind, now),
  });
}

row(
  "21",
  "other tools write meanwhile",
  { cases: Object.keys(WRITERS) as (keyof typeof WRITERS)[], few: 2 },
  (writer) => writesMeanwhile(writer, WRITERS[writer], writer.startsWith("virsh") ? LIBVIRT : undefined),
);

/** What is done to the clock while a change waits for its confirmation, in vain. */
const CLOCKS = {
  "a day on": "date -s @$(($(date +%s) + 86400))",
  "a day back": "date -s @$(($(date +%s) - 86400))",
  suspended: "rtcwake -m mem -s 4",
};
row(
  "26",
  "the clock jumps while a change waits",
  { cases: Object.keys(CLOCKS) as (keyof typeof CLOCKS)[], few: 1 },
  async (jump) => {
    await prepared("NftTable", "create");
    const now = ++turn;
    const args = {
      family: "inet",
      chains: { in: { type: "filter", hook: "input", priority: 0, rules: ["ct state new drop"] } },
      confirm: { timeout: 10, allowLockout: true },
    };
    await survives({
      at,
      fault: async () => {
        await at.bed.sh("rm -f /run/ended");
        await at.bed.behind(`until [ -s ${P}/applied ]; do sleep 0.05; done; read -r due <${P}/applied
          ${CLOCKS[jump]} >/dev/null
          while [ -e ${P}/open ]; do sleep 0.05; done; read -r now _ </proc/uptime; echo "$due $now" >/run/ended`);
        at.stack.run();
        await up("NftTable", now, args);
      },
      error: /taken back by the host itself.*Everything is as it was before/s,
      mend: () => at.bed.sh(`date -s @${Math.floor(Date.now() / 1000)}`),
      left: { as: "old" },
      again: () => up("NftTable", now),
    });
    const [due, ended] = (await at.bed.sh("cat /run/ended")).split(" ").map(Number) as [number, number];
    const late = ended - due / 100;
    if (late < 0 || late > 1) throw new Error(`it was taken back ${late} s after its time`);
  },
);

/** Those of the next Debian, which only `npm run faults` has. NetworkManager leaves the uplink to networkd, which has it. */
const MANAGERS: Readonly<Record<string, readonly [kind: Kind, first?: string]>> = {
  "systemctl restart NetworkManager": ["Bridge"],
  "systemctl restart NetworkManager  # rules": ["PolicyRoute"],
  "firewall-cmd --reload": ["NftTable", "systemctl start firewalld"],
  "systemctl restart firewalld": ["NftTable", "systemctl start firewalld"],
  // It may not start too often.
  "systemctl reset-failed docker; systemctl restart docker": ["NftTable", "systemctl stop firewalld"],
  "systemctl reset-failed docker; systemctl restart docker  # links": ["Bridge", "systemctl stop firewalld"],
};
if (whole) {
  describe("Debian 13", () => {
    beforeAll(async () => {
      at = await station("trixie");
      await at.bed.sh(`printf '[keyfile]\\nunmanaged-devices=interface-name:en*\\n' >/etc/NetworkManager/conf.d/lab.conf
        systemctl start NetworkManager`);
    }, 600_000);
    row(
      "21",
      "NetworkManager, firewalld and docker write meanwhile",
      { cases: Object.keys(MANAGERS), few: 2 },
      (writer) => writesMeanwhile(writer, ...MANAGERS[writer]!),
    );
  });
}
