import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { dhcpDns } from "../../provider/dhcp-dns";
import type { DhcpDns } from "../../provider/dhcp-dns/args";
import { type Files, filesOf, places } from "../../provider/dhcp-dns/files";
import { type Facts, pathsOf } from "../../provider/dhcp-dns/parse";
import type { Last, Observed, Result, Step } from "../../provider/kind";
import { canonical, failed, problems, said, text } from "./steps";

type Shape = typeof dhcpDns.schema.shape;
type Seen = Observed<Shape, Facts>;

const range = { start: "10.7.0.100", end: "10.7.0.199" };
const desired = (more: object = {}): DhcpDns =>
  canonical<DhcpDns>(dhcpDns, { interface: "br-lan", ranges: [range], ...more });
const d = desired();
const full = desired({
  ranges: [
    { start: "2001:db8:7::100", end: "2001:db8:7::1ff", slaac: true, leaseTime: "1h" },
    { ...range, leaseTime: 43200 },
  ],
  leases: [
    { mac: "52:54:00:00:00:05", address: "10.7.0.5", name: "Web" },
    { mac: "52:54:00:00:00:05", address: "2001:db8:7:0::5", name: "web" },
    { mac: "52:54:00:00:00:06", address: "10.7.0.6" },
  ],
  domain: "lan.example",
  upstreams: ["10.0.0.53", "/Corp.example/2001:db8::53#5353"],
  records: { db: "10.7.0.9", "www.lan.example": ["2001:db8:7::8", "10.7.0.8"] },
  options: { router: [], mtu: 1400, "dns-server": ["10.7.0.1", "10.7.0.2"], 252: "http://proxy/wpad.dat" },
  options6: { "dns-server": "2001:db8:7::1", "domain-search": "lan.example" },
});

/** A host, and what it answers. */
interface Host {
  readonly files: Files;
  readonly active?: string;
  readonly enabled?: boolean;
  readonly systemd?: boolean;
  readonly installed?: boolean;
  readonly link?: object;
  readonly sockets?: string;
}
const LINK = {
  ifname: "br-lan",
  flags: ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
  addr_info: [
    { family: "inet", local: "10.7.0.1", prefixlen: 24 },
    { family: "inet6", local: "2001:db8:7::1", prefixlen: 64 },
  ],
};
const bare: Host = { files: {} };
const running = (of: DhcpDns, more: Partial<Host> = {}): Host => ({
  files: filesOf(of),
  active: "active",
  enabled: of.persist,
  ...more,
});
const NO_FILE = failed(1, "x: No such file or directory\n");

function answers(host: Host, link = "br-lan"): Result[] {
  const systemd = (lines: string): Result => (host.systemd === false ? failed(3, "") : said(lines));
  return [
    ...pathsOf(link).map((path) => (path in host.files ? said(host.files[path]!) : NO_FILE)),
    systemd(`ActiveState=${host.active ?? "inactive"}\nUnitFileState=${host.enabled ? "enabled" : ""}\n`),
    systemd("MainPID=77\n"),
    host.installed === false ? failed(1, "") : said(""),
    host.link === null ? failed(1, 'Device "br-lan" does not exist.\n') : said([host.link ?? LINK]),
    said(host.sockets ?? ""),
  ];
}
const look = (host: Host, of: DhcpDns = d, last?: Last<Shape, Facts>): Seen =>
  dhcpDns.parse(answers(host, of.interface), of, last);
const applied = (of: DhcpDns): Last<Shape, Facts> => ({
  desired: of,
  facts: look(running(of), of).facts,
  former: { facts: look(bare, of).facts },
});
const NO_LINK = { link: null as unknown as object };

