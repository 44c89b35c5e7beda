/**
 * A host with services on a network that it does not trust:
 *
 *   the network ── wan0 [ host, 192.0.2.1, and 192.0.2.5 for a service that listens on 0.0.0.0 ]
 *
 * Who sends is remembered for ten minutes. Who opens too many connections is dropped, and counted. The host sends only to
 * those that it remembers. The service answers from the address that it was asked at. Beside that stand two lists kept by
 * hand: who is banned, and who is always let in.
 */
import * as pulumi from "@pulumi/pulumi";
import { NftSet, NftTable, nft } from "pulumi-hostnet";

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

const wan = config.get("interface") ?? "wan0";
/** UDP, on 0.0.0.0: of itself it would answer from the first address of the interface. */
const service = { address: config.get("serviceAddress") ?? "192.0.2.5", port: 5000 };
/** New connections, for each source. */
const rate = nft.raw(config.get("rate") ?? "over 60/minute burst 10 packets");
/** On packets to those that may be answered. */
const mark = 0x320;

/** `pulumi config set --path 'ban[0]' 198.51.100.0/24`: what is listed changes element by element, the rules stay. */
const list = (name: string, flags: ("interval" | "timeout")[]) =>
  new NftSet(name, {
    ...host,
    family: "ip",
    table: "guard",
    type: "ipv4_addr",
    flags,
    elements: config.getObject<string[]>(name) ?? [],
  });
// "timeout": what is banned at the console for an hour needs no program.
const ban = list("ban", ["interval", "timeout"]);
const allow = list("allow", ["interval"]);

export const table = new NftTable("guard", {
  ...host,
  family: "ip",
  sets: {
    heard: { type: "ipv4_addr", flags: ["dynamic", "timeout"], timeout: "10m", size: 65535 },
    rates: { type: "ipv4_addr", flags: ["dynamic", "timeout"], timeout: "1m", size: 65535 },
  },
  counters: { banned: {}, limited: {}, unasked: {} },
  chains: {
    arriving: {
      type: "filter",
      hook: "prerouting",
      priority: "mangle",
      rules: [
        nft`iifname != ${wan} accept`,
        nft`ip saddr ${allow} accept`,
        nft`ip saddr ${ban} counter name banned drop`,
        nft`ct state new update @rates { ip saddr limit rate ${rate} } counter name limited drop`,
        nft`update @heard { ip saddr }`,
      ],
    },
    // "route": the kernel looks for the way again, with the new source and the mark.
    answering: {
      type: "route",
      hook: "output",
      priority: "mangle",
      rules: [
        nft`oifname ${wan} ip daddr @heard meta mark set ${mark}`,
        nft`meta mark ${mark} udp sport ${service.port} ip saddr set ${service.address}`,
      ],
    },
    leaving: {
      type: "filter",
      hook: "postrouting",
      priority: "mangle",
      rules: [
        nft`oifname != ${wan} accept`,
        nft`ip daddr @heard meta mark set ${mark}`,
        nft`ip daddr ${allow} meta mark set ${mark}`,
        nft`meta mark != ${mark} counter name unasked drop`,
      ],
    },
  },
}).name;
