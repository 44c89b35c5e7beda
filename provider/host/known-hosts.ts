import { createHash, createHmac } from "node:crypto";

/** A line of a known_hosts file, or of `hostKey`. */
export interface Entry {
  readonly marker?: "revoked" | "cert-authority";
  /** Patterns with commas, or one hash; `*` where the user pinned the key himself. */
  readonly hosts: string;
  readonly type: string;
  readonly key: Buffer;
  /** "/root/.ssh/known_hosts:12" */
  readonly from: string;
}

type Verdict =
  | { readonly is: "known" }
  | { readonly is: "unknown" }
  | { readonly is: "changed"; readonly known: readonly Entry[] }
  | { readonly is: "revoked"; readonly entry: Entry }
  /** Only a certificate authority is known for this host. */
  | { readonly is: "certified"; readonly entry: Entry };

/** Bad lines are passed over, as ssh does: they may be of a newer format. */
export function parseKnownHosts(text: string, source: string): Entry[] {
  return text.split(/\r?\n/).flatMap((line, n) => {
    const words = line.trim().split(/\s+/);
    const marker = words[0]?.startsWith("@") ? words.shift()?.slice(1) : undefined;
    if (marker !== undefined && marker !== "revoked" && marker !== "cert-authority") return [];
    const [hosts, type, base64] = words;
    const key = decode(type, base64);
    if (!hosts || hosts.startsWith("#") || !key) return [];
    return [{ marker, hosts, type: type!, key, from: `${source}:${n + 1}` }];
  });
}

/**
 * `connection.hostKey`: lines as in authorized_keys, or as in known_hosts, whose host is passed over, since the user
 * pins the key to this connection. A line that is neither is an error: "line 2".
 */
export function parsePins(text: string, source: string): Entry[] | { readonly bad: string } {
  const entries: Entry[] = [];
  for (const [n, line] of text.split(/\r?\n/).entries()) {
    const words = line.trim().split(/\s+/);
    if (words[0] === "" || words[0]?.startsWith("#")) continue;
    const at = words.findIndex((word, i) => i < 2 && decode(word, words[i + 1]));
    const key = at < 0 ? undefined : decode(words[at], words[at + 1]);
    if (!key || words[0]!.startsWith("@")) return { bad: `line ${n + 1}` };
    entries.push({ hosts: "*", type: words[at]!, key, from: source });
  }
  return entries.length > 0 ? entries : { bad: "line 1" };
}

export function judge(entries: readonly Entry[], host: string, port: number, key: Buffer): Verdict {
  const ours = entries.filter((entry) => matches(entry.hosts, host, port));
  const revoked = ours.find((entry) => entry.marker === "revoked" && entry.key.equals(key));
  if (revoked) return { is: "revoked", entry: revoked };
  const plain = ours.filter((entry) => entry.marker === undefined);
  if (plain.some((entry) => entry.key.equals(key))) return { is: "known" };
  if (plain.length > 0) return { is: "changed", known: plain };
  const authority = ours.find((entry) => entry.marker === "cert-authority");
  return authority ? { is: "certified", entry: authority } : { is: "unknown" };
}

/** The types of the keys known for a host: only they are asked for, or the host may show another of its keys. */
export function keyTypes(entries: readonly Entry[], host: string, port: number): string[] {
  const plain = entries.filter((entry) => entry.marker === undefined && matches(entry.hosts, host, port));
  return [...new Set(plain.map((entry) => entry.type))];
}

/** "10.0.0.5", or "[10.0.0.5]:2222": how known_hosts writes a host. */
export function written(host: string, port: number): string {
  return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

export function matches(hosts: string, host: string, port: number): boolean {
  const name = written(host, port);
  if (hosts.startsWith("|1|")) {
    const [, , salt = "", hash] = hosts.split("|");
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
  }
  let found = false;
  for (const pattern of hosts.toLowerCase().split(",")) {
    const negated = pattern.startsWith("!");
    if (!wildcard(negated ? pattern.slice(1) : pattern).test(name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

export function line(host: string, port: number, key: Buffer): string {
  return `${written(host, port)} ${typeOf(key)} ${key.toString("base64")}`;
}

/** As ssh prints it: "SHA256:…" */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash("sha256").update(key).digest("base64").replace(/=+$/, "")}`;
}

/** A key begins with its type: a length, then the name. */
export function typeOf(key: Buffer): string | undefined {
  if (key.length < 4) return undefined;
  const length = key.readUInt32BE(0);
  return key.length > 4 + length ? key.toString("latin1", 4, 4 + length) : undefined;
}

function decode(type: string | undefined, base64: string | undefined): Buffer | undefined {
  if (!type || !base64 || !/^[A-Za-z0-9+/]+=*$/.test(base64)) return undefined;
  const key = Buffer.from(base64, "base64");
  return typeOf(key) === type ? key : undefined;
}

function wildcard(pattern: string): RegExp {
  const literal = (text: string): string => text.replace(/[.+^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${literal(pattern).replaceAll("*", ".*").replaceAll("?", ".")}$`);
}
