import { createHash } from "node:crypto";
import type { Duplex, Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { HostnetError, UnknownOutcome } from "../errors";
import type { Way } from "../kind";
import { GRACE, MOST_OUTPUT, noGreeting, plain, prompt, refusal, WRONG_PASSWORD } from "./driver";
import { Input } from "./input";
import type { Greeting, Reply } from "./session";
import { NotSent, Refused, type SshOptions } from "./target";

/** Seconds: for the login shell's own start files, and sudo's. */
const GREETING_LIMIT = 60;
/** Seconds beyond a script's limit and grace after which we stop waiting, and bytes a second of a slow line. */
const PATIENCE = 15;
const SLOWEST = 50_000;
/** Bytes of a script from which on it is sent compressed. */
const LONG = 64 * 1024;
/** What a script stopped at its limit exits with: 124, 137 (killed) with GNU timeout, 143 with busybox. */
const STOPPED = [124, 137, 143];
const TIMED_OUT = 124;

/** The near end of the driver's channel: one request, one reply, then the next. */
export class Channel {
  private readonly input = new Input();
  private diagnosis = "";
  private exit: { readonly code: number | null } | undefined;
  private last: Promise<unknown> = Promise.resolve();
  private count = 0;
  private end: string | undefined;

  constructor(
    private readonly stream: Duplex & { readonly stderr: Readable },
    private readonly mark: string,
    private readonly who: string,
  ) {
    stream.on("data", (chunk: Buffer) => this.input.push(chunk));
    stream.stderr.on("data", (chunk: Buffer) => {
      this.diagnosis = (this.diagnosis + chunk.toString("latin1")).slice(-4096);
      this.input.wake();
    });
    stream.on("error", (error: Error) => this.lost(error.message));
    stream.stderr.on("error", () => {});
    stream.on("exit", (code: number | null) => {
      this.exit = { code };
    });
    stream.on("close", () => this.lost("the channel closed"));
  }

  get alive(): boolean {
    return this.end === undefined;
  }

  /** Nothing more will come. The first reason counts. */
  lost(reason: string): void {
    this.end ??= reason;
    this.input.wake();
  }

  async greet(sudo: SshOptions["sudo"], password: string | undefined): Promise<Greeting> {
    const start = Buffer.from(`\n${this.mark} `);
    const deadline = Date.now() + GREETING_LIMIT * 1000;
    let answered = false;
    for (;;) {
      const noise = this.input.take();
      const at = noise.indexOf(start);
      const newline = at < 0 ? -1 : noise.indexOf("\n", at + start.length);
      if (newline >= 0) {
        this.input.put(noise.subarray(newline + 1));
        return this.greeting(noise.toString("latin1", at + start.length, newline).split(" "), sudo);
      }
      // Noise is thrown away, but for what could be the beginning of the mark.
      this.input.put(noise.subarray(at >= 0 ? at : Math.max(0, noise.length - 4096)));
      if (this.diagnosis.includes(prompt(this.mark))) {
        this.diagnosis = this.diagnosis.replaceAll(prompt(this.mark), "");
        if (answered || password === undefined) throw new Refused(`${this.who}: ${WRONG_PASSWORD}`);
        answered = true;
        this.stream.write(`${password}\n`);
      }
      if (this.end !== undefined) {
        // Without an exit, it is the connection that went.
        if (!this.exit) throw new NotSent(`${this.who}: the connection was lost: ${this.end}`);
        throw new Refused(
          `${this.who}: ${noGreeting(this.exit.code, noise.toString("latin1"), this.diagnosis)}`,
        );
      }
      if (!(await this.input.more(deadline))) {
        throw new Refused(
          `${this.who}: the login did not run our command within ${GREETING_LIMIT} s. ${this.said()}`.trim(),
        );
      }
    }
  }

  private greeting([word, ...rest]: string[], sudo: SshOptions["sudo"]): Greeting {
    const [uid = "", machineId = "", bootId = "", ...way] = rest;
    if (word !== "ok")
      throw new Refused(`${this.who}: ${refusal(rest[0] ?? "", rest[1] ?? "", sudo, this.diagnosis)}`);
    if (!/^[0-9a-f]{32}$/.test(machineId))
      throw new Refused(`${this.who}: ${refusal("machine-id", "", sudo, machineId)}`);
    this.diagnosis = "";
    return { uid: Number(uid), machineId, bootId, way: wayOf(way) };
  }

  /** In strict lockstep: the driver's reading relies on it. */
  run(script: Buffer, limit: number): Promise<Reply> {
    const reply = this.last.then(() => this.request(script, Math.max(1, Math.ceil(limit))));
    this.last = reply.catch(() => {});
    return reply;
  }

  private async request(script: Buffer, limit: number): Promise<Reply> {
    if (this.end !== undefined) throw new NotSent(`${this.who}: the connection was lost: ${this.end}`);
    const mark = `${this.mark}-${++this.count}`;
    const hash = createHash("sha256").update(script).digest("hex");
    // It costs 10 ms a megabyte here and 5 there, which pays on any line of less than 300 Mbit/s.
    const packed = script.length > LONG;
    const bytes = packed ? gzipSync(script, { level: 1 }) : script;
    const sent = Date.now();
    const deadline = sent + (limit + GRACE + PATIENCE + bytes.length / SLOWEST) * 1000;
    this.diagnosis = "";
    // One write, so that header and script share a packet.
    const header = `${bytes.length} ${hash} ${limit} ${mark}${packed ? " z" : ""}\n`;
    this.stream.write(Buffer.concat([Buffer.from(header), bytes]));

    const answer = await this.line(deadline);
    if (answer === `${mark} bad`) {
      this.lost("the driver ended");
      throw new NotSent(
        `${this.who}: what was sent could not be stored whole on the host, and did not run. ${this.said()}`.trim(),
      );
    }
    const [, code, over, out, err] = /^\S+ (\d+)(?: (over)| (\d+) (\d+))$/.exec(answer) ?? [];
    if (
      !answer.startsWith(`${mark} `) ||
      code === undefined ||
      Number(out) > MOST_OUTPUT ||
      Number(err) > MOST_OUTPUT
    ) {
      throw this.broken(`${this.who}: the host's answer makes no sense`);
    }
    if (over) {
      throw new HostnetError(
        `${this.who}: the script ended with ${code}, and printed more than ${MOST_OUTPUT >> 20} MiB`,
      );
    }
    const stdout = await this.bytes(Number(out), deadline);
    const stderr = await this.bytes(Number(err), deadline);
    const late = STOPPED.includes(Number(code)) && Date.now() - sent >= limit * 1000;
    return { code: late ? TIMED_OUT : Number(code), stdout, stderr };
  }

  private async line(deadline: number): Promise<string> {
    for (;;) {
      const all = this.input.take();
      const newline = all.indexOf("\n");
      this.input.put(newline < 0 ? all : all.subarray(newline + 1));
      if (newline >= 0) return all.toString("latin1", 0, newline);
      if (all.length > 1000) throw this.broken(`${this.who}: the host's answer makes no sense`);
      await this.orLost(deadline);
    }
  }

  private async bytes(length: number, deadline: number): Promise<Buffer> {
    while (this.input.size < length) await this.orLost(deadline);
    return this.input.take(length);
  }

  private async orLost(deadline: number): Promise<void> {
    if (this.end !== undefined) throw this.broken(`${this.who}: the connection was lost: ${this.end}`);
    if (!(await this.input.more(deadline)))
      throw this.broken(`${this.who}: no answer within the script's time limit`);
  }

  private broken(reason: string): UnknownOutcome {
    this.lost(reason);
    return new UnknownOutcome(`${reason}; what the script did is not known. ${this.said()}`.trim());
  }

  private said(): string {
    return plain(this.diagnosis);
  }
}

function wayOf(words: readonly string[]): Way | undefined {
  const [client, clientPort, server, port, gateway, ...links] = words.filter((word) => word !== "");
  if (!client || !server || !gateway || links.length === 0) return undefined;
  const router = gateway === "-" ? undefined : gateway;
  const way = { client, clientPort: Number(clientPort), server, port: Number(port), gateway: router };
  return { ...way, links: links.filter((link) => link !== "*"), tunnelled: links.includes("*") };
}
