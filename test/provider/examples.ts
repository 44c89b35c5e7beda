/** Each kind once, with all that it takes: what a test must not forget. */
export interface Example {
  /** Last part of the type, in users' state. */
  readonly kind: string;
  /** What stands in users' state for ever. */
  readonly code: string;
  readonly deleteBeforeReplace: boolean;
  readonly identity: readonly string[];
  readonly args: Readonly<Record<string, unknown>>;
}

const routes = [
  {
    destination: "10.2.0.0/16",
    gateway: "10.1.0.2",
    device: "eth1",
    source: "10.1.0.1",
    metric: 5,
    mtu: 1400,
  },
  { destination: "0.0.0.0/0", type: "unreachable", metric: 4278198272 },
];

export const examples: readonly Example[] = [
  {
    kind: "Bridge",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').bridge;",
    deleteBeforeReplace: true,
    identity: ["name"],
    args: {
      name: "br0",
      addresses: ["10.1.0.1/24", "2001:db8::1/64"],
      routes: [{ destination: "10.2.0.0/16", gateway: "10.1.0.2" }],
      vrf: "red",
      ports: [
        "eth1",
        { name: "eth2", pvid: 10, vlans: [20, "30-40", { id: 50, untagged: true }], isolated: true, cost: 9 },
      ],
      mtu: 1400,
      macAddress: "02:00:00:00:00:01",
      up: true,
      stp: true,
      priority: 4096,
      forwardDelay: 4,
      helloTime: 1,
      maxAge: 10,
      ageingTime: 60,
      vlanFiltering: true,
      vlanProtocol: "802.1ad",
      defaultPvid: 1,
      vlans: [10],
      multicastSnooping: false,
      groupForwardMask: 8,
    },
  },
  {
    kind: "Vrf",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').vrf;",
    deleteBeforeReplace: true,
    identity: ["name"],
    args: {
      name: "red",
      table: 100,
      interfaces: ["eth1", { name: "eth2", addresses: ["10.1.0.1/24"] }],
      routes,
      exclusive: ["10.1.0.0/24"],
    },
  },
  {
    kind: "PolicyRoute",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').policyRoute;",
    deleteBeforeReplace: true,
    identity: ["name"],
    args: {
      name: "guests by vpn",
      family: "ipv4",
      priority: 100,
      from: "10.1.0.0/24",
      to: "10.3.0.0/16",
      fwmark: "0x64/0xff",
      iif: "eth1",
      oif: "eth2",
      ipProtocol: "tcp",
      sourcePort: "1000-2000",
      destinationPort: 80,
      tos: 8,
      uidRange: "1000-2000",
      table: 7,
      suppressPrefixLength: 0,
      routes,
    },
  },
  {
    kind: "NftTable",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').nftTable;",
    deleteBeforeReplace: false,
    identity: ["family", "name"],
    args: {
      family: "inet",
      name: "fw",
      chains: {
        input: {
          type: "filter",
          hook: "input",
          priority: 0,
          policy: "drop",
          rules: ["ct state established accept", "tcp dport 22 accept"],
        },
        other: { rules: ["counter name seen accept"] },
      },
      sets: { bad: { type: "ipv4_addr", elements: ["10.9.0.1", "10.9.0.2"] } },
      maps: {
        to: { type: "inet_service", value: "ipv4_addr", elements: [{ element: "80", value: "10.1.0.2" }] },
      },
      counters: { seen: {} },
      quotas: { much: { bytes: "100 mbytes", over: true } },
      limits: { slow: { rate: "10/second" } },
      ctHelpers: { ftp: { type: "ftp", protocol: "tcp" } },
      flowtables: { fast: { priority: 0, devices: ["eth1"] } },
      uses: ["other"],
      dormant: false,
    },
  },
  {
    kind: "NftSet",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').nftSet;",
    deleteBeforeReplace: false,
    identity: ["family", "table", "name"],
    args: {
      family: "inet",
      table: "fw",
      name: "ports",
      type: "inet_service",
      value: "mark",
      flags: ["dynamic"],
      timeout: "1h",
      gcInterval: "10s",
      size: 1000,
      counter: true,
      policy: "memory",
      comment: "by port",
      elements: ["80 : 1", { element: "8000-8080", value: "0x2", timeout: "2h", comment: "proxies" }],
    },
  },
  {
    kind: "Sysctl",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').sysctl;",
    deleteBeforeReplace: false,
    identity: ["name"],
    args: { name: "forwarding", settings: { "net.ipv4.ip_forward": 1, "net.ipv4.conf.eth1.rp_filter": "2" } },
  },
  {
    kind: "KernelModules",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').kernelModules;",
    deleteBeforeReplace: false,
    identity: ["name"],
    args: { name: "modules", modules: ["br_netfilter", "nf-conntrack-ftp"], persist: true },
  },
  {
    kind: "NwFilter",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').nwFilter;",
    deleteBeforeReplace: false,
    identity: ["name"],
    args: {
      name: "guests",
      chain: "ipv4-guests",
      priority: -710,
      uuid: "fce8ae34-e69e-83bf-262e-30786c1f8073",
      uri: "qemu:///system",
      entries: [
        { filter: "clean-traffic", parameters: { IP: ["10.0.0.5", "10.0.0.6"], MAC: "52:54:00:00:00:05" } },
        { action: "accept", direction: "in", priority: 100, tcp: { dstportstart: 22, state: ["NEW"] } },
        {
          action: "drop",
          direction: "out",
          ip: [{ match: "no", dstipaddr: "$GATEWAYIP" }, { protocol: "udp" }],
        },
        { action: "drop", direction: "inout", statematch: false, all: {} },
      ],
    },
  },
  {
    kind: "NwFilterBinding",
    code: "exports.handler=()=>require('pulumi-hostnet/v1').nwFilterBinding;",
    deleteBeforeReplace: false,
    identity: ["portDev"],
    args: {
      portDev: "tap0",
      macAddress: "52:54:00:00:00:05",
      filter: "guests",
      parameters: { IP: ["10.0.0.5", "10.0.0.6"], DHCPSERVER: "10.0.0.1" },
      vm: { name: "web", uuid: "fce8ae34-e69e-83bf-262e-30786c1f8073" },
      trigger: "1",
      uri: "qemu:///system",
    },
  },
];
