import { join } from "node:path";
import { type Hop, Refused, type ResolvedHop, type Target } from "./target";

/** What ~/.ssh/config says of a host: keywords in small letters; absent where it is not read. */
export type Computed = Readonly<Record<string, string | readonly string[] | undefined>>;
export type LookUp = (host: string, user: string | undefined) => Computed;

/** Of the workstation: what `~`, tokens and variables stand for. */
export interface Surroundings {
  readonly home: string;
  readonly user: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** A `Match` whose criteria nobody here can decide: put in by the reader of the file. */
export const UNDECIDED = "Match";

/**
 * What changes where, as whom or with what we connect, or whom we trust, and what we cannot do. It is refused where it
 * applies, but for the values that mean "no". Everything else that we do not know leaves the way there as it is.
 */
const REFUSED: Readonly<Record<string, readonly [harmless: RegExp, advice: string]>> = {
  [UNDECIDED]: [/^$/, "is not decided here"],
  Include: [/^$/, "is supported at the top of the file only, before the first Host or Match"],
  ProxyCommand: [/^none$/i, "is not supported: say it as ProxyJump, or in ssh.jumps"],
  CanonicalizeHostname: [/^no$/i, "is not supported: write the whole name as HostName"],
  CertificateFile: [
    /^none$/i,
    "is not supported, certificates cannot be used: let the host accept a plain key",
  ],
  PKCS11Provider: [/^none$/i, "is not supported: load the token into an agent (ssh-add -s PROVIDER)"],
  BindAddress: [/^$/, "is not supported: let the routes of the workstation choose"],
  BindInterface: [/^$/, "is not supported: let the routes of the workstation choose"],
  KnownHostsCommand: [/^none$/i, "is not supported: write the host's key to known_hosts"],
  RevokedHostKeys: [/^none$/i, "is not supported: write the key to known_hosts, with @revoked before it"],
  GlobalKnownHostsFile: [
    /^\/etc\/ssh\/ssh_known_hosts2?$/,
    "is not supported: name the file in UserKnownHostsFile",
  ],
};

/** What of the file bears on us at all. */
export const KNOWN = new Set([
  ...["hostname", "user", "port", "identityfile", "identitiesonly", "identityagent", "proxyjump"],
  ...["userknownhostsfile", "hostkeyalias", "addressfamily"],
  ...Object.keys(REFUSED).map((keyword) => keyword.toLowerCase()),
]);

/**
 * The way to a host, outermost jump first, the host itself last. What the program says wins; ProxyJump counts where the
 * program names no jump. As with `ssh -J`, the outermost jump's own ProxyJump is followed, those of the others are not.
 */
export function hopsOf({ connection, ssh }: Target, lookUp: LookUp, around: Surroundings): ResolvedHop[] {
  const { proxy, ...last } = connection;
  const host: Named = { hop: last, field: "connection" };
  const jumps: Named[] = (ssh.jumps ?? []).map((hop, i) => ({ hop, field: `ssh.jumps[${i}]` }));
  if (proxy) jumps.push({ hop: proxy, field: "connection.proxy" });

  const chain = (named: readonly Named[], seen: readonly string[]): ResolvedHop[] => {
    const [first] = named;
    if (!first) return [];
    return [
      ...outside(first, seen),
      ...named.map((each) => resolve(each, lookUp(each.hop.host, each.hop.user), around)),
    ];
  };
  const outside = ({ hop }: Named, seen: readonly string[]): ResolvedHop[] => {
    const named = proxyJump(hop, lookUp(hop.host, hop.user));
    if (named.length > 0 && seen.includes(hop.host))
      throw new Refused(
        `${hop.host}: ProxyJump in ~/.ssh/config goes in a circle: ${[...seen, hop.host].join(" → ")}. ` +
          `Where it stands below Host *, write Host * !${hop.host}.`,
      );
    return chain(named, [...seen, hop.host]);
  };
  const way = ssh.jumps || proxy ? chain(jumps, []) : outside(host, []);
  return [...way, resolve(host, lookUp(last.host, last.user), around)];
}

/** `field` is absent where ~/.ssh/config names the hop. */
interface Named {
  readonly hop: Hop;
  readonly field?: string;
}

function resolve({ hop, field }: Named, config: Computed, around: Surroundings): ResolvedHop {
  const refuse = (text: string): never => {
    throw new Refused(`${hop.host}: ~/.ssh/config: ${text}. With ssh.config: false the file is not read.`);
  };
  for (const [keyword, [harmless, advice]] of Object.entries(REFUSED)) {
    const bad = list(config[keyword.toLowerCase()]).find((value) => !harmless.test(value));
    if (bad !== undefined) refuse(`${keyword} ${bad}, which ${advice}`);
  }
  const one = (keyword: string): string | undefined => list(config[keyword])[0];
  const port = one("port");
  if (port !== undefined && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65535))
    refuse(`Port ${port} is no port`);
  const user = hop.user ?? one("user");
  if (hop.user === undefined && user?.includes("%"))
    refuse(`User ${user} has tokens, which are not supported`);

