import { homedir } from "node:os";
import { join } from "node:path";

export { NotSent, Refused } from "../errors";

/** Where and as whom to log in, without the way there. */
export interface Hop {
  readonly host: string;
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  readonly privateKey?: string;
  readonly privateKeyPassword?: string;
  readonly agentSocketPath?: string;
  readonly hostKey?: string;
  readonly dialErrorLimit?: number;
  readonly perDialTimeout?: number;
}

/** Exactly the fields of a connection of @pulumi/command, so that one object serves both packages. */
export interface Connection extends Hop {
  readonly proxy?: Hop;
}

export interface SshOptions {
  readonly identityFile?: string;
  readonly knownHosts?: string;
  readonly acceptNewHostKey?: boolean;
  /** Outermost first; `connection.proxy` comes after them. */
  readonly jumps?: readonly Hop[];
  /** Whether ~/.ssh/config is read. */
  readonly config?: boolean;
  readonly sudo?: boolean | { readonly command?: string };
}

/** A hop as it is dialled: what the program says, and what ~/.ssh/config adds. */
export interface ResolvedHop extends Hop {
  /** Where the program names it, as "ssh.jumps[0]"; absent where ~/.ssh/config does. */
  readonly field?: string;
  /** What it is called, where that is not its address. */
  readonly alias?: string;
  readonly identityFiles?: readonly string[];
  readonly identitiesOnly?: boolean;
  /** "" for none. */
  readonly identityAgent?: string;
  readonly knownHosts?: readonly string[];
  readonly hostKeyAlias?: string;
  readonly family?: 4 | 6;
}

export interface Target {
  readonly connection: Connection;
  readonly ssh: SshOptions;
}

/** Credentials from the stack's configuration (`hostnet:*`), so that no resource holds them. */
export interface Configuration {
  readonly privateKey?: string;
  readonly privateKeyPassword?: string;
  readonly password?: string;
  readonly sudoPassword?: string;
}

/** How errors call a host: "root@10.0.0.5", "root@10.0.0.5:2222", "root@[fd00::5]:2222". */
export function label({ connection }: Pick<Target, "connection">): string {
  return labelHop(connection);
}

export function labelHop({ user = "root", host, port = 22, alias }: ResolvedHop): string {
  const called = alias === undefined ? "" : ` (${alias})`;
  if (port === 22) return `${user}@${host}${called}`;
  return `${user}@${host.includes(":") ? `[${host}]` : host}:${port}${called}`;
}

export function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}
