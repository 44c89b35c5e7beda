import type { Method } from "./credentials";
import { readable } from "./keys";
import { Refused } from "./target";

/** What ssh2 takes for one attempt to log in. */
type Attempt =
  | { readonly type: "publickey"; readonly username: string; readonly key: unknown }
  | { readonly type: "agent"; readonly username: string; readonly agent: unknown }
  | { readonly type: "password"; readonly username: string; readonly password: string }
  | { readonly type: "keyboard-interactive"; readonly username: string; readonly prompt: Prompt };

type Prompt = (
  name: string,
  instructions: string,
  language: string,
  prompts: readonly { readonly prompt: string; readonly echo?: boolean }[],
  finish: (answers: string[]) => void,
) => void;

interface Ssh2 {
  /** A key, or an Error. */
  parseKey(key: string, passphrase?: string): unknown;
  /** An agent that shows these keys only. */
  agent(socket: string, only: readonly Buffer[]): unknown;
}

interface Way {
  readonly from: string;
  readonly attempt: Attempt;
  fits(offered: readonly string[] | null): boolean;
}

/** Decides what to log in with next. The first key goes without asking what the host takes: that saves a round trip. */
export class Login {
  readonly tried: string[] = [];
  private offered: readonly string[] = [];
  private readonly ways: Way[];
  private readonly unusable: readonly string[];

  constructor(
    private readonly who: string,
    user: string,
    methods: readonly Method[],
    ssh2: Ssh2,
  ) {
    this.ways = methods.flatMap((method) => waysOf(who, user, method, ssh2));
    this.unusable = methods.flatMap(({ type, from }) => (type === "unusable" ? from : []));
  }

  /** ssh2 asks with what the host offers, `null` the first time. */
  next(offered: readonly string[] | null): Attempt | false {
    this.offered = offered ?? [];
    const at = this.ways.findIndex((way) => way.fits(offered));
    if (at < 0) return false;
    const [way] = this.ways.splice(at, 1);
    this.tried.push(way!.from);
    return way!.attempt;
  }

  /** A password went out, or something was refused already: no second attempt without the user. */
  get costly(): boolean {
    return this.tried.length > 1 || this.tried.some((from) => from.endsWith("assword"));
  }

  refused(reason: string): Refused {
    const tried = this.tried.length > 0 ? `tried ${this.tried.join(", then ")}` : "nothing that we have fits";
    const offered = this.offered.length > 0 ? `; the host accepts ${this.offered.join(", ")}` : "";
    return new Refused(
      `${this.who}: the login was refused: ${reason} (${tried}${offered}). It is not tried again in this run.${this.unusable.map((text) => ` ${text}.`).join("")}`,
    );
  }
}

function waysOf(who: string, username: string, method: Method, ssh2: Ssh2): Way[] {
  const { from } = method;
  const publickey = (offered: readonly string[] | null) => offered === null || offered.includes("publickey");
  switch (method.type) {
    case "key": {
      const key = parsed(method.key, method.passphrase, ssh2);
      if (!(key instanceof Error))
        return [{ from, attempt: { type: "publickey", username, key }, fits: publickey }];
      if (method.optional) return [];
      throw new Refused(
        `${who}: ${from} cannot be used: ${key.message}. ssh-keygen -p -f FILE writes a key in a form that is understood.`,
      );
    }
    case "agent": {
      const { socket, only } = method;
      const agent = only ? ssh2.agent(socket, only) : socket;
      return [{ from, attempt: { type: "agent", username, agent }, fits: publickey }];
    }
    case "unusable":
      return [];
    case "password": {
      const { password } = method;
      return [
        {
          from,
          attempt: { type: "password", username, password },
          fits: (offered) => offered === null || offered.includes("password"),
        },
        {
          from,
          attempt: { type: "keyboard-interactive", username, prompt: answerOnce(password) },
          // Where both are offered it would be the same password a second time.
          fits: (offered) =>
            offered?.includes("keyboard-interactive") === true && !offered.includes("password"),
        },
      ];
    }
  }
}

function parsed(key: string, passphrase: string | undefined, { parseKey }: Ssh2): unknown {
  try {
    return parseKey(readable(key, passphrase), passphrase);
  } catch (error) {
    return error;
  }
}

/** The first hidden question is for the password; whatever else is asked has no answer from us. */
function answerOnce(password: string): Prompt {
  let left: string | undefined = password;
  return (_name, _instructions, _language, prompts, finish) => {
    finish(
      prompts.map(({ echo }) => {
        if (echo) return "";
        const answer = left ?? "";
        left = undefined;
        return answer;
      }),
    );
  };
}
