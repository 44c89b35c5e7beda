import type { z } from "zod";
import { changed, same } from "./compare";
import { Convergence, type Stored } from "./converge";
import { HostnetError } from "./errors";
import { holdsTexts, keysOf } from "./formats/keys";
import { HOST_KEYS, type HostArgs, hostSchema } from "./host-args";
import type { Desired, Kind, Observed } from "./kind";
import type { Host } from "./look";
import { hasUnknown, parseFields } from "./schema";
import { byHost, type Trials } from "./trials";

type Props = Readonly<Record<string, unknown>>;

/** The part of Pulumi's dynamic ResourceProvider that we implement. Never imported from there: loading it costs 0.5 s. */
export interface Provider {
  configure(request: { config: { get(key: string): string | undefined } }): Promise<void>;
  check(
    olds: Props,
    news: Props,
  ): Promise<{ inputs: Props; failures: { property: string; reason: string }[] }>;
  diff(
    id: string,
    olds: Props,
    news: Props,
  ): Promise<{ changes: boolean; replaces: string[]; deleteBeforeReplace: boolean }>;
  create(inputs: Props): Promise<{ id: string; outs: Props }>;
  read(id: string, props: Props): Promise<{ id: string; props?: Props; inputs?: Props }>;
  update(id: string, olds: Props, news: Props): Promise<{ outs: Props }>;
  delete(id: string, props: Props): Promise<void>;
}

/** The hosts of this run, as the lifecycle needs them. */
export interface Hosts {
  configure(get: (key: string) => string | undefined): void;
  at(args: HostArgs): Host;
  /** For `hostnet:check`. */
  readonly trials?: Trials;
}

/** Inputs that the class adds beside the user's: the provider code, the URN and the name of the resource. */
const HIDDEN = ["__provider", "__owner", "__resource"];

