/**
 * A guest with an FTP server, behind one of three filters of libvirt, by `pulumi config set filter`:
 *
 *   ports     what libvirt's documentation gives first: states on the data connection's port
 *   states    what it gives second: new connections by port, all others by their state
 *   passive   the second, with one word more, so that passive transfers pass too
 *
 * An FTP transfer has a connection of its own. Connection tracking knows it for RELATED to the control connection only if
 * a helper reads that one, and since Linux 6.0 no helper does so unless a rule assigns it.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  KernelModules,
  NftTable,
  NwFilter,
  NwFilterBinding,
  type NwFilterRule,
  nft,
  Sysctl,
} from "pulumi-hostnet";

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
const guest = { port: "tap-ftp", mac: "52:54:00:00:00:21", ip: "10.7.0.21" };
const chosen = config.get("filter") ?? "passive";

const drop: NwFilterRule = { action: "drop", direction: "inout", all: {} };
const spoofing = { filter: "clean-traffic" };

const ports = new NwFilter("ftp-ports", {
  ...host,
  entries: [
    spoofing,
    { action: "accept", direction: "in", tcp: { dstportstart: 21 } },
    { action: "accept", direction: "out", tcp: { srcportstart: 20, state: ["RELATED", "ESTABLISHED"] } },
    { action: "accept", direction: "in", tcp: { dstportstart: 20, state: "ESTABLISHED" } },
    { action: "accept", direction: "in", tcp: { dstportstart: 22 } },
    { action: "accept", direction: "in", tcp: { dstportstart: 80 } },
    { action: "accept", direction: "out", icmp: {} },
    { action: "accept", direction: "out", udp: { dstportstart: 53 } },
    drop,
  ],
});

/** By whether connections that are related to an accepted one may come in: those of a passive transfer are. */
const byStates = (name: string, inward: "ESTABLISHED" | "ESTABLISHED,RELATED") =>
  new NwFilter(name, {
    ...host,
    entries: [
      spoofing,
      { action: "accept", direction: "in", all: { state: inward } },
      { action: "accept", direction: "out", all: { state: "ESTABLISHED,RELATED" } },
      { action: "accept", direction: "in", tcp: { dstportstart: 21, dstportend: 22, state: "NEW" } },
      { action: "accept", direction: "in", tcp: { dstportstart: 80, state: "NEW" } },
      { action: "accept", direction: "out", icmp: { state: "NEW" } },
      { action: "accept", direction: "out", udp: { dstportstart: 53, state: "NEW" } },
      drop,
    ],
  });
const states = byStates("ftp-states", "ESTABLISHED");
const passive = byStates("ftp-passive", "ESTABLISHED,RELATED");

// Others of the kind: nf_conntrack_tftp, _irc, _sip and _amanda. That of SCTP is a part of nf_conntrack.
const modules = new KernelModules("ftp", { ...host, modules: ["br_netfilter", "nf_conntrack_ftp"] });
const bridged = new Sysctl(
  "bridged",
  { ...host, settings: { "net.bridge.bridge-nf-call-iptables": 1 } },
  { dependsOn: modules },
);
const helper = new NftTable(
  "ftp-helper",
  {
    ...host,
    family: "ip",
    ctHelpers: { ftp: { type: "ftp", protocol: "tcp" } },
    chains: {
      prerouting: {
        type: "filter",
        hook: "prerouting",
        // After connection tracking, which is at -200.
        priority: -150,
        rules: [nft`tcp dport 21 ct helper set "ftp"`],
      },
    },
  },
  { dependsOn: bridged },
);

new NwFilterBinding(
  "ftp",
  {
    ...host,
    portDev: guest.port,
    macAddress: guest.mac,
    filter: { ports, states, passive }[chosen]!.name,
    parameters: { IP: guest.ip },
  },
  { dependsOn: helper },
);
