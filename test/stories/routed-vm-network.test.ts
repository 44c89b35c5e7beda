// examples/routed-vm-network: what its README says, by packets, with DHCP and DNS by a real dnsmasq.
import { readFileSync } from "node:fs";
import { must, prove } from "../demo/claims.ts";
import { exampleProject, newStack, settled } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";
import { ask, BRIDGED, fetched, lease, OUTSIDE, serve, startGuests, stopGuests } from "../lab/routed.ts";
import { differences } from "../lab/snapshot.ts";

jest.setTimeout(600_000);

let host: Namespaces;
let project: Project;

/** The host of the test has no systemd: a script stands for it.  */
const WORLD = `${BRIDGED}
mkdir -p /run/systemd/system /run/lib
bridged 0
[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
mount --bind /run/lib /var/lib
cat >/run/systemctl.sh <<'END'
${readFileSync("test/lab/host/systemctl.sh", "utf8")}
END
chmod +x /run/systemctl.sh
mount --bind /run/systemctl.sh "$(command -v systemctl)"
! tool=$(command -v systemd-run) || mount --bind /bin/false "$tool"
echo 'nameserver 192.0.2.53' >/run/resolv; mount --bind /run/resolv /etc/resolv.conf
${OUTSIDE}`;
beforeAll(async () => {
  host = await Namespaces.start();
  await host.sh(WORLD);
  for (const port of [80, 8000]) await serve(host, "net-10", port);
  project = exampleProject("routed-vm-network");
});
afterAll(async () => {
  project?.close();
  await host?.stop();
});

const counter = async (name: string): Promise<number> =>
  Number(/packets (\d+)/.exec(await host.sh(`nft list counter inet routed-br-vms ${name}`))![1]);
const is = (seen: string, wanted: string): string => {
  must(seen === wanted, `${seen} instead of ${wanted}`);
  return seen;
};

