import { createRequire } from "node:module";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { version } from "../provider/version";
import type { HostArgs } from "./host";

/** A field of a resource as a program may give it: a value, an Output, or a structure with Outputs in it. */
type Inner<T> = T extends readonly (infer U)[]
  ? readonly DeepInput<U>[]
  : T extends object
    ? { [K in keyof T]: Field<T[K]> }
    : T;
type DeepInput<T> = pulumi.Input<Inner<T>>;
/** What must not be given is no input: so the compiler can tell by it what is meant. */
type Field<T> = [NonNullable<T>] extends [never]
  ? undefined
  : DeepInput<NonNullable<T>> | Extract<T, undefined>;

/** The arguments of a resource: its fields, and how to reach the host. */
export type Args<Fields> = HostArgs & { [K in keyof Fields]: DeepInput<NonNullable<Fields[K]>> };

/**
 * The provider code that stands in every user's state. It never changes, and `pulumi-hostnet/v1` exists for ever:
 * an old state must find its way to today's code.
 */
const providerCode = (handler: string): string =>
  `exports.handler=()=>require('pulumi-hostnet/v1').${handler};`;

/** What every resource of this package has in common: the connection, the ownership, the drift. */
export abstract class HostResource extends pulumi.CustomResource {
  /** What differs on the host from what was applied, a line each. Empty but after a refresh that found something. */
  declare readonly drift: pulumi.Output<string[]>;
  /**
   * What others on the host do to it, a sentence each, as of the last change or refresh: a firewall that drops what is
   * accepted here. Every run repeats them, a preview too. Absent where there are none.
   */
  declare readonly warnings: pulumi.Output<string[] | undefined>;

  /**
   * @param kind in users' state, as the last part of the type
   * @param handler name of the kind in `pulumi-hostnet/v1`
   * @param outputs the declared ones that a program need not give: what the host adds, and fields that may be left out
   */
  protected constructor(
    kind: string,
    handler: string,
    outputs: readonly string[],
    name: string,
    args: object,
    opts?: pulumi.CustomResourceOptions,
  ) {
    requireSameVersion();
    refuseOptions(kind, name, opts);
    const type = `pulumi-nodejs:dynamic/hostnet:${kind}`;
    const missing = Object.fromEntries(
      [...outputs, "drift", "warnings", "__last"].map((key) => [key, undefined]),
    );
    super(
      type,
      name,
      {
        ...missing,
        ...args,
        connection: guarded((args as HostArgs).connection),
        ssh: guardedJumps((args as HostArgs).ssh),
        __provider: providerCode(handler),
        __owner: pulumi.createUrn(name, type, urnOf(opts?.parent)),
        __resource: name,
      },
      opts,
    );
    this.warnings.apply((warnings = []) => {
      for (const warning of warnings) void pulumi.log.warn(warning, this);
    });
    const { connection: _, ssh: __, ...fields } = args as HostArgs;
    void warnOfSecrets(this, fields);
  }
}

/** Pulumi shows them as [secret], but the host, its records and what we keep of both in the state have them in clear. */
async function warnOfSecrets(resource: pulumi.Resource, fields: object): Promise<void> {
  // What a field cannot become, the registration tells.
  const secret = await pulumi.isSecret(pulumi.output(fields)).catch(() => false);
  if (secret)
    await pulumi.log.warn(
      "a secret stands in its fields: on the host and in the state it is readable",
      resource,
    );
}

const TAKE_OVER = 'adopt: "identical", or "overwrite", takes over what is on the host';
/** Options that the engine would pass over in silence, or fail at without a reason, for a dynamic resource. */
const UNSUPPORTED = {
  import: TAKE_OVER,
  id: TAKE_OVER,
  replaceOnChanges: "what replaces a resource says its field; pulumi up --replace does it once",
} as const;

function refuseOptions(kind: string, name: string, opts: pulumi.CustomResourceOptions = {}): void {
  for (const option of Object.keys(UNSUPPORTED) as (keyof typeof UNSUPPORTED)[])
    if (opts[option] !== undefined)
      throw new pulumi.RunError(
        `${kind} "${name}": the option ${option} does not work here: ${UNSUPPORTED[option]}`,
      );
}

/** Not the Output itself: a resource that depends on its component waits for the component's other children, and they for it. */
const urnOf = (parent?: pulumi.Resource): Promise<string> | undefined =>
  parent && new Promise((resolve) => parent.urn.apply(resolve));

const SECRET = ["password", "privateKey", "privateKeyPassword"];

/** Each secret wrapped for itself, so that `host` and `user` stay readable in the preview. */
function guarded(connection: unknown): unknown {
  return within(connection, (server) => {
    const given = Object.entries(server).filter(([, value]) => value !== undefined && value !== null);
    return Object.fromEntries(
      given.map(([key, value]) => [
        key,
        key === "proxy" ? guarded(value) : SECRET.includes(key) ? pulumi.secret(value) : value,
      ]),
    );
  });
}

/** What is no object is left to the check, which says what it must be. */
function within(value: unknown, guard: (value: object) => unknown): unknown {
  if (pulumi.Output.isInstance(value) || value instanceof Promise) {
    return pulumi.output(value).apply((known) => within(known, guard));
  }
  return typeof value === "object" && value !== null ? guard(value) : value;
}

/** The same for each of `ssh.jumps`. */
function guardedJumps(ssh: unknown): unknown {
  return within(ssh, (options) =>
    "jumps" in options
      ? {
          ...options,
          jumps: within(options.jumps, (jumps) => (Array.isArray(jumps) ? jumps.map(guarded) : jumps)),
        }
      : options,
  );
}

let checked = false;

/** The engine starts the provider code in the project's folder, and finds this package there or not at all. */
function requireSameVersion(): void {
  if (checked) return;
  // As from a file of that folder: a package that asks for its own name gets itself, wherever it looks.
  const there = createRequire(join(process.cwd(), "index.js"));
  let found: string;
  try {
    there.resolve("pulumi-hostnet/v1");
    found = (there("pulumi-hostnet/package.json") as { version: string }).version;
  } catch {
    throw new pulumi.RunError(
      `pulumi-hostnet cannot be found from the project folder ${process.cwd()}: it must be a direct dependency of the ` +
        `project, also when another package uses it. Run: npm install pulumi-hostnet@${version}`,
    );
  }
  if (found !== version) {
    throw new pulumi.RunError(
      `the project folder ${process.cwd()} has pulumi-hostnet ${found}, but the program uses ${version}. ` +
        `Run there: npm install pulumi-hostnet@${version}`,
    );
  }
  checked = true;
}
