/**
 * What a program may write and what not: compiled by `npm run types`, never run. A line that compiles although it should
 * not is an error too (unused @ts-expect-error).
 */
import type { types } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import {
  Bridge,
  type BridgeArgs,
  type Connection,
  filterref,
  type HostArgs,
  KernelModules,
  NftTable,
  NwFilter,
  NwFilterBinding,
  type NwFilterRule,
  nft,
  PolicyRoute,
  type ProxyConnection,
  Sysctl,
  type SysctlArgs,
  Vrf,
} from "../../sdk";

// One connection object serves both packages: the same fields of the same types, no more and no fewer.
type Same<A, B> = [A, B] extends [B, A]
  ? keyof A extends keyof B
    ? keyof B extends keyof A
      ? true
      : never
    : never
  : never;
export const same: [
  Same<Connection, types.input.remote.ConnectionArgs>,
  Same<ProxyConnection, types.input.remote.ProxyConnectionArgs>,
] = [true, true];

declare const theirs: types.input.remote.ConnectionArgs;
declare const ours: Connection;
export const given: types.input.remote.ConnectionArgs = ours;
const host: HostArgs = { connection: theirs };
new Bridge("a", { connection: theirs });
new Bridge("a", { connection: pulumi.output(theirs) as pulumi.Output<Connection> });
// @ts-expect-error as with @pulumi/command, a field that nobody knows is a mistake
new Bridge("a", { connection: { host: "h", hots: "x" } });
// @ts-expect-error the host is needed
new Bridge("a", { connection: { user: "root" } });
// @ts-expect-error as is the connection
new Bridge("a", {});

// Everything may be an Output, at any depth.
declare const text: pulumi.Output<string>;
declare const count: pulumi.Output<number>;
declare const yes: pulumi.Output<boolean>;
const lan = new Bridge("lan", {
  ...host,
  name: text,
  addresses: [text, "10.1.0.1/24"],
  ports: pulumi.output(["eth1"]),
  mtu: count,
  stp: yes,
  routes: [{ destination: text, gateway: text, metric: count }],
});
new Bridge("lan", {
  ...host,
  ports: ["eth1", text, { name: text, isolated: yes, vlans: [10, "20-30", { id: 40, untagged: true }] }],
});
new Vrf("v", {
  ...host,
  table: count,
  interfaces: [lan.name, { name: lan.name, addresses: ["10.0.0.1/8"] }],
});
new PolicyRoute("p", { ...host, family: "ipv4", priority: 100, fwmark: "0x64/0xff", table: count });
new NftTable("n", { ...host, family: "inet", chains: { c: { rules: [nft`iifname ${lan.name} accept`] } } });

// Also a list that is not known yet, as the addresses of machines.
declare const list: pulumi.Output<string[]>;
nft`ip saddr ${list} drop`;

// Outputs have the types of what the host says.
export const outputs: [
  pulumi.Output<string>,
  pulumi.Output<number>,
  pulumi.Output<string>,
  pulumi.Output<string[]>,
] = [lan.name, lan.ifindex, lan.macAddress, lan.drift];
const sysctl = new Sysctl("s", {
  ...host,
  settings: { "net.ipv4.ip_forward": 1, "net.ipv4.tcp_rmem": text },
});
export const settings: pulumi.Output<Record<string, string>> = sysctl.settings;
const modules = new KernelModules("m", { ...host, modules: ["br_netfilter", text] });
export const names: pulumi.Output<string[]> = modules.modules;

const ssh: NwFilterRule = { action: "accept", direction: "in", tcp: { dstportstart: 22, state: ["NEW"] } };
const filter = new NwFilter("f", {
  ...host,
  chain: text,
  entries: [
    { filter: text, parameters: { IP: [text, "10.0.0.5"] } },
    ssh,
    { action: "drop", direction: "inout", priority: count, all: {} },
    { action: "drop", direction: "in", ip: [{ match: "no", srcipaddr: text }, { protocol: "udp" }] },
    { action: "return", direction: "out", mac: { protocolid: 0x835 } },
    { action: "accept", direction: "inout" },
    { action: "accept", direction: "in", all: { state: "ESTABLISHED,RELATED" } },
  ],
});
new NwFilter("g", { ...host, xml: filter.xml });
new NwFilterBinding("b", {
  ...host,
  portDev: text,
  macAddress: text,
  filter: filter.name,
  parameters: { IP: [text, "10.0.0.5"], GATEWAY: text },
});
export const element: pulumi.Output<string> = filterref(filter.name, { IP: [text], A: text });
// @ts-expect-error a port is needed
new NwFilterBinding("b", { ...host, macAddress: text, filter: "clean-traffic" });
const pass = { ...host, name: "p" } as const;
// @ts-expect-error tcp has no attribute of that name
new NwFilter("h", { ...pass, entries: [{ action: "accept", direction: "in", tcp: { dstport: 22 } }] });
// @ts-expect-error udp has no flags
new NwFilter("h", { ...pass, entries: [{ action: "accept", direction: "in", udp: { flags: "SYN/SYN" } }] });
// @ts-expect-error libvirt loses IP sets of tcp
new NwFilter("h", { ...pass, entries: [{ action: "accept", direction: "in", tcp: { ipset: "s" } }] });
// @ts-expect-error one protocol a rule
new NwFilter("h", { ...pass, entries: [{ action: "accept", direction: "in", tcp: {}, udp: {} }] });
// @ts-expect-error no such protocol
new NwFilter("h", { ...pass, entries: [{ action: "accept", direction: "in", tpc: {} }] });
// @ts-expect-error no such state
new NwFilter("h", { ...pass, entries: [{ action: "accept", direction: "in", tcp: { state: "OLD" } }] });
// @ts-expect-error a rule has a direction
new NwFilter("h", { ...pass, entries: [{ action: "accept", tcp: {} }] });
// @ts-expect-error a rule or a reference, not both
new NwFilter("h", { ...pass, entries: [{ filter: "x", action: "accept", direction: "in" }] });

// @ts-expect-error a list of names
new KernelModules("m", { ...host, modules: "br_netfilter" });
// @ts-expect-error settings are needed
new Sysctl("s", { ...host });
// @ts-expect-error a setting is a number or a text
new Sysctl("s", { ...host, settings: { "net.ipv4.ip_forward": true } });
// @ts-expect-error a bridge has no field of that name
new Bridge("b", { ...host, adresses: ["10.1.0.1/24"] });
// @ts-expect-error a number is no address
new Bridge("b", { ...host, addresses: [10] });
// @ts-expect-error one of two words
new Bridge("b", { ...host, vlanProtocol: "802.1q" });
// @ts-expect-error true or false
new Bridge("b", { ...host, ports: [{ name: "eth1", takeAddresses: "all" }] });
// @ts-expect-error one of two words
new Bridge("b", { ...host, adopt: "yes" });
// @ts-expect-error a table is needed
new Vrf("v", { ...host });
// @ts-expect-error one of two families
new PolicyRoute("p", { ...host, family: "ip", priority: 100, table: 7 });

// Args types can be passed on by a component of the user's own.
export function twice(args: Omit<BridgeArgs, "name">, more: SysctlArgs): void {
  for (const name of ["br1", "br2"]) new Bridge(name, { ...args, name });
  new Sysctl("s", more);
}