/** The host, as far as these steps go. */
function run(host: Host, steps: readonly Step[], link = "br-lan"): Host {
  const files: Record<string, string> = { ...host.files };
  let { active = "inactive", enabled = false } = host;
  let ran = active === "active" ? { ...files } : undefined;
  for (const { argv, stdin, unless } of steps) {
    const [tool, ...words] = argv;
    if (unless?.[0] === "cmp" && files[unless[2]!] === files[unless[3]!]) continue;
    if (unless?.[0] === "test" && !(unless.at(-1)! in files)) continue;
    if (tool === "install") files[words.at(-1)!] = stdin ?? files[words.at(-2)!]!;
    if (tool === "mv") {
      files[words[2]!] = files[words[1]!]!;
      delete files[words[1]!];
    }
    if (tool === "rm") {
      for (const path of words) delete files[path];
      if (words.some((path) => path.includes(".wants/"))) enabled = false;
    }
    if (tool === "systemctl" && words[0] === "stop") active = "inactive";
    if (tool === "systemctl" && words[0] === "enable") enabled = true;
    if (tool === "sh" && active !== "active") {
      active = "active";
      ran = { ...files };
    }
  }
  // What runs, runs with the files that are there.
  if (active === "active")
    expect(pathsOf(link).map((path) => ran![path])).toEqual(pathsOf(link).map((path) => files[path]));
  return { ...host, files, active, enabled };
}

