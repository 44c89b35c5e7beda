import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "ssh2";
import { HostnetError, UnknownOutcome } from "../../provider/errors";
import { commandLine } from "../../provider/host/driver";
import { KEEPALIVE } from "../../provider/host/link";
import type { Session } from "../../provider/host/session";
import { NotSent } from "../../provider/host/target";
import { type Behaviour, connect, failure, Host, MACHINE, pause, script } from "./server";

let host: Host;
let session: Session;

async function start(behaviour: Behaviour = {}): Promise<Session> {
  host = await new Host(behaviour).listen();
  session = await connect(host.target, {});
  return session;
}

beforeAll(() => {
  KEEPALIVE.interval = 0.2;
});

afterEach(async () => {
  session?.close();
  await host.close();
});

describe("a script", () => {
  beforeEach(() => start());

  test("greeting, exit code, both streams", async () => {
    expect(session.greeting).toEqual({
      uid: 0,
      machineId: MACHINE,
      bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
      way: {
        client: "127.0.0.1",
        clientPort: 50000,
        server: "127.0.0.1",
        port: expect.any(Number),
        gateway: undefined,
        links: ["lo"],
        // Whoever comes from the host itself may be a forwarder there.
        tunnelled: true,
      },
    });
    const reply = await session.run(script("echo out; echo err >&2; exit 3"), 10);
    expect(reply).toEqual({ code: 3, stdout: Buffer.from("out\n"), stderr: Buffer.from("err\n") });
  });

  test("binary and UTF-8 come back byte for byte", async () => {
    const data = Buffer.concat([randomBytes(300_000), Buffer.from("é€😀\n\n\0")]);
    const text = Buffer.concat([script(`tail -c ${data.length} "$0"; exit\n`), data]);
    const { code, stdout, stderr } = await session.run(text, 10);
    expect(code).toBe(0);
    expect(stdout.equals(data)).toBe(true);
    expect(stderr).toHaveLength(0);
  });

  test.each([
    ["empty", "", 0, ""],
    ["with stdin read to its end", "cat; echo end", 0, "end\n"],
    ["with stdin closed", "exec <&-; echo end", 0, "end\n"],
    ["that kills itself", "kill -9 $$", 137, ""],
    ["without a newline at the end", "printf 'a\n\n'; printf b", 0, "a\n\nb"],
    ["whose output looks like a frame", 'echo "$(basename ${0%/*})-1 0 5 5"; echo 0 0 0', 0, undefined],
    ["that is no shell text", "\0\u0001)(", 2, ""],
  ])("%s", async (_name, text, code, stdout) => {
    const reply = await session.run(script(text), 10);
    expect(reply.code === 0).toBe(code === 0);
    if (stdout !== undefined) expect(reply.stdout.toString()).toBe(stdout);
    expect((await session.run(script("echo next"), 10)).stdout.toString()).toBe("next\n");
  });

  test("a child that keeps stdout open neither delays the answer nor gets into the next", async () => {
    const begin = Date.now();
    const text = "(sleep 0.3; echo late; sleep 5) & echo now";
    expect((await session.run(script(text), 10)).stdout.toString()).toBe("now\n");
    expect(Date.now() - begin).toBeLessThan(2000);
    expect((await session.run(script("sleep 0.6; echo next"), 10)).stdout.toString()).toBe("next\n");
  });

  test("has a clean folder of its own, which goes with the session", async () => {
    const text = "umask; pwd; ls -A ${0%/*}; touch ${0%/*}/mine ${0%/*}/.mine; echo ${0%/*}";
    const lines = (await session.run(script(text), 10)).stdout.toString().trim().split("\n");
    expect(lines.slice(0, -1)).toEqual(["0022", "/", ".err", ".out", "script"]);
    const folder = lines.at(-1)!;
    const { stdout } = await session.run(script("ls -A ${0%/*}; stat -c %a ${0%/*} ${0%/*}/.."), 10);
    expect(stdout.toString().trim().split("\n").slice(-2)).toEqual(["700", "700"]);
    expect(stdout.toString()).not.toMatch(/^mine$/m);
    session.close();
    for (let i = 0; i < 100 && existsSync(folder); i++) await pause(20);
    expect(existsSync(folder)).toBe(false);
  });

  test("fifty at once run one after the other, each with its own answer, on one connection", async () => {
    const file = join(host.folder, "log");
    const runs = Array.from({ length: 50 }, (_, i) =>
      session.run(script(`echo begin ${i} >>${file}; echo ${i}; echo end ${i} >>${file}`), 10),
    );
    const replies = await Promise.all(runs);
    expect(replies.map((reply) => reply.stdout.toString())).toEqual(
      Array.from({ length: 50 }, (_, i) => `${i}\n`),
    );
    const log = readFileSync(file, "utf8").trim().split("\n");
    expect(log).toEqual(Array.from({ length: 50 }, (_, i) => [`begin ${i}`, `end ${i}`]).flat());
    expect(host.tcpConnections).toBe(1);
    expect(host.commands).toHaveLength(1);
  });

  test("10 MB go there and are run whole", async () => {
    const data = randomBytes(10_000_000);
    const text = Buffer.concat([script(`tail -c ${data.length} "$0" | sha256sum; exit\n`), data]);
    const { stdout } = await session.run(text, 60);
    expect(stdout.toString()).toBe(`${createHash("sha256").update(data).digest("hex")}  -\n`);
  });

  test("64 MiB of output is taken, a byte more is an error, and the session lives on", async () => {
    const most = 64 * 1024 * 1024;
    expect((await session.run(script(`head -c ${most} /dev/zero`), 30)).stdout).toHaveLength(most);
    expect((await session.run(script(`head -c ${most} /dev/zero >&2`), 30)).stderr).toHaveLength(most);
    for (const stream of ["", ">&2"]) {
      const error = await failure(session.run(script(`head -c ${most + 1} /dev/zero ${stream}; exit 4`), 30));
      expect(error).toBeInstanceOf(HostnetError);
      expect(error).not.toBeInstanceOf(UnknownOutcome);
      expect(error.message).toMatch(
        /root@127\.0\.0\.1:\d+: the script ended with 4, and printed more than 64 MiB/,
      );
    }
    expect((await session.run(script("echo on"), 10)).stdout.toString()).toBe("on\n");
  });

  test("at its limit it gets TERM, and may still undo", async () => {
    const text = "trap 'echo undone; exit 9' TERM; echo begun; sleep 20; echo never";
    const reply = await session.run(script(text), 1);
    expect(reply.code).toBe(124);
    expect(reply.stdout.toString()).toBe("begun\nundone\n");
    expect((await session.run(script("echo on"), 10)).stdout.toString()).toBe("on\n");
  });

  test("an exit like the limit's, before the limit, stays what it is", async () => {
    expect((await session.run(script("exit 143"), 10)).code).toBe(143);
  });

  test("a session that was closed says so, and nothing was sent", async () => {
    session.close();
    expect(session.alive).toBe(false);
    expect(await failure(session.run(script("echo"), 10))).toBeInstanceOf(NotSent);
  });
});

