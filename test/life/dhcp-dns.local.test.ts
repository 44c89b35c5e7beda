// DhcpDns with a real dnsmasq and real guests, in namespaces of this machine, where another script stands for systemctl.
import { readFileSync } from "node:fs";
import { dhcpDns } from "../../provider/dhcp-dns";
import { ASK, LEASE } from "../lab/dhcp";
import { resources } from "../lab-kinds/resources";
import { LocalHost } from "../local-host";

let host: LocalHost;
beforeEach(async () => {
  host = await new LocalHost().ready();
  host.sh(`cat >/run/systemctl.sh <<'END'
${readFileSync("test/lab/host/systemctl.sh", "utf8")}
END
chmod +x /run/systemctl.sh; mount --bind /run/systemctl.sh "$(command -v systemctl)"
mkdir -p /run/systemd/system /run/lib && mount --bind /run/lib /var/lib
echo 'nameserver 192.0.2.53' >/run/resolv && mount --bind /run/resolv /etc/resolv.conf
ip link add name br-lan type bridge && ip addr add 10.7.0.1/24 dev br-lan && ip link set dev br-lan up
ip addr add 2001:db8:7::1/64 dev br-lan nodad
for guest in a b; do
  ip netns add $guest && ip link add name tap-$guest master br-lan type veth peer name eth0 netns $guest
  ip link set dev tap-$guest up; ip -n $guest link set dev lo up; done
ip -n a link set dev eth0 address 52:54:00:00:00:0a up; ip -n b link set dev eth0 address 52:54:00:00:00:0b up
cat >/run/lease.py <<'END'
${LEASE}
END
cat >/run/ask.py <<'END'
${ASK}
END
cat >/run/hold.py <<'END'
import os, socket, time
open("/run/hold.pid", "w").write(str(os.getpid()))
held = socket.create_server(("0.0.0.0", 53))
time.sleep(60)
END`);
}, 60_000);
afterEach(() => {
  host.sh("for n in a b; do ip netns del $n; done; pkill -F /run/hostnet-dhcp-dns-br-lan/pid || :");
  host.close();
});

const lease = (guest: string) => host.sh(`ip netns exec ${guest} python3 /run/lease.py ${guest}`).trim();
const ask = (guest: string, name: string, type = "A") =>
  host
    .sh(
      `ip netns exec ${guest} timeout 3 python3 /run/ask.py 10.7.0.1 ${name} ${type} 2>/dev/null || echo no answer`,
    )
    .trim();
const CONF = "/etc/hostnet/dhcp-dns-br-lan.conf";
const args = {
  interface: "br-lan",
  ranges: [{ start: "10.7.0.100", end: "10.7.0.199" }],
  domain: "lan.example",
  upstreams: [],
  records: { db: "10.7.0.9" },
};
const left = () =>
  host.sh(
    "ls /etc/hostnet /var/lib/hostnet /run/hostnet-dhcp-dns-br-lan /etc/systemd/system 2>/dev/null | grep -i dhcp || :",
  );

