/**
 * The host as the guests' router: a bridge without a physical port, so that every packet of a guest passes the host's own
 * rules, not only its bridge.
 *
 *   guest web  ── tap ┐
 *   guest one  ── tap ┤ br-vms [ host: 10.7.0.1, leases, names, rules ] uplink ── internet
 *   guest two  ── tap ┘
 */
import * as pulumi from "@pulumi/pulumi";
import { RoutedNetwork } from "pulumi-hostnet";

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

/** The guest that serves: what is published leads to it, and so does all HTTP of the others. */
const web = { mac: "52:54:00:00:07:05", address: "10.7.0.5", name: "web" };
/** A port of the host that takes the guests' HTTP instead, as one of a proxy. */
const proxyPort = config.getNumber("proxyPort");

const vms = new RoutedNetwork("br-vms", {
  ...host,
  subnet: ["10.7.0.0/24", "fd00:7::/64"],
  uplink: config.require("uplink"),
  domain: "vms.example",
  leases: [web, { ...web, address: "fd00:7::5" }],
  records: { "shop.vms.example": web.address },
  publish: [{ port: 8080, to: web.address, toPort: 80 }],
  redirectHttp: proxyPort === undefined ? { to: web.address } : { port: proxyPort },
  isolated: config.getBoolean("isolated") ?? false,
});

export const { bridge, gateways } = vms;
