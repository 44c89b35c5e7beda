import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { Hosts } from "../../provider/host/pool";
import { NotSent, Refused, type SshOptions, type Target } from "../../provider/host/target";
import { failure, Host, keyPair, pause, script } from "./server";

const home = mkdtempSync(join(os.tmpdir(), "hostnet-home-"));
let hosts: Hosts;
const open: Host[] = [];

beforeAll(() => {
  jest.spyOn(os, "homedir").mockReturnValue(home);
  delete process.env.SSH_AUTH_SOCK;
  mkdirSync(join(home, ".ssh"));
});
beforeEach(() => {
  config("");
  rmSync(join(home, ".ssh/known_hosts"), { force: true });
  hosts = new Hosts();
});
afterEach(async () => {
  hosts.close();
  for (const host of open.splice(0)) await host.close();
});
afterAll(() => rmSync(home, { recursive: true }));

/** Connects to nothing but the hosts of the test. */
async function start(n: number): Promise<Host[]> {
  const made = await Promise.all(Array.from({ length: n }, () => new Host().listen()));
  open.push(...made);
  return made;
}
const config = (text: string): void => writeFileSync(join(home, ".ssh/config"), text);
const trust = (...of: Host[]): void =>
  writeFileSync(
    join(home, ".ssh/known_hosts"),
    of.map(({ port, hostKey }) => `[127.0.0.1]:${port} ${hostKey.public}\n`).join(""),
  );
const hop = ({ port, hostKey }: Host) => ({
  host: "127.0.0.1",
  port,
  password: "x",
  hostKey: hostKey.public,
});
const behind = (host: Host, jumps: SshOptions["jumps"], ssh: SshOptions = {}): Target => ({
  ...host.target,
  ssh: { ...ssh, jumps },
});
const says = async (target: Target): Promise<string> =>
  (await (await hosts.session(target, {})).run(script("echo in"), 5)).stdout.toString();
const connections = (of: Host[]): number[] => of.map((host) => host.tcpConnections);

test("two hops, shared by the hosts behind them and by shorter ways, whatever else they want", async () => {
  const all = await start(5);
  const [outer, inner, one, two, three] = all as [Host, Host, Host, Host, Host];
  one.install("sudo", '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n');
  const chain = [hop(outer), hop(inner)];
  const replies = await Promise.all([
    says(behind(one, chain, { sudo: true })),
    says({ ...behind(two, [hop(outer)]), connection: { ...two.target.connection, proxy: hop(inner) } }),
    says(behind(three, [hop(outer)])),
  ]);
  expect(replies).toEqual(["in\n", "in\n", "in\n"]);
  expect(connections(all)).toEqual([1, 1, 1, 1, 1]);
  // A confirming connection is new to the host, and takes the way that is there.
  const old = await hosts.session(behind(two, chain), {});
  const renewed = await hosts.renew(behind(two, chain), {}, 5);
  expect((await renewed.run(script("echo new"), 5)).stdout.toString()).toBe("new\n");
  expect([old.alive, ...connections(all)]).toEqual([false, 1, 1, 1, 3, 1]);
});

test("it all goes with the last session", async () => {
  const all = await start(3);
  const [outer, inner, host] = all as [Host, Host, Host];
  const session = await hosts.session(behind(host, [hop(outer), hop(inner)]), {});
  session.close();
  for (let i = 0; i < 200 && all.some(({ sockets }) => sockets.size > 0); i++) await pause(10);
  expect(all.map(({ sockets }) => sockets.size)).toEqual([0, 0, 0]);
});

