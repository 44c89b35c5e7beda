import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandLine, noGreeting, plain } from "../../provider/host/driver";
import type { Session, SshOptions } from "../../provider/host/session";
import { Refused } from "../../provider/host/target";
import { type Behaviour, connect, failure, Host, script } from "./server";

const open: { close(): void | Promise<void> }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function start(behaviour?: Behaviour): Promise<Host> {
  const host = await new Host(behaviour).listen();
  open.push(host);
  return host;
}
async function login(host: Host, ssh: SshOptions, sudoPassword?: string): Promise<Session> {
  const session = await connect({ ...host.target, ssh }, { sudoPassword });
  open.push(session);
  return session;
}

/** A sudo that lets in whoever knows the password, and one more try, as sudo does. */
const SUDO = `#!/bin/sh
case $1 in -n) echo "sudo: a password is required" >&2; exit 1 ;; esac
prompt=$3; shift 4
for try in 1 2; do
  printf %s "$prompt" >&2; IFS= read -r given
  [ "$given" = 'p w"\\d' ] && exec "$@"
  echo "Sorry, try again." >&2
done
echo "sudo: 2 incorrect password attempts" >&2; exit 1
`;

describe("the text", () => {
  test("passes through any login shell", () => {
    const line = commandLine("0123", true);
    expect(line).not.toMatch(/[!\\\n]/);
    expect(line.match(/'/g)).toHaveLength(2);
    expect(line.length).toBeLessThan(2000);
  });

  const shells = ["dash", "bash", "busybox", "tcsh", "fish", "zsh"].filter(
    (shell) => spawnSync(shell, ["--help"]).error === undefined,
  );
  test.each(shells.filter((shell) => shell !== "busybox"))("%s as login shell", async (shell) => {
    const session = await login(await start({ shell }), {});
    expect((await session.run(script("echo in"), 5)).stdout.toString()).toBe("in\n");
  });

  test.each(shells.filter((shell) => shell === "dash" || shell === "bash" || shell === "busybox"))(
    "%s as the host's sh",
    async (shell) => {
      const sh = shell === "busybox" ? "busybox sh" : shell;
      const session = await login(
        await start({ rewrite: (command) => command.replace("exec sh -c", `exec ${sh} -c`) }),
        {},
      );
      const replies = await Promise.all(
        [1, 2, 3].map((n) => session.run(script(`printf ${n}; echo err${n} >&2; exit ${n}`), 5)),
      );
      expect(replies.map(({ code, stdout, stderr }) => `${code} ${stdout} ${stderr}`)).toEqual([
        "1 1 err1\n",
        "2 2 err2\n",
        "3 3 err3\n",
      ]);
    },
  );
});

const busybox = spawnSync("busybox", ["true"]).status === 0;
(busybox ? test : test.skip)("a host that has busybox and nothing else", async () => {
  const host = await start({
    rewrite: (command) =>
      command.replace(/PATH=\S+/, `PATH=${host.folder}/applets`).replace("exec sh", "exec busybox sh"),
  });
  const applets = join(host.folder, "applets");
  spawnSync("sh", [
    "-c",
    `mkdir ${applets} && busybox --install -s ${applets} && ln -sf "$(command -v flock)" ${applets}/`,
  ]);
  const session = await login(host, {});
  const data = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
  const text = Buffer.concat([script(`tail -c ${data.length} "$0"; echo err >&2; exit 3\n`), data]);
  for (let i = 0; i < 3; i++) {
    const reply = await session.run(text, 5);
    expect([reply.code, reply.stdout.equals(data), reply.stderr.toString()]).toEqual([3, true, "err\n"]);
  }
  // Its timeout stops the shell alone, once the command under way has ended, and exits with 143.
  const late = await session.run(
    script("trap 'echo undone; exit 9' TERM; for i in 1 2 3 4 5; do sleep 1; done"),
    1,
  );
  expect([late.code === 124 || late.code === 9, late.stdout.toString()]).toEqual([true, "undone\n"]);
});

describe("sudo", () => {
  test("without a password", async () => {
    const host = await start();
    host.install("sudo", '#!/bin/sh\n[ "$1 $2" = "-n --" ] || exit 9\nshift 2; exec "$@"\n');
    const session = await login(host, { sudo: true });
    expect((await session.run(script("echo in"), 5)).stdout.toString()).toBe("in\n");
  });

  test("another command, with options", async () => {
    const host = await start();
    host.install("doas", '#!/bin/sh\n[ "$1 $2 $3 $4" = "-u root -n --" ] || exit 9\nshift 4; exec "$@"\n');
    await login(host, { sudo: { command: "doas -u root" } });
    const plainly = await start();
    plainly.install("sudo", '#!/bin/sh\nshift 2; exec "$@"\n');
    await login(plainly, { sudo: {} });
  });

  test("with a password, answered when asked, and the script's stdin is untouched by it", async () => {
    const host = await start();
    host.install("sudo", SUDO);
    const session = await login(host, { sudo: true }, 'p w"\\d');
    expect((await session.run(script("cat; echo in"), 5)).stdout.toString()).toBe("in\n");
    expect(host.commands.join()).not.toContain("p w");
  });

  test("with a password that is not asked for: it is not sent", async () => {
    const host = await start();
    host.install("sudo", '#!/bin/sh\nshift 4; exec "$@"\n');
    const session = await login(host, { sudo: true }, "unused");
    expect((await session.run(script("echo in"), 5)).stdout.toString()).toBe("in\n");
  });

  test("a wrong password is sent once", async () => {
    const host = await start();
    host.install(
      "sudo",
      SUDO.replace("IFS= read -r given", `IFS= read -r given; echo x >>${host.folder}/tries`),
    );
    const error = await failure(login(host, { sudo: true }, "wr0ng"));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain("sudo refused the password of hostnet:sudoPassword.");
    expect(error.message).not.toContain("wr0ng");
    expect(spawnSync("cat", [join(host.folder, "tries")]).stdout.toString()).toBe("x\n");
  });

  test.each([
    ["sudo: a password is required", 1, "sudo wants a password: set hostnet:sudoPassword"],
    ["sudo: sorry, you must have a tty to run sudo", 1, "remove requiretty"],
    ["bob is not in the sudoers file.", 1, "the sudoers do not let this user run sh as root"],
    ["Sorry, user bob is not allowed to execute '/bin/sh' as root on host.", 1, "the sudoers do not let"],
    ["sudo: 1 incorrect password attempt", 1, "sudo refused the password"],
    ["env: 'sudo': No such file or directory", 127, "there is no such command to become root with"],
    [
      "env: can't execute 'doas': No such file or directory",
      127,
      "there is no such command to become root with",
    ],
    ["doas: Authentication required", 1, "sudo wants a password"],
  ])("%s", async (said, code, told) => {
    const host = await start();
    writeFileSync(join(host.folder, "said"), said);
    host.install("sudo", `#!/bin/sh\ncat ${host.folder}/said >&2; exit ${code}\n`);
    const error = await failure(login(host, { sudo: true }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(told);
    expect(error.message).toContain(`The host says: ${said}`);
  });

  test("no sudo at all", async () => {
    const host = await start({ rewrite: (command) => command.replace(" sudo ", " no-such-sudo ") });
    const error = await failure(login(host, { sudo: true }));
    expect(error.message).toContain(
      "there is no such command to become root with: install sudo, or log in as root.",
    );
  });

  test.each(["a;b", "$(x)", "  "])("a command %j is refused", async (command) => {
    const host = await start();
    const error = await failure(login(host, { sudo: { command } }));
    expect(error.message).toContain("ssh.sudo.command is to be a command and its options");
    expect(host.tcpConnections).toBe(0);
  });

  test("a password with a line break is refused", async () => {
    const error = await failure(login(await start(), { sudo: true }, "a\nb"));
    expect(error.message).toBe("hostnet:sudoPassword has a line break in it");
  });
});

describe("a host that lacks what it takes", () => {
  const uid = (command: string) => command.replace("u=0", "u=1000");
  test.each<[string, (command: string) => string, SshOptions, string]>([
    [
      "root, and sudo was not asked for",
      uid,
      {},
      "the user is not root (uid 1000): log in as root, or set ssh.sudo to true.",
    ],
    ["flock", (c) => c.replace("for c in flock", "for c in flock-x"), {}, "the host lacks flock-x"],
    [
      "a readable machine-id",
      (c) => c.replace(/<\S+machine-id;/, "</nowhere;"),
      {},
      "/etc/machine-id cannot be read or is empty",
    ],
    [
      "a sound machine-id",
      (c) => c.replace(/<\S+machine-id;/, "</proc/version;"),
      {},
      "/etc/machine-id cannot be read",
    ],
    [
      "a folder",
      (c) => c.replace(/mkdir -p -m 700 \S+/, "mkdir -p -m 700 /proc/x"),
      {},
      "cannot make a folder in /run/hostnet. The host says: mkdir:",
    ],
  ])("%s", async (_name, rewrite, ssh, message) => {
    const host = await start({ rewrite });
    const error = await failure(login(host, ssh));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(`root@127.0.0.1:${host.port}: ${message}`);
    expect(await host.left()).toEqual([]);
  });

  test("each tool is named with its package", async () => {
    for (const [tool, from] of [
      ["flock", "util-linux"],
      ["sha256sum", "coreutils"],
      ["timeout", "coreutils"],
    ]) {
      const hide = (command: string) => command.replace("command -v $c", `[ $c != ${tool} ]`);
      const error = await failure(login(await start({ rewrite: hide }), {}));
      expect(error.message).toContain(`the host lacks ${tool}: install the package ${from}.`);
    }
  });
});

test("what a host says is fit for a terminal", () => {
  expect(plain("\x1b[31mred\x07 \xc3\xa9\n")).toBe("[31mred é");
  expect(plain("x".repeat(1000))).toHaveLength(400);
  expect(noGreeting(null, "", "")).toBe(
    "the login ended at once (exit unknown) without running our command: is there a ForceCommand, or a login shell like false?",
  );
});