describe("arguments", () => {
  test("are canonical", () => {
    expect(full).toEqual({
      interface: "br-lan",
      ranges: [
        { ...range, leaseTime: "12h" },
        { start: "2001:db8:7::100", end: "2001:db8:7::1ff", slaac: true, leaseTime: "1h" },
      ],
      leases: [
        { mac: "52:54:00:00:00:05", address: "10.7.0.5", name: "web" },
        { mac: "52:54:00:00:00:05", address: "2001:db8:7::5", name: "web" },
        { mac: "52:54:00:00:00:06", address: "10.7.0.6" },
      ],
      domain: "lan.example",
      upstreams: ["/corp.example/2001:db8::53#5353", "10.0.0.53"],
      records: { db: ["10.7.0.9"], "www.lan.example": ["10.7.0.8", "2001:db8:7::8"] },
      options: {
        252: ["http://proxy/wpad.dat"],
        "dns-server": ["10.7.0.1", "10.7.0.2"],
        mtu: ["1400"],
        router: [],
      },
      options6: { "dns-server": ["2001:db8:7::1"], "domain-search": ["lan.example"] },
      persist: true,
    });
    expect(canonical(dhcpDns, full)).toEqual(full);
    const times = (leaseTime: unknown) => desired({ ranges: [{ ...range, leaseTime }] }).ranges[0]!.leaseTime;
    expect([120, "120", "90m", "3600s", "24h", "7d", "infinite"].map(times)).toEqual([
      "2m",
      "2m",
      "90m",
      "1h",
      "1d",
      "7d",
      "infinite",
    ]);
  });

  const guest = { mac: "52:54:00:00:00:05", address: "10.7.0.5" };
  const six = { start: "2001:db8:7::100", end: "2001:db8:7::1ff" };
  test.each<[object, string]>([
    [{ interface: "br lan" }, 'interface: "br lan": is no interface name'],
    [{ ranges: undefined }, "ranges: is required"],
    [{ ranges: [{ start: "10.7.0.9", end: "10.7.0.1" }] }, "ranges[0]: 10.7.0.9 comes after 10.7.0.1"],
    [{ ranges: [{ start: "10.7.0.9", end: "2001:db8::1" }] }, "ranges[0]: start and end are of two families"],
    [{ ranges: [{ start: "10.0.0.0", end: "10.1.0.0" }] }, "ranges[0]: must have 65536 addresses or fewer"],
    [{ ranges: [{ start: "2001:db8::1", end: "2001:db8:0:1::1" }] }, "ranges[0]: must lie in one /64"],
    [{ ranges: [{ ...range, slaac: true }] }, "ranges[0].slaac: is for IPv6"],
    [{ ranges: [{ ...range, leaseTime: "1m" }] }, 'ranges[0].leaseTime: "1m": must be'],
    [{ ranges: [{ ...range, leaseTime: "1h,ignore" }] }, "ranges[0].leaseTime"],
    [{ ranges: [{ ...range, end: "10.7.0.999" }] }, 'ranges[0].end: "10.7.0.999": is no IP address'],
    [
      { ranges: [range, { start: "10.7.0.150", end: "10.7.0.250" }] },
      "ranges[1]: overlaps with 10.7.0.100 to 10.7.0.199",
    ],
    [{ leases: [{ ...guest, mac: "52:54:00" }] }, 'leases[0].mac: "52:54:00": is no MAC address'],
    [{ leases: [{ ...guest, mac: "01:00:5e:00:00:01" }] }, "is a multicast address"],
    [{ leases: [guest, { ...guest, address: "10.7.0.6" }] }, "52:54:00:00:00:05 in IPv4 is listed twice"],
    [
      { leases: [guest, { ...guest, mac: "52:54:00:00:00:06" }] },
      "leases[1].address: 10.7.0.5 is listed twice",
    ],
    [
      {
        leases: [
          { ...guest, name: "web" },
          { mac: "52:54:00:00:00:06", address: "10.7.0.6", name: "web" },
        ],
      },
      "leases[1].name: web is another guest's",
    ],
    [
      { leases: [{ ...guest, address: "2001:db8:7::5" }] },
      "leases[0]: 2001:db8:7::5 needs a range in the same /64",
    ],
    [
      { ranges: [six], leases: [{ ...guest, address: "2001:db8:8::5" }] },
      "leases[0]: 2001:db8:8::5 needs a range in the same /64",
    ],
    [{ ranges: [six], leases: [guest] }, "leases[0]: 10.7.0.5 needs a range of IPv4"],
    [{ leases: [{ ...guest, name: "web.lan" }] }, 'leases[0].name: "web.lan": is no name of a host'],
    [{ leases: [{ ...guest, name: "12h" }] }, "is taken for a lease time there"],
    [
      {
        leases: [{ ...guest, name: "web" }],
        domain: "lan.example",
        records: { "web.lan.example": "10.7.0.9" },
      },
      "leases[0].name: web.lan.example is among the records",
    ],
    [{ domain: "lan\nserver=1.2.3.4" }, "is no name of DNS"],
    [{ domain: "-lan" }, "is no name of DNS"],
    [{ upstreams: ["dns.example"] }, "is no upstream"],
    [{ upstreams: ["10.0.0.53#99999"] }, "is no upstream"],
    [{ upstreams: ["10.0.0.53\nno-resolv"] }, "is no upstream"],
    [{ upstreams: ["10.0.0.53@eth0"] }, "is no upstream"],
    [{ records: { "a,b": "10.7.0.9" } }, "records.a,b"],
    [{ records: { db: "ten" } }, "records.db"],
    [{ records: { db: ["10.7.0.9", "10.7.0.9"] } }, "10.7.0.9 is listed twice"],
    [{ records: { db: [] } }, "must have an address"],
    [{ records: { db: "10.7.0.9", DB: "10.7.0.8" } }, "db is listed twice"],
    [{ records: ["db"] }, "must be addresses by name"],
    [{ options: { routers: "10.7.0.1" } }, "is no option of DHCPv4 by dnsmasq's names"],
    [{ options: { 255: "x" } }, "is no option of DHCPv4 by dnsmasq's names"],
    [{ options: { router: "banana" } }, "is no IP address"],
    [{ options: { router: "2001:db8::1" } }, "is no IPv4 address"],
    [{ options: { mtu: 70000 } }, "must be a whole number from 0 to 65535"],
    [{ options: { "tftp-server": "a\nuser=root" } }, "printable ASCII"],
    [{ options: { "tftp-server": "a,b" } }, "printable ASCII"],
    [{ options: { "tftp-server": 'a"b' } }, "printable ASCII"],
    [{ options: { "tftp-server": "a #b" } }, "printable ASCII"],
    [{ options: { mtu: true } }, "must be a text, a number, or a list"],
    [{ options6: { mtu: 1400 } }, "is no option of DHCPv6"],
    [{ options6: { "dns-server": "10.7.0.1" } }, "is no IPv6 address"],
    [{ vrf: "br-lan" }, "vrf: is the interface itself"],
    [{ range: [] }, "range: unknown field"],
  ])("%j is refused", (more, message) => {
    const found = problems(dhcpDns, { interface: "br-lan", ranges: [range], ...more });
    expect(found.map(({ property, reason }) => `${property}: ${reason}`).join("\n")).toContain(message);
    expect(found).toHaveLength(1);
  });
});

