import { existsSync, readFileSync } from "node:fs";
import { publicOf } from "./keys";
import {
  type Configuration,
  expandHome,
  type Hop,
  labelHop,
  Refused,
  type ResolvedHop,
  type SshOptions,
} from "./target";

/** One way to log in. `from` says where it comes from, for errors. */
export type Method =
  | {
      readonly type: "key";
      readonly from: string;
      readonly key: string;
      readonly passphrase?: string;
      readonly optional?: boolean;
    }
  /** `only`: the public keys that may be used of it. */
  | {
      readonly type: "agent";
      readonly from: string;
      readonly socket: string;
      readonly only?: readonly Buffer[];
    }
  /** A key file of ~/.ssh/config that cannot be used, and why. */
  | { readonly type: "unusable"; readonly from: string }
  | { readonly type: "password"; readonly from: string; readonly password: string };

const DEFAULT_FILES = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];

/**
 * The ways to log in, in the order to try them: keys, agent, password.
 * The password of the configuration goes to the target only: a jump host that we do not know would get to read it.
 */
export function methods(
  hop: ResolvedHop,
  ssh: SshOptions,
  configuration: Configuration,
  environment: NodeJS.ProcessEnv = process.env,
): Method[] {
  const { field = "~/.ssh/config" } = hop;
  const passphrase = hop.privateKeyPassword ?? configuration.privateKeyPassword;
  const keys: Method[] = [];
  const unusable: Method[] = [];
  const add = (from: string, key: string, optional = false): void => {
    const problem = unreadable(key) ?? fido(key) ?? (passphrase ? undefined : sealed(key));
    if (!problem) keys.push({ type: "key", from, key, passphrase, optional });
    else if (optional) unusable.push({ type: "unusable", from: `${from} ${problem}` });
    else if (!optional) throw new Refused(`${labelHop(hop)}: ${from} ${problem}`);
  };
  if (hop.privateKey) add(`${field}.privateKey`, hop.privateKey);
  if (configuration.privateKey) add("hostnet:privateKey", configuration.privateKey);
  if (ssh.identityFile) add(`ssh.identityFile ${ssh.identityFile}`, read(hop, ssh.identityFile));
  const told = keys.length > 0;
  // As ssh does: what is not there or cannot be used is passed over.
  const usual = (files: readonly string[]): void => {
    for (const file of files.filter((path) => existsSync(expandHome(path)))) {
      try {
        add(file, readFileSync(expandHome(file), "utf8"), true);
      } catch {}
    }
  };
  usual(hop.identityFiles ?? []);
  const notUsed = [...unusable];

  const agents: Method[] = [];
  const socket = hop.agentSocketPath || (hop.identityAgent ?? environment.SSH_AUTH_SOCK);
  if (socket && existsSync(socket)) {
    const other = hop.identityAgent ? `the agent of IdentityAgent ${socket}` : "the agent of SSH_AUTH_SOCK";
    const from = hop.agentSocketPath ? `${field}.agentSocketPath` : other;
    const only = hop.identitiesOnly && !hop.agentSocketPath ? publicKeys(hop, ssh) : undefined;
    if (only?.length !== 0) agents.push({ type: "agent", from, socket, only });
  } else if (hop.agentSocketPath) {
    throw new Refused(
      `${labelHop(hop)}: there is no agent at ${field}.agentSocketPath ${hop.agentSocketPath}`,
    );
  }

  const passwords: Method[] = [];
  const password = hop.password || (field === "connection" ? configuration.password : undefined);
  if (password) {
    passwords.push({
      type: "password",
      from: hop.password ? `${field}.password` : "hostnet:password",
      password,
    });
  }

  if (!told && passwords.length === 0 && !hop.agentSocketPath && !hop.identityFiles) usual(DEFAULT_FILES);
  const all = [...keys, ...agents, ...passwords];
  if (all.length > 0) return [...all, ...notUsed];
  const why = notUsed.map(({ from }) => ` ${from}.`).join("");
  throw new Refused(
    `${labelHop(hop)}: there is nothing to log in with. Set hostnet:privateKey (pulumi config set --secret), ` +
      `ssh.identityFile or ${hop.field === undefined ? "IdentityFile" : `${field}.privateKey`}, or start an SSH agent.${why}`,
  );
}

/** Of the key files, for IdentitiesOnly. */
function publicKeys({ identityFiles = DEFAULT_FILES }: ResolvedHop, { identityFile }: SshOptions): Buffer[] {
  const files = identityFile === undefined ? identityFiles : [identityFile, ...identityFiles];
  return files.flatMap((file) =>
    [file, `${file}.pub`].flatMap((path) => {
      try {
        return publicOf(readFileSync(expandHome(path), "utf8")) ?? [];
      } catch {
        return [];
      }
    }),
  );
}

function read(hop: Hop, file: string): string {
  try {
    return readFileSync(expandHome(file), "utf8");
  } catch (error) {
    throw new Refused(`${labelHop(hop)}: cannot read ssh.identityFile: ${(error as Error).message}`);
  }
}

function unreadable(key: string): string | undefined {
  if (/^\s*(ssh-|ecdsa-|sk-)/.test(key)) return "is a public key; the private one is needed";
  if (/-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(key) || key.startsWith("PuTTY-User-Key-File"))
    return undefined;
  return "is not a private key: it must begin with -----BEGIN … PRIVATE KEY-----";
}

/** FIDO keys need their token, which only OpenSSH's own tools talk to. */
function fido(key: string): string | undefined {
  const type = /^....(sk-[\w-]+)@/s.exec(publicOf(key)?.toString("latin1") ?? "")?.[1];
  return type && `is a FIDO key (${type}), which cannot be used here: let the host accept another key`;
}

/** Whether a key needs a password, as far as that can be told without one. */
function sealed(key: string): string | undefined {
  const [, name, body = ""] = /-----BEGIN ([A-Z0-9 ]*)-----([^-]*)/.exec(key) ?? [];
  const openssh = name === "OPENSSH PRIVATE KEY" ? Buffer.from(body, "base64") : undefined;
  // "openssh-key-v1\0", then the cipher as a length and a name.
  const cipher =
    openssh && openssh.length > 19 ? openssh.toString("latin1", 19, 19 + openssh.readUInt32BE(15)) : "none";
  const closed = cipher !== "none" || /ENCRYPTED/.test(key) || /^Encryption: (?!none)/m.test(key);
  return closed ? "is encrypted: set connection.privateKeyPassword or hostnet:privateKeyPassword" : undefined;
}
