import type { Snapshot } from "./snapshot.ts";

/** A host that tests change: the virtual machine, or namespaces of this machine with an sshd of their own. */
export interface Host {
  /** Of its sshd, on this machine's loopback. */
  readonly port: number;
  /** The private key that logs in as root and as op. */
  readonly keyFile: string;
  /** The host's public key, as in a known_hosts file without the name. */
  readonly hostKey: string;
  /** Runs a script as root, ends at its first failing command, and returns what it printed; throws when it fails. */
  sh(script: string, options?: { timeout?: number }): Promise<string>;
  /** The whole comparable state of the host. */
  snapshot(): Promise<Snapshot>;
  /** What its system log holds since boot. */
  log(): Promise<string>;
  stop(): Promise<void>;
}
