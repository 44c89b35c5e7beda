import { createRequire } from "node:module";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { BaseAgent, Client, ParsedKey } from "ssh2";
import { methods } from "./credentials";
import { type HostKeyCheck, hostKeyCheck } from "./host-key";
import { deadline, type Link, linkOf, reason } from "./link";
import { Login } from "./login";
import { type Configuration, labelHop, NotSent, Refused, type ResolvedHop, type SshOptions } from "./target";

/**
 * Connects, verifies the host's key and logs in; the link comes held. This file is the only one that knows node-ssh, and
 * ssh2 below it, and loads them when first used: a preview pays nothing.
 */
export async function dial(
  hop: ResolvedHop,
  ssh: SshOptions,
  configuration: Configuration,
  jump?: Link,
): Promise<Link> {
  const who = labelHop(hop);
  const { user = "root", perDialTimeout = 15 } = hop;
  const check = hostKeyCheck(hop, ssh);
  const ways = methods(hop, ssh, configuration);
  const { NodeSSH } = await import("node-ssh");
  const ssh2 = createRequire(require.resolve("node-ssh"))("ssh2") as typeof import("ssh2");
  const agent = (socket: string, only: readonly Buffer[]) => showing(ssh2.createAgent(socket), only);
  const login = new Login(who, user, ways, { parseKey: ssh2.utils.parseKey, agent });

  jump?.hold();
  const sock = await (jump ? jump.forward(hop, perDialTimeout) : open(hop, perDialTimeout)).catch(
    (error: unknown) => {
      jump?.release();
      throw error;
    },
  );
  let refused: Refused | undefined;
  const node = new NodeSSH();
  const ready = node.connect({
    sock: sock as Socket,
    username: user,
    readyTimeout: perDialTimeout * 1000,
    algorithms: { serverHostKey: [...check.algorithms] as never },
    hostVerifier: (key: Buffer) => {
      refused = check.refuse(key);
      return refused === undefined;
    },
    // Answers synchronously; its types know one form of it only.
    authHandler: ((offered: string[] | null) => login.next(offered)) as never,
  });
  const client = node.connection;
  try {
    await settled(client, ready);
  } catch (error) {
    client?.destroy();
    sock.destroy();
    jump?.release();
    throw refused ?? failure(error as SshError, who, login, check);
  }
  return linkOf(client!, sock, who, jump);
}

/** A jump host. It is held by the hosts behind it only. */
export async function dialJump(...way: Parameters<typeof dial>): Promise<Link> {
  const made = await dial(...way);
  made.release();
  return made;
}

/** Left with these keys only; all that ssh2 lists are of the kind that it can parse. */
function showing(agent: BaseAgent, only: readonly Buffer[]): BaseAgent {
  const all = agent.getIdentities.bind(agent);
  const shown = (key: unknown): boolean => only.some((one) => one.equals((key as ParsedKey).getPublicSSH()));
  agent.getIdentities = (done) => all((error, keys) => done(error, keys?.filter(shown)));
  return agent;
}

type SshError = Error & { readonly level?: string; readonly code?: unknown };

/** node-ssh takes its listener away once we are in, and gives up where an agent fails, though ssh2 goes on without it. */
function settled(client: Client | null, ready: Promise<unknown>): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: SshError): void => {
      if (error.level !== "agent") reject(error);
    };
    ready.then(() => resolve(), fail);
    client?.on("ready", resolve);
    client?.on("error", fail);
    client?.on("close", () => reject(new Error("the host closed the connection")));
    client?.on("change password", () => {
      reject(Object.assign(new Error("the password has expired"), { level: "client-authentication" }));
    });
  });
}

function failure(error: SshError, who: string, login: Login, check: HostKeyCheck): Refused | NotSent {
  if (/no matching host key/.test(error.message)) return check.none();
  if (/no matching/.test(error.message)) return new Refused(`${who}: ${error.message}`);
  if (error.level === "client-authentication") return login.refused("no way in is left");
  // A number is the reason in the host's own goodbye: "Too many authentication failures".
  if (login.costly || (login.tried.length > 0 && typeof error.code === "number"))
    return login.refused(reason(error));
  return new NotSent(`${who}: cannot connect: ${reason(error)}`);
}

function open(hop: ResolvedHop, seconds: number): Promise<Duplex> {
  const { host, port = 22, family } = hop;
  return new Promise((resolve, reject) => {
    // Nagle's algorithm would hold every small packet back for the 40 ms of a delayed acknowledgement.
    const socket = connect({ host, port, family, noDelay: true });
    const fail = (why: string): void => {
      socket.destroy();
      reject(new NotSent(`${labelHop(hop)}: cannot connect: ${why}`));
    };
    const timer = deadline(seconds, fail);
    socket.on("error", (error) => {
      clearTimeout(timer);
      fail(reason(error));
    });
    socket.on("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}
