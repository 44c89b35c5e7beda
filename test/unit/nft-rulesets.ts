import type { NftTableFields } from "../../provider/nft-table/args";

/** Tables that follow each other in the tests: any of them may become any other. All of one family and name. */
const table = (fields: Omit<NftTableFields, "family" | "name">): NftTableFields => ({
  family: "inet",
  name: "fw",
  ...fields,
});

export const RULESETS: Readonly<Record<string, NftTableFields>> = {
  "one chain": table({ chains: { input: { type: "filter", hook: "input", priority: 0 } } }),

  "a host's firewall": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "filter",
        policy: "drop",
        comment: "what reaches the host; {quoted} # text",
        rules: [
          "ct state vmap { established : accept, related : accept, invalid : drop }",
          'iifname "lo" accept',
          "meta l4proto { icmp, ipv6-icmp } accept",
          "ip saddr @lan tcp dport { ssh, http } counter name seen accept",
          'limit rate 5/minute burst 5 packets log prefix "dropped: " level info',
        ],
      },
      forward: {
        type: "filter",
        hook: "forward",
        priority: "filter - 5",
        policy: "drop",
        rules: ["jump guests"],
      },
      guests: { rules: ["ip daddr 10.0.0.0/8 drop", "counter accept"] },
    },
    sets: {
      lan: { type: "ipv4_addr", flags: ["interval"], elements: ["192.168.0.0/16", "10.1.0.0 - 10.1.0.99"] },
    },
    counters: { seen: { comment: "logins" } },
  }),

  "the same with other rules, hooks and policies": table({
    chains: {
      input: {
        type: "filter",
        hook: "prerouting",
        priority: -10,
        policy: "accept",
        rules: ["ip saddr @lan counter name seen accept", "udp dport 53 accept", "jump guests"],
      },
      guests: { comment: "now with a comment", rules: ["ip saddr 10.0.0.0/8 drop"] },
    },
    sets: {
      lan: {
        type: "ipv4_addr",
        flags: ["interval"],
        elements: ["192.168.0.0/24", "10.1.0.0 - 10.1.0.50", "172.16.0.0/12"],
      },
    },
    counters: { seen: {} },
  }),

  "maps that name chains and counters": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "filter",
        policy: "accept",
        rules: ["iifname vmap @taps", "counter name tcp dport map @counted", "ip saddr vmap @sources"],
      },
      guests: { rules: ["drop"] },
      tap0: { rules: ["tcp dport 22 goto guests", "accept"] },
      tap1: { comment: "second", rules: ["drop"] },
    },
    maps: {
      taps: {
        type: "ifname",
        value: "verdict",
        elements: ["tap0 : jump tap0", { element: '"tap1"', value: "jump tap1", comment: "a : b" }],
      },
      counted: { type: "inet_service", value: "counter", elements: ['80 : "web"', "22 : seen"] },
      sources: {
        type: "ipv4_addr",
        value: "verdict",
        flags: ["timeout"],
        elements: ["10.0.0.1 timeout 1h : goto guests", "10.0.0.2 : drop"],
      },
    },
    counters: { web: {}, seen: { comment: "ssh" } },
  }),

  "the same maps, other values": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "filter",
        rules: ["iifname vmap @taps", "counter name tcp dport map @counted", "ip saddr vmap @sources"],
      },
      tap0: { comment: "anew", rules: ["accept"] },
      tap2: { rules: ["drop"] },
    },
    maps: {
      taps: {
        type: "ifname",
        value: "verdict",
        elements: ["tap0 : jump tap0", "tap1 : jump tap2", "tap2 : jump tap2"],
      },
      counted: { type: "inet_service", value: "counter", elements: ["80 : web", "443 : web"] },
      sources: {
        type: "ipv4_addr",
        value: "verdict",
        flags: ["timeout"],
        elements: ["10.0.0.1 timeout 2h : drop", "10.0.0.3 : drop"],
      },
    },
    counters: { web: { comment: "another comment" } },
  }),

  "prefix NAT, marks and zones": table({
    chains: {
      zones: {
        type: "filter",
        hook: "prerouting",
        priority: "raw",
        rules: ['ct original zone set iifname map { "outer0" : 2, "inner0" : 1 }', "ct mark set ct zone"],
      },
      pre: {
        type: "nat",
        hook: "prerouting",
        priority: "dstnat",
        rules: ["dnat ip prefix to ip daddr map @to"],
      },
      post: {
        type: "nat",
        hook: "postrouting",
        priority: "srcnat",
        rules: [
          "snat ip prefix to ip saddr map { 192.168.2.0/24 : 192.168.3.0/24 }",
          "meta mark 0x64 masquerade fully-random",
        ],
      },
      out: { type: "route", hook: "output", priority: "mangle", rules: ["tcp dport 80 meta mark set 0x64"] },
    },
    maps: {
      to: {
        type: "ipv4_addr",
        value: "interval ipv4_addr",
        flags: ["interval"],
        elements: ["192.168.3.0/24 : 192.168.2.0/24"],
      },
    },
  }),

  "sets of every sort": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: 10,
        rules: [
          "ip saddr . tcp dport @pairs accept",
          "add @recent { ip saddr timeout 1m } accept",
          "ip saddr @merged drop",
          "meta mark . ip saddr @marks accept",
          "tcp dport @ports accept",
        ],
      },
    },
    sets: {
      lan: { type: "ether_addr", size: 100, elements: ["52:54:00:AA:bb:01", "52:54:00:aa:bb:02"] },
      pairs: {
        type: "ipv4_addr . inet_service",
        flags: ["interval"],
        elements: ["10.0.0.0/8 . 1-1024", "1.2.3.4 . 80"],
      },
      recent: {
        type: "ipv4_addr",
        flags: ["dynamic", "timeout"],
        timeout: 3600,
        gcInterval: "10s",
        size: 65535,
        counter: true,
        elements: ["10.9.9.9 timeout 2h"],
      },
      merged: {
        type: "ipv4_addr",
        flags: ["interval"],
        autoMerge: true,
        elements: ["10.0.0.0/24", "10.0.1.0/24"],
      },
      marks: { typeof: "meta mark . ip saddr", elements: ["0x10 . 1.1.1.1", "32 . 2.2.2.2"] },
      ports: {
        type: "inet_service",
        policy: "memory",
        elements: ["ssh", "http", { element: "443", comment: "tls" }],
      },
      six: { type: "ipv6_addr", flags: ["interval"], elements: ["2001:DB8:0::/32", "fe80::1"] },
    },
  }),

  "the same sets, other types and elements": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: 10,
        rules: [
          "ip daddr @recent drop",
          "ip saddr @merged drop",
          "iifname @lan accept",
          "tcp dport @ports accept",
        ],
      },
    },
    sets: {
      lan: { type: "ifname", elements: ["eth0", '"tap0"'] },
      recent: {
        type: "ipv4_addr",
        flags: ["dynamic", "timeout"],
        timeout: "1h",
        gcInterval: 10,
        size: 65535,
        counter: true,
      },
      merged: {
        type: "ipv4_addr",
        flags: ["interval"],
        autoMerge: true,
        elements: ["10.0.0.0/16", "11.0.0.0/8"],
      },
      ports: {
        type: "inet_service",
        policy: "memory",
        elements: ["ssh", "8080", { element: "443", comment: "https" }],
      },
      six: {
        type: "ipv6_addr",
        flags: ["interval"],
        comment: "v6",
        elements: ["2001:db8::/48", "2001:db9::-2001:db9::ff"],
      },
    },
  }),

  objects: table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "security",
        rules: [
          'quota name "daily" drop',
          'limit name "slow" accept',
          'tcp dport 21 ct helper set "ftp"',
          "tcp dport 22 ct timeout set long",
          "counter name seen",
        ],
      },
    },
    counters: { seen: {}, other: {} },
    quotas: { daily: { bytes: "10 mbytes", over: true } },
    limits: {
      slow: { rate: "10/second", burst: "7 packets" },
      fast: { rate: "1 mbytes/minute", over: true },
    },
    ctHelpers: { ftp: { type: "ftp", protocol: "tcp" } },
    text: "ct timeout long {\n  protocol tcp; l3proto ip\n  policy = { established : 1000, close : 10 }\n}",
  }),

  "changed objects": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "security",
        rules: [
          'quota name "daily" drop',
          'limit name "slow" accept',
          'tcp dport 2121 ct helper set "ftp"',
          "tcp dport 22 ct timeout set long",
        ],
      },
    },
    quotas: { daily: { bytes: "20 mbytes" } },
    limits: { slow: { rate: "20/second", burst: "7 packets" } },
    ctHelpers: { ftp: { type: "ftp", protocol: "tcp", l3proto: "ip" } },
    text: "ct timeout long {\n  protocol tcp\n l3proto ip\n  policy = { established : 2000 }\n}",
  }),

  "text alone": table({
    text: `# my old firewall
      define lan = { 192.168.1.0/24, 10.0.0.0/8 }   # two networks
      define ports = 22
      set bad { type ipv4_addr; flags interval
        elements = { 1.2.3.0/24,   # somebody
                     4.5.6.7 }
      }
      chain input {
        type filter hook input priority filter; policy drop;
        ip saddr $lan tcp dport { $ports, 80, \\
           443 } accept
        ip saddr @bad drop; counter
        ip saddr 10.0.0.1 jump {
          tcp dport 22 accept
          drop
        }
        ct state established,related accept comment "a; b { # }"
        goto rest
      }
      chain rest { counter; }`,
  }),

  "a whole file": table({
    text: `#!/usr/sbin/nft -f
flush ruleset
define wan = "eth0"
add table inet fw
delete table inet fw

table inet fw {
	define guests = { "tap0", "tap1" }
	set banned { type ipv4_addr; flags interval; elements = { 1.2.3.0/24 }; }

	chain input {
		type filter hook input priority 0; policy drop;
		iifname $wan ip saddr @banned drop
		iifname $guests jump guests # what they may
		iif lo accept
	}
	chain guests { udp dport { 53, 67 } accept; }
}`,
  }),

  "text and structure": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "filter + 1",
        rules: ["ip saddr @bad goto rest", "accept"],
      },
    },
    sets: { bad: { type: "ipv4_addr", flags: ["interval"], elements: ["1.2.3.0/25"] } },
    text: `# kept by hand
chain rest { ip saddr 10.0.0.1 jump { tcp dport 22 accept; }; drop; }
chain unused {
}`,
  }),

  "a table with a comment": table({
    chains: { input: { type: "filter", hook: "input", priority: 0, rules: ["accept"] } },
    text: 'comment "ours"',
  }),

  asleep: table({
    chains: {
      input: { type: "filter", hook: "input", priority: 1, policy: "drop", rules: ["counter drop"] },
    },
    dormant: true,
  }),

  "meters and dynamic rules": table({
    chains: {
      input: {
        type: "filter",
        hook: "input",
        priority: "filter",
        rules: [
          "tcp dport 22 meter ssh size 128 { ip saddr limit rate 10/second } accept",
          "update @recent { ip saddr timeout 30s limit rate over 10/second } drop",
        ],
      },
    },
    sets: { recent: { type: "ipv4_addr", flags: ["dynamic", "timeout"], size: 1000 } },
  }),
};

