// Rows 4 to 6: the provider, the shell on the host, or the whole login is killed.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { compiled } from "../compiled";
import { FaultBed } from "./bed";
import { survives, Workstation } from "./oracles";
import { row } from "./table";

const lanes: { at: Workstation; turn: number; bytes: number }[] = [];
beforeAll(async () => {
  compiled();
  const beds = await Promise.all([1, 2, 3].map(() => FaultBed.make()));
  for (const bed of beds) lanes.push({ at: new Workstation(bed), turn: 0, bytes: 0 });
}, 120_000);
afterAll(() => {
  for (const { at } of lanes) {
    at.close();
    at.bed.close();
  }
});

type Lane = (typeof lanes)[number];

/** Each turn another; `risky` ones wait for their confirmation. */
const table = (turn: number, risky: boolean, rules: readonly string[] = []) => ({
  family: "inet",
  name: risky ? "ownin" : "ownfw",
  chains: {
    c: {
      type: "filter",
      hook: risky ? "input" : "forward",
      priority: 0,
      rules: [`tcp dport ${1000 + turn} accept`, ...rules],
    },
    ...Object.fromEntries(
      Array.from({ length: 20 }, (_, n) => [`r${n}`, { rules: [`ip saddr 10.${turn % 200}.0.${n} drop`] }]),
    ),
  },
});

/** What `up` does, by the real provider process. Resolves when it has ended, however. */
async function apart(
  at: Workstation,
  name: string,
  args: Record<string, unknown>,
  started: (kill: () => void) => void,
) {
  const { stack } = at;
  const urn = stack.urn("NftTable", name);
  const old = stack.resources.get(urn);
  const inputs = { ...at.args(args), __provider: "p", __owner: urn, __resource: name };
  const json = { kind: "nftTable", config: at.credentials };
  const once = (verb: string, list: readonly unknown[]) =>
    new Promise<string>((resolve, reject) => {
      const child = spawn(process.execPath, [join(__dirname, "provider.cjs")], {
        stdio: ["pipe", "pipe", "pipe"],
      });
      let [out, err] = ["", ""];
      child.stdout.on("data", (data) => (out += data));
      child.stderr.on("data", (data) => (err += data));
      child.on("close", () =>
        out ? resolve(out) : reject(new Error(err || `Unable to ${verb} NftTable "x" on a@1: killed`)),
      );
      if (verb !== "check") started(() => child.kill("SIGKILL"));
      child.stdin.end(JSON.stringify({ ...json, verb, args: list }));
    });
  const checked = JSON.parse(await once("check", [old?.inputs ?? {}, inputs])).inputs;
  await once(
    ...((old ? ["update", [old.id, old.outputs, checked]] : ["create", [checked]]) as [string, unknown[]]),
  );
}

const steps = ([true, false] as const).flatMap((risky) =>
  Array.from({ length: 20 }, (_, n) => ({
    risky,
    share: (n + 0.5) / 20,
    side: n % 2 ? ("up" as const) : ("down" as const),
  })),
);
row(
  "4",
  "kill -9 of the provider",
  { cases: steps, few: 4, lanes },
  async ({ risky, share, side }, lane: Lane) => {
    const { at } = lane;
    const name = risky ? "in" : "fw";
    const up = (turn: number) => at.up("NftTable", name, table(turn, risky));
    await at.stack.run();
    // The first may make the table, or have to look.
    await up(++lane.turn);
    at.bed.proxy.mend();
    await up(++lane.turn);
    const usual = at.bed.proxy.bytes[side];
    const turn = ++lane.turn;
    let killed = false;
    await survives({
      at,
      fault: () =>
        apart(at, name, table(turn, risky), (kill) =>
          at.bed.proxy.cut({
            direction: side,
            // On a busy machine signs of life went along.
            after: Math.floor(usual * share * 0.95),
            how: () => {
              killed = true;
              kill();
            },
          }),
        ),
      error: /killed/,
      mend: () => at.bed.proxy.mend(),
      again: () => up(turn),
    });
    if (!killed) throw new Error("it was not killed");
  },
);

/** Kills the shell of the script some time after the change began. */
const KILL = (
  tenths: number,
) => `t=0; until [ -e /run/hostnet/pending/ready ]; do t=$((t + 1)); [ $t -lt 3000 ] || exit 1; sleep 0.002; done
sleep ${tenths / 1000}; for p in $(ps -eo pid=,args= | awk '$2 == "sh" && $3 ~ "^/run/hostnet/session" { print $1 }'); do kill -9 $p 2>/dev/null; done; :`;
const times = ([true, false] as const).flatMap((risky) =>
  Array.from({ length: 20 }, (_, n) => ({ risky, after: n * 8 })),
);
row(
  "5",
  "kill -9 of the shell on the host",
  { cases: times, few: 4, lanes },
  async ({ risky, after }, lane: Lane) => {
    const { at } = lane;
    const name = risky ? "in" : "fw";
    await at.stack.run();
    if (!at.stack.resources.has(at.stack.urn("NftTable", name)))
      await at.up("NftTable", name, table(lane.turn, risky));
    const turn = ++lane.turn;
    await survives({
      at,
      fault: async () => {
        const killing = at.bed.sh(KILL(after));
        await at.stack
          .run()
          .up("NftTable", name, at.args(table(turn, risky)))
          .finally(() => killing);
      },
      again: () => at.up("NftTable", name, table(turn, risky)),
    });
  },
);

row(
  "6",
  "HUP, TERM, KILL to the login while a change waits",
  { cases: ["HUP", "TERM", "KILL"], few: 3, lanes },
  async (signal, lane: Lane) => {
    const { at } = lane;
    await at.stack.run();
    const args = (rules: readonly string[]) => ({
      ...table(lane.turn, true, rules),
      confirm: { timeout: 5, allowLockout: true },
    });
    if (!at.stack.resources.has(at.stack.urn("NftTable", "in"))) await at.up("NftTable", "in", args([]));
    lane.turn++;
    // All of it: sshd's part, the login shell, the driver, the script.
    const killing = () =>
      at.bed.sh(`t=0; until [ -e /run/hostnet/pending/applied ]; do t=$((t + 1)); [ $t -lt 3000 ] || exit 1; sleep 0.005; done
      for p in $(ps -eo pid=,args= | awk '$1 != 1 && ($2 == "sshd:" || /[h]ostnet .*192.0.2|[s]ession\\./) { print $1 }'); do kill -${signal} $p 2>/dev/null; done; :`);
    await survives({
      at,
      fault: async () => {
        const killed = killing();
        await at.stack
          .run()
          .up("NftTable", "in", at.args(args(["ct state established accept", "ct state new drop"])))
          .finally(() => killed);
      },
      error: /taken back by the host itself.*Everything is as it was before/s,
      again: () => at.up("NftTable", "in", args([])),
    });
  },
);
