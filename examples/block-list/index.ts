/**
 * Keeps out whom a public list names: a file with a network or an address a line, and comments behind "#" or ";", as
 * most of them are published. What fetches the file is not part of this: run `pulumi up` when it has changed.
 */
import { readFileSync } from "node:fs";
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

const networks = readFileSync(config.require("file"), "utf8")
  .split("\n")
  .map((line) => line.replace(/[#;].*/, "").trim())
  .filter((line) => line !== "");
const lists = { ip: networks.filter((n) => !n.includes(":")), ip6: networks.filter((n) => n.includes(":")) };

/** Overlapping and adjacent networks are merged; a new file sends only what differs from the last. */
const blocked = (name: string, type: string, elements: string[]) =>
  new NftSet(name, { ...host, family: "inet", table: "blocklist", type, flags: ["interval"], elements });
const ipv4 = blocked("blocked4", "ipv4_addr", lists.ip);
const ipv6 = blocked("blocked6", "ipv6_addr", lists.ip6);

const rules = [
  nft`ip saddr ${ipv4} counter name dropped drop`,
  nft`ip6 saddr ${ipv6} counter name dropped drop`,
];
export const table = new NftTable("blocklist", {
  ...host,
  family: "inet",
  counters: { dropped: {} },
  // Before connection tracking, for those that come in and those that pass through.
  chains: { arriving: { type: "filter", hook: "prerouting", priority: "raw", rules } },
}).name;
