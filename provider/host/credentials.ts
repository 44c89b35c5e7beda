import { existsSync, readFileSync } from "node:fs";
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
  | { readonly type: "agent"; readonly from: string; readonly socket: string }
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
  const add = (from: string, key: string, optional = false): void => {
    const problem = passphrase ? unreadable(key) : (unreadable(key) ?? sealed(key));
    if (!problem) keys.push({ type: "key", from, key, passphrase, optional });
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

  const agents: Method[] = [];
  const socket = hop.agentSocketPath || (hop.identityAgent ?? environment.SSH_AUTH_SOCK);
  if (socket && existsSync(socket)) {
    const other = hop.identityAgent ? `the agent of IdentityAgent ${socket}` : "the agent of SSH_AUTH_SOCK";
    const from = hop.agentSocketPath ? `${field}.agentSocketPath` : other;
    agents.push({ type: "agent", from, socket });
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
  if (all.length > 0) return all;
  throw new Refused(
    `${labelHop(hop)}: there is nothing to log in with. Set hostnet:privateKey (pulumi config set --secret), ` +
      `ssh.identityFile or ${hop.field === undefined ? "IdentityFile" : `${field}.privateKey`}, or start an SSH agent.`,
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