describe("cases", () => {
  const CONF = "/etc/hostnet/dhcp-dns-br-lan.conf";
  const UNIT = "/etc/systemd/system/hostnet-dhcp-dns-br-lan.service";
  const steps = (of: DhcpDns, seen: Seen, last?: Last<Shape, Facts>) =>
    dhcpDns
      .ensure(of, seen, last)
      .map(({ argv, unless }) =>
        [...argv.filter((word) => !word.includes("\n")), ...(unless ? ["unless", ...unless] : [])].join(" "),
      );
  const STEPS = [
    `install -D -m 644 /dev/stdin ${CONF}.new`,
    `install -D -m 644 /dev/stdin ${UNIT}.new`,
    `/usr/sbin/dnsmasq --test --conf-file=${CONF}.new`,
    `sync ${CONF}.new ${UNIT}.new`,
    `systemctl stop hostnet-dhcp-dns-br-lan.servic[e] unless cmp -s ${CONF}.new ${CONF}`,
    `systemctl stop hostnet-dhcp-dns-br-lan.servic[e] unless cmp -s ${UNIT}.new ${UNIT}`,
    "systemctl stop hostnet-dhcp-dns-br-lan.servic[e] unless test ! -e /run/hostnet/dhcp-dns-br-lan.conf",
    "systemctl stop hostnet-dhcp-dns-br-lan.servic[e] unless test ! -e /run/systemd/system/hostnet-dhcp-dns-br-lan.service",
    `mv -f ${CONF}.new ${CONF}`,
    `mv -f ${UNIT}.new ${UNIT}`,
    "install -D -m 644 /run/hostnet/dhcp-dns-br-lan.leases /var/lib/hostnet/dhcp-dns-br-lan.leases " +
      "unless test ! -e /run/hostnet/dhcp-dns-br-lan.leases",
    "rm -f /run/hostnet/dhcp-dns-br-lan.leases /run/hostnet/dhcp-dns-br-lan.conf /run/systemd/system/hostnet-dhcp-dns-br-lan.service " +
      "/run/hostnet/dhcp-dns-br-lan.conf.new /run/systemd/system/hostnet-dhcp-dns-br-lan.service.new",
    "systemctl daemon-reload",
    "systemctl enable --quiet hostnet-dhcp-dns-br-lan.service",
    "sh -c sh hostnet-dhcp-dns-br-lan.service",
  ];

  test("create-minimal", () => {
    expect(steps(d, look(bare))).toEqual(STEPS);
    expect(filesOf(d)[CONF]!.split("\n")).toEqual([
      "# Written by pulumi-hostnet.",
      "interface=br-lan",
      "except-interface=lo",
      "bind-dynamic",
      "user=dnsmasq",
      "pid-file=/run/hostnet-dhcp-dns-br-lan/pid",
      "no-hosts",
      "domain-needed",
      "cache-size=1000",
      "dhcp-authoritative",
      "dhcp-leasefile=/var/lib/hostnet/dhcp-dns-br-lan.leases",
      "dhcp-lease-max=100",
      "dhcp-range=10.7.0.100,10.7.0.199",
      "",
    ]);
  });

  test("create-full", () => {
    expect(filesOf(full)[CONF]!.split("\n").slice(9)).toEqual([
      "domain=lan.example",
      "local=/lan.example/",
      "no-resolv",
      "server=/corp.example/2001:db8::53#5353",
      "server=10.0.0.53",
      "host-record=web.lan.example,web,10.7.0.5",
      "host-record=web.lan.example,web,2001:db8:7::5",
      "host-record=db.lan.example,db,10.7.0.9",
      "host-record=www.lan.example,10.7.0.8",
      "host-record=www.lan.example,2001:db8:7::8",
      "dhcp-authoritative",
      "dhcp-leasefile=/var/lib/hostnet/dhcp-dns-br-lan.leases",
      "dhcp-lease-max=359",
      "enable-ra",
      "dhcp-range=10.7.0.100,10.7.0.199,12h",
      "dhcp-range=2001:db8:7::100,2001:db8:7::1ff,slaac,64,1h",
      "dhcp-host=52:54:00:00:00:05,10.7.0.5,[2001:db8:7::5],web",
      "dhcp-host=52:54:00:00:00:06,10.7.0.6",
      "dhcp-option=252,http://proxy/wpad.dat",
      "dhcp-option=option:dns-server,10.7.0.1,10.7.0.2",
      "dhcp-option=option:mtu,1400",
      "dhcp-option=option:router",
      "dhcp-option=option6:dns-server,[2001:db8:7::1]",
      "dhcp-option=option6:domain-search,lan.example",
      "",
    ]);
  });

  test("DNS alone has no DHCP, and no upstream is none", () => {
    const dns = filesOf(desired({ ranges: [], upstreams: [] }))[CONF]!;
    expect(dns).not.toMatch(/^dhcp-/m);
    expect(dns).toMatch(/\nno-resolv\n/);
    expect(dns).not.toMatch(/\nserver=/);
  });

  test("in a VRF it runs there; without persist it goes with a reboot", () => {
    const other = desired({ vrf: "red", persist: false });
    const files = filesOf(other);
    expect(Object.keys(files)).toEqual([
      "/run/hostnet/dhcp-dns-br-lan.conf",
      "/run/systemd/system/hostnet-dhcp-dns-br-lan.service",
    ]);
    const [conf, unit] = Object.values(files);
    expect(conf).toContain("dhcp-leasefile=/run/hostnet/dhcp-dns-br-lan.leases\n");
    expect(unit).toContain(
      "ExecStart=/usr/sbin/ip vrf exec red /usr/sbin/dnsmasq --conf-file=/run/hostnet/dhcp-dns-br-lan.conf\n",
    );
    const red = { ...LINK, master: "red", linkinfo: { info_slave_kind: "vrf" } };
    const seen = look({ ...bare, link: red }, other);
    expect(steps(other, seen)).toContain(
      "rm -f /etc/systemd/system/multi-user.target.wants/hostnet-dhcp-dns-br-lan.service",
    );
    expect(look(running(other, { link: red }), other).broken).toEqual([]);
  });

  test("no-change, adopt-identical", () => {
    const seen = look(running(full), full, applied(full));
    expect(seen).toMatchObject({ state: full, broken: [] });
    expect(dhcpDns.ensure(full, seen, applied(full))).toEqual([]);
    expect(dhcpDns.ensure(full, look(running(full), full))).toEqual([]);
  });

  test("update-in-place: what it is not about stays, also where it lies", () => {
    const more = desired({ leases: [{ mac: "52:54:00:00:00:05", address: "10.7.0.5" }] });
    expect(steps(more, look(running(d), more, applied(d)), applied(d))).toEqual(STEPS);
    const moved = desired({ persist: false });
    const after = run(running(d), dhcpDns.ensure(moved, look(running(d), moved, applied(d)), applied(d)));
    expect(after).toMatchObject({ files: filesOf(moved), active: "active", enabled: false });
    expect(Object.keys(after.files)).toHaveLength(2);
  });

  test("remove, already-gone: the leases at last", () => {
    const wanted = [
      "systemctl stop hostnet-dhcp-dns-br-lan.servic[e]",
      `rm -f /etc/systemd/system/multi-user.target.wants/hostnet-dhcp-dns-br-lan.service ${pathsOf("br-lan").join(" ")} ${pathsOf(
        "br-lan",
      )
        .map((path) => `${path}.new`)
        .join(" ")}`,
      "systemctl daemon-reload",
      "systemctl reset-failed hostnet-dhcp-dns-br-lan.servic[e]",
      "rm -f /var/lib/hostnet/dhcp-dns-br-lan.leases /run/hostnet/dhcp-dns-br-lan.leases",
      "rmdir --ignore-fail-on-non-empty /var/lib/hostnet | unless test ! -d /var/lib/hostnet",
    ];
    expect(text(dhcpDns.remove(look(running(d)), applied(d)))).toEqual(wanted);
    const gone = look(bare);
    expect(gone.state).toBeUndefined();
    expect(text(dhcpDns.remove(gone, applied(d)))).toEqual(wanted);
  });

  test("after a boot systemd starts it; what takes it away is kept", () => {
    expect(dhcpDns.boot!(d, look(bare).facts)).toMatchObject({ order: 70, steps: [] });
  });

  const edited = { ...filesOf(d), [CONF]: filesOf(d)[CONF]!.replace("10.7.0.199", "10.7.0.250") };
  test.each<[string, Partial<Host>, string[]]>([
    [
      "a file was edited",
      { files: edited },
      [
        `${CONF}: dhcp-range=10.7.0.100,10.7.0.199 is missing`,
        `${CONF}: dhcp-range=10.7.0.100,10.7.0.250 is there`,
      ],
    ],
    ["the unit was stopped", { active: "inactive" }, ["its unit is inactive"]],
    ["it failed", { active: "failed" }, ["its unit is failed"]],
    ["it was disabled", { enabled: false }, ["its unit is not enabled"]],
    ["a file is gone", { files: { [UNIT]: filesOf(d)[UNIT]! } }, [`${CONF} is missing`]],
    [
      "a file is where it was not",
      { files: { ...filesOf(d), "/run/hostnet/dhcp-dns-br-lan.conf": "" } },
      ["/run/hostnet/dhcp-dns-br-lan.conf is there"],
    ],
  ])("drift: %s", (_how, more, told) => {
    const host = running(d, more);
    const seen = look(host, d, applied(d));
    expect(seen.broken).toEqual(told);
    const after = run(host, dhcpDns.ensure(d, seen, applied(d)));
    expect(look(after, d, applied(d))).toMatchObject({ state: d, broken: [] });
  });

  test("drift: what only others can repair is told", () => {
    expect(look(running(d, NO_LINK)).broken).toEqual(["br-lan does not exist on the host"]);
    const red = { ...LINK, master: "red", linkinfo: { info_slave_kind: "vrf" } };
    expect(look(running(d, { link: red })).broken).toEqual(["br-lan is in the VRF red"]);
    // A bridge that a port is in is no VRF.
    expect(
      look(running(d, { link: { ...LINK, master: "br0", linkinfo: { info_slave_kind: "bridge" } } })).broken,
    ).toEqual([]);
  });

  test("foreign: under our name, but not as declared", () => {
    const seen = look(running(d, { files: edited }));
    expect(seen.state).toBeDefined();
    expect(() => dhcpDns.ensure(d, seen)).toThrow(
      `it is there, and otherwise than declared; take it away there first: systemctl disable --now hostnet-dhcp-dns-br-lan.service; rm ${CONF} ${UNIT}`,
    );
  });

  const OTHERS = `udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=5,fd=13))
udp UNCONN 0 0 192.168.122.1:53 0.0.0.0:* users:(("dnsmasq",pid=6,fd=5))
udp UNCONN 0 0 0.0.0.0%virbr0:67 0.0.0.0:* users:(("dnsmasq",pid=6,fd=3))
udp UNCONN 0 0 [::]:547 [::]:* users:(("dhcpd",pid=8,fd=3))
tcp LISTEN 0 32 10.7.0.1:53 0.0.0.0:* users:(("dnsmasq",pid=77,fd=8))
`;
  test.each([
    [
      'udp UNCONN 0 0 0.0.0.0:67 0.0.0.0:* users:(("dhcpd",pid=9,fd=7))',
      "port 67 is taken: dhcpd (pid 9) listens at every address",
    ],
    [
      'tcp LISTEN 0 4096 *:53 *:* users:(("coredns",pid=9,fd=7))',
      "port 53 is taken: coredns (pid 9) listens at every address",
    ],
    [
      'tcp LISTEN 0 10 10.7.0.1:53 0.0.0.0:* users:(("named",pid=9,fd=7))',
      "port 53 is taken: named (pid 9) listens at 10.7.0.1",
    ],
    [
      'udp UNCONN 0 0 [2001:db8:7::1]:53 [::]:* users:(("named",pid=9,fd=7))',
      "port 53 is taken: named (pid 9) listens at 2001:db8:7::1",
    ],
    [
      'udp UNCONN 0 0 0.0.0.0%br-lan:67 0.0.0.0:* users:(("systemd-network",pid=9,fd=7))',
      "port 67 is taken: systemd-network (pid 9) listens at every address of br-lan",
    ],
    [
      "udp UNCONN 0 0 0.0.0.0:53 0.0.0.0:*",
      "port 53 is taken: a process that the host does not name listens",
    ],
  ])("invalid: a port is taken: %s", (line, message) => {
    const sockets = `${OTHERS}${line}\n`;
    expect(() => dhcpDns.ensure(d, look({ ...bare, sockets }))).toThrow(`interface: br-lan: ${message}`);
    // Where nothing is to be done, nobody is in the way.
    expect(dhcpDns.ensure(d, look(running(d, { sockets }), d, applied(d)), applied(d))).toEqual([]);
  });

  test("others beside it are no obstacle, and neither is it itself", () => {
    expect(steps(d, look({ ...bare, sockets: OTHERS }))).toEqual(STEPS);
    expect(() => dhcpDns.ensure(full, look({ ...bare, sockets: OTHERS }, full))).toThrow(
      "port 547 is taken: dhcpd (pid 8) listens at every address",
    );
  });

  test.each<[Partial<Host>, DhcpDns, string]>([
    [{ systemd: false }, d, "the host is not run by systemd"],
    [{ installed: false }, d, "dnsmasq is not installed there: on Debian, apt install dnsmasq-base"],
    [NO_LINK, d, "interface: br-lan does not exist on the host"],
    [{}, desired({ vrf: "red" }), "vrf: br-lan is in no VRF, not in the VRF red"],
    [
      {},
      desired({ ranges: [{ start: "10.7.0.250", end: "10.7.1.5" }] }),
      "ranges[0]: 10.7.0.250 to 10.7.1.5 is in the network of none of the addresses of br-lan (10.7.0.1/24, 2001:db8:7::1/64)",
    ],
    [
      {},
      desired({ leases: [{ mac: "52:54:00:00:00:05", address: "10.8.0.5" }] }),
      "leases[0]: 10.8.0.5 is in the network of none of the addresses of br-lan",
    ],
  ])("invalid: only the host can know: %j", (more, of, message) => {
    expect(() => dhcpDns.ensure(of, look({ ...bare, ...more }, of))).toThrow(message);
    // It can be taken away all the same.
    expect(dhcpDns.remove(look(running(of, more), of), applied(of))).toHaveLength(6);
  });

  test("invalid: an odd answer is never an absence", () => {
    const with_ = (n: number, result: Result) => () => dhcpDns.parse(answers(running(d)).with(n, result), d);
    expect(with_(0, failed(1, "cat: x: Input/output error\n"))).toThrow(`${CONF} cannot be read`);
    expect(with_(4, failed(1, "Failed to connect to bus\n"))).toThrow(
      "the host does not say how the unit is: Failed",
    );
    expect(with_(4, said("garbage\n"))).toThrow("is not understood");
    expect(with_(7, failed(1, "Operation not permitted\n"))).toThrow("what addresses br-lan has");
    expect(with_(7, said("[]"))).toThrow("ip says nothing of br-lan");
    expect(with_(7, said("nonsense"))).toThrow("is not understood");
    expect(with_(8, failed(1, "x"))).toThrow("who listens where");
  });

  test("what a failed step said is told", () => {
    const test_ = { argv: ["/usr/sbin/dnsmasq", "--test", "--conf-file=x"] };
    const bad = failed(1, "\ndnsmasq: bad IP address at line 12 of /etc/hostnet/dhcp-dns-br-lan.conf.new\n");
    expect(dhcpDns.explain!(test_, bad, d)).toBe(
      "dnsmasq refuses the configuration: bad IP address at line 12",
    );
    const start = failed(
      1,
      "Job for x failed\ndnsmasq: failed to create listening socket for 10.7.0.1: Address already in use\nx.service: Failed\n",
    );
    expect(dhcpDns.explain!({ argv: ["sh"] }, start, d)).toBe(
      "dnsmasq does not start: failed to create listening socket for 10.7.0.1: Address already in use",
    );
    expect(dhcpDns.explain!({ argv: ["mv"] }, failed(1, "mv: no space"), d)).toBeUndefined();
  });

  test("nothing of it is on the way to the host", () => {
    expect(dhcpDns.exposure(look(running(d)), undefined)).toBeUndefined();
  });

  test("dnsmasq itself takes what is rendered", () => {
    for (const one of [d, full, desired({ ranges: [] })]) {
      const { status, stderr } = spawnSync("/usr/sbin/dnsmasq", ["--test", "--conf-file=-"], {
        input: filesOf(one)[CONF],
        encoding: "utf8",
      });
      expect([status, stderr]).toEqual([0, "dnsmasq: syntax check OK.\n"]);
    }
  });
});

