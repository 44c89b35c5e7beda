/**
 * Two guests on a bridge, each behind a filter of libvirt:
 *
 *   guest "closed" ── tap-closed ─┐
 *                                 br-guests [ host, 10.7.0.1 ] ── the internet
 *   guest "few" ───── tap-few ────┘
 *
 * "closed" reaches its own network only, until `pulumi config set internet open && pulumi up` lets it out, while it runs.
 * "few" may have two pings under way, any TCP, and nothing else, from its own addresses.
 */
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { Bridge, filterref, KernelModules, NwFilter, NwFilterBinding, Sysctl } from "pulumi-hostnet";

const config = new pulumi.Config();
const host = {
  connection: {
    host: config.require("host"),
    port: config.getNumber("port") ?? 22,
    user: config.get("user") ?? "root",
    hostKey: config.get("hostKey"),
  },
  ssh: { identityFile: config.get("identityFile") },
};
const gateway = "10.7.0.1";
const file = config.get("internet") === "open" ? "limit-internet-open.xml" : "limit-internet.xml";

// As it was published. Both files have the same UUID: libvirt takes the second for a new version of the first.
export const limitInternet = new NwFilter("limit-internet", {
  ...host,
  xml: readFileSync(file, "utf8"),
});

export const limit = new NwFilter("limit", {
  ...host,
  entries: [
    { action: "drop", direction: "out", priority: 400, icmp: { "connlimit-above": 2 } },
    { action: "accept", direction: "inout", priority: 450, icmp: {} },
    { action: "accept", direction: "inout", priority: 500, tcp: {} },
    { filter: "clean-traffic" },
    { action: "drop", direction: "inout", priority: 1000, all: {} },
  ],
});

// libvirt's rules for ICMP and TCP are iptables': they see bridged packets only with these.
const modules = new KernelModules("bridged", { ...host, modules: ["br_netfilter"] });
const bridged = new Sysctl(
  "bridged",
  { ...host, settings: { "net.bridge.bridge-nf-call-iptables": 1 } },
  { dependsOn: modules },
);

const bridge = new Bridge("br-guests", {
  ...host,
  addresses: [`${gateway}/24`],
  ports: ["tap-closed", "tap-few"],
});

new NwFilterBinding(
  "closed",
  {
    ...host,
    portDev: "tap-closed",
    macAddress: "52:54:00:00:00:11",
    filter: limitInternet.name,
    parameters: { GATEWAYIP: gateway },
  },
  { dependsOn: [bridge, bridged] },
);
new NwFilterBinding(
  "few",
  {
    ...host,
    portDev: "tap-few",
    macAddress: "52:54:00:00:00:12",
    filter: limit.name,
    parameters: { IP: "10.7.0.12" },
  },
  { dependsOn: [bridge, bridged] },
);

/** For a domain of libvirt, in the place of a binding: it goes into its <interface>. */
export const inDomain = filterref(limitInternet.name, { GATEWAYIP: gateway });
