import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { methods } from "../../provider/host/credentials";
import { hostKeyCheck } from "../../provider/host/host-key";
import type { Configuration, SshOptions } from "../../provider/host/session";
import type { Hop, ResolvedHop } from "../../provider/host/target";
import { keyPair } from "./server";

const home = mkdtempSync(join(os.tmpdir(), "hostnet-home-"));
const [ONE, TWO, FILE, DEFAULT] = [keyPair(), keyPair(), keyPair(), keyPair()].map((key) => key.private);

beforeAll(() => {
  jest.spyOn(os, "homedir").mockReturnValue(home);
  mkdirSync(join(home, ".ssh"));
  writeFileSync(join(home, "file"), FILE!);
  writeFileSync(join(home, "agent"), "");
  writeFileSync(join(home, "other-agent"), "");
  writeFileSync(join(home, ".ssh/id_ed25519"), DEFAULT!);
  writeFileSync(join(home, ".ssh/id_rsa"), DEFAULT!.replace("OPENSSH", "ENCRYPTED"));
});
afterAll(() => rmSync(home, { recursive: true }));

const agent = () => ({ SSH_AUTH_SOCK: join(home, "agent") });

test.each<[string, Partial<Hop>, SshOptions, Configuration, NodeJS.ProcessEnv, string[]]>([
  ["nothing: the default files, but the encrypted one", {}, {}, {}, {}, ["~/.ssh/id_ed25519"]],
  [
    "the agent of the environment, then the default files",
    {},
    {},
    {},
    agent(),
    ["~/.ssh/id_ed25519", "the agent of SSH_AUTH_SOCK"],
  ],
  [
    "an agent that was named stands alone",
    { agentSocketPath: join(home, "other-agent") },
    {},
    {},
    agent(),
    ["connection.agentSocketPath"],
  ],
  ["an agent that is gone", {}, {}, {}, { SSH_AUTH_SOCK: "/nowhere" }, ["~/.ssh/id_ed25519"]],
  ["a key", { privateKey: ONE }, {}, {}, {}, ["connection.privateKey"]],
  ["a key of the configuration", {}, {}, { privateKey: ONE }, {}, ["hostnet:privateKey"]],
  ["a password", { password: "p" }, {}, {}, {}, ["connection.password"]],
  ["a password of the configuration", {}, {}, { password: "p" }, {}, ["hostnet:password"]],
  [
    "everything",
    { privateKey: ONE, password: "p" },
    { identityFile: "~/file" },
    { privateKey: TWO, password: "q" },
    agent(),
    [
      "connection.privateKey",
      "hostnet:privateKey",
      "ssh.identityFile ~/file",
      "the agent of SSH_AUTH_SOCK",
      "connection.password",
    ],
  ],
])("%s", (_name, hop, ssh, configuration, environment, expected) => {
  const found = methods({ host: "h", field: "connection", ...hop }, ssh, configuration, environment);
  expect(found.map(({ from }) => from)).toEqual(expected);
});