  const at: Record<string, string> = { h: hop.host };
  const expand = (text: string): string => expanded(text, at, around, refuse);
  const host = one("hostname") === undefined ? hop.host : expand(one("hostname")!);
  const alias = one("hostkeyalias");
  Object.assign(at, {
    n: hop.host,
    h: host,
    p: String(hop.port ?? port ?? 22),
    r: user ?? "root",
    u: around.user,
    d: around.home,
    k: alias ?? hop.host,
  });
  const files = (keyword: string): string[] | undefined =>
    config[keyword] === undefined
      ? undefined
      : [...new Set(list(config[keyword]).map(expand))].filter(notNone);
  const agent = one("identityagent");
  const family = one("addressfamily")?.toLowerCase();
  return compact({
    ...hop,
    field,
    host,
    user,
    port: hop.port ?? (port === undefined ? undefined : Number(port)),
    alias: host === hop.host ? undefined : hop.host,
    identityFiles: files("identityfile"),
    identitiesOnly: one("identitiesonly")?.toLowerCase() === "yes" ? true : undefined,
    identityAgent: agent === undefined ? undefined : socket(agent, around.environment, expand),
    knownHosts: files("userknownhostsfile"),
    hostKeyAlias: alias,
    family: family === "inet" ? 4 : family === "inet6" ? 6 : undefined,
  });
}

/** `[user@]host[:port]`, or the same as a URI. */
function proxyJump(hop: Hop, config: Computed): Named[] {
  const text = list(config.proxyjump).join("");
  if (text === "" || !notNone(text)) return [];
  return text.split(",").map((each) => {
    const [, user, bracketed, plain, port] =
      /^(?:ssh:\/\/)?(?:([^%]+)@)?(?:\[([^\]%]+)\]|([^:%@/]+))(?::(\d{1,5}))?\/?$/.exec(each.trim()) ?? [];
    const host = bracketed ?? plain;
    if (host === undefined)
      throw new Refused(
        `${hop.host}: ~/.ssh/config: ProxyJump ${text}: "${each.trim()}" is not [user@]host[:port]`,
      );
    return { hop: compact({ host, user, port: port === undefined ? undefined : Number(port) }) };
  });
}

/** `~`, tokens as %h, and `${VARIABLES}`. */
function expanded(
  text: string,
  tokens: Readonly<Record<string, string>>,
  { home, environment }: Surroundings,
  refuse: (text: string) => never,
): string {
  const whole = text === "~" || text.startsWith("~/") ? join(home, text.slice(1)) : text;
  return whole.replace(/%(.?)|\$\{([^}]*)\}/g, (all, token: string | undefined, variable: string) => {
    const value = token === undefined ? environment[variable] : token === "%" ? "%" : tokens[token];
    return value ?? refuse(`${text}: ${all} is not known`);
  });
}

/** "" for none at all. */
function socket(agent: string, environment: NodeJS.ProcessEnv, expand: (text: string) => string): string {
  if (!notNone(agent)) return "";
  if (agent === "SSH_AUTH_SOCK") return environment.SSH_AUTH_SOCK ?? "";
  if (/^\$\w+$/.test(agent)) return environment[agent.slice(1)] ?? "";
  return expand(agent);
}

const list = (value: string | readonly string[] | undefined): readonly string[] =>
  value === undefined ? [] : typeof value === "string" ? [value] : value;
const notNone = (value: string): boolean => value.toLowerCase() !== "none";

/** Two hops are the same when they say the same. */
const compact = <T extends object>(data: T): T =>
  Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined)) as T;