describe("laws", () => {
  const wishes = [
    d,
    full,
    desired({ persist: false }),
    desired({ ranges: [] }),
    desired({ domain: "x.example", persist: false }),
  ];
  const wish = fc.constantFrom(...wishes);
  const found = fc.record({
    of: wish,
    active: fc.constantFrom("active", "inactive", "failed"),
    enabled: fc.boolean(),
    without: fc.constantFrom("none", "conf", "service"),
  });
  const hostOf = ({
    of,
    active,
    enabled,
    without,
  }: typeof found extends fc.Arbitrary<infer T> ? T : never): Host => ({
    files: {
      ...Object.fromEntries(Object.entries(filesOf(of)).filter(([path]) => !path.endsWith(without))),
      ...leasesOf(of),
    },
    active,
    enabled,
  });
  const leasesOf = (of: DhcpDns) => ({ [places(of.interface, of.persist).leases]: "of guests" });
  const same = ({ files, active, enabled }: Host) => ({ files, running: active === "active", enabled });

  test("ensure ends where it should, wherever it was cut before, and then there is nothing to do", () => {
    fc.assert(
      fc.property(found, wish, fc.nat(), (was, to, cut) => {
        const host = hostOf(was);
        const last = applied(was.of);
        const steps = dhcpDns.ensure(to, look(host, to, last), last);
        const half = run(host, steps.slice(0, cut % (steps.length + 1)));
        const end = run(half, dhcpDns.ensure(to, look(half, to, last), last));
        expect(same(end)).toEqual({
          files: { ...filesOf(to), ...leasesOf(to) },
          running: true,
          enabled: to.persist,
        });
        expect(dhcpDns.ensure(to, look(end, to, applied(to)), applied(to))).toEqual([]);
      }),
    );
  });

  test("an update that is undone ends where it began, to the letter, wherever it was cut", () => {
    fc.assert(
      fc.property(found, wish, fc.nat(), (was, to, cut) => {
        const host = hostOf(was);
        const last = applied(was.of);
        const before = look(host, to, last);
        const steps = dhcpDns.ensure(to, before, last);
        const half = run(host, steps.slice(0, cut % (steps.length + 1)));
        const undo = dhcpDns.ensure(
          { ...before.state! },
          { state: to, facts: before.facts },
          { desired: to, facts: before.facts, former: before },
        );
        const end = run(half, undo);
        expect(same(end)).toEqual(same(host));
      }),
    );
  });

  test("a removal leaves nothing, and its undo all", () => {
    fc.assert(
      fc.property(found, fc.nat(), (was, cut) => {
        const host = hostOf(was);
        const before = look(host, was.of, applied(was.of));
        const steps = dhcpDns.remove(before, applied(was.of));
        expect(same(run(host, steps))).toEqual({ files: {}, running: false, enabled: false });
        const half = run(host, steps.slice(0, cut % (steps.length + 1)));
        const undo = dhcpDns.ensure({ ...before.state! }, { facts: before.facts });
        // But for the leases, once they are gone.
        const { leases } = places("br-lan", was.of.persist);
        const { [leases]: _, ...files } = host.files;
        expect(same(run(half, undo))).toEqual(same(leases in half.files ? host : { ...host, files }));
      }),
    );
  });

  test("of junk, parse returns nothing", () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 255 }), fc.string(), (code, stderr) => {
        const results = dhcpDns.query(d).map(() => ({ code, stdout: "", stderr }));
        expect(() => dhcpDns.parse(results, d)).toThrow();
      }),
    );
  });
});
