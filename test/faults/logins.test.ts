// Rows 10 to 13, 23, 25 and 27: whom we meet, who we are there, and what a login leads to.
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { keyPair } from "../host/server";
import { FaultBed, MACHINE, sshdAt } from "./bed";
import { look, noSecrets, SUDO_PASSWORD, survives, Workstation } from "./oracles";
import { row } from "./table";

let bed: FaultBed;
let lastPort = 3000;
const other = keyPair();
beforeAll(async () => {
  bed = await FaultBed.make();
  await bed.sh(`echo 'ops:x:1500:1500::/home/ops:/bin/sh' >>/etc/passwd; echo 'ops:*:19000::::::' >>/etc/shadow; echo 'ops:x:1500:' >>/etc/group
    mkdir -p /home/ops; cp -r /root/.ssh /home/ops; chown -R 1500:1500 /home/ops
    echo 'ops:${SUDO_PASSWORD}' | chpasswd; rm -f /etc/sudoers.d/*; echo 'root ALL=(ALL) ALL' >/etc/sudoers
    grep -qx /usr/bin/fish /etc/shells || printf '/usr/bin/fish\\n/bin/tcsh\\n' >>/etc/shells`);
}, 60_000);
afterAll(() => {
  bed.close();
});

const table = (port = 1) => ({
  family: "inet",
  chains: { c: { type: "filter", hook: "forward", priority: 0, rules: [`tcp dport ${port} drop`] } },
});

/** An `up` that may fail with this error, and the next from a workstation where all is well; then it goes. */
async function logsIn(
  host: object,
  error?: RegExp,
  credentials?: Record<string, string>,
  mend?: () => unknown,
) {
  const bad = new Workstation(bed, host as Record<string, unknown>, {
    "hostnet:privateKey": bed.key.private,
    ...credentials,
  });
  const good = new Workstation(bed);
  try {
    await survives({
      at: good,
      fault: () =>
        bad.up("NftTable", "own", table()).then(() => {
          good.stack.resources.set(
            good.stack.urn("NftTable", "own"),
            bad.stack.resources.get(good.stack.urn("NftTable", "own"))!,
          );
        }),
      error,
      mend,
      again: () => good.up("NftTable", "own", table()),
    });
    await good.stack.run().destroy("NftTable", "own");
    await noSecrets(bad);
  } finally {
    bad.close();
    good.close();
  }
}

