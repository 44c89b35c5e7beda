import { appendFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  type Entry,
  fingerprint,
  judge,
  keyTypes,
  line,
  parseKnownHosts,
  parsePins,
  typeOf,
  written,
} from "./known-hosts";
import { expandHome, labelHop, Refused, type ResolvedHop, type SshOptions } from "./target";

const USER_FILE = "~/.ssh/known_hosts";
const SYSTEM_FILE = "/etc/ssh/ssh_known_hosts";

/** How ssh2 asks for the key types it can verify. SHA-1 signatures are not among them. */
const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  "ssh-ed25519": ["ssh-ed25519"],
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
};

export interface HostKeyCheck {
  /** What to ask the host for. */
  readonly algorithms: readonly string[];
  /** Why the host's key is refused; absent when it is the right one. May add a new key to known_hosts. */
  refuse(key: Buffer): Refused | undefined;
  /** Why no key at all could be agreed on. */
  none(): Refused;
}

/** Reads what is known of a host's key. Everything but a known key is refused. */
export function hostKeyCheck(hop: ResolvedHop, ssh: SshOptions): HostKeyCheck {
  const who = labelHop(hop);
  const { host, port } = name(hop);
  const files = ssh.knownHosts === undefined ? (hop.knownHosts ?? [USER_FILE]) : [ssh.knownHosts];
  const file = expandHome(files[0] ?? USER_FILE);
  const entries = known(hop, ssh, files.map(expandHome));
  const types = keyTypes(entries, host, port);
  const algorithms = (types.length > 0 ? types : Object.keys(ALGORITHMS)).flatMap(
    (type) => ALGORITHMS[type] ?? [],
  );
  if (algorithms.length === 0) {
    throw new Refused(
      `${who}: the only host key known is of type ${types.join(", ")}, which is not supported. Pin a key of another type: ` +
        `ssh-keyscan ${port === 22 ? "" : `-p ${port} `}${host}`,
    );
  }

  const remedy = (key: Buffer): string => {
    const pin = hop.field && `set ${hop.field}.hostKey to "${typeOf(key)} ${key.toString("base64")}", or `;
    return `${pin ?? ""}write to ${file}: ${line(host, port, key)}`;
  };
  let accepted: Buffer | undefined;
  const refuse = (key: Buffer): Refused | undefined => {
    // Asked again whenever the session's keys are renewed.
    if (accepted?.equals(key)) return undefined;
    const verdict = judge(entries, host, port, key);
    const shown = `${typeOf(key)} ${fingerprint(key)}`;
    switch (verdict.is) {
      case "known":
        return undefined;
      case "revoked":
        return new Refused(`${who}: the host key ${shown} is revoked (${verdict.entry.from}).`);
      case "certified":
        return new Refused(
          `${who}: only a certificate authority is known for this host (${verdict.entry.from}), and certificates cannot ` +
            `be verified. The host shows ${shown}; if that is right, ${remedy(key)}.`,
        );
      case "changed":
        return new Refused(
          `${who}: the host key has changed, or somebody is in between. The host shows ${shown}; known is ` +
            `${verdict.known.map(describe).join(", ")}. If the host was reinstalled, replace it there.`,
        );
      case "unknown":
        if (ssh.acceptNewHostKey && !accepted) {
          const problem = keep(who, file, line(host, port, key));
          if (!problem) accepted = key;
          return problem;
        }
        return new Refused(
          `${who}: the host key is not known: ${shown}. If that is what ssh-keygen -lf ${fileOf(key)} ` +
            `prints on the host, ${remedy(key)}`,
        );
    }
  };
  const none = (): Refused =>
    new Refused(
      types.length === 0
        ? `${who}: the host has no key of a type that is supported: ${Object.keys(ALGORITHMS).join(", ")}.`
        : `${who}: the host has no key of the type that is known for ${written(host, port)}: ` +
            `${entries
              .filter((entry) => types.includes(entry.type))
              .map(describe)
              .join(", ")}. ` +
            `It has changed, or somebody is in between.`,
    );
  return { algorithms, refuse, none };
}

/** Where OpenSSH keeps a host's own key of this type. */
const fileOf = (key: Buffer): string =>
  `/etc/ssh/ssh_host_${typeOf(key)?.replace("ssh-", "").replace(/-.*/, "")}_key.pub`;

const describe = (entry: Entry): string => `${entry.type} ${fingerprint(entry.key)} (${entry.from})`;

/** HostKeyAlias stands for name and port. */
function name({ host, port = 22, hostKeyAlias }: ResolvedHop): {
  readonly host: string;
  readonly port: number;
} {
  return hostKeyAlias === undefined ? { host, port } : { host: hostKeyAlias, port: 22 };
}

function known(hop: ResolvedHop, ssh: SshOptions, named: readonly string[]): Entry[] {
  if (hop.hostKey !== undefined) {
    const { field } = hop;
    const pins = parsePins(hop.hostKey, `${field}.hostKey`);
    if (Array.isArray(pins)) return pins;
    throw new Refused(
      `${labelHop(hop)}: ${field}.hostKey, ${pins.bad}, is not a public key. Write it as in /etc/ssh/ssh_host_ed25519_key.pub: ` +
        `"ssh-ed25519 AAAA…".`,
    );
  }
  const files = ssh.knownHosts === undefined ? [...named, SYSTEM_FILE] : named;
  return files.flatMap((path) => {
    try {
      return parseKnownHosts(readFileSync(path, "utf8"), path);
    } catch (error) {
      // A file that the user named must be there, unless we are to make it.
      const absent = (error as NodeJS.ErrnoException).code === "ENOENT";
      if (absent && (ssh.knownHosts === undefined || ssh.acceptNewHostKey)) return [];
      throw new Refused(`${labelHop(hop)}: cannot read the known hosts: ${(error as Error).message}`);
    }
  });
}

/** A key that cannot be kept would be accepted blindly again the next time: then it is refused. */
function keep(who: string, file: string, text: string): Refused | undefined {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    let ends = true;
    try {
      const before = readFileSync(file);
      ends = before.length === 0 || before.at(-1) === 0x0a;
    } catch {}
    appendFileSync(file, `${ends ? "" : "\n"}${text}\n`, { mode: 0o600 });
    return undefined;
  } catch (error) {
    return new Refused(`${who}: cannot keep the new host key: ${(error as Error).message}`);
  }
}
