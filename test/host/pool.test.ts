import { createServer } from "node:net";
import { Hosts, label } from "../../provider/host/pool";
import type { Target } from "../../provider/host/session";
import { NotSent, Refused } from "../../provider/host/target";
import { type Behaviour, failure, Host, keyPair, pause, script } from "./server";

let hosts: Hosts;
const open: Host[] = [];

beforeEach(() => {
  delete process.env.SSH_AUTH_SOCK;
  hosts = new Hosts();
});
afterEach(async () => {
  hosts.close();
  for (const host of open.splice(0)) await host.close();
});

async function start(behaviour?: Behaviour): Promise<Host> {
  const host = await new Host(behaviour).listen();
  open.push(host);
  return host;
}
const many = <T>(make: (n: number) => T): T[] => Array.from({ length: 100 }, (_, n) => make(n));
const wanting = (target: Target, connection: Partial<Target["connection"]>): Target => ({
  ...target,
  connection: { ...target.connection, ...connection },
});

test.each([
  [{ host: "10.0.0.5" }, "root@10.0.0.5"],
  [{ host: "10.0.0.5", port: 22, user: "admin" }, "admin@10.0.0.5"],
  [{ host: "10.0.0.5", port: 2222 }, "root@10.0.0.5:2222"],
  [{ host: "fd00::5" }, "root@fd00::5"],
  [{ host: "fd00::5", port: 2222 }, "root@[fd00::5]:2222"],
])("%j is %s in errors", (connection, text) => {
  expect(label({ connection })).toBe(text);
});

test("a hundred callers share one connection, and so does whoever comes later", async () => {
  const host = await start();
  const sessions = await Promise.all(many(() => hosts.session(structuredClone(host.target), {})));
  expect(new Set(sessions).size).toBe(1);
  const { connection, ssh } = host.target;
  const reordered = {
    ssh,
    connection: Object.fromEntries(Object.entries(connection).reverse()),
  } as unknown as Target;
  expect(await hosts.session(reordered, {})).toBe(sessions[0]);
  const replies = await Promise.all(sessions.map((session, n) => session.run(script(`echo ${n}`), 5)));
  expect(replies.map(({ stdout }) => stdout.toString())).toEqual(many((n) => `${n}\n`));
  expect([host.tcpConnections, host.commands.length]).toEqual([1, 1]);
});

test("other users, credentials and options have a connection of their own", async () => {
  const host = await start();
  const targets = [
    host.target,
    wanting(host.target, { user: "admin" }),
    wanting(host.target, { password: "b" }),
  ];
  const sessions = await Promise.all(targets.map((target) => hosts.session(target, {})));
  sessions.push(await hosts.session(host.target, { password: "c" }));
  expect(new Set(sessions).size).toBe(4);
});

test("a dead session is replaced by a new one, once", async () => {
  const host = await start();
  const first = await hosts.session(host.target, {});
  host.reset();
  await pause(50);
  const sessions = await Promise.all(many(() => hosts.session(host.target, {})));
  expect(new Set(sessions).size).toBe(1);
  expect(sessions[0]).not.toBe(first);
  expect(host.tcpConnections).toBe(2);
  expect((await sessions[0]!.run(script("echo on"), 5)).stdout.toString()).toBe("on\n");
});

test("a failed login is remembered: a hundred resources make one attempt", async () => {
  const host = await start({ authenticate: (attempt) => attempt.reject(["password"]) });
  const together = await Promise.all(many(() => failure(hosts.session(host.target, {}))));
  for (let i = 0; i < 20; i++) together.push(await failure(hosts.session(host.target, {})));
  expect(together.every((error) => error instanceof Refused)).toBe(true);
  expect([host.tcpConnections, host.attempts]).toEqual([1, ["password"]]);
});