test("guests have leases, names, a way out and no way in but the published one, and all HTTP goes to one of them", async () => {
  const before = await settled(host);
  await newStack(host, project);
  await project.ok(["config", "set", "uplink", "wan0"]);
  const shown = await project.ok(["preview"]);
  await prove("the preview shows what the component is made of", async () => {
    const kinds = ["Bridge", "DhcpDns", "NftTable", "RoutedNetwork", "Sysctl"];
    const lacking = kinds.filter((kind) => !new RegExp(`${kind}\\s+br-vms`).test(shown));
    must(lacking.length === 0, `without ${lacking.join(", ")}: ${shown}`);
    return kinds.join(", ");
  });
  await project.up();
  await startGuests(host);

  let first = "";
  await prove(
    "a guest gets a lease, a router and a resolver; another its own address, by its MAC",
    async () => {
      first = await lease(host, "one");
      must(
        /^10\.7\.0\.\d+\/24 router 10\.7\.0\.1 dns 10\.7\.0\.1 domain vms\.example mtu -$/.test(first),
        first,
      );
      is(await lease(host, "web"), "10.7.0.5/24 router 10.7.0.1 dns 10.7.0.1 domain vms.example mtu -");
      await lease(host, "two");
      return first;
    },
  );
  const address = first.split("/")[0]!;
  await prove(
    "names: of leases, of records, backwards; a name of the domain that there is not goes nowhere",
    async () => {
      is(await ask(host, "two", "web.vms.example"), "10.7.0.5");
      is(await ask(host, "two", "one.vms.example"), address);
      is(await ask(host, "two", "shop.vms.example"), "10.7.0.5");
      is(await ask(host, "two", "5.0.7.10.in-addr.arpa", "PTR"), "web.vms.example");
      is(await ask(host, "two", "nobody.vms.example"), "NXDOMAIN");
      return `web 10.7.0.5, one ${address}, nobody NXDOMAIN`;
    },
  );
  await prove(
    "router advertisements: a guest makes itself an address of the /64, and reaches the host by it",
    async () => {
      await host.sh(`tries=0
until ip -n one -6 addr show dev eth0 -tentative | grep -q 'inet6 fd00:7:'; do tries=$((tries + 1)); [ $tries -lt 150 ]; sleep 0.1; done
ip netns exec one ping -n -q -c 1 -W 2 fd00:7::1`);
      return (await host.sh("ip -n one -6 -br addr show dev eth0")).trim();
    },
  );
  await serve(host, "web", 80);
  await prove("guests get out with the host's address", async () =>
    is(await fetched(host, "one", "http://10.5.0.10:8000/"), "net-10 saw 10.5.0.1"),
  );
  await prove("a published port leads to its guest, from outside and from a guest", async () => {
    const outside = is(await fetched(host, "net-11", "http://10.5.0.1:8080/"), "web saw 10.5.0.11");
    return `${outside}; ${is(await fetched(host, "two", "http://10.5.0.1:8080/"), "web saw 10.7.0.1")}`;
  });
  await prove("another way in there is not, and it is counted", async () => {
    const refused = await counter("refused");
    await host.sh("ip -n net-11 route add 10.7.0.0/24 via 10.5.0.1");
    is(await fetched(host, "net-11", "http://10.7.0.5/"), "nothing");
    const more = (await counter("refused")) - refused;
    must(more > 0, "not counted");
    return `nothing, ${more} packets counted`;
  });
  await prove("an address that is not the guest's network's does not get out", async () => {
    const spoofed = await counter("spoofed");
    await host.sh(
      "ip -n two addr add 10.9.9.9/32 dev eth0; ip netns exec two ping -n -q -c 1 -W 1 -I 10.9.9.9 10.5.0.10 && exit 1 || :",
    );
    const more = (await counter("spoofed")) - spoofed;
    must(more > 0, "not counted");
    return `${more} packets counted`;
  });

  await prove(
    "HTTP to whatever server lands on the guest that was chosen; the guest itself gets out",
    async () => {
      const seen = is(await fetched(host, "one", "http://10.5.0.10/"), "web saw 10.7.0.1");
      is(await fetched(host, "web", "http://10.5.0.10/"), "net-10 saw 10.5.0.1");
      return `one: ${seen}; web: net-10`;
    },
  );
  await prove("without the source NAT, the answer goes past the host, and is lost", async () => {
    await host.sh(
      "nft delete rule inet routed-br-vms postrouting handle $(nft -a list chain inet routed-br-vms postrouting | sed -n 's/.*ip saddr.*ct status dnat.*# handle //p')",
    );
    const seen = is(await fetched(host, "one", "http://10.5.0.10/"), "nothing");
    const told = await project.refresh();
    must(/ct status dnat masquerade is missing/.test(told), told);
    await project.up();
    return `${seen}; refresh shows it; up repairs it: ${is(await fetched(host, "one", "http://10.5.0.10/"), "web saw 10.7.0.1")}`;
  });
  await prove("HTTP by IPv6 is refused at once, and is no way around", async () => {
    const begin = Date.now();
    is(await fetched(host, "one", "http://[fd00:99::1]/"), "nothing");
    must(Date.now() - begin < 2000, "not at once");
    return `nothing, after ${Date.now() - begin} ms`;
  });

  await project.ok(["config", "set", "proxyPort", "8088"]);
  await project.up();
  await serve(host, "host", 8088);
  await prove("HTTP goes to a port of the host instead, which sees who asks", async () =>
    is(await fetched(host, "one", "http://10.5.0.10/"), `host saw ${address}`),
  );
  await prove("the leases stayed", async () => is(await lease(host, "one"), first));
  await project.ok(["config", "rm", "proxyPort"]);

  await prove("destroyed, the host is as it was", async () => {
    await stopGuests(host);
    await host.sh("kill $(cat /run/world/host-8088.pid)");
    await project.destroy();
    const rest = differences(before, await settled(host));
    must(rest.length === 0, rest.join("\n"));
    is(await host.sh("ls -A /var/lib/hostnet 2>/dev/null || :"), "");
    return "no difference";
  });
});
