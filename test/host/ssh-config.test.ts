import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { hopsOf, type Surroundings } from "../../provider/host/ssh-config";
import { readSshConfig } from "../../provider/host/ssh-config-file";
import { type Connection, labelHop, Refused, type SshOptions } from "../../provider/host/target";

const home = mkdtempSync(join(os.tmpdir(), "hostnet-home-"));
beforeAll(() => {
  jest.spyOn(os, "homedir").mockReturnValue(home);
});
beforeEach(() => {
  rmSync(join(home, ".ssh"), { recursive: true, force: true });
  mkdirSync(join(home, ".ssh", "config.d"), { recursive: true });
});
afterAll(() => rmSync(home, { recursive: true }));

const around: Surroundings = { home: "/h", user: "me", environment: { KEYS: "/keys", SOCK: "/run/agent" } };
const write = (text: string, name = "config"): void => writeFileSync(join(home, ".ssh", name), text);

/** What is said of the way to "web", without what the program says. */
function way(text: string, connection: Partial<Connection> = {}, ssh: SshOptions = {}) {
  write(text);
  return hopsOf({ connection: { host: "web", ...connection }, ssh }, readSshConfig(), around);
}
const web = (text: string, connection?: Partial<Connection>, ssh?: SshOptions): object => {
  const { field, ...hop } = way(text, connection, ssh).at(-1)!;
  expect(field).toBe("connection");
  return hop;
};
const refusal = (text: string, connection?: Partial<Connection>, ssh?: SshOptions): string => {
  try {
    way(text, connection, ssh);
  } catch (error) {
    expect(error).toBeInstanceOf(Refused);
    return (error as Error).message;
  }
  throw new Error("not refused");
};

const named = { host: "10.0.0.5", alias: "web" };

test.each<[string, string, object]>([
  ["nothing", "", { host: "web" }],
  ["another host's lines", "Host other\n  HostName 10.0.0.9\n  Port 22x", { host: "web" }],
  [
    "an alias",
    "Host web\n  HostName 10.0.0.5\n  User admin\n  Port 2222",
    { ...named, user: "admin", port: 2222 },
  ],
  ["any spelling", "hOsT web\nhostname=10.0.0.5\nUSER = admin", { ...named, user: "admin" }],
  [
    "the first value counts",
    "Host w*\n  Port 1\nHost web\n  Port 2\nHost *\n Port 3",
    { host: "web", port: 1 },
  ],
  ["a negated pattern", "Host * !web\n  Port 1\nHost a web\n  Port 2", { host: "web", port: 2 }],
  ["tokens in HostName", "Host web\n HostName %h.example.org", { host: "web.example.org", alias: "web" }],
  [
    "files: ~, tokens, variables, quotes, more than one, none twice",
    'Host web\n  HostName 10.0.0.5\n  User u\n  IdentityFile "~/my keys/%r@%h"\n  IdentityFile ${KEYS}/%n:%p%%%u\n' +
      "  IdentityFile ~/a\n  IdentityFile %d/a",
    { ...named, user: "u", identityFiles: ["/h/my keys/u@10.0.0.5", "/keys/web:22%me", "/h/a"] },
  ],
  ["IdentityFile none", "Host web\n  IdentityFile none", { host: "web", identityFiles: [] }],
  [
    "known hosts and an alias for them",
    "Host web\n  UserKnownHostsFile ~/k /etc/k2\n  HostKeyAlias www",
    { host: "web", knownHosts: ["/h/k", "/etc/k2"], hostKeyAlias: "www" },
  ],
  ["only these keys", "Host web\n  IdentitiesOnly yes", { host: "web", identitiesOnly: true }],
  ["an agent", "Host web\n  IdentityAgent ~/agent.sock", { host: "web", identityAgent: "/h/agent.sock" }],
  ["an agent of a variable", "Host web\n  IdentityAgent $SOCK", { host: "web", identityAgent: "/run/agent" }],
  ["no agent", "Host web\n  IdentityAgent none", { host: "web", identityAgent: "" }],
  ["a family", "AddressFamily inet6", { host: "web", family: 6 }],
  [
    "Match host, by HostName",
    "Host web\n hostname 10.0.0.5\nMatch host 10.*\n Port 7",
    { ...named, port: 7 },
  ],
  ["Match originalhost and user", "Match originalhost web user root\n Port 7", { host: "web", port: 7 }],
  ["Match of another user", "Match user other\n Port 7", { host: "web" }],
  ["Match all", "Match all\n Port 7", { host: "web", port: 7 }],
  [
    "what is none of our business",
    "Host *\n ForwardAgent yes\n ControlMaster auto\n StrictHostKeyChecking no\n ServerAliveInterval 5\n ProxyCommand none",
    { host: "web" },
  ],
  ["Match exec that says nothing of it", "Match exec false\n ForwardAgent yes", { host: "web" }],
  ["a ProxyCommand of another host", "Host other\n ProxyCommand nc %h", { host: "web" }],
  ["Match exec for another host", "Match originalhost other exec true\n Port 7", { host: "web" }],
])("%s", (_name, text, expected) => {
  expect(web(text)).toEqual(expected);
});

