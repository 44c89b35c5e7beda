/**
 * Guests on one bridge, each held to its own addresses at its tap, and closed to the others but where the program opens it.
 *
 *   guest web1 ── tap-web1 ┐
 *   guest web2 ── tap-web2 ┤ br-guests, 10.7.0.1 [ host ]
 *   guest db   ── tap-db   ┘
 *
 * All of it in nftables' bridge family: between two guests of one bridge no packet reaches the IP rules of the host.
 * Interfaces are told by name (iifname, never iif): a tap may come later, go, and come again.
 */
import * as pulumi from "@pulumi/pulumi";
import { Bridge, KernelModules, NftTable, nft, Sysctl } from "pulumi-hostnet";
import { afterOption, hex } from "./bytes";

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

interface Guest {
  readonly tap: string;
  readonly mac: string;
  readonly ipv4: string;
  /** The link-local one too. */
  readonly ipv6: readonly string[];
  /** Guests of one group reach each other. */
  readonly group: string;
  /** TCP ports that every guest may reach. */
  readonly open?: readonly number[];
}

const guest = (name: string, group: string, last: number, open: readonly number[] = []): Guest => ({
  tap: `tap-${name}`,
  mac: `52:54:00:00:00:${last}`,
  ipv4: `10.7.0.${last}`,
  ipv6: [`2001:db8:7::${last}`, `fe80::5054:ff:fe00:${last}`],
  group,
  open,
});
const guests = [
  guest("web1", "web", 11),
  guest("web2", "web", 12),
  guest("db", "data", 13, [5432]),
  // Declared, and started some other day.
  guest("late", "web", 14),
];
const groups = [...new Set(guests.map(({ group }) => group))];

/** Whether bridged packets meet the host's IP rules too, 0 or 1. Left out, br_netfilter is not even loaded. */
const ipRules = config.getNumber("ipRules");
/** Connection-tracking zones of other bridges, which `ct` in the bridge family would take away: { "br-other": 100 }. */
const zones = config.getObject<Record<string, number>>("zones") ?? {};
/** More rules for what goes from guest to guest. */
const extra = config.getObject<string[]>("extra") ?? [];

const modules = new KernelModules("bridge-modules", {
  ...host,
  modules: ["nf_conntrack_bridge", ...(ipRules === undefined ? [] : ["br_netfilter"])],
});
if (ipRules !== undefined) {
  const calls = ["iptables", "ip6tables"].map((tables) => [`net.bridge.bridge-nf-call-${tables}`, ipRules]);
  new Sysctl("bridged", { ...host, settings: Object.fromEntries(calls) }, { dependsOn: modules });
}

const bridge = "br-guests";
const gateway = new Bridge(bridge, { ...host, addresses: ["10.7.0.1/24", "2001:db8:7::1/64"] });

/** What a guest may send: frames from its own addresses, and nothing that servers and routers send. */
const from = ({ mac, ipv4, ipv6 }: Guest): string[] => {
  const own = nft.raw(`{ ${ipv6.map(hex).join(", ")} }`);
  return [
    nft`ether saddr != ${mac} counter name spoofed drop`,
    // What asks for IP and ARP looks behind a VLAN tag, so the tag is asked for first.
    nft`ether type { 8021q, 8021ad } counter name spoofed drop`,
    nft`arp operation { request, reply } arp saddr ether ${mac} arp saddr ip ${["0.0.0.0", ipv4]} accept`,
    nft`udp sport { 67, 547 } counter name servers drop`,
    nft`icmpv6 type { nd-router-advert, nd-redirect } counter name servers drop`,
    nft`ip saddr ${ipv4} accept`,
    nft`ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept`,
    // @th,64,128 is the address that is asked for or told of; behind it may follow one option, the guest's own MAC.
    nft`icmpv6 type nd-neighbor-advert ip6 saddr ${ipv6} @th,64,128 ${own} ip6 length 24 accept`,
    nft`icmpv6 type nd-neighbor-advert ip6 saddr ${ipv6} @th,64,128 ${own} ${afterOption(2, mac)} accept`,
    nft`icmpv6 type nd-neighbor-solicit ip6 saddr :: @th,64,128 ${own} accept`,
    nft`icmpv6 type nd-neighbor-solicit ip6 saddr ${ipv6} ip6 length 24 accept`,
    nft`icmpv6 type nd-neighbor-solicit ip6 saddr ${ipv6} ${afterOption(1, mac)} accept`,
    nft`icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } counter name spoofed drop`,
    nft`ip6 saddr ${["::", ...ipv6]} icmpv6 type mld2-listener-report counter name multicast accept`,
    nft`ip6 saddr ${ipv6} accept`,
    nft`counter name spoofed drop`,
  ];
};
/** Who may open a connection to a guest. */
const to = ({ group, open = [] }: Guest): string[] => [
  nft`iifname @${group} accept`,
  ...(open.length > 0 ? [nft`tcp dport ${open} accept`] : []),
];
const neighbours = nft`icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept`;
const chainsOf = (prefix: string, rules: (one: Guest) => string[]) =>
  Object.fromEntries(guests.map((one) => [`${prefix}-${one.tap}`, { rules: rules(one) }]));
const set = (taps: readonly Guest[]) => ({ type: "ifname", elements: taps.map(({ tap }) => tap) });

new NftTable(
  "taps",
  {
    ...host,
    family: "bridge",
    sets: {
      guests: set(guests),
      ...Object.fromEntries(groups.map((name) => [name, set(guests.filter(({ group }) => group === name))])),
    },
    counters: { spoofed: {}, servers: {}, multicast: {}, unknown: {}, refused: {} },
    chains: {
      ...chainsOf("from", from),
      ...chainsOf("to", to),
      // Before connection tracking: what is forged leaves no trace in it.
      entering: {
        type: "filter",
        hook: "prerouting",
        priority: -300,
        rules: [
          ...Object.entries(zones).map(
            ([name, zone]) => nft`meta ibrname ${name} ct original zone set ${zone}`,
          ),
          nft`meta ibrname != ${bridge} accept`,
          nft`iifname vmap ${guests.map(({ tap }) => nft`${tap} : goto ${`from-${tap}`}`)}`,
          nft`counter name unknown drop`,
        ],
      },
      // From guest to guest.
      crossing: {
        type: "filter",
        hook: "forward",
        priority: "filter",
        rules: [
          nft`meta ibrname != ${bridge} accept`,
          nft`oifname != @guests counter name unknown drop`,
          nft`ether type arp accept`,
          neighbours,
          nft`ct state established,related accept`,
          ...extra,
          nft`oifname vmap ${guests.map(({ tap }) => nft`${tap} : jump ${`to-${tap}`}`)}`,
          nft`counter name refused drop`,
        ],
      },
      // From a guest to the host: its lease, its names, a ping.
      reaching: {
        type: "filter",
        hook: "input",
        priority: "filter",
        rules: [
          nft`meta ibrname != ${bridge} accept`,
          nft`ether type arp accept`,
          neighbours,
          nft`icmpv6 type { nd-router-solicit, echo-request } accept`,
          nft`ct state established,related accept`,
          nft`udp dport { 53, 67 } accept`,
          nft`icmp type echo-request accept`,
          nft`counter name refused drop`,
        ],
      },
      // From the host.
      sending: {
        type: "filter",
        hook: "output",
        priority: "filter",
        rules: [nft`meta obrname ${bridge} oifname != @guests counter name unknown drop`],
      },
    },
  },
  { dependsOn: modules },
);

export const { ifindex } = gateway;
