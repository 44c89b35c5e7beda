/**
 * Words that cannot name a chain, a set or an object: nft's own grammar then reads something else. Found by trying
 * each on nft 1.0.6 and 1.1.7; those that only the newer one refuses stand last, for hosts are upgraded. Plurals nft makes,
 * but cannot list: chains counters flowtables limits maps meters quotas secmarks sets.
 */
export const KEYWORDS: ReadonlySet<string> = new Set(
  `accept add ah all and arp auto-merge bridge cgroup chain comment comp constant continue counter cpu create ct day
  dccp define delete describe device devices dnat drop dst dup dynamic ecn element elements eq esp ether exists expires
  export exthdr fib flags flow flowtable flush frag fwd gc-interval ge get goto gt handle hbh hook hour ibriport ibrname
  icmp icmpv6 igmp iif iifgroup iifname iiftype import include index inet insert interval ip ip6 ipsec jhash jump le
  limit list ll log lshift lt map mark masquerade meta meter mh missing monitor ne netdev nftrace nh not notrack numgen
  obriport obrname offload oif oifgroup oifname oiftype or osf pkttype policy position priority queue quota random
  redefine redirect reject rename replace reset return rshift rt rt0 rt2 rtclassid rule ruleset sctp secmark set size
  skgid skuid snat socket srh symhash synproxy table tcp th time timeout tproxy type typeof udp udplite undefine update
  vlan vmap xor xt chains counters flowtables limits maps meters quotas secmarks sets destroy geneve gre gretap
  tunnel vni vxlan`.split(/\s+/),
);

/** Words that may follow an address field or a `to` where a literal address could stand. A host name is none of them. */
export const AFTER_ADDRESS: ReadonlySet<string> = new Set([
  ...KEYWORDS,
  ..."set vmap map last never prefix mod seed offset original reply burst over until bytes packets name".split(
    " ",
  ),
]);

/** Tables that belong to another tool, which rewrites them as it likes: "family name", or a name in any family. */
const OWNED: readonly (readonly [tool: string, tables: RegExp])[] = [
  ["iptables-nft", /^(ip6? (filter|nat|mangle|raw|security)|bridge (filter|nat|broute)|arp filter)$/],
  ["libvirt", /^\S+ libvirt_(network|nwfilter_ethernet|nwfilter_inet)$/],
  ["firewalld", /^\S+ firewalld$/],
  ["docker", /^\S+ docker(-.*)?$/],
  ["incus", /^\S+ incus$/],
  ["lxd", /^\S+ lxd$/],
  ["netavark (podman)", /^\S+ netavark$/],
  ["kube-proxy", /^\S+ kube-proxy$/],
];

export const ownerOf = (family: string, table: string): string | undefined =>
  OWNED.find(([, tables]) => tables.test(`${family} ${table}`))?.[0];