export const OTHER_FAMILIES: readonly NftTableFields[] = [
  {
    family: "ip",
    name: "a",
    chains: {
      out: {
        type: "route",
        hook: "output",
        priority: "mangle",
        rules: ["ip daddr 10.0.0.1 meta mark set 1"],
      },
    },
  },
  {
    family: "ip6",
    name: "a",
    chains: {
      pre: {
        type: "nat",
        hook: "prerouting",
        priority: "dstnat",
        rules: ["ip6 daddr 2001:db8::1 tcp dport 80 dnat to [fd00::1]:80"],
      },
    },
  },
  {
    family: "arp",
    name: "a",
    chains: { in: { type: "filter", hook: "input", priority: 0, rules: ["arp operation request accept"] } },
  },
  {
    family: "bridge",
    name: "a",
    chains: {
      forward: {
        type: "filter",
        hook: "forward",
        priority: "filter",
        policy: "drop",
        rules: ["iifname . ether saddr . ip saddr @spoof accept", "vlan id 10 ether type arp accept"],
      },
    },
    sets: {
      spoof: { type: "ifname . ether_addr . ipv4_addr", elements: ["tap0 . 52:54:00:00:00:01 . 10.0.0.1"] },
    },
  },
  {
    family: "netdev",
    name: "a",
    chains: {
      in: {
        type: "filter",
        hook: "ingress",
        device: "lo",
        priority: -500,
        rules: ["ip saddr 1.1.1.1 drop", "fwd to lo"],
      },
      out: { type: "filter", hook: "egress", devices: ["lo"], priority: 0, rules: ['dup to "lo"'] },
    },
  },
  {
    family: "inet",
    name: "a/b_c.d-e",
    chains: { in: { type: "filter", hook: "ingress", device: "lo", priority: "filter", rules: ["accept"] } },
  },
];
