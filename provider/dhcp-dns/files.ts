import { family as familyOf } from "../formats/cidr";
import { type DhcpDns, type Range, sizeOf } from "./args";

/** Where it lies on the host: what does not persist, where it goes with a reboot. */
export const unitName = (link: string): string => `hostnet-dhcp-dns-${link}.service`;
export function places(link: string, persist: boolean) {
  const units = persist ? "/etc/systemd/system" : "/run/systemd/system";
  return {
    config: `${persist ? "/etc" : "/run"}/hostnet/dhcp-dns-${link}.conf`,
    unit: `${units}/${unitName(link)}`,
    leases: `${persist ? "/var/lib" : "/run"}/hostnet/dhcp-dns-${link}.leases`,
    /** The link by which it is enabled. */
    enabled: `/etc/systemd/system/multi-user.target.wants/${unitName(link)}`,
    pid: `/run/hostnet-dhcp-dns-${link}/pid`,
  };
}

/** By path. */
export type Files = Readonly<Record<string, string>>;

export function filesOf(d: DhcpDns): Files {
  const { config, unit } = places(d.interface, d.persist);
  return { [config]: configText(d), [unit]: unitText(d) };
}

const MOST_LEASES = 65536n;

function configText(d: DhcpDns): string {
  const { ranges, domain, upstreams } = d;
  const total = ranges.reduce((sum, r) => sum + sizeOf(r), BigInt(d.leases?.length ?? 0));
  const lines = [
    "# Written by pulumi-hostnet.",
    `interface=${d.interface}`,
    "except-interface=lo",
    // Not at the addresses of others, and at those of its own that come later.
    "bind-dynamic",
    "user=dnsmasq",
    `pid-file=${places(d.interface, d.persist).pid}`,
    "no-hosts",
    "domain-needed",
    "cache-size=1000",
    ...(domain === undefined ? [] : [`domain=${domain}`, `local=/${domain}/`]),
    ...(upstreams === undefined ? [] : ["no-resolv"]),
    ...(upstreams ?? []).map((server) => `server=${server}`),
    // Also while the guest is off; and first, for an address is called by the first name that it has.
    ...(d.leases ?? []).flatMap(({ name, address }) =>
      name === undefined ? [] : [`host-record=${namesOf(name, domain)},${address}`],
    ),
    ...Object.entries(d.records ?? {}).flatMap(([name, addresses]) =>
      addresses.map((address) => `host-record=${namesOf(name, domain)},${address}`),
    ),
    ...(ranges.length > 0 ? dhcpLines(d, total < MOST_LEASES ? total : MOST_LEASES) : []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** The whole name first, for it is what an address is called. */
const namesOf = (name: string, domain?: string): string =>
  name.includes(".") || domain === undefined ? name : `${name}.${domain},${name}`;

const dhcpLines = (d: DhcpDns, most: bigint): string[] => [
  "dhcp-authoritative",
  `dhcp-leasefile=${places(d.interface, d.persist).leases}`,
  `dhcp-lease-max=${most}`,
  ...(d.ranges.some(({ start }) => familyOf(start) === 6) ? ["enable-ra"] : []),
  ...d.ranges.map(rangeLine),
  ...leaseLines(d),
  ...optionLines("option", d.options, (value) => value),
  ...optionLines("option6", d.options6, bracketed),
];

function rangeLine({ start, end, leaseTime, slaac }: Range): string {
  const six = familyOf(start) === 6 ? [...(slaac ? ["slaac"] : []), "64"] : [];
  return `dhcp-range=${[start, end, ...six, ...(leaseTime === undefined ? [] : [leaseTime])].join(",")}`;
}

const bracketed = (value: string): string => (value.includes(":") ? `[${value}]` : value);

/** The addresses of one guest in one line: of two lines dnsmasq takes the first. */
function leaseLines({ leases = [] }: DhcpDns): string[] {
  return [...new Set(leases.map(({ mac }) => mac))].map((mac) => {
    const own = leases.filter((lease) => lease.mac === mac);
    const name = own.flatMap(({ name }) => name ?? []).slice(0, 1);
    return `dhcp-host=${[mac, ...own.map(({ address }) => bracketed(address)), ...name].join(",")}`;
  });
}

const optionLines = (
  word: string,
  options: Readonly<Record<string, readonly string[]>> = {},
  form: (value: string) => string,
): string[] =>
  Object.entries(options).map(
    ([name, values]) =>
      `dhcp-option=${[/^\d/.test(name) && word === "option" ? name : `${word}:${name}`, ...values.map(form)].join(",")}`,
  );

/** All that dnsmasq drops to once it has its sockets, and what that takes; in a VRF, what `ip vrf exec` takes too. */
const CAPABILITIES = "CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_CHOWN";

function unitText({ interface: link, persist, vrf }: DhcpDns): string {
  const { config, pid } = places(link, persist);
  const within = vrf === undefined ? "" : `/usr/sbin/ip vrf exec ${vrf} `;
  return `# Written by pulumi-hostnet.
[Unit]
Description=DHCP and DNS on ${link}, of pulumi-hostnet
After=hostnet.service network.target
StartLimitIntervalSec=0
[Service]
Type=forking
ExecStart=${within}/usr/sbin/dnsmasq --conf-file=${config}
Restart=on-failure
RestartSec=2
RuntimeDirectory=hostnet-dhcp-dns-${link}
PIDFile=${pid}
${persist ? "StateDirectory=hostnet" : "ReadWritePaths=/run/hostnet"}
CapabilityBoundingSet=${CAPABILITIES}${vrf === undefined ? "" : " CAP_SYS_ADMIN CAP_BPF"}
${vrf === undefined ? "ProtectControlGroups=yes\nProtectKernelTunables=yes" : "Delegate=yes"}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
[Install]
WantedBy=multi-user.target
`;
}
