import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bridge } from "../../provider/bridge";
import { RunHosts } from "../../provider/hosts";
import { lifecycle } from "../../provider/lifecycle";
import { nftSet } from "../../provider/nft-set";
import { nftTable } from "../../provider/nft-table";
import { policyRoute } from "../../provider/policy-route";
import { sysctl } from "../../provider/sysctl";
import { vrf } from "../../provider/vrf";
import { Stack } from "../engine";
import type { FaultBed } from "./bed";

/** A host that faults are done to. */
export interface Bed {
  readonly proxy: { readonly port: number };
  /** That root logs in with. */
  readonly key: { readonly private: string };
  readonly hostKey: { readonly public: string };
  /** Another tool than ours, on the host. Throws when it fails. */
  sh(command: string): Promise<string>;
  /** A new login by OpenSSH. */
  login(seconds?: number): Promise<boolean>;
  /** Takes away what is ours, by hand, and puts right what others need. */
  wipe(): Promise<void>;
  /** The system's log. */
  log(): Promise<string>;
}

type Args = Record<string, unknown>;

/** Must never be seen anywhere but where it belongs. */
export const SUDO_PASSWORD = "canary-sudo-0x5ec2e7";

/** The log of all workstations. */
const LOGS = mkdtempSync(join(tmpdir(), "hostnet-log-"));
process.env.HOSTNET_LOG = join(LOGS, "log");
afterAll(() => rmSync(LOGS, { recursive: true }));

/** A workstation: one stack, on the way of the bed's proxy; each run is a provider of its own. */
export class Workstation<B extends Bed = FaultBed> {
  readonly stack: Stack;
  hosts = new RunHosts();

  /** @param host goes over what is usual: `connection`, `ssh`, `confirm` */
  constructor(
    readonly bed: B,
    public host: Args = {},
    readonly credentials: Readonly<Record<string, string>> = { "hostnet:privateKey": bed.key.private },
    name = "dev",
  ) {
    this.stack = new Stack(name, () => {
      this.hosts.close();
      const hosts = new RunHosts();
      this.hosts = hosts;
      hosts.configure((key) => this.credentials[`hostnet:${key}`]);
      return {
        Bridge: lifecycle(bridge, hosts),
        NftSet: lifecycle(nftSet, hosts),
        NftTable: lifecycle(nftTable, hosts),
        PolicyRoute: lifecycle(policyRoute, hosts),
        Sysctl: lifecycle(sysctl, hosts),
        Vrf: lifecycle(vrf, hosts),
      };
    });
  }

  args(args: Args): Args {
    const { connection, ...rest } = this.host;
    const usual = { host: "127.0.0.1", port: this.bed.proxy.port, hostKey: this.bed.hostKey.public };
    // Many hosts share this machine: a handshake may take its time.
    const dialling = { dialErrorLimit: 1, perDialTimeout: 15 };
    return {
      confirm: { timeout: 5 },
      ...rest,
      connection: { ...usual, ...dialling, ...(connection as Args) },
      ...args,
    };
  }

  up(type: string, name: string, args: Args) {
    return this.stack.up(type, name, this.args(args));
  }

  close(): void {
    this.hosts.close();
  }
}

export interface Look {
  /** What carries our names. */
  readonly own: string;
  /** All else. */
  readonly foreign: string;
}

export const LOOK = `nft -s list ruleset; echo; ip -d -o link; ip -o addr show scope global; ip rule; ip route show table all
cat /proc/sys/net/ipv4/ip_forward /etc/nftables.conf /root/.profile 2>/dev/null; find /etc/hostnet -type f 2>/dev/null | sort; :`;

/** All of the host, by other tools than ours. Ours is what is called "own…", and rules of priority 50 to 59. */
export async function look(bed: Bed): Promise<Look> {
  return parted(await bed.sh(LOOK));
}

/** What that prints. */
export function parted(said: string): Look {
  const text = said.replaceAll(
    /(_timer|gc_timer) +[\d.]+|tentative|state [A-Z]+|qdisc \w+|NO-CARRIER,|,LOWER_UP|,M-DOWN|designated_\S+ \S+|bridge_id \S+|linkdown|(valid|preferred)_lft \w+|promiscuity \d+|allmulti \d+/g,
    "",
  );
  const own: string[] = [];
  const foreign: string[] = [];
  for (const piece of text.split(/\n(?=table )|(?<=^\})\n/m)) {
    if (piece.startsWith("table ")) (/^table \w+ own/.test(piece) ? own : foreign).push(piece);
    else
      for (const line of piece.split("\n")) {
        // What comes a moment after a link; what comes with the first object, and what a change has there at work.
        if (/^(local )?fe80:|^\/etc\/hostnet\/(boot|remove-all|aside\/.*)$/.test(line)) continue;
        const isOwn = /\bown|^5\d:|^\/etc\/hostnet/.test(line);
        // A new link takes the next number, which nobody chose.
        (isOwn ? own : foreign).push(line.replace(/^\d+: (?=\w+[@:])|^\d+: (?=\w+ +inet)/, ""));
      }
  }
  return { own: own.join("\n"), foreign: foreign.join("\n").replaceAll(/\n+/g, "\n") };
}

