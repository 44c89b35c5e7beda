import { isDeepStrictEqual } from "node:util";
import type { Provider } from "../provider/lifecycle";

type Props = Record<string, unknown>;

/** What Pulumi's state holds of a resource. */
export interface State {
  id: string;
  readonly type: string;
  inputs: Props;
  outputs: Props;
}

/** Everything goes through JSON, as it does between the engine and the provider. */
const json = <T>(value: T): T => JSON.parse(JSON.stringify(value));

/**
 * One stack of the engine, as far as a dynamic provider sees it: check, diff with the old OUTPUTS, then create, update,
 * delete; a resource without changes keeps its outputs. Only the order of steps is here, no wishes of ours.
 */
export class Stack {
  readonly resources = new Map<string, State>();
  /** Of the run under way: each is a provider process of its own. */
  private kinds: Readonly<Record<string, Provider>> = {};
  readonly steps: string[] = [];

  constructor(
    readonly name: string,
    private readonly start: () => Readonly<Record<string, Provider>>,
  ) {
    this.run();
  }

  /** The next steps are of another run of the program. */
  run(): this {
    this.kinds = this.start();
    return this;
  }

  urn(type: string, name: string): string {
    return `urn:pulumi:${this.name}::net::pulumi-nodejs:dynamic/hostnet:${type}::${name}`;
  }

  /**
   * What `up` does with one resource. `as` is the URN that an alias gave up; `replace` is what --replace, a taint or a
   * replaceOnChanges do: the provider is not asked.
   */
  async up(
    type: string,
    name: string,
    args: Props,
    { as, replace }: { as?: string; replace?: "create first" | "delete first" } = {},
  ): Promise<State> {
    const provider = this.kinds[type]!;
    const urn = this.urn(type, name);
    const old = this.resources.get(as ?? urn);
    const inputs = await this.check(provider, old, this.news(type, name, urn, args));
    if (!old) return this.create(provider, type, urn, inputs);
    const answer = replace
      ? { changes: true, replaces: ["x"], deleteBeforeReplace: replace === "delete first" }
      : await provider.diff(old.id, json(old.outputs), json(inputs));
    if (as) this.rename(as, urn);
    if (!answer.changes) {
      this.steps.push(`same ${name}`);
      old.inputs = inputs;
      return old;
    }
    if (answer.replaces.length === 0) {
      this.steps.push(`update ${name}`);
      const { outs } = await provider.update(old.id, json(old.outputs), json(inputs));
      Object.assign(old, { inputs, outputs: { ...json(outs), __provider: inputs.__provider } });
      return old;
    }
    // Without olds, once more: as the engine checks the inputs of a replacement.
    const anew = await this.check(provider, undefined, this.news(type, name, urn, args));
    if (answer.deleteBeforeReplace) await this.remove(urn);
    const made = await this.create(provider, type, urn, anew);
    if (!answer.deleteBeforeReplace) await this.delete(provider, old, name);
    return made;
  }

  /** What `refresh` does: undefined when it took the resource out of the state. */
  async refresh(type: string, name: string): Promise<State | undefined> {
    const urn = this.urn(type, name);
    const state = this.resources.get(urn)!;
    const read = await this.kinds[type]!.read(state.id, json(state.outputs));
    if (read.id === "") {
      this.resources.delete(urn);
      return undefined;
    }
    Object.assign(state, { outputs: json(read.props), inputs: json(read.inputs) });
    return state;
  }

  async destroy(type: string, name: string): Promise<void> {
    await this.remove(this.urn(type, name));
  }

  /** As the class in the program sends them. */
  private news(type: string, name: string, urn: string, args: Props): Props {
    return {
      connection: { host: `${this.name}.example` },
      ...args,
      __provider: `exports.handler=()=>require('pulumi-hostnet/v1').${type.toLowerCase()};`,
      __owner: urn,
      __resource: name,
    };
  }

  private async check(provider: Provider, old: State | undefined, news: Props): Promise<Props> {
    const { inputs, failures } = await provider.check(json(old?.inputs ?? {}), json(news));
    if (failures.length > 0) throw new Error(failures.map((f) => `${f.property}: ${f.reason}`).join("\n"));
    // What check returned is checked again at the next run: it must stand.
    const again = await provider.check(json(old?.inputs ?? {}), json(inputs));
    if (!isDeepStrictEqual(json(again.inputs), json(inputs))) throw new Error("check is not idempotent");
    return json(inputs);
  }

  private async create(provider: Provider, type: string, urn: string, inputs: Props): Promise<State> {
    this.steps.push(`create ${inputs.name}`);
    const { id, outs } = await provider.create(json(inputs));
    const state = { id, type, inputs, outputs: { ...json(outs), __provider: inputs.__provider } };
    this.resources.set(urn, state);
    return state;
  }

  private async remove(urn: string): Promise<void> {
    const state = this.resources.get(urn)!;
    await this.delete(this.kinds[state.type]!, state, state.id);
    this.resources.delete(urn);
  }

  private async delete(provider: Provider, state: State, name: string): Promise<void> {
    this.steps.push(`delete ${name}`);
    await provider.delete(state.id, json(state.outputs));
  }

  private rename(from: string, to: string): void {
    this.resources.set(to, this.resources.get(from)!);
    this.resources.delete(from);
  }
}
