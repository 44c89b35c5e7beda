import { generateKeyPairSync, type KeyObject } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { type AuthContext, utils } from "ssh2";
import { fingerprint, line } from "../../provider/host/known-hosts";
import type { Configuration, Connection, Session, SshOptions } from "../../provider/host/session";
import { NotSent, Refused } from "../../provider/host/target";
import { type Behaviour, connect, failure, Host, type KeyPair, keyPair, script } from "./server";

const KEY = keyPair();
const home = mkdtempSync(join(os.tmpdir(), "hostnet-home-"));
const open: { close(): void | Promise<void> }[] = [];

beforeAll(() => {
  jest.spyOn(os, "homedir").mockReturnValue(home);
  delete process.env.SSH_AUTH_SOCK;
});
beforeEach(() => {
  rmSync(join(home, ".ssh"), { recursive: true, force: true });
});
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});
afterAll(() => rmSync(home, { recursive: true }));

async function host(behaviour?: Behaviour): Promise<Host> {
  const made = await new Host(behaviour).listen();
  open.push(made);
  return made;
}

async function login(
  to: Host,
  connection: Partial<Connection> = {},
  ssh: SshOptions = {},
  configuration: Configuration = {},
): Promise<Session> {
  const base = { host: "127.0.0.1", port: to.port, hostKey: to.hostKey.public };
  const session = await connect({ connection: { ...base, ...connection }, ssh }, configuration);
  open.push(session);
  return session;
}

const accepts =
  (...keys: KeyPair[]) =>
  (attempt: AuthContext): void => {
    const known = keys.map((key) =>
      (utils.parseKey(key.public) as { getPublicSSH(): Buffer }).getPublicSSH(),
    );
    if (attempt.method === "publickey" && known.some((key) => key.equals(attempt.key.data))) attempt.accept();
    else attempt.reject(["publickey"]);
  };
const secret = (attempt: AuthContext): void => {
  if (attempt.method === "password" && attempt.password === "s3cret") attempt.accept();
  else attempt.reject(["password"]);
};
const blob = (key: KeyPair): Buffer =>
  (utils.parseKey(key.public) as { getPublicSSH(): Buffer }).getPublicSSH();
const pem = (kind: "ed25519" | "rsa" | "ec", passphrase?: string): string => {
  const options = { ed25519: {}, rsa: { modulusLength: 2048 }, ec: { namedCurve: "P-256" } }[kind];
  const { privateKey } = generateKeyPairSync(kind as "rsa", options as never);
  const cipher = passphrase ? { cipher: "aes-256-cbc", passphrase } : {};
  return (privateKey as unknown as KeyObject).export({ type: "pkcs8", format: "pem", ...cipher }) as string;
};