test("its whole life: leases, names, an update, a hand's edit, a bad change, and at last nothing", async () => {
  const kind = resources(dhcpDns, host, "h");
  const made = await kind.create("dns", args);
  expect(made.drift).toEqual([]);
  const first = lease("a");
  expect(first).toMatch(/^10\.7\.0\.1\d\d\/24 router 10\.7\.0\.1 dns 10\.7\.0\.1 domain lan\.example mtu -$/);
  const address = first.split("/")[0]!;
  expect([ask("b", "a.lan.example"), ask("b", "a"), ask("b", "db"), ask("b", "db.lan.example")]).toEqual([
    "no answer",
    "no answer",
    "no answer",
    "no answer",
  ]);
  expect(lease("b")).toMatch(/^10\.7\.0\.1/);
  expect([ask("b", "a.lan.example"), ask("b", "a"), ask("b", "db"), ask("b", "db.lan.example")]).toEqual([
    address,
    address,
    "10.7.0.9",
    "10.7.0.9",
  ]);
  expect(ask("b", "9.0.7.10.in-addr.arpa", "PTR")).toBe("db.lan.example");
  // Nobody else is asked.
  expect([ask("b", "nobody.lan.example"), ask("b", "www.example.org")]).toEqual(["NXDOMAIN", "REFUSED"]);

  const more = {
    ...args,
    leases: [{ mac: "52:54:00:00:00:0b", address: "10.7.0.5", name: "web" }],
    options: { mtu: 1400, router: [] },
  };
  const updated = await kind.update("dns", made, more);
  expect(lease("b")).toBe("10.7.0.5/24 router - dns 10.7.0.1 domain lan.example mtu 1400");
  expect([ask("b", "web.lan.example"), ask("b", "a.lan.example")]).toEqual(["10.7.0.5", address]);
  // It was kept, over the restart.
  expect(lease("a")).toBe(first.replace("router 10.7.0.1", "router -").replace("mtu -", "mtu 1400"));

  const pid = host.sh("cat /run/hostnet-dhcp-dns-br-lan/pid");
  expect((await kind.update("dns", updated, more)).drift).toEqual([]);
  expect(host.sh("cat /run/hostnet-dhcp-dns-br-lan/pid")).toBe(pid);
  // A change that dnsmasq refuses leaves the one that runs.
  host.sh(`mkdir -p /run/fake && printf '#!/bin/sh\\necho "dnsmasq: bad thing at line 3 of x.new" >&2; exit 1\\n' >/run/fake/dnsmasq
chmod +x /run/fake/dnsmasq; cp /usr/sbin/dnsmasq /run/fake/real; mount --bind /run/fake/dnsmasq /usr/sbin/dnsmasq`);
  await expect(kind.update("dns", updated, { ...more, domain: "other.example" })).rejects.toThrow(
    "dnsmasq refuses the configuration: bad thing at line 3\nEverything is as it was before.",
  );
  host.sh("umount /usr/sbin/dnsmasq");
  expect(host.sh("cat /run/hostnet-dhcp-dns-br-lan/pid")).toBe(pid);
  expect(ask("b", "web.lan.example")).toBe("10.7.0.5");

  host.sh(`sed -i 's/,web$/,www/' ${CONF}; systemctl stop hostnet-dhcp-dns-br-lan.service`);
  const seen = await kind.refresh("dns", updated);
  expect(seen.drift).toEqual([
    `${CONF}: dhcp-host=52:54:00:00:00:0b,10.7.0.5,web is missing`,
    `${CONF}: dhcp-host=52:54:00:00:00:0b,10.7.0.5,www is there`,
    "its unit is inactive",
  ]);
  const repaired = await kind.update("dns", seen, more);
  expect(repaired.drift).toEqual([]);
  expect(ask("b", "web.lan.example")).toBe("10.7.0.5");

  // It is started by systemd at boot, and taken away by hand with all the rest.
  expect(host.sh("sh /etc/hostnet/boot links && echo done")).toBe("done\n");
  await kind.delete("dns", repaired);
  expect(left()).toBe("");
  expect(host.sh("ss -Hlnu 'sport = :67'")).toBe("");
});

test("a port that another holds, a host without systemd, one without dnsmasq", async () => {
  const kind = resources(dhcpDns, host, "h");
  host.sh(
    "python3 /run/hold.py >/dev/null 2>&1 & until ss -Hlnt 'sport = :53' | grep -q .; do sleep 0.1; done",
  );
  await expect(kind.create("dns", args)).rejects.toThrow(
    /interface: br-lan: port 53 is taken: python3 \(pid \d+\) listens at every address$/,
  );
  expect(left()).toBe("");
  host.sh("kill $(cat /run/hold.pid); while ss -Hlnt 'sport = :53' | grep -q .; do sleep 0.1; done");
  host.sh(
    "mkdir -p /run/none && mount --bind /run/none /usr/sbin/dnsmasq 2>/dev/null || { : >/run/empty; mount --bind /run/empty /usr/sbin/dnsmasq; }",
  );
  await expect(kind.create("dns", args)).rejects.toThrow("dnsmasq is not installed there");
  host.sh("umount /usr/sbin/dnsmasq; rmdir /run/systemd/system");
  await expect(kind.create("dns", args)).rejects.toThrow("the host is not run by systemd");
  expect(host.sh("ls -A /etc/hostnet")).toBe("");
});

test("remove-all takes it away, and a look then finds it gone", async () => {
  const kind = resources(dhcpDns, host, "h");
  const made = await kind.create("dns", args);
  lease("a");
  host.sh("sh /etc/hostnet/remove-all");
  expect([left(), host.sh("ss -Hlnu 'sport = :67'")]).toEqual(["", ""]);
  expect(await kind.drift("dns", made)).toBeUndefined();
});

test("without persist all of it lies in /run, and moves there and back", async () => {
  const kind = resources(dhcpDns, host, "h");
  const made = await kind.create("dns", { ...args, persist: false });
  expect(left()).toBe("/run/hostnet-dhcp-dns-br-lan:\n");
  const first = lease("a");
  expect(host.sh("ls /run/hostnet /run/systemd/system | grep dhcp")).toBe(
    "dhcp-dns-br-lan.conf\ndhcp-dns-br-lan.leases\nhostnet-dhcp-dns-br-lan.service\n",
  );
  const kept = await kind.update("dns", made, args);
  expect(kept.drift).toEqual([]);
  expect(lease("a")).toBe(first);
  expect(host.sh("ls /run/hostnet /run/systemd/system | grep dhcp || :")).toBe("");
  await kind.delete("dns", kept);
  expect(host.sh("ls /run/hostnet /run/systemd/system | grep dhcp || :")).toBe("");
});