export interface Trial {
  readonly at: Workstation<Bed>;
  /** The `up` that meets the fault. */
  readonly fault: () => Promise<unknown>;
  /** The next `up`. */
  readonly again: () => Promise<unknown>;
  /** Takes the fault away. */
  readonly mend?: () => unknown;
  /** What the error says beside resource and host; the `up` must fail. Left out, it may. */
  readonly error?: RegExp;
  /** How the host was left by it, and what was seen of that. Left out, it may be either. */
  readonly left?: { readonly as: "old" | "new"; readonly seen?: () => Promise<Look> };
  /** Others write their own rules anew meanwhile, in another order. */
  readonly reordered?: boolean;
  /** Seconds until a new login works, from the end of the `up`. */
  readonly within?: number;
}

/** The host is at rest: no change waits and no script runs. What a killed script left is taken back by the next to look. */
const REST = `t=0; while [ -e /run/hostnet/pending/open ] && [ $t -lt 100 ]; do t=$((t + 1)); sleep 0.1; done
[ ! -e /run/hostnet/lock ] || flock -w 30 -x /run/hostnet/lock true
[ ! -e /run/hostnet/pending/ready ] || sh /run/hostnet/pending/script undo >/dev/null 2>&1
# A link that went up again has its own address after a moment.
t=0; while ip -6 addr show tentative | grep -q inet6 && [ $t -lt 50 ]; do t=$((t + 1)); sleep 0.1; done`;

/** Says what is wrong; nothing when all six oracles hold. A host that did not survive is cleaned for the next trial. */
export async function survives(trial: Trial): Promise<void> {
  try {
    await survive(trial);
  } catch (error) {
    await trial.mend?.();
    await trial.at.bed.wipe();
    trial.at.stack.resources.clear();
    throw error;
  }
}

async function survive({
  at,
  fault,
  again,
  mend,
  error,
  left,
  reordered,
  within = 20,
}: Trial): Promise<void> {
  const { bed, stack } = at;
  const before = await look(bed);
  const failed = await fault().then(
    () => undefined,
    (reason: Error) => reason,
  );
  await mend?.();
  if (error && !failed) throw new Error("up succeeded");
  // O6
  const form = /^Unable to (create|read|update|delete) (\w+) "[^"]*" on \w+@[\d.]+(:\d+)?: ./;
  if (failed && !form.test(failed.message)) throw new Error(`O6: ${failed.stack}`);
  if (failed && error && !error.test(failed.message)) throw new Error(`O6: ${failed.message}`);
  // O3
  if (!(await bed.login(within))) throw new Error("O3: no new login");
  await bed.sh(REST);
  const after = await look(bed);
  // O4
  await stack.run();
  await again();
  const converged = await look(bed);
  // O1
  if (after.own !== before.own && after.own !== converged.own)
    throw new Error(
      `O1: between: ${differing(before.own, after.own)}\nand: ${differing(after.own, converged.own)}`,
    );
  if (left) {
    const { own } = (await left.seen?.()) ?? after;
    const wanted = (left.as === "old" ? before : converged).own;
    if (own !== wanted) throw new Error(`O1: not ${left.as}: ${differing(wanted, own)}`);
  }
  if (!failed && after.own !== converged.own)
    throw new Error(`O1: up succeeded, but\n${after.own}\n---\n${converged.own}`);
  stack.run();
  for (const [urn, { type }] of stack.resources) {
    const state = await stack.refresh(type, urn.split("::").at(-1)!);
    const drift = state?.outputs.drift as string[] | undefined;
    if (drift?.length !== 0) throw new Error(`O4: drift of ${urn}: ${drift?.join("; ") ?? "gone"}`);
  }
  const count = stack.steps.length;
  await again();
  const changes = stack.steps.slice(count).filter((step) => !step.startsWith("same "));
  if (changes.length > 0 && stack.resources.size > 0) throw new Error(`O4: the second up: ${changes.join()}`);
  // O2
  for (const { foreign } of [after, converged])
    if (foreign !== before.foreign && !(reordered && sorted(foreign) === sorted(before.foreign)))
      throw new Error(`O2: ${differing(before.foreign, foreign)}`);
  // O5
  await noSecrets(at, failed?.message);
}

const sorted = (text: string): string => text.split("\n").sort().join("\n");

export function differing(before: string, after: string): string {
  const [a, b] = [before.split("\n"), after.split("\n")];
  return [...a.filter((line) => !b.includes(line)), "->", ...b.filter((line) => !a.includes(line))].join(
    "\n",
  );
}

/** Command lines and environments, where none must stand. */
const PROCESSES = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' || :";

/** In errors, state, records, processes, both logs and the histories of the host's shells. */
export async function noSecrets({ bed, stack, credentials }: Workstation<Bed>, more = ""): Promise<void> {
  const texts = {
    error: more,
    state: JSON.stringify([...stack.resources]),
    host: await bed.sh(
      "grep -rs '' /etc/hostnet /run/hostnet; cat /root/.*history /home/*/.*history 2>/dev/null; :",
    ),
    system: await bed.log(),
    processes: await bed.sh(PROCESSES),
    log: readFileSync(process.env.HOSTNET_LOG!, "utf8"),
  };
  if (texts.log === "") throw new Error("O5: nothing was logged");
  const secrets = [
    SUDO_PASSWORD,
    ...Object.values(credentials).map((text) => text.split("\n").at(-3) ?? text),
  ];
  for (const [where, text] of Object.entries(texts))
    for (const secret of secrets) if (text.includes(secret)) throw new Error(`O5: a secret in ${where}`);
}
