import { HostnetError } from "../errors";
import { parameters as parametersOf, readFilterref } from "../formats/filterref";
import { found, virsh } from "../formats/libvirt";
import type { XmlElement } from "../formats/xml";
import { parseXml } from "../formats/xml-parse";
import type { Last, Observed, Query, Result } from "../kind";
import { type NwFilterBinding, type schema, TRIGGER } from "./args";

type Shape = typeof schema.shape;

export interface Facts {
  /** The port exists. */
  readonly port: boolean;
  /** The binding names our own filter; one that another made names its filter itself. */
  readonly wrapped: boolean;
  /** The owner that libvirt was told. */
  readonly owner?: { readonly name: string; readonly uuid: string };
  /** UUID of our own filter, where it stands. */
  readonly wrapper?: string;
  /** Where packets of the port enter its rules, in ebtables' and iptables' words. */
  readonly rules: readonly string[];
}

/** A filter of our own for each port: what it refers to may change without an unfiltered moment, a binding may not. */
export const wrapperName = (port: string): string => `hostnet-${port}`;

/** Those that jump from the common chains into the port's; a flush takes them along with all others. */
const RULES = `for tool in ebtables iptables ip6tables; do $tool-save 2>/dev/null | grep -F -- "$1" | grep '^-A' | sed "s/^/$tool /"; done; :`;

export function query({ portDev, uri }: NwFilterBinding): readonly Query[] {
  return [
    { argv: virsh(uri, "nwfilter-binding-dumpxml", "--binding", portDev) },
    { argv: virsh(uri, "nwfilter-dumpxml", "--nwfilter", wrapperName(portDev)) },
    { argv: ["cat", `/sys/class/net/${portDev}/ifindex`] },
    { argv: ["sh", "-c", RULES, "sh", ` ${portDev} `], free: true },
  ];
}

export function parse(
  results: readonly Result[],
  d: NwFilterBinding,
  last?: Last<Shape, Facts>,
): Observed<Shape, Facts> {
  const [dump, own, port, jumps] = results;
  const binding = read("binding", found(dump!, /Network filter binding not found/, d.uri), bindingOf);
  const wrapper = read("filter", found(own!, /Network filter not found/, d.uri), wrapperOf);
  const wrapped = binding?.filter === wrapperName(d.portDev);
  const rules = jumps!.stdout.split("\n").filter((line) => line !== "");
  const facts = {
    port: exists(port!, d.portDev),
    wrapped,
    owner: binding?.vm,
    wrapper: wrapper?.uuid,
    rules,
  };
  if (!binding) return { facts };
  if (binding.portDev !== d.portDev)
    throw new HostnetError(`libvirt answers with the binding of ${binding.portDev}`);
  if (wrapped && !wrapper)
    throw new HostnetError(`libvirt has the binding, but not its filter ${binding.filter}`);
  const lost = (last?.facts?.rules ?? []).filter((rule) => !rules.includes(rule));
  const { filter, parameters, trigger } = wrapped ? wrapper! : binding;
  const state: NwFilterBinding = {
    portDev: d.portDev,
    macAddress: binding.macAddress,
    filter,
    parameters: withoutMac(parameters, wrapped),
    vm: d.vm && binding.vm,
    trigger,
    uri: d.uri,
  };
  return { state, facts, broken: lost.map((rule) => `its rules are gone: ${rule}`) };
}

function exists({ code, stderr }: Result, port: string): boolean {
  if (code === 0) return true;
  if (/No such file or directory/.test(stderr)) return false;
  throw new HostnetError(`it is not known whether ${port} exists: ${stderr.trim() || `exit code ${code}`}`);
}

function read<T>(what: string, dump: string | undefined, by: (root: XmlElement) => T): T | undefined {
  if (dump === undefined) return undefined;
  try {
    return by(parseXml(dump));
  } catch (error) {
    throw new HostnetError(`what libvirt says of the ${what} is not understood: ${(error as Error).message}`);
  }
}

interface Reference {
  readonly filter: string;
  readonly parameters: Record<string, string | string[]>;
  readonly trigger?: string;
}

function bindingOf(root: XmlElement) {
  const owner = child(root, "owner");
  return {
    portDev: attribute(child(root, "portdev"), "name"),
    macAddress: attribute(child(root, "mac"), "address").toLowerCase(),
    vm: { name: child(owner, "name").text, uuid: child(owner, "uuid").text.toLowerCase() },
    ...referenceOf(child(root, "filterref")),
  };
}

/** Only ours has that name: one reference and nothing else. */
function wrapperOf(root: XmlElement) {
  const entries = root.children.filter(({ name }) => name !== "uuid");
  const [first] = entries;
  if (root.name !== "filter" || entries.length !== 1 || first?.name !== "filterref")
    throw new Error(`${root.attributes.name} is not as we write it`);
  return { uuid: child(root, "uuid").text, ...referenceOf(first) };
}

function referenceOf(element: XmlElement): Reference {
  const { filter, parameters = {} } = readFilterref(element);
  const { [TRIGGER]: trigger, ...others } = parametersOf.parse(parameters);
  return {
    filter,
    parameters: others,
    trigger: trigger === undefined ? undefined : [trigger].flat().join(" "),
  };
}

/** libvirt adds the binding's MAC address to the parameters of the binding itself. */
function withoutMac(given: Record<string, string | string[]>, wrapped: boolean) {
  const { MAC, ...others } = given;
  return wrapped ? given : others;
}

function child(element: XmlElement, name: string): XmlElement {
  const found = element.children.filter((one) => one.name === name);
  if (found.length !== 1) throw new Error(`<${element.name}> has ${found.length} <${name}>`);
  return found[0]!;
}

function attribute(element: XmlElement, name: string): string {
  const value = element.attributes[name];
  if (value === undefined) throw new Error(`<${element.name}> has no ${name}`);
  return value;
}