describe("a cut", () => {
  beforeEach(() => start());

  test("in the middle of a script: the outcome is unknown, those behind it were not sent, the script ends", async () => {
    const file = join(host.folder, "done");
    const first = failure(
      session.run(script(`echo x >${file}.begun; sleep 0.5; echo a; echo x >${file}`), 10),
    );
    const second = failure(session.run(script(`echo x >${file}2`), 10));
    while (!existsSync(`${file}.begun`)) await pause(10);
    host.reset();
    const error = await first;
    expect(error).toBeInstanceOf(UnknownOutcome);
    expect(error.message).toMatch(
      /root@127\.0\.0\.1:\d+: the connection was lost: .*what the script did is not known/,
    );
    expect(await second).toBeInstanceOf(NotSent);
    expect(session.alive).toBe(false);
    for (let i = 0; i < 100 && !existsSync(file); i++) await pause(20);
    expect(existsSync(file)).toBe(true);
    expect(existsSync(`${file}2`)).toBe(false);
    expect(await host.left()).toEqual([]);
  });

  test("before anything was sent: may be tried again", async () => {
    host.reset();
    await pause(50);
    expect(session.alive).toBe(false);
    expect(await failure(session.run(script("echo"), 10))).toBeInstanceOf(NotSent);
  });

  test("FIN instead of RST", async () => {
    const run = failure(session.run(script("sleep 1"), 10));
    await pause(100);
    for (const socket of host.sockets) socket.end();
    expect(await run).toBeInstanceOf(UnknownOutcome);
  });

  test("the driver killed", async () => {
    const run = failure(session.run(script("kill -9 $(ps -o ppid= $(ps -o ppid= $$)); sleep 1"), 10));
    expect(await run).toBeInstanceOf(UnknownOutcome);
    expect(session.alive).toBe(false);
  });

  test("silence is noticed after three signs of life without an answer", async () => {
    const run = failure(session.run(script("sleep 3"), 90));
    await pause(100);
    const begin = Date.now();
    host.silence();
    const error = await run;
    expect(error).toBeInstanceOf(UnknownOutcome);
    expect(error.message).toContain("fallen silent");
    expect(Date.now() - begin).toBeLessThan(1500);
  });
});

