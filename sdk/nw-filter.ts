import * as pulumi from "@pulumi/pulumi";
import { filterName, parameters, renderFilterref } from "../provider/formats/filterref";
import type { NwFilterFields } from "../provider/nw-filter/args";
import { type Args, HostResource } from "./resource";

export type NwFilterArgs = Args<NwFilterFields>;
export type { NwFilterMatch, NwFilterRef, NwFilterRule } from "../provider/nw-filter/args";

/**
 * A network filter of libvirt, for the interfaces of guests. A change reaches running guests at once, and keeps its UUID.
 *
 * ```ts
 * const ssh = new NwFilter("allow-ssh", { ...host, entries: [
 *   { filter: "clean-traffic" },
 *   { action: "accept", direction: "in", tcp: { dstportstart: 22 } },
 *   { action: "drop", direction: "inout", priority: 1000, all: {} },
 * ] });
 * ```
 */
export class NwFilter extends HostResource {
  declare readonly name: pulumi.Output<string>;
  declare readonly uuid: pulumi.Output<string>;
  /** The whole filter, as `virsh nwfilter-dumpxml` prints it. */
  declare readonly xml: pulumi.Output<string>;

  constructor(name: string, args: NwFilterArgs, opts?: pulumi.CustomResourceOptions) {
    super("NwFilter", "nwFilter", ["name", "uuid", "xml"], name, args, opts);
  }
}

/**
 * The element by which a domain's interface takes a filter: `<filterref filter='…'>…</filterref>`, for the XML that you
 * give to libvirt.
 */
export function filterref(
  filter: pulumi.Input<string>,
  given: pulumi.Input<Record<string, pulumi.Input<string | pulumi.Input<string>[]>>> = {},
): pulumi.Output<string> {
  return pulumi
    .all([filter, pulumi.output(given)])
    .apply(([name, values]) =>
      renderFilterref(valid(filterName, name), valid(parameters, values)).join("\n"),
    );
}

function valid<T extends typeof filterName | typeof parameters>(schema: T, given: unknown) {
  const { data, error } = schema.safeParse(given);
  if (error) throw new pulumi.RunError(`filterref: ${JSON.stringify(given)} ${error.issues[0]!.message}`);
  return data as ReturnType<T["parse"]>;
}