test("a host key refused, and a sudo that refuses, are remembered too", async () => {
  const host = await start();
  const target = wanting(host.target, { hostKey: keyPair().public });
  for (let i = 0; i < 20; i++) expect(await failure(hosts.session(target, {}))).toBeInstanceOf(Refused);
  expect([host.tcpConnections, host.attempts]).toEqual([1, []]);
  const other = await start();
  other.install("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n");
  const asking = { ...other.target, ssh: { sudo: true } };
  for (let i = 0; i < 20; i++) expect(await failure(hosts.session(asking, {}))).toBeInstanceOf(Refused);
  expect(other.tcpConnections).toBe(1);
});

test("a host that hangs up while a password is tried is not asked again", async () => {
  const host = await start({ authenticate: () => host.reset() });
  expect(await failure(hosts.session(host.target, {}))).toBeInstanceOf(Refused);
  expect(await failure(hosts.session(host.target, {}))).toBeInstanceOf(Refused);
  expect(host.tcpConnections).toBe(1);
});

test("a host that is not up yet is tried again, as often as told", async () => {
  const host = await start();
  const { port } = host;
  await host.close();
  open.pop();
  const target = wanting(host.target, { dialErrorLimit: 3 });
  const error = await failure(hosts.session(target, {}));
  expect(error).toBeInstanceOf(NotSent);
  expect(error.message).toBe(
    `root@127.0.0.1:${port}: cannot connect: connect ECONNREFUSED 127.0.0.1:${port}`,
  );

  const late = new Host({ hostKeys: [host.hostKey] });
  open.push(late);
  const session = new Hosts().session(host.target, {});
  await pause(300);
  await late.listen(port);
  expect((await (await session).run(script("echo up"), 5)).stdout.toString()).toBe("up\n");
  (await session).close();
});

test("connections that are dropped are tried again; a limit ends it; later callers look once", async () => {
  let dropped = 0;
  const dropping = createServer((socket) => {
    dropped++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => dropping.listen(0, "127.0.0.1", resolve));
  const { port } = dropping.address() as { port: number };
  const target: Target = {
    connection: { host: "127.0.0.1", port, password: "x", hostKey: keyPair().public, dialErrorLimit: 4 },
    ssh: {},
  };
  expect(await failure(hosts.session(target, {}))).toBeInstanceOf(NotSent);
  expect(dropped).toBe(4);
  expect(await failure(hosts.session(target, {}))).toBeInstanceOf(NotSent);
  expect(dropped).toBe(5);
  dropping.close();
});

test("a host that takes the connection and says nothing", async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as { port: number };
  const connection = { host: "127.0.0.1", port, password: "x", hostKey: keyPair().public, dialErrorLimit: 1 };
  const begin = Date.now();
  const error = await failure(
    hosts.session({ connection: { ...connection, perDialTimeout: 0.3 }, ssh: {} }, {}),
  );
  expect(error).toBeInstanceOf(NotSent);
  expect(error.message).toContain("Timed out while waiting for handshake");
  expect(Date.now() - begin).toBeLessThan(2000);
  silent.close();
});

test("all hosts behind a jump host share one connection to it", async () => {
  const jump = await start();
  const behind = await Promise.all([start(), start(), start()]);
  const proxy = { host: "127.0.0.1", port: jump.port, password: "x", hostKey: jump.hostKey.public };
  const sessions = await Promise.all(
    behind.map((host) => hosts.session(wanting(host.target, { proxy }), {})),
  );
  const replies = await Promise.all(sessions.map((session) => session.run(script("echo in"), 5)));
  expect(replies.map(({ stdout }) => stdout.toString())).toEqual(["in\n", "in\n", "in\n"]);
  expect([jump, ...behind].map((host) => host.tcpConnections)).toEqual([1, 1, 1, 1]);
  // It went with the last session, and comes again with the next.
  for (const session of sessions) session.close();
  for (let i = 0; i < 100 && jump.sockets.size > 0; i++) await pause(10);
  expect(jump.sockets.size).toBe(0);
  await hosts.session(wanting(behind[0]!.target, { proxy }), {});
  expect(jump.tcpConnections).toBe(2);
});
