// What a RoutedNetwork is made of, against Pulumi's own mocks; what its rules do with packets: test/stories.
import * as pulumi from "@pulumi/pulumi";
import { RoutedNetwork, type RoutedNetworkArgs } from "../../sdk";
import { checked, type Routed } from "../../sdk/components/routed-rules";
import { subnetsOf } from "../../sdk/components/subnet";

type Props = Record<string, unknown>;
let made: Record<string, Props> = {};

beforeAll(async () => {
  const newResource = ({ type, name, inputs }: pulumi.runtime.MockResourceArgs) => {
    made[`${type.replace(/.*:/, "")} ${name}`] = inputs;
    return { id: name, state: inputs };
  };
  await pulumi.runtime.setMocks({ newResource, call: () => ({}) }, "net", "dev");
});

const host = { connection: { host: "10.0.0.5" }, confirm: { timeout: 90 } };
async function children(args: Omit<RoutedNetworkArgs, "connection">, name = "br-vms") {
  made = {};
  const net = new RoutedNetwork(name, { ...host, ...args });
  await new Promise((resolve) => pulumi.all([net.urn, net.bridge, net.gateways]).apply(resolve));
  // The last ones wait for the bridge.
  for (let tries = 0; !made[`DhcpDns ${name}`] && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  return made;
}
const chains = (table: Props | undefined) =>
  Object.fromEntries(
    Object.entries(table!.chains as Record<string, { rules: string[] }>).map(([key, { rules }]) => [
      key,
      rules,
    ]),
  );

test("the least: a bridge that is routed, with leases and names", async () => {
  const all = await children({ subnet: "10.7.0.0/24" });
  expect(Object.keys(all).sort()).toEqual([
    "Bridge br-vms",
    "DhcpDns br-vms",
    "NftTable br-vms",
    "RoutedNetwork br-vms",
    "Sysctl br-vms",
  ]);
  expect(all["Bridge br-vms"]).toMatchObject({ ...host, name: "br-vms", addresses: ["10.7.0.1/24"] });
  expect(all["DhcpDns br-vms"]).toMatchObject({
    ...host,
    interface: "br-vms",
    ranges: [{ start: "10.7.0.128", end: "10.7.0.254" }],
  });
  expect(all["Sysctl br-vms"]).toMatchObject({
    name: "routed-br-vms",
    settings: { "net.ipv4.ip_forward": 1 },
  });
  expect(all["NftTable br-vms"]).toMatchObject({ ...host, family: "inet", name: "routed-br-vms" });
  expect(chains(all["NftTable br-vms"])).toEqual({
    prerouting: [],
    postrouting: ['oifname "br-vms" ip saddr 10.7.0.0/24 ct status dnat masquerade'],
    forward: [
      'iifname != "br-vms" oifname != "br-vms" accept',
      'iifname "br-vms" oifname != "br-vms" ip saddr != { 10.7.0.0/24 } counter name spoofed drop',
      'iifname "br-vms" oifname != "br-vms" meta nfproto ipv6 counter name spoofed drop',
      "ct state established,related accept",
      "ct status dnat accept",
      'iifname "br-vms" oifname "br-vms" accept',
      "counter name refused drop",
    ],
  });
});

test("all of it", async () => {
  const all = await children(
    {
      bridge: pulumi.output("vms"),
      subnet: ["10.7.0.0/24", "fd00:7::/64"],
      uplink: "eth0",
      domain: "vms.example",
      ranges: [{ start: "10.7.0.50", end: "10.7.0.60" }],
      leases: [{ mac: "52:54:00:00:00:05", address: "10.7.0.5", name: "web" }],
      upstreams: ["10.0.0.53"],
      records: { db: "10.7.0.9" },
      options: { mtu: 1400 },
      publish: [
        { port: 8080, to: "10.7.0.5", toPort: 80, from: ["198.51.100.0/24"] },
        { protocol: "udp", port: 53, to: "fd00:7::5" },
      ],
      redirectHttp: { to: "10.7.0.5", port: 3128 },
      isolated: true,
      rules: ["tcp dport 25 drop"],
    },
    "guests",
  );
  expect(all["Bridge guests"]).toMatchObject({ name: "vms", addresses: ["10.7.0.1/24", "fd00:7::1/64"] });
  expect(all["DhcpDns guests"]).toMatchObject({
    interface: "vms",
    domain: "vms.example",
    ranges: [{ start: "10.7.0.50", end: "10.7.0.60" }],
    leases: [{ mac: "52:54:00:00:00:05", address: "10.7.0.5", name: "web" }],
    upstreams: ["10.0.0.53"],
    records: { db: "10.7.0.9" },
    options: { mtu: 1400 },
  });
  expect(all["Sysctl guests"]!.settings).toEqual({
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
  });
  expect(chains(all["NftTable guests"])).toEqual({
    prerouting: [
      'iifname { "eth0", "vms" } ip saddr { 198.51.100.0/24 } fib daddr type local tcp dport 8080 dnat ip to 10.7.0.5:80',
      'iifname { "eth0", "vms" } fib daddr type local udp dport 53 dnat ip6 to [fd00:7::5]:53',
      'iifname "vms" ip saddr != 10.7.0.5 fib daddr type local tcp dport 80 dnat ip to 10.7.0.5:3128',
      'iifname "vms" ip saddr != 10.7.0.5 ip daddr != { 10.7.0.0/24 } tcp dport 80 dnat ip to 10.7.0.5:3128',
    ],
    postrouting: [
      'oifname "vms" ip saddr 10.7.0.0/24 ct status dnat masquerade',
      'oifname "vms" ip6 saddr fd00:7::/64 ct status dnat masquerade',
      'oifname "eth0" ip saddr 10.7.0.0/24 masquerade',
      'oifname "eth0" ip6 saddr fd00:7::/64 masquerade',
    ],
    forward: [
      'iifname != "vms" oifname != "vms" accept',
      'iifname "vms" ip saddr != { 10.7.0.0/24 } counter name spoofed drop',
      'iifname "vms" ip6 saddr != { fd00:7::/64 } counter name spoofed drop',
      "ct state established,related accept",
      'iifname "vms" meta nfproto ipv6 tcp dport 80 reject with tcp reset',
      "ct status dnat accept",
      "tcp dport 25 drop",
      'iifname "vms" oifname "eth0" ct state != invalid accept',
      "counter name refused drop",
    ],
  });
  expect(all["NftTable guests-apart"]).toMatchObject({ family: "bridge", name: "routed-vms" });
  expect(chains(all["NftTable guests-apart"])).toEqual({
    forward: [
      'meta ibrname "vms" ip daddr 10.7.0.5 tcp dport 3128 accept',
      'meta ibrname "vms" ip saddr 10.7.0.5 tcp sport 3128 accept',
      'meta ibrname "vms" ip daddr 10.7.0.5 tcp dport 80 accept',
      'meta ibrname "vms" ip saddr 10.7.0.5 tcp sport 80 accept',
      'meta ibrname "vms" ip6 daddr fd00:7::5 udp dport 53 accept',
      'meta ibrname "vms" ip6 saddr fd00:7::5 udp sport 53 accept',
      'meta ibrname "vms" counter drop',
    ],
  });
});

test("HTTP to a port of the host; a network that the world knows keeps its addresses", async () => {
  const all = await children({ subnet: ["2001:db8:7::/64"], uplink: "eth0", redirectHttp: { port: 8088 } });
  const { prerouting, postrouting } = chains(all["NftTable br-vms"]);
  expect(prerouting).toEqual([
    'iifname "br-vms" fib daddr type local tcp dport 80 redirect to :8088',
    'iifname "br-vms" ip6 daddr != { 2001:db8:7::/64 } tcp dport 80 redirect to :8088',
  ]);
  expect(postrouting).toEqual(['oifname "br-vms" ip6 saddr 2001:db8:7::/64 ct status dnat masquerade']);
  expect(all["DhcpDns br-vms"]!.ranges).toEqual([
    { start: "2001:db8:7::1000", end: "2001:db8:7::1fff", slaac: true },
  ]);
});

test.each([
  ["10.0.0.0/8", "10.0.0.1/8", "10.128.0.0", "10.128.255.255"],
  ["10.7.0.0/30", "10.7.0.1/30", "10.7.0.2", "10.7.0.2"],
  ["192.168.7.128/25", "192.168.7.129/25", "192.168.7.192", "192.168.7.254"],
])("in %s", (text, address, start, end) => {
  expect(subnetsOf(text)).toMatchObject([{ address, range: { start, end } }]);
});

type Known = Pick<Routed, "uplink" | "publish" | "redirectHttp"> & { readonly subnet: string | string[] };
test.each<[Partial<Known>, string]>([
  [{ subnet: "10.7.0.1/24" }, 'subnet: "10.7.0.1/24": has host bits set: the network is 10.7.0.0/24'],
  [{ subnet: "10.7.0.0/31" }, 'subnet: "10.7.0.0/31": must be a /8 to /30'],
  [{ subnet: "2001:db8::/56" }, 'subnet: "2001:db8::/56": must be a /64'],
  [{ subnet: ["10.7.0.0/24", "10.8.0.0/24"] }, "subnet: must be a network, or one of IPv4 and one of IPv6"],
  [{ subnet: [] }, "subnet: must be a network, or one of IPv4 and one of IPv6"],
  [{ uplink: "br-vms" }, "uplink: is the bridge itself"],
  [{ uplink: undefined, publish: [{ port: 80, to: "10.7.0.5" }] }, "publish: needs an uplink"],
  [{ publish: [{ port: 80, to: "web" }] }, 'publish: "web": is no IP address'],
  [{ publish: [{ port: 80, to: "10.8.0.5" }] }, "publish: 10.8.0.5 is no address of 10.7.0.0/24"],
  [{ publish: [{ port: 80, to: "10.7.0.1" }] }, "publish: 10.7.0.1 is the host's own"],
  [{ publish: [{ port: 0, to: "10.7.0.5" }] }, "0: a port is a whole number from 1 to 65535"],
  [
    {
      publish: [
        { port: 80, to: "10.7.0.5" },
        { port: 80, to: "10.7.0.6", toPort: 81 },
      ],
    },
    "publish: tcp 80 is listed twice",
  ],
  [{ redirectHttp: { to: "10.7.0.1" } }, "redirectHttp: 10.7.0.1 is the host's own: leave out `to`"],
  [{ redirectHttp: { port: 70000 } }, "70000: a port is a whole number from 1 to 65535"],
])("%j is refused", (args, message) => {
  const { subnet, ...more } = { subnet: "10.7.0.0/24", uplink: "eth0", publish: [], ...args } as Known;
  const judged = () =>
    checked({ ...more, bridge: "br-vms", subnets: subnetsOf(subnet), rules: [], isolated: false });
  expect(judged).toThrow(message);
});