/** check, diff, create, read, update, delete: once, for every kind. check and diff never touch the host. */
export function lifecycle<S extends z.ZodRawShape, F>(kind: Kind<S, F>, hosts: Hosts): Provider {
  const keys = Object.keys(kind.schema.shape);
  /** Which resource of this run declared an object: two for one object would undo each other for ever. */
  const declared = new Map<string, string>();

  /** By owner, what is called otherwise than its resource: a replacement is checked once more, without the old inputs. */
  const names = new Map<unknown, unknown>();

  async function check(olds: Props, news: Props) {
    if (olds.name !== undefined && !hasUnknown(news.__owner)) names.set(news.__owner, olds.name);
    const former = olds.name ?? names.get(news.__owner);
    const name = "name" in kind.schema.shape ? (news.name ?? former ?? news.__resource) : undefined;
    const own = parseFields(kind.schema, {
      ...pick(news, (key) => !isHost(key) || keys.includes(key)),
      ...(name !== undefined && { name }),
    });
    const host = parseFields(
      hostSchema,
      pick(news, (key) => HOST_KEYS.includes(key)),
    );
    const failures = [...host.problems, ...own.problems];
    if (own.desired) failures.push(...(kind.refine?.(own.desired) ?? []));
    if (failures.length === 0 && own.desired && host.desired)
      failures.push(...claimOnce(own.desired, host.desired, news));
    if (failures.length === 0 && own.desired)
      failures.push(...(await judged(own.desired, host.desired, news)));
    // The connection stays as it was written: what stands in the state is what the program says.
    const inputs = plain({
      ...pick(news, (key) => HOST_KEYS.includes(key) || HIDDEN.includes(key)),
      ...own.fields,
    });
    return { inputs, failures };
  }

  async function judged(desired: Desired<S>, host: HostArgs | undefined, { connection }: Props) {
    if (!kind.trial || !hosts.trials?.setting) return [];
    return hosts.trials.judge(
      kind.trial(desired),
      JSON.stringify(connection),
      host && byHost(hosts.at(host)),
    );
  }

  function claimOnce(desired: Desired<S>, { connection }: HostArgs, { __owner }: Props) {
    const object = `${connection.host}:${connection.port ?? 22}/${kind.name}/${kind.id(desired)}`;
    const owner = String(__owner);
    const other = declared.get(object);
    declared.set(object, other ?? owner);
    if (other === undefined || other === owner || hasUnknown(owner)) return [];
    const property = kind.identity[0]!;
    return [
      {
        property,
        reason: `${kind.name} "${kind.id(desired)}" of ${connection.host} is already declared by ${other}`,
      },
    ];
  }

  function diff(olds: Props, news: Props) {
    const own = changedFields(olds, news);
    const replaces = kind.identity.filter((key) => own.includes(key));
    const host = changed(olds, news, HOST_KEYS);
    const drifted = Array.isArray(olds.drift) && olds.drift.length > 0;
    return {
      changes: own.length > 0 || host.length > 0 || drifted,
      replaces,
      deleteBeforeReplace: kind.deleteBeforeReplace ?? false,
    };
  }

  /** The fields that are no longer what the last apply wanted. */
  function changedFields(olds: Props, news: Props): string[] {
    const last: Props = stored<S, F>(olds).desired;
    const appears = (key: string) => (last[key] === undefined) !== (news[key] === undefined);
    const differs = (key: string) =>
      hasUnknown(news[key]) ||
      !same(last[key], news[key]) ||
      (kind.managed?.includes(key) === true && appears(key));
    return keys.filter(differs);
  }

  async function create(inputs: Props) {
    const desired = known(inputs);
    const convergence = converge(inputs);
    const made = await telling("create", desired, inputs, () => convergence.create(desired));
    return { id: kind.id(desired), outs: outputs(inputs, made.stored, made.observed, made.warnings) };
  }

  async function read(id: string, props: Props) {
    const last = stored<S, F>(props);
    const seen = await telling("read", last.desired, props, () => converge(props).read(last));
    if (!seen) return { id: "" };
    const { observed, drift, warnings } = seen;
    const state = observed.state ?? last.desired;
    const inputs = { ...pick(props, (key) => HOST_KEYS.includes(key) || HIDDEN.includes(key)), ...state };
    const found = outputs(props, last, { ...observed, state }, warnings);
    return {
      id,
      props: { ...found, drift },
      inputs: plain(drift.length > 0 ? { ...inputs, drift } : inputs),
    };
  }

  async function update(olds: Props, news: Props) {
    const last = stored<S, F>(olds);
    const desired = known(news);
    const moved = changed(target(olds), target(news), ["host", "port", "proxy"]).length > 0;
    const reinstalled = news.acceptMachine !== undefined && news.acceptMachine !== last.machineId;
    const untouched = !diffOfObject(olds, news) && !moved && !reinstalled && same(olds.persist, news.persist);
    // Changed credentials need no connection: the next change uses them.
    if (untouched)
      return { outs: plain({ ...pick(olds, (key) => !HOST_KEYS.includes(key)), ...pick(news, isHost) }) };
    const made = await telling("update", desired, news, () => converge(news).update(desired, last));
    const warnings = made.warnings ?? (olds.warnings as string[] | undefined);
    return { outs: outputs(news, made.stored, made.observed, warnings) };
  }

  function diffOfObject(olds: Props, news: Props): boolean {
    const drifted = Array.isArray(olds.drift) && olds.drift.length > 0;
    return drifted || changedFields(olds, news).length > 0;
  }

  function converge(props: Props) {
    const host = hostArgs(props);
    return new Convergence<S, F>(kind, hosts.at(host), {
      ...host,
      owner: String(props.__owner),
      persist: host.persist !== false,
    });
  }

  function known(inputs: Props): Desired<S> {
    const parsed = parseFields(
      kind.schema,
      pick(inputs, (key) => keys.includes(key)),
    );
    if (parsed.desired) return parsed.desired;
    const [problem] = parsed.problems;
    throw new HostnetError(problem ? `${problem.property}: ${problem.reason}` : "a value is still unknown");
  }

  function outputs(
    props: Props,
    last: Stored<S, F>,
    observed: Observed<S, F>,
    warnings: readonly string[] = [],
  ): Props {
    return plain({
      ...pick(props, (key) => HOST_KEYS.includes(key) || HIDDEN.includes(key)),
      ...observed.state,
      ...kind.outputs?.(observed.facts),
      drift: [],
      ...(warnings.length > 0 && { warnings }),
      __last: last,
    });
  }

  /** One form for every error: what could not be done, to what, where; then why. */
  async function telling<T>(
    verb: string,
    desired: Desired<S>,
    props: Props,
    act: () => Promise<T>,
  ): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const where = hosts.at(hostArgs(props)).label;
      const said = error instanceof Error ? error.message : String(error);
      // What the login says begins with whom it is about, for that may be a jump host.
      const message = said.startsWith(`${where}: `) ? said.slice(where.length + 2) : said;
      throw new HostnetError(`Unable to ${verb} ${kind.name} "${kind.id(desired)}" on ${where}: ${message}`);
    }
  }

  return {
    configure: async ({ config }) => {
      const get = (key: string) => config.get(`hostnet:${key}`);
      hosts.configure(get);
      if (hosts.trials) hosts.trials.setting = get("check");
    },
    check: (olds, news) => check(olds ?? {}, news),
    diff: async (_id, olds, news) => diff(olds, news),
    create,
    read,
    update: async (_id, olds, news) => update(olds, news),
    delete: async (_id, props) => {
      const last = stored<S, F>(props);
      await telling("delete", last.desired, props, () => converge(props).delete(last));
    },
  };
}

const isHost = (key: string): boolean => HOST_KEYS.includes(key) || HIDDEN.includes(key) || key === "drift";
const pick = (props: Props, wanted: (key: string) => boolean): Record<string, unknown> =>
  Object.fromEntries(Object.entries(props).filter(([key]) => wanted(key)));
/** Pulumi takes no undefined, and says so only after the change was made. What has none stays what it is: lists may be long. */
const plain = (props: Props): Props => strip(props) as Props;

function strip(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const items = value.map((inner) => strip(inner) ?? null);
    return items.some((inner, n) => inner !== value[n]) ? items : value;
  }
  if (holdsTexts(value)) return value;
  const given = value as Record<string, unknown>;
  let copy: Record<string, unknown> | undefined;
  for (const key of keysOf(given)) {
    const inner = given[key];
    const fit = typeof inner === "object" ? strip(inner) : inner;
    if (inner !== undefined && fit === inner) continue;
    copy ??= { ...given };
    if (inner === undefined) delete copy[key];
    else copy[key] = fit;
  }
  return copy ?? given;
}

const target = ({ connection }: Props): Props => (connection ?? {}) as Props;

function stored<S extends z.ZodRawShape, F>(olds: Props): Stored<S, F> {
  if (olds.__last === undefined)
    throw new HostnetError("the state of this resource was not written by pulumi-hostnet");
  return olds.__last as Stored<S, F>;
}

function hostArgs(props: Props): HostArgs {
  const parsed = parseFields(
    hostSchema,
    pick(props, (key) => HOST_KEYS.includes(key)),
  );
  if (parsed.desired) return parsed.desired;
  const [problem] = parsed.problems;
  throw new HostnetError(
    problem ? `${problem.property}: ${problem.reason}` : "the connection is still unknown",
  );
}