describe("what ~/.ssh/config adds", () => {
  const blob = (...parts: string[]) =>
    parts.map((part) => Buffer.concat([Buffer.from([0, 0, 0, part.length]), Buffer.from(part, "latin1")]));
  const sk = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    ...blob("none", "none", ""),
    Buffer.from([0, 0, 0, 1]),
    ...blob(Buffer.concat(blob("sk-ssh-ed25519@openssh.com", "x", "ssh:")).toString("latin1"), "closed"),
  ]).toString("base64");
  const FIDO = `-----BEGIN OPENSSH PRIVATE KEY-----\n${sk}\n-----END OPENSSH PRIVATE KEY-----\n`;
  const found = (hop: Partial<ResolvedHop>, ssh: SshOptions = {}, environment = {}) =>
    methods({ host: "h", field: "connection", ...hop }, ssh, {}, environment).map((method) => [
      method.type,
      method.from,
    ]);
  beforeAll(() => writeFileSync(join(home, "fido"), FIDO));

  test("key files, in place of the usual ones; those that are not there are passed over", () => {
    expect(found({ identityFiles: ["~/file", "~/none"] })).toEqual([["key", "~/file"]]);
    expect(found({ identityFiles: ["~/file"] }, { identityFile: "~/.ssh/id_ed25519" })).toEqual([
      ["key", "ssh.identityFile ~/.ssh/id_ed25519"],
      ["key", "~/file"],
    ]);
    expect(() => found({ identityFiles: [] })).toThrow("there is nothing to log in with");
  });

  test("an agent, or none", () => {
    const identityAgent = join(home, "other-agent");
    expect(found({ identityAgent, identityFiles: [] }, {}, agent())).toEqual([
      ["agent", `the agent of IdentityAgent ${identityAgent}`],
    ]);
    expect(found({ identityAgent: "", password: "p" }, {}, agent())).toEqual([
      ["password", "connection.password"],
    ]);
  });

  test("IdentitiesOnly: the agent shows these keys only, and with none it is not asked", () => {
    const [public_] = [keyPair()].map((key) => key.public);
    writeFileSync(join(home, "held.pub"), `${public_} me@here\n`);
    const only = (hop: Partial<ResolvedHop>) =>
      methods({ host: "h", identitiesOnly: true, ...hop }, {}, {}, agent()).flatMap((method) =>
        method.type === "agent" ? [method.only?.map((key) => key.toString("base64"))] : [],
      );
    expect(only({ identityFiles: ["~/held"] })).toEqual([[public_!.split(" ")[1]]]);
    expect(only({ identityFiles: ["~/held.pub"] })).toEqual([[public_!.split(" ")[1]]]);
    expect(only({ identityFiles: ["~/none"], password: "p" })).toEqual([]);
    expect(only({ identityFiles: ["~/none"], agentSocketPath: join(home, "agent") })).toEqual([undefined]);
  });

  test("a FIDO key is passed over with a word, and refused where the program names it", () => {
    const word =
      "~/fido is a FIDO key (sk-ssh-ed25519), which cannot be used here: let the host accept another key";
    expect(() => found({ identityFiles: ["~/fido"] })).toThrow(word);
    expect(found({ identityFiles: ["~/fido"], password: "p" })).toEqual([
      ["password", "connection.password"],
      ["unusable", word],
    ]);
    expect(() => found({}, { identityFile: "~/fido" })).toThrow(`ssh.identityFile ${word}`);
    expect(() => found({ privateKey: FIDO })).toThrow("connection.privateKey is a FIDO key");
  });
});

test("a proxy has the keys of the configuration, not its password", () => {
  const found = methods({ host: "h", field: "connection.proxy" }, {}, { privateKey: ONE, password: "p" }, {});
  expect(found.map(({ from }) => from)).toEqual(["hostnet:privateKey"]);
});

test("a password for keys comes from beside the key, else from the configuration", () => {
  const passphrase = (hop: Partial<Hop>) => {
    const [method] = methods({ host: "h", privateKey: ONE, ...hop }, {}, { privateKeyPassword: "b" }, {});
    return method?.type === "key" ? method.passphrase : undefined;
  };
  expect([passphrase({ privateKeyPassword: "a" }), passphrase({})]).toEqual(["a", "b"]);
});

test("a new host key is accepted once, and is the only one from then on", () => {
  const ssh = { acceptNewHostKey: true, knownHosts: "~/.ssh/known_hosts" };
  const check = hostKeyCheck({ host: "10.0.0.5" }, ssh);
  const [first, second] = [keyPair(), keyPair()].map((key) =>
    Buffer.from(key.public.split(" ")[1]!, "base64"),
  );
  // ssh2 asks again when it renews the session's keys.
  expect([check.refuse(first!), check.refuse(first!)]).toEqual([undefined, undefined]);
  expect(check.refuse(second!)?.message).toContain("the host key is not known");
  const again = hostKeyCheck({ host: "10.0.0.5" }, ssh);
  expect(again.refuse(first!)).toBeUndefined();
  expect(again.refuse(second!)?.message).toContain("the host key has changed");
});