test("a payload cut at every point runs nothing, and leaves nothing", async () => {
  host = await new Host().listen();
  const file = join(host.folder, "ran");
  const text = script(`main() {\n: ${"x".repeat(4000)}\n}\necho x >>${file}\n`.padEnd(20_000, "#"));
  // Straight to the driver: a header that promises more than comes.
  const header = `${text.length} ${createHash("sha256").update(text).digest("hex")} 10 m\n`;
  const whole = Buffer.concat([Buffer.from(header), text]);
  const points = Array.from({ length: 20 }, (_, i) => Math.floor((i * whole.length) / 20));
  for (const point of points) {
    await new Promise<void>((resolve, reject) => {
      const client = new Client();
      client.on("error", () => {});
      client.on("close", () => resolve());
      client.on("ready", () => {
        client.exec(commandLine("mark", false), (error, channel) => {
          if (error) return reject(error);
          channel.once("data", () => {
            channel.write(whole.subarray(0, point));
            setTimeout(() => host.reset(), 20);
          });
        });
      });
      client.connect({ host: "127.0.0.1", port: host.port, username: "root", password: "x" });
    });
  }
  expect(await host.left()).toEqual([]);
  expect(existsSync(file)).toBe(false);
});

describe("the way to the host", () => {
  test.each([
    ["short", "aaaa"],
    // Of all bytes then, whatever the name of the folder.
    ["long, and therefore compressed", randomBytes(100_000).toString("base64")],
  ])("what arrives damaged does not run: %s", async (_, text) => {
    await start({ rewrite: (command) => command.replaceAll("head -c $n", "head -c $n | tr a b") });
    const file = join(host.folder, "ran");
    const error = await failure(session.run(script(`: ${text}; echo x >${file}`), 10));
    expect(error).toBeInstanceOf(NotSent);
    expect(error.message).toContain("could not be stored whole on the host, and did not run");
    expect(existsSync(file)).toBe(false);
    expect(session.alive).toBe(false);
  });

  test("a full disk is noticed before anything runs, and named", async () => {
    await start({ rewrite: (command) => command.replace(">$d/script", ">/dev/full") });
    const error = await failure(session.run(script("echo x"), 10));
    expect(error).toBeInstanceOf(NotSent);
    expect(error.message).toContain("No space left on device");
  });

  test("an answer out of step breaks the session", async () => {
    await start({ rewrite: (command) => command.replace("echo $m $r $o $e", "echo $m $r -1 $e") });
    expect(await failure(session.run(script("echo x"), 10))).toBeInstanceOf(UnknownOutcome);
    expect(session.alive).toBe(false);
  });

  test("a script that takes its folder away", async () => {
    await start();
    expect(await failure(session.run(script("rm -rf ${0%/*}"), 10))).toBeInstanceOf(UnknownOutcome);
  });

  test("what the login shell prints before is noise, on stderr it is no failure", async () => {
    const noise = `echo "Welcome !"; head -c 100000 /dev/zero; printf "no newline"; echo warn >&2; `;
    await start({ rewrite: (command) => `${noise}${command}` });
    expect((await session.run(script("echo ok"), 10)).stdout.toString()).toBe("ok\n");
  });

  test("a login environment without sbin, in another language", async () => {
    await start({ environment: { LANG: "tr_TR.UTF-8", LC_ALL: "tr_TR.UTF-8", PATH: "/usr/bin:/bin" } });
    const { stdout } = await session.run(script("echo $PATH $LC_ALL"), 10);
    expect(stdout.toString()).toBe("/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin C\n");
  });

  test("the process may end while the session is idle, not while a script runs", async () => {
    host = await new Host().listen();
    session = await connect(host.target, {});
    // Sockets of ours that keep the process: those of the server, and ours only during a run.
    const ours = () =>
      (process as unknown as { _getActiveHandles(): { remotePort?: number; hasRef?(): boolean }[] })
        ._getActiveHandles()
        .filter((handle) => handle.remotePort === host.port);
    expect(ours()).toHaveLength(0);
    const run = session.run(script("sleep 0.2"), 10);
    expect(ours()).toHaveLength(1);
    await run;
    expect(ours()).toHaveLength(0);
  });
});