test("what the program says wins", () => {
  const text =
    "Host web\n HostName 10.0.0.5\n User admin\n Port 2222\n ProxyJump gone\nMatch user me\n HostKeyAlias x";
  expect(web(text, { user: "me", port: 22, agentSocketPath: "/a" })).toEqual({
    ...{ ...named, user: "me", port: 22, agentSocketPath: "/a", hostKeyAlias: "x" },
  });
  expect(way(text, {}, { jumps: [] })).toHaveLength(1);
  const through = way(text, { proxy: { host: "p" } }, { jumps: [{ host: "j", port: 1 }, { host: "k" }] });
  expect(through.map(({ field, host }) => [field, host])).toEqual([
    ["ssh.jumps[0]", "j"],
    ["ssh.jumps[1]", "k"],
    ["connection.proxy", "p"],
    ["connection", "10.0.0.5"],
  ]);
  // The user that the program leaves out is root, for Match too.
  expect(web("Match user root\n Port 7\nMatch user x\n Port 8")).toEqual({ host: "web", port: 7 });
});

test("ProxyJump: outermost first, each an alias; the outermost's own is followed", () => {
  const text = `
Host web
  ProxyJump j@a:2201,ssh://[fd00::1]:7/,c
Host a
  HostName 10.1.0.1
  User not-me
  ProxyJump outer
Host outer
  HostName 10.9.0.1
Host c
  User cu
  ProxyJump not-followed
`;
  expect(way(text).map(labelHop)).toEqual([
    "root@10.9.0.1 (outer)",
    "j@10.1.0.1:2201 (a)",
    "root@[fd00::1]:7",
    "cu@c",
    "root@web",
  ]);
  expect(way("Host web\n ProxyJump none\nHost *\n ProxyJump x")).toHaveLength(1);
  // So it is for a jump that the program names.
  expect(way(text, { proxy: { host: "a" } }).map(({ host }) => host)).toEqual([
    "10.9.0.1",
    "10.1.0.1",
    "web",
  ]);
});

test.each<[string, RegExp]>([
  ["Host *\n ProxyJump bastion", /goes in a circle: web → bastion → bastion.*write Host \* !bastion/],
  ["Host web\n ProxyJump a\nHost a\n ProxyJump web", /circle: web → a → web/],
  ["Host web\n ProxyJump a:b:c", /^web: .*"a:b:c" is not \[user@\]host\[:port\]/],
  ["Host web\n ProxyJump %h-jump", /is not \[user@\]host/],
  ["Host web\n Port 70000", /Port 70000 is no port/],
  ["Host web\n User %u", /User %u has tokens/],
  ["Host web\n IdentityFile ~/%C", /~\/%C: %C is not known/],
  ["Host web\n IdentityFile ${NOT_SET}/k", /\$\{NOT_SET\} is not known/],
  [
    "Host web\n ProxyCommand nc %h %p",
    /^web: ~\/.ssh\/config: ProxyCommand nc %h %p, which is not supported: .*ProxyJump.*ssh.config: false/,
  ],
  ["Host *\n CanonicalizeHostname yes\n CanonicalDomains a.example", /CanonicalizeHostname yes, .*HostName/],
  ["CertificateFile ~/c", /CertificateFile ~\/c, .*certificates cannot be used/],
  ["PKCS11Provider /p", /PKCS11Provider .*ssh-add -s/],
  ["BindAddress 1.1.1.1", /BindAddress/],
  ["RevokedHostKeys /r", /RevokedHostKeys/],
  ["KnownHostsCommand /bin/x", /KnownHostsCommand/],
  ["GlobalKnownHostsFile /x", /GlobalKnownHostsFile/],
  ["Host web\n Include other", /Include other, which is supported at the top of the file/],
  ["Match exec true\n Port 7", /Match exec true, which is not decided here/],
  ["Match originalhost web exec true\n Port 7", /Match originalhost web exec true/],
  ["Match !host other\n User x", /Match !host other/],
  ["Match tagged t\n HostName 1.2.3.4", /Match tagged t/],
  ["Match originalhost other originalhost web\n Port 7", /Match originalhost other originalhost web/],
  ["Host web\n Port\nHost *\n User x", /cannot read .*config: Port has no value/],
  ["Port\nHost *\n User x", /cannot read .*config: Port has no value/],
  ['Host web\n IdentityFile "~/x', /cannot read .*config: Unexpected line break/],
  ["Include */x", /Include \*\/x: only \* and \? in the last part/],
  ["Include config", /too many files/],
])("%j is refused", (text, message) => {
  expect(refusal(text)).toMatch(message);
});

test("what a jump cannot do is refused, naming the jump", () => {
  const text = "Host web\n ProxyJump j\nHost j\n HostName 10.0.0.1\n ProxyCommand nc x";
  expect(refusal(text)).toMatch(/^j: .*ProxyCommand nc x, which/);
});

test("Include, at the top, in place, sorted, missing ones passed over", () => {
  write("Host web\n Port 1\n User one", "config.d/b.conf");
  write("Host web\n Port 2\nHost nothing", "config.d/a.conf");
  write("Host web\n Port 3", "config.d/.hidden.conf");
  write("Port 4", "config.d/other");
  expect(web('Include "~/.ssh/missing" config.d/*.conf\nHost web\n HostName 10.0.0.5\n User two')).toEqual({
    ...{ ...named, port: 2, user: "one" },
  });
  expect(web(`Include ${join(home, ".ssh/config.d/oth?r")}`)).toEqual({ host: "web", port: 4 });
});

test("it runs nothing", () => {
  const mark = join(home, "ran");
  refusal(`Match exec "touch ${mark}"\n Port 7`);
  expect(require("node:fs").existsSync(mark)).toBe(false);
});