describe("credentials", () => {
  test("the first key goes alone, without asking what the host takes", async () => {
    const to = await host({ authenticate: accepts(KEY) });
    await login(to, { privateKey: KEY.private, password: "never sent" });
    // Once to ask, once with the signature.
    expect(to.attempts).toEqual(["publickey", "publickey"]);
  });

  test("connection, configuration, file: in this order, and passwords never where the host takes none", async () => {
    const [first, second] = [keyPair(), keyPair()];
    writeFileSync(join(home, "key"), KEY.private);
    const to = await host({ authenticate: accepts(KEY) });
    const ssh = { identityFile: "~/key" };
    const session = await login(to, { privateKey: first.private, password: "no" }, ssh, {
      privateKey: second.private,
    });
    expect((await session.run(script("echo in"), 5)).stdout.toString()).toBe("in\n");
    expect(new Set(to.attempts)).toEqual(new Set(["publickey"]));
  });

  test("the default key file, where nothing else is given", async () => {
    mkdirSync(join(home, ".ssh"));
    writeFileSync(join(home, ".ssh/id_ed25519"), KEY.private);
    const to = await host({ authenticate: accepts(KEY) });
    await login(to);
  });

  test("an agent", async () => {
    const { execFileSync, spawn } = await import("node:child_process");
    const socket = join(home, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    open.push({ close: () => void agent.kill() });
    for (let i = 0; i < 100 && !existsSync(socket); i++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(join(home, "for-agent"), KEY.private, { mode: 0o600 });
    execFileSync("ssh-add", ["-q", join(home, "for-agent")], {
      env: { ...process.env, SSH_AUTH_SOCK: socket },
    });
    const to = await host({ authenticate: accepts(KEY) });
    await login(to, { agentSocketPath: socket });
    process.env.SSH_AUTH_SOCK = socket;
    await login(to);
    // An agent that does not answer is passed over.
    delete process.env.SSH_AUTH_SOCK;
    writeFileSync(join(home, "no-agent"), "");
    const other = await host({ authenticate: secret });
    await login(other, { agentSocketPath: join(home, "no-agent"), password: "s3cret" });
  });

  test.each([
    ["ed25519", undefined],
    ["rsa", undefined],
    ["ec", undefined],
    ["ed25519", "pass"],
    ["rsa", "pass"],
  ] as const)("PKCS#8 %s, passphrase %s", async (kind, passphrase) => {
    const to = await host();
    await login(to, { privateKey: pem(kind, passphrase), privateKeyPassword: passphrase });
    expect(new Set(to.attempts)).toEqual(new Set(["publickey"]));
  });

  test("an encrypted key: with its password, without, with another", async () => {
    const { private: key } = utils.generateKeyPairSync("ed25519", {
      passphrase: "right",
      cipher: "aes256-ctr",
      rounds: 4,
    } as never);
    const to = await host();
    await login(to, { privateKey: key, privateKeyPassword: "right" });
    await login(to, {}, {}, { privateKey: key, privateKeyPassword: "right" });
    const without = await failure(login(to, { privateKey: key }));
    expect(without.message).toMatch(
      /^root@127\.0\.0\.1:\d+: connection\.privateKey is encrypted: set connection\.privateKeyPassword or/,
    );
    const wrong = await failure(login(to, {}, {}, { privateKey: key, privateKeyPassword: "wr0ng" }));
    expect(wrong).toBeInstanceOf(Refused);
    expect(wrong.message).toMatch(/hostnet:privateKey cannot be used: .*passphrase/);
    expect(wrong.message).not.toContain("wr0ng");
    expect(to.attempts).toHaveLength(4);
  });

  test("a password, sent once", async () => {
    const to = await host({ authenticate: secret });
    await login(to, { password: "s3cret" });
    await login(to, {}, {}, { password: "s3cret" });
    const error = await failure(login(to, { password: "wr0ng" }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toMatch(
      /the login was refused: .*tried connection\.password; the host accepts password/,
    );
    expect(error.message).not.toContain("wr0ng");
    expect(to.attempts).toEqual(["password", "password", "password"]);
  });

  test("a password where the host only asks questions", async () => {
    const answers: string[][] = [];
    const to = await host({
      authenticate(attempt) {
        if (attempt.method !== "keyboard-interactive") return attempt.reject(["keyboard-interactive"]);
        attempt.prompt(
          [
            { prompt: "Password: ", echo: false },
            { prompt: "Colour: ", echo: true },
          ],
          (given) => {
            answers.push(given);
            attempt.accept();
          },
        );
      },
    });
    await login(to, { password: "s3cret" });
    expect(answers).toEqual([["s3cret", ""]]);
  });

  test("a key and then a password, where the host wants both", async () => {
    const to = await host({
      authenticate(attempt) {
        if (attempt.method === "publickey")
          attempt.signature ? attempt.reject(["password"], true) : attempt.accept();
        else if (attempt.method === "password" && attempt.password === "s3cret") attempt.accept();
        else attempt.reject(["publickey"]);
      },
    });
    await login(to, { privateKey: KEY.private, password: "s3cret" });
  });

  test.each<[string, Partial<Connection>, SshOptions, string]>([
    ["nothing at all", {}, {}, "there is nothing to log in with"],
    ["no key", { privateKey: "hello" }, {}, "connection.privateKey is not a private key"],
    ["the public key", { privateKey: KEY.public }, {}, "connection.privateKey is a public key"],
    ["no such file", {}, { identityFile: "~/nowhere" }, "cannot read ssh.identityFile: ENOENT"],
    [
      "no such agent",
      { agentSocketPath: "/nowhere" },
      {},
      "there is no agent at connection.agentSocketPath /nowhere",
    ],
    [
      "a torn key",
      { privateKey: KEY.private.replace(/.{20}\n---/, "\n---") },
      {},
      "connection.privateKey cannot be used",
    ],
  ])("%s: refused before anything is sent", async (_name, connection, ssh, message) => {
    const to = await host();
    const error = await failure(login(to, connection, ssh));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(message);
    expect(error.message).toContain(`root@127.0.0.1:${to.port}`);
    expect(to.attempts).toEqual([]);
  });
});

describe("the host's key", () => {
  const password = "x";

  test("known, by hostKey and by file", async () => {
    const to = await host();
    await login(to, { password });
    await login(to, {
      password,
      hostKey: `# comment\n[127.0.0.1]:22 ${keyPair().public}\n${to.hostKey.public}`,
    });
    mkdirSync(join(home, ".ssh"));
    const text = line("127.0.0.1", to.port, blob(to.hostKey));
    writeFileSync(join(home, ".ssh/known_hosts"), text);
    await login(to, { password, hostKey: undefined });
    writeFileSync(join(home, "mine"), text);
    await login(to, { password, hostKey: undefined }, { knownHosts: "~/mine" });
  });

  test("unknown: refused with the fingerprint and what to write, before any credential is sent", async () => {
    const to = await host();
    const error = await failure(login(to, { password, hostKey: undefined }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(fingerprint(blob(to.hostKey)));
    expect(error.message).toContain(line("127.0.0.1", to.port, blob(to.hostKey)));
    expect(error.message).toContain(
      `set connection.hostKey to "ssh-ed25519 ${blob(to.hostKey).toString("base64")}"`,
    );
    expect(to.attempts).toEqual([]);
  });

  test("changed: refused with both fingerprints, even where new keys are accepted", async () => {
    const to = await host();
    const other = keyPair();
    const pinned = await failure(login(to, { password, hostKey: other.public }));
    writeFileSync(join(home, "changed"), `${line("127.0.0.1", to.port, blob(other))}\n`);
    const ssh = { knownHosts: "~/changed", acceptNewHostKey: true };
    const listed = await failure(login(to, { password, hostKey: undefined }, ssh));
    for (const error of [pinned, listed]) {
      expect(error).toBeInstanceOf(Refused);
      expect(error.message).toContain(fingerprint(blob(to.hostKey)));
      expect(error.message).toContain(fingerprint(blob(other)));
    }
    expect(listed.message).toContain(`${home}/changed:1`);
    expect(readFileSync(join(home, "changed"), "utf8").split("\n")).toHaveLength(2);
    expect(to.attempts).toEqual([]);
  });

  test("the host is asked for the pinned type only", async () => {
    const [ed25519, rsa] = [keyPair("ed25519"), keyPair("rsa")];
    const to = await host({ hostKeys: [ed25519, rsa] });
    await login(to, { password, hostKey: rsa.public });
    await login(to, { password, hostKey: ed25519.public });
    const only = await host({ hostKeys: [ed25519] });
    const error = await failure(login(only, { password, hostKey: rsa.public }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(
      `no key of the type that is known for [127.0.0.1]:${only.port}: ssh-rsa SHA256:`,
    );
  });

  test("revoked, and certificates", async () => {
    const to = await host();
    const text = line("127.0.0.1", to.port, blob(to.hostKey));
    writeFileSync(join(home, "revoked"), `${text}\n@revoked * ${to.hostKey.public}\n`);
    const ssh = { knownHosts: "~/revoked", acceptNewHostKey: true };
    const revoked = await failure(login(to, { password, hostKey: undefined }, ssh));
    expect(revoked.message).toMatch(/is revoked \(.*\/revoked:2\)/);
    writeFileSync(join(home, "certified"), `@cert-authority * ${keyPair().public}\n`);
    const certified = await failure(
      login(to, { password, hostKey: undefined }, { knownHosts: "~/certified" }),
    );
    expect(certified.message).toMatch(
      /only a certificate authority is known .*certificates cannot be verified\. .*set connection.hostKey to/,
    );
    writeFileSync(join(home, "certified"), `@cert-authority * ${keyPair().public}\n${text}\n`);
    await login(to, { password, hostKey: undefined }, { knownHosts: "~/certified" });
  });

  test("a new one is accepted where asked for, kept, and the same from then on", async () => {
    const to = await host();
    await login(to, { password, hostKey: undefined }, { acceptNewHostKey: true });
    const file = join(home, ".ssh/known_hosts");
    expect(readFileSync(file, "utf8")).toBe(`${line("127.0.0.1", to.port, blob(to.hostKey))}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(home, ".ssh")).mode & 0o777).toBe(0o700);
    await login(to, { password, hostKey: undefined });
    const second = await host();
    writeFileSync(join(home, "torn"), "# no newline here");
    await login(second, { password, hostKey: undefined }, { acceptNewHostKey: true, knownHosts: "~/torn" });
    expect(readFileSync(join(home, "torn"), "utf8").split("\n")).toHaveLength(3);
    symlinkSync("/nowhere/at/all", join(home, "dangling"));
    const error = await failure(
      login(second, { password, hostKey: undefined }, { acceptNewHostKey: true, knownHosts: "~/dangling" }),
    );
    expect(error.message).toContain("cannot keep the new host key");
  });

  test("a pin that is no key, a file that is not there", async () => {
    const to = await host();
    const pin = await failure(login(to, { password, hostKey: "ssh-ed25519 nonsense" }));
    expect(pin.message).toContain("connection.hostKey, line 1, is not a public key");
    const file = await failure(login(to, { password, hostKey: undefined }, { knownHosts: "/nowhere" }));
    expect(file.message).toContain("cannot read the known hosts: ENOENT");
    expect(to.tcpConnections).toBe(0);
  });
});

describe("through a proxy", () => {
  test("each with its own key and credentials; the password of the configuration is not for the proxy", async () => {
    const seen: string[] = [];
    const proxy = await host({
      authenticate(attempt) {
        if (attempt.method === "password") seen.push(attempt.password);
        accepts(KEY)(attempt);
      },
    });
    const to = await host({ authenticate: secret });
    const hop = {
      host: "127.0.0.1",
      port: proxy.port,
      hostKey: proxy.hostKey.public,
      privateKey: KEY.private,
    };
    const session = await login(to, { proxy: hop }, {}, { password: "s3cret" });
    expect((await session.run(script("echo through"), 5)).stdout.toString()).toBe("through\n");
    expect([proxy.tcpConnections, to.tcpConnections]).toEqual([1, 1]);
    expect(seen).toEqual([]);
    // Nobody else needs the proxy: it goes with the session.
    session.close();
    for (let i = 0; i < 100 && proxy.sockets.size > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(proxy.sockets.size).toBe(0);
  });

  test("its key is verified too, and the error names it", async () => {
    const proxy = await host();
    const to = await host();
    const hop = {
      host: "127.0.0.1",
      port: proxy.port,
      hostKey: keyPair().public,
      password: "x",
      user: "jump",
    };
    const error = await failure(login(to, { proxy: hop, password: "x" }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(`jump@127.0.0.1:${proxy.port}: the host key has changed`);
    const unknown = await failure(login(to, { proxy: { ...hop, hostKey: undefined }, password: "x" }));
    expect(unknown.message).toContain("set connection.proxy.hostKey to");
    expect([proxy.attempts, to.tcpConnections]).toEqual([[], 0]);
  });

  test("a host that does not answer it", async () => {
    const proxy = await host({ forwards: false });
    const hop = { host: "127.0.0.1", port: proxy.port, hostKey: proxy.hostKey.public, password: "x" };
    const error = await failure(login(proxy, { proxy: hop, password: "x", perDialTimeout: 0.2 }));
    expect(error).toBeInstanceOf(NotSent);
    expect(error.message).toContain("no answer within 0.2 s");
    for (let i = 0; i < 100 && proxy.sockets.size > 0; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(proxy.sockets.size).toBe(0);
  });

  test("a host that it cannot reach, and a proxy that goes", async () => {
    const proxy = await host();
    const to = await host();
    const hop = { host: "127.0.0.1", port: proxy.port, hostKey: proxy.hostKey.public, password: "x" };
    const error = await failure(login(to, { proxy: hop, password: "x", port: 1 }));
    expect(error).toBeInstanceOf(NotSent);
    expect(error.message).toContain(
      `root@127.0.0.1:1: cannot be reached through root@127.0.0.1:${proxy.port}`,
    );
    const session = await login(to, { proxy: hop, password: "x" });
    const run = failure(session.run(script("sleep 1"), 5));
    await new Promise((resolve) => setTimeout(resolve, 100));
    proxy.reset();
    expect((await run).name).toBe("UnknownOutcome");
    expect(session.alive).toBe(false);
  });
});

describe("the way in is barred", () => {
  test.each<[string, Behaviour, string]>([
    ["no exec", { noExec: true }, "the host runs no command for this user"],
    ["no session", { noSession: true }, "the host runs no command for this user"],
    [
      "nologin",
      { rewrite: () => "echo This account is currently not available.; exit 1" },
      "login shell lets nobody in",
    ],
    ["false", { shell: "false" }, "the login ended at once (exit 1) without running our command"],
    [
      "a forced command",
      { rewrite: () => "echo hello" },
      "is there a ForceCommand, or a login shell like false? The host says: hello",
    ],
  ])("%s", async (_name, behaviour, message) => {
    const to = await host(behaviour);
    const error = await failure(login(to, { password: "x" }));
    expect(error).toBeInstanceOf(Refused);
    expect(error.message).toContain(message);
    expect(error.message).toContain(`root@127.0.0.1:${to.port}: `);
  });
});
