import type { z } from "zod";
import type { Kind } from "../../provider/kind";
import { type Hosts, lifecycle } from "../../provider/lifecycle";

type Props = Readonly<Record<string, unknown>>;

/** The resources of one kind on one host, as the engine would call their provider. */
export function resources<S extends z.ZodRawShape, F>(kind: Kind<S, F>, hosts: Hosts, host: string) {
  const provider = lifecycle(kind, hosts);
  const owner = (name: string) => `urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:${kind.name}::${name}`;

  async function inputs(name: string, args: object): Promise<Props> {
    const news = {
      connection: { host },
      __provider: "p",
      __owner: owner(name),
      __resource: name,
      ...args,
    };
    const checked = await provider.check({}, news);
    expect(checked.failures).toEqual([]);
    return checked.inputs;
  }

  return {
    create: async (name: string, args: object): Promise<Props> =>
      (await provider.create(await inputs(name, args))).outs,
    update: async (name: string, olds: Props, args: object): Promise<Props> =>
      (await provider.update(name, olds, await inputs(name, args))).outs,
    /** What a refresh would tell: undefined for an object that is gone, with its record. */
    drift: async (name: string, olds: Props): Promise<unknown> =>
      (await provider.read(name, olds)).props?.drift,
    refresh: async (name: string, olds: Props): Promise<Props> => (await provider.read(name, olds)).props!,
    delete: (name: string, olds: Props): Promise<void> => provider.delete(name, olds),
  };
}