test("a wrong key at the second hop: nothing is authenticated there, nothing goes on; said once for all behind it", async () => {
  const all = await start(4);
  const [outer, inner, one, two] = all as [Host, Host, Host, Host];
  const chain = [hop(outer), { ...hop(inner), hostKey: keyPair().public }];
  for (const host of [one, two]) {
    const error = await failure(hosts.session(behind(host, chain), { password: "target's" }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(`root@127.0.0.1:${inner.port}: the host key has changed`);
  }
  expect([outer.attempts.length > 0, inner.attempts, one.attempts]).toEqual([true, [], []]);
  expect(connections(all)).toEqual([1, 1, 0, 0]);
});

test("an unknown key at a jump of ~/.ssh/config: the error says where to write it", async () => {
  const [jump, host] = (await start(2)) as [Host, Host];
  config(
    `Host way\n HostName 127.0.0.1\n Port ${jump.port}\nHost here\n HostName 127.0.0.1\n ProxyJump way\n`,
  );
  const target = { connection: { ...host.target.connection, host: "here" }, ssh: {} };
  writeFileSync(join(home, ".ssh/id_ed25519"), keyPair().private);
  const error = await failure(hosts.session(target, {}));
  expect(error.message).toContain(`root@127.0.0.1:${jump.port} (way): the host key is not known`);
  expect(error.message).toContain(
    `on the host, write to ${join(home, ".ssh/known_hosts")}: [127.0.0.1]:${jump.port}`,
  );
  expect([jump.attempts, host.tcpConnections]).toEqual([[], 0]);
});

test("a middle hop that is lost: the session ends, and the next takes the way anew", async () => {
  const all = await start(3);
  const [outer, inner, host] = all as [Host, Host, Host];
  const target = behind(host, [hop(outer), hop(inner)]);
  const session = await hosts.session(target, {});
  inner.reset();
  for (let i = 0; i < 200 && session.alive; i++) await pause(10);
  expect(session.alive).toBe(false);
  expect(await says(target)).toBe("in\n");
  expect(connections(all).slice(1)).toEqual([2, 2]);
});

test("a second hop that is down", async () => {
  const [outer, inner, host] = (await start(3)) as [Host, Host, Host];
  const { port } = inner;
  await inner.close();
  const target = behind(host, [hop(outer), hop(inner)]);
  const once = { ...target, connection: { ...target.connection, dialErrorLimit: 1 } };
  const error = await failure(hosts.session(once, {}));
  expect(error).toBeInstanceOf(NotSent);
  expect(error.message).toContain(`127.0.0.1:${port}`);
  expect(host.tcpConnections).toBe(0);
});

test("an alias with ProxyJump through an alias: names, users, keys, known hosts from the file; read once", async () => {
  const [jump, host] = (await start(2)) as [Host, Host];
  trust(jump);
  writeFileSync(join(home, ".ssh/other_hosts"), `web-key ${host.hostKey.public}\n`);
  writeFileSync(join(home, ".ssh/id_way"), keyPair().private);
  config(`
Host way
  HostName 127.0.0.1
  Port ${jump.port}
  User jumper
Host web
  HostName 127.0.0.1
  Port ${host.port}
  User admin
  ProxyJump way
  HostKeyAlias web-key
  UserKnownHostsFile ~/.ssh/other_hosts
Host *
  IdentityFile ~/.ssh/id_way
`);
  const target: Target = { connection: { host: "web" }, ssh: {} };
  expect(hosts.label(target)).toBe(`admin@127.0.0.1:${host.port} (web)`);
  expect(await says(target)).toBe("in\n");
  expect([jump.attempts, host.attempts]).toEqual(
    [["publickey"], ["publickey"]].map((a) => expect.arrayContaining(a)),
  );
  config("Host web\n HostName 192.0.2.1\n");
  expect(await says(target)).toBe("in\n");
  expect(connections([jump, host])).toEqual([1, 1]);
  expect(hosts.label({ ...target, ssh: { config: false } })).toBe("root@web");
});

test("the password of the stack's configuration reaches the target only", async () => {
  const passwords: string[] = [];
  const noting = (name: string) =>
    new Host({
      authenticate: (attempt) => {
        if (attempt.method === "password") passwords.push(`${name} ${attempt.password}`);
        if (attempt.method === "none") attempt.reject(["password"]);
        else attempt.accept();
      },
    }).listen();
  const [a, b, host] = (await Promise.all(["a", "b", "host"].map(noting))) as [Host, Host, Host];
  open.push(a, b, host);
  const { password, ...connection } = host.target.connection;
  const jumps = [
    { ...hop(a), password: "pa" },
    { ...hop(b), password: "pb" },
  ];
  await hosts.session({ connection, ssh: { jumps } }, { password: "stack's" });
  expect(passwords).toEqual(["a pa", "b pb", "host stack's"]);
});

test("IdentitiesOnly: of the agent's keys the host sees the named one alone", async () => {
  const [other, named] = [keyPair(), keyPair()];
  const seen: string[] = [];
  const host = await new Host({
    authenticate: (attempt) => {
      if (attempt.method !== "publickey") return attempt.reject(["publickey"]);
      seen.push(attempt.key.data.toString("base64"));
      attempt.accept();
    },
  }).listen();
  open.push(host);
  const socket = join(home, "agent");
  const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
  try {
    for (let i = 0; i < 100 && !existsSync(socket); i++) await pause(20);
    for (const key of [other, named]) {
      writeFileSync(join(home, "key"), key.private, { mode: 0o600 });
      execFileSync("ssh-add", ["-q", join(home, "key")], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
    }
    writeFileSync(join(home, ".ssh/named.pub"), named.public);
    trust(host);
    config(
      `Host web\n HostName 127.0.0.1\n Port ${host.port}\n IdentityAgent ${socket}\n IdentityFile ~/.ssh/named\n` +
        ` IdentitiesOnly yes\n`,
    );
    expect(await says({ connection: { host: "web" }, ssh: {} })).toBe("in\n");
    expect(new Set(seen)).toEqual(new Set([named.public.split(" ")[1]]));
  } finally {
    agent.kill();
  }
});

test("a directive that we cannot follow is remembered, and nothing is dialled", async () => {
  const [host] = (await start(1)) as [Host];
  config("Host 127.*\n  ProxyCommand nc %h %p\n");
  const error = await failure(hosts.session(host.target, {}));
  expect(error).toBeInstanceOf(Refused);
  expect(error.message).toContain("127.0.0.1: ~/.ssh/config: ProxyCommand nc %h %p, which is not supported");
  expect(host.tcpConnections).toBe(0);
  expect(await says({ ...host.target, ssh: { config: false } })).toBe("in\n");
});
