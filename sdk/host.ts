import type * as pulumi from "@pulumi/pulumi";

/** A server to log in to. Exactly the fields of @pulumi/command's connection, so that one object serves both. */
export interface ProxyConnection {
  /** Name, address, or an alias of ~/.ssh/config. */
  host: pulumi.Input<string>;
  /** TCP port. @default that of ~/.ssh/config, else 22 */
  port?: pulumi.Input<number>;
  /** User to log in as: root, or one who may `sudo` (see `ssh.sudo`). @default that of ~/.ssh/config, else "root" */
  user?: pulumi.Input<string>;
  /** Secret. Better in the stack's configuration: `pulumi config set --secret hostnet:password`. */
  password?: pulumi.Input<string>;
  /** Secret: the text of a private key. Better an agent, or `pulumi config set --secret hostnet:privateKey`. */
  privateKey?: pulumi.Input<string>;
  /** Secret: the passphrase of the private key. */
  privateKeyPassword?: pulumi.Input<string>;
  /** Socket of an SSH agent. @default the environment's SSH_AUTH_SOCK */
  agentSocketPath?: pulumi.Input<string>;
  /** The server's public key, "ssh-ed25519 AAAA…". Left out, known_hosts must have it: it is always verified. */
  hostKey?: pulumi.Input<string>;
  /** Failed dials after which it gives up; -1 for no such limit. @default 10, within a minute */
  dialErrorLimit?: pulumi.Input<number>;
  /** Seconds for each dial; 0 for no limit. With either of the two, all dials together take half an hour at most. @default 15 */
  perDialTimeout?: pulumi.Input<number>;
}

export interface Connection extends ProxyConnection {
  /** A server to go through, verified by a key of its own. */
  proxy?: pulumi.Input<ProxyConnection>;
}

/** What @pulumi/command's connection has no field for. */
export interface SshOptions {
  /** File of a private key on the workstation. */
  identityFile?: pulumi.Input<string>;
  /** The known_hosts file to use. @default ~/.ssh/known_hosts, then /etc/ssh/ssh_known_hosts */
  knownHosts?: pulumi.Input<string>;
  /** An unknown host key is taken, and written to known_hosts. A changed one never is. @default false */
  acceptNewHostKey?: pulumi.Input<boolean>;
  /**
   * Servers to go through, the outermost (which the workstation reaches) first; `connection.proxy` comes after them. Each
   * is verified by a key of its own and shared by all hosts behind it. Said here or in `connection.proxy`, the host's own
   * ProxyJump in ~/.ssh/config does not count; `[]` means none.
   */
  jumps?: pulumi.Input<pulumi.Input<ProxyConnection>[]>;
  /**
   * Whether ~/.ssh/config is read when a connection is made, for this host and each jump: HostName, User, Port,
   * IdentityFile, IdentitiesOnly, IdentityAgent, ProxyJump, UserKnownHostsFile, HostKeyAlias, AddressFamily, and Include at
   * its top. What the program says wins; what we cannot follow, as ProxyCommand, is an error. Nothing of it is in the state. @default true
   */
  config?: pulumi.Input<boolean>;
  /** Work through `sudo -n`; `command` names another tool, as "doas" or a wrapper. @default false */
  sudo?: pulumi.Input<boolean | { command?: pulumi.Input<string> }>;
}

/** How a change that could cut the way to the host is confirmed. */
export interface Confirm {
  /**
   * Which changes must be confirmed by a new connection, or else the host takes them back by itself. "risky": base chains
   * at hooks that the host's own packets pass, ip rules, sysctls under net, and the links, addresses and routes that the
   * connection to the host runs over; "always": all; "never": none. @default "risky"
   */
  when?: pulumi.Input<"risky" | "always" | "never">;
  /** Seconds from the change, 5 to 3600, in which a new connection must get through. Changes sent together share the longest. @default 60 */
  timeout?: pulumi.Input<number>;
  /**
   * A change that is certain to cut the connection (a chain on input that drops it, its link deleted) is refused before
   * anything is sent. True: it is tried, and taken back unless confirmed. @default false
   */
  allowLockout?: pulumi.Input<boolean>;
  /** What must still work from the host after the change, if it did before: it is taken back at once otherwise. */
  probes?: pulumi.Input<pulumi.Input<Probe>[]>;
}

/** One of: an address that answers to ping, a "host:port" that takes TCP connections (needs nc or bash on the host), a command line for sh of at most 10 s. */
export type Probe =
  | { ping: pulumi.Input<string> }
  | { tcp: pulumi.Input<string> }
  | { run: pulumi.Input<string> };

/** How to reach a host and how to treat it: usually one constant, spread into each resource. */
export interface HostArgs {
  connection: pulumi.Input<Connection>;
  ssh?: pulumi.Input<SshOptions>;
  /** What must be confirmed, and how. */
  confirm?: pulumi.Input<Confirm>;
  /**
   * What to do with an object that is there already and not ours: "identical" takes it over if nothing would change,
   * "overwrite" in any case. Destroyed, it goes back to how it was found; until then lists (addresses, ports, routes) hold
   * what the program says, and nothing once they have left it. @default refuse
   */
  adopt?: pulumi.Input<"identical" | "overwrite">;
  /**
   * It comes back after a reboot of the host: by two units of systemd, or, on a host without, by the script
   * /etc/hostnet/boot, which your init has to call (docs/safety.md). false: it goes with the reboot, and so does its
   * record, which then lies in /run/hostnet; the next `refresh` shows it, and the next `up` makes it again. @default true
   */
  persist?: pulumi.Input<boolean>;
  /** The machine-id of a machine that was reinstalled under the same address: its objects are made anew. */
  acceptMachine?: pulumi.Input<string>;
}