const named = () => `[127.0.0.1]:${bed.proxy.port}`;
const hashed = () => {
  const salt = Buffer.from("0123456789abcdefghij");
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(named()).digest("base64")}`;
};
const KEYS: Record<string, readonly [() => string, RegExp?]> = {
  "[host]:port": [() => `${named()} ${bed.hostKey.public}\n`],
  hashed: [() => `${hashed()} ${bed.hostKey.public}\n`],
  "another key": [() => `${named()} ${other.public}\n`, /host key|key/i],
  "no entry": [() => "\n", /host key|known/i],
  revoked: [() => `${named()} ${bed.hostKey.public}\n@revoked * ${bed.hostKey.public}\n`, /revoked/],
  "another type": [() => `${named()} ${keyPair("rsa").public}\n`, /key/i],
};
row(
  "10",
  "host keys: wrong, of another type, unknown, revoked, hashed, in the middle",
  { cases: [...Object.keys(KEYS), "in the middle"], few: 7 },
  async (name) => {
    if (name === "in the middle") {
      await bed.sh(`printf '%s' '${other.private}' >/run/sshd/other; chmod 600 /run/sshd/other; sed 's/key$/other/' /run/sshd/config >/run/sshd/middle
      ${sshdAt("192.0.2.1:2299", "-o LogLevel=VERBOSE", "middle")}`);
      const middle = await bed.through(2299);
      await logsIn({ connection: { port: middle.port } }, /host key.*SHA256:.*SHA256:/s);
      // Not a byte of a login.
      const log = await bed.sh("grep sshd /run/syslog");
      if (!/Connection from 192.0.2.9/.test(log)) throw new Error(`nobody came: ${log}`);
      if (/(Accepted|Failed|Postponed|Invalid user|Connection closed by authenticating)/.test(log))
        throw new Error(`a login was tried: ${log}`);
      return;
    }
    const [text, error] = KEYS[name]!;
    const file = join(bed.folder, "known");
    writeFileSync(file, text());
    await logsIn({ connection: { hostKey: undefined }, ssh: { knownHosts: file } }, error);
  },
);

row("11", "a wrong key, with 100 resources", { cases: [100], few: 1 }, async (count) => {
  const at = new Workstation(bed, {}, { "hostnet:privateKey": other.private });
  bed.proxy.connections = 0;
  const before = await look(bed);
  const all = await Promise.allSettled(
    Array.from({ length: count }, (_, n) => at.up("NftTable", `own${n}`, table())),
  );
  at.close();
  for (const one of all)
    if (
      one.status !== "rejected" ||
      !/^Unable to create NftTable "inet\/own\d+" on root@.*refused/.test(one.reason.message)
    )
      throw new Error(JSON.stringify(one));
  if (bed.proxy.connections !== 1) throw new Error(`${bed.proxy.connections} connections`);
  const after = await look(bed);
  if (after.own !== before.own || after.foreign !== before.foreign) throw new Error("the host changed");
});

const NOPASSWD = "ops ALL=(ALL) NOPASSWD: ALL";
const SUDO: Record<string, { rule: string; password?: string; error?: RegExp; command?: string }> = {
  "without a password": { rule: NOPASSWD },
  "with the password": { rule: "ops ALL=(ALL) ALL", password: SUDO_PASSWORD },
  "a password is missing": { rule: "ops ALL=(ALL) ALL", error: /sudo wants a password/ },
  "a wrong password": {
    rule: "ops ALL=(ALL) ALL",
    password: "canary-wrong-0x77",
    error: /sudo refused the password/,
  },
  "not in the sudoers": { rule: "", error: /do not let this user|wants a password/ },
  requiretty: { rule: `Defaults requiretty\n${NOPASSWD}`, error: /requiretty/ },
  "a lecture": { rule: "Defaults lecture=always\nops ALL=(ALL) ALL", password: SUDO_PASSWORD },
  "no sudo": { rule: NOPASSWD, command: "nosuchsudo", error: /no such command to become root/ },
};
row("12", "sudo", { cases: Object.keys(SUDO), few: 8 }, async (name) => {
  const { rule, password, error, command } = SUDO[name]!;
  await bed.sh(`printf '%s\\n' 'root ALL=(ALL) ALL' '${rule}' >/etc/sudoers; chmod 440 /etc/sudoers`);
  try {
    await logsIn(
      { connection: { user: "ops" }, ssh: { sudo: command ? { command } : true } },
      error,
      password ? { "hostnet:sudoPassword": password } : {},
    );
  } finally {
    await bed.sh(`echo 'root ALL=(ALL) ALL' >/etc/sudoers`);
  }
});

const SHELLS: Record<string, { shell?: string; rc?: string; error?: RegExp }> = {
  "an rc file that prints": { rc: "echo 'hello\\nMARK ok 0'; echo noise >&2" },
  "an rc file that is slow": { rc: "sleep 2" },
  "an rc file with another PATH and language": { rc: "export PATH=/bin LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8" },
  bash: { shell: "/bin/bash", rc: "echo noise" },
  fish: { shell: "/usr/bin/fish" },
  tcsh: { shell: "/bin/tcsh" },
  nologin: { shell: "/usr/sbin/nologin", error: /lets nobody in/ },
  false: { shell: "/bin/false", error: /login shell/ },
};
row(
  "13",
  "login shells, rc files, banners",
  { cases: [...Object.keys(SHELLS), "a banner"], few: 9 },
  async (name) => {
    const { shell = "/bin/bash", rc = "", error } = SHELLS[name] ?? {};
    await bed.sh(`printf '%s\\n' 'root ALL=(ALL) ALL' '${NOPASSWD}' >/etc/sudoers; chmod 440 /etc/sudoers
    echo "come in" >/run/sshd/banner; cp /run/sshd/banner /etc/motd
    sed -i 's|^\\(ops:.*:\\).*|\\1${shell}|' /etc/passwd; echo "${rc}" >/home/ops/.bashrc; chown 1500 /home/ops/.bashrc`);
    const greets = await (name === "a banner"
      ? bed.sshd(3500, { Banner: "/run/sshd/banner", PrintMotd: "yes" })
      : bed.through());
    await logsIn({ connection: { user: "ops", port: greets.port }, ssh: { sudo: true } }, error);
    await bed.sh("sed -i 's|^\\(ops:.*:\\).*|\\1/bin/sh|' /etc/passwd; rm /home/ops/.bashrc /etc/motd");
  },
);

const LIMITS: readonly { options: Record<string, string | number>; error?: RegExp }[] = [
  { options: { MaxSessions: 1 } },
  { options: { MaxSessions: 2 } },
  { options: { MaxSessions: 10 } },
  { options: { MaxStartups: "1:100:1" } },
  { options: { ForceCommand: "/bin/true" }, error: /ForceCommand/ },
  { options: { ForceCommand: "internal-sftp" }, error: /ForceCommand|command/ },
  { options: { MaxSessions: 0 }, error: /runs no command/ },
  { options: { LoginGraceTime: 1 } },
];
row("23", "limits of sshd", { cases: LIMITS, few: 8 }, async ({ options, error }) => {
  const proxy = await bed.sshd(++lastPort, options);
  await logsIn({ connection: { port: proxy.port } }, error);
});

row(
  "25",
  "address, port, user, key of the host change in the program",
  { cases: ["address", "port", "user", "key"], few: 4 },
  async (what) => {
    const at = new Workstation(bed);
    const third = keyPair();
    await bed.sh(
      `printf '%s\\n' 'root ALL=(ALL) ALL' '${NOPASSWD}' >/etc/sudoers; chmod 440 /etc/sudoers; echo '${third.public}' >>/root/.ssh/authorized_keys`,
    );
    await at.up("NftTable", "own", table());
    if (what === "address") at.host = { connection: { host: "localhost" } };
    else if (what === "port") {
      const proxy = await bed.sshd(4000, {});
      at.host = { connection: { port: proxy.port } };
    } else if (what === "user") at.host = { connection: { user: "ops" }, ssh: { sudo: true } };
    else at.host = { connection: { privateKey: third.private } };
    const { steps } = at.stack;
    await survives({
      at,
      fault: () => at.stack.run().up("NftTable", "own", at.args(table(2))),
      again: () => at.up("NftTable", "own", table(2)),
    });
    if (steps[1] !== "update own") throw new Error(steps.join());
    await at.stack.run().destroy("NftTable", "own");
    if ((await look(bed)).own.includes("own")) throw new Error("it is still there");
    at.close();
  },
);

const ANOTHER = "fedcba9876543210fedcba9876543210";
row(
  "27",
  "another machine behind the same address",
  { cases: ["read", "update", "delete", "create", "accepted"], few: 5 },
  async (verb) => {
    const at = new Workstation(bed);
    const { stack } = at;
    const others = { family: "ipv4", priority: 50, to: "10.7.0.0/24", table: 99 };
    const accepted = { ...table(2), acceptMachine: ANOTHER };
    const acts: Record<string, () => Promise<unknown>> = {
      read: () => stack.run().refresh("NftTable", "own"),
      update: () => stack.run().up("NftTable", "own", at.args(table(2))),
      delete: () => stack.run().destroy("NftTable", "own"),
      create: () => stack.run().up("PolicyRoute", "own", at.args(others)),
      accepted: () => stack.run().up("NftTable", "own", at.args(accepted)),
    };
    const goesAhead = verb === "create" || verb === "accepted";
    try {
      await at.up("NftTable", "own", table());
      // Another machine, or the same one reinstalled: nothing of ours is there.
      const former = await bed.sh("nft list table inet own; cat /etc/hostnet/objects/*");
      if (goesAhead) await bed.wipe();
      await bed.sh(`echo ${ANOTHER} >/etc/machine-id`);
      if (!goesAhead) {
        await survives({
          at,
          fault: acts[verb]!,
          error: new RegExp(
            `machine-id ${ANOTHER}, was ${MACHINE}.*replaceWith.*deletedWith.*acceptMachine`,
            "s",
          ),
          mend: () => bed.sh(`echo ${MACHINE} >/etc/machine-id`),
          again: () => at.up("NftTable", "own", table(2)),
        });
        return;
      }
      await acts[verb]!();
      const { own } = await look(bed);
      const made = verb === "create" ? own.includes("to 10.7.0.0/24") : own.includes("tcp dport 2 drop");
      if (!made || (verb === "create" && own.includes("table inet own")))
        throw new Error(`${former}\n---\n${own}`);
      if (verb === "create") await stack.run().destroy("PolicyRoute", "own");
      else await stack.run().destroy("NftTable", "own");
      if ((await look(bed)).own.includes("own")) throw new Error("it is still there");
    } finally {
      at.close();
      await bed.sh(`echo ${MACHINE} >/etc/machine-id`);
      await bed.wipe();
    }
  },
);
