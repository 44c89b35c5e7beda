import { HostnetError } from "../errors";
import { renderFilterref } from "../formats/filterref";
import { reasonOf, unlessGone, uuidFrom, virsh } from "../formats/libvirt";
import { escapeXml } from "../formats/xml";
import type { Boot, Last, Observed, Result, Step } from "../kind";
import { type NwFilterBinding, type schema, TRIGGER } from "./args";
import { type Facts, wrapperName } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: NwFilterBinding, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const { state, facts, broken = [] } = before;
  if (state && !facts.wrapped && !last)
    throw new HostnetError(
      `${d.portDev} has a binding of another, to the filter ${state.filter}: take it away there first ` +
        `(virsh nwfilter-binding-delete ${d.portDev})`,
    );
  const steps = !state
    ? created(d, facts)
    : anew(d, state, facts)
      ? replaced(d, facts)
      : redefined(d, before);
  const rebuilt = state && steps.length === 0 && broken.length > 0 ? rebuild(d, facts) : [];
  const all = [...steps, ...rebuilt];
  if (all.length > 0 && !facts.port)
    throw new HostnetError(
      `portDev: ${d.portDev} does not exist on the host: libvirt would filter nothing there`,
    );
  return all;
}

const created = (d: NwFilterBinding, facts: Facts): Step[] => [
  define(d, facts),
  bind(d, facts),
  open(d.portDev),
];

/** libvirt forgets bindings, not filters; the port is closed until it has this one. */
export function boot(d: NwFilterBinding, facts: Facts): Boot<Facts> {
  const there = { argv: ["test", "-e", `/sys/class/net/${d.portDev}`] };
  const once = { ...bind(d, facts), unless: bound(d) };
  const steps = [there, define(d, facts), once, open(d.portDev)];
  return { order: 60, when: "late", facts, steps, closed: closing(d.portDev).trim().replaceAll("\n", "; ") };
}

/** What stands in the binding itself cannot change: the port is closed from its end until its new beginning. */
function anew(d: NwFilterBinding, state: NwFilterBinding, facts: Facts): boolean {
  const vm = (one?: NwFilterBinding["vm"]) => one && `${one.uuid} ${one.name}`;
  return (
    !facts.wrapped || d.macAddress !== state.macAddress || (d.vm !== undefined && vm(d.vm) !== vm(state.vm))
  );
}

const replaced = (d: NwFilterBinding, facts: Facts): Step[] => [
  close(d.portDev),
  unbind(d),
  define(d, facts),
  bind(d, facts),
  open(d.portDev),
];

/** libvirt builds the new rules beside the old ones, and changes over. */
function redefined(d: NwFilterBinding, { state, facts }: Seen): Step[] {
  const step = define(d, facts);
  return step.stdin === define(state!, facts).stdin ? [] : [step];
}

/** Twice, for the same definition again is none to libvirt. */
const rebuild = (d: NwFilterBinding, facts: Facts): Step[] => [
  define({ ...d, trigger: d.trigger === "again" ? "anew" : "again" }, facts),
  define(d, facts),
];

export function remove(_before: Seen, { desired: d }: Last<Shape, Facts>): readonly Step[] {
  const own = wrapperName(d.portDev);
  return [
    unbind(d),
    {
      argv: virsh(d.uri, "nwfilter-undefine", "--nwfilter", own),
      unless: unlessGone(virsh(d.uri, "nwfilter-dumpxml", "--nwfilter", own)),
    },
    open(d.portDev),
  ];
}

function define(d: NwFilterBinding, { wrapper }: Facts): Step {
  const given = { ...d.parameters, ...(d.trigger !== undefined && { [TRIGGER]: d.trigger }) };
  const sorted = Object.fromEntries(Object.entries(given).sort(([a], [b]) => (a < b ? -1 : 1)));
  const lines = [
    `<filter name='${wrapperName(d.portDev)}' chain='root'>`,
    `  <uuid>${wrapper ?? ownUuid(d)}</uuid>`,
    ...renderFilterref(d.filter, sorted).map((line) => `  ${line}`),
    "</filter>\n",
  ];
  return { argv: virsh(d.uri, "nwfilter-define", "--file", "/dev/stdin"), stdin: lines.join("\n") };
}

const ownUuid = ({ portDev }: NwFilterBinding): string => uuidFrom(`NwFilterBinding ${portDev}`);

function bind(d: NwFilterBinding, { owner }: Facts): Step {
  const { name, uuid } = d.vm ?? owner ?? { name: d.portDev, uuid: ownUuid(d) };
  const lines = [
    "<filterbinding>",
    `  <owner><name>${escapeXml(name)}</name><uuid>${uuid}</uuid></owner>`,
    `  <portdev name='${d.portDev}'/>`,
    `  <mac address='${d.macAddress}'/>`,
    `  <filterref filter='${wrapperName(d.portDev)}'/>`,
    "</filterbinding>\n",
  ];
  return { argv: virsh(d.uri, "nwfilter-binding-create", "--file", "/dev/stdin"), stdin: lines.join("\n") };
}

const unbind = ({ portDev, uri }: NwFilterBinding): Step => ({
  argv: virsh(uri, "nwfilter-binding-delete", "--binding", portDev),
  unless: unlessGone(bound({ portDev, uri })),
});

const bound = ({ portDev, uri }: Pick<NwFilterBinding, "portDev" | "uri">): readonly string[] =>
  virsh(uri, "nwfilter-binding-dumpxml", "--binding", portDev);

/** Before ebtables' nat table and before br_netfilter, so that no frame of the port passes. */
const close = (port: string): Step => ({ argv: ["nft", "-f", "-"], stdin: closing(port) });
const closing = (port: string): string =>
  `${without(port)}table bridge hostnet-closed-${port} {
  chain from { type filter hook prerouting priority -400; iifname "${port}" drop; }
  chain to { type filter hook postrouting priority -400; oifname "${port}" drop; }
}
`;
const open = (port: string): Step => ({
  argv: ["nft", "-f", "-"],
  stdin: without(port),
  unless: unlessGone(["nft", "list", "table", "bridge", `hostnet-closed-${port}`]),
});
const without = (port: string): string =>
  `table bridge hostnet-closed-${port}\ndelete table bridge hostnet-closed-${port}\n`;

export function explain({ argv }: Step, result: Result): string | undefined {
  const reason = argv.includes("virsh") ? reasonOf(result) : undefined;
  return reason && `libvirt refuses the binding: ${reason}`;
}
