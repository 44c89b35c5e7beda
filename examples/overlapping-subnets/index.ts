/**
 * Two LANs use the same 192.168.2.0/24, and neither can be renumbered. Each sees the other as 192.168.3.0/24:
 * 192.168.3.10 is the other side's 192.168.2.10, from both sides at once.
 *
 *   inner 192.168.2.0/24 ── middleman-eth0 [ host ] middleman-eth1 ── outer 192.168.2.0/24
 *
 * No network namespaces: a VRF for each LAN keeps the two identical subnets apart, a mark carries a packet into the
 * other LAN's routing table, prefix NAT translates address by address, and a connection-tracking zone for each LAN
 * tells apart two connections that look the same.
 *
 * For more than two, for IPv6 and for bridges there is the component OverlappingSubnets; here is how it works.
 */
import * as pulumi from "@pulumi/pulumi";
import { NftTable, nft, PolicyRoute, Sysctl, Vrf } from "pulumi-hostnet";

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

/** How each LAN is called, where it is plugged in, and its routing table, which is its mark and its zone too. */
const inner = { name: "inner", nic: "middleman-eth0", table: 100 };
const outer = { name: "outer", nic: "middleman-eth1", table: 200 };
const here = "192.168.2.0/24";
const there = "192.168.3.0/24";

new Sysctl("forwarding", { ...host, settings: { "net.ipv4.ip_forward": 1 } });

const sites = [
  { from: inner, to: outer },
  { from: outer, to: inner },
];
const vrfs = sites.map(
  ({ from: { name, nic, table } }) =>
    new Vrf(`vrf-${name}`, {
      ...host,
      table,
      interfaces: [{ name: nic, addresses: ["192.168.2.1/24"] }],
      // Without it, what is meant for elsewhere would fall through to the main table and leave by the uplink.
      routes: [{ destination: "0.0.0.0/0", type: "unreachable" as const, metric: 4278198272 }],
    }),
);
sites.forEach(({ from, to }) => {
  new PolicyRoute(
    `${from.name}-to-${to.name}`,
    { ...host, family: "ipv4", priority: from.table, fwmark: from.table, table: to.table },
    { dependsOn: vrfs },
  );
});

/** TCP ports that the LANs must not reach in each other: `pulumi config set --path 'blockedPorts[0]' 23`. */
const blocked = config.getObject<number[]>("blockedPorts") ?? [];

const table = new NftTable(
  "overlap",
  {
    ...host,
    family: "ip",
    chains: {
      // Only the original direction: replies come from the other LAN, and must find the connection they belong to.
      zones: {
        type: "filter",
        hook: "prerouting",
        priority: "raw",
        rules: sites.map(({ from }) => nft`iifname ${from.nic} ct original zone set ${from.table}`),
      },
      marks: {
        type: "filter",
        hook: "prerouting",
        priority: "mangle",
        rules: sites.map(
          ({ from }) => nft`iifname ${from.nic} ip daddr ${there} meta mark set ${from.table}`,
        ),
      },
      translateTarget: {
        type: "nat",
        hook: "prerouting",
        priority: "dstnat",
        rules: [nft`ip daddr ${there} dnat ip prefix to ip daddr map { ${there} : ${here} }`],
      },
      translateSource: {
        type: "nat",
        hook: "postrouting",
        priority: "srcnat",
        rules: [nft`ip saddr ${here} meta mark != 0 snat ip prefix to ip saddr map { ${here} : ${there} }`],
      },
      between: {
        type: "filter",
        hook: "forward",
        priority: "filter",
        policy: "accept",
        rules: [
          nft`meta mark != 0 counter comment "between the LANs"`,
          ...blocked.map((port) => nft`meta mark != 0 tcp dport ${port} reject with tcp reset`),
        ],
      },
    },
  },
  { dependsOn: vrfs },
);

export const tables = Object.fromEntries(sites.map(({ from }, n) => [from.name, vrfs[n]!.table]));
export const listing = table.listing;
