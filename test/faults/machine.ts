import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { startVm, type Vm } from "../lab/vm.ts";
import { type Bed, LOOK, type Look, parted } from "./oracles";

/** What is on the host before us, and comes with every boot: a table, a link with what leads to it, and one without. */
const FOREIGN = `set -e; umask 022
cat >/etc/nftables.conf <<'END'
flush ruleset
table ip foreign {
  set s { type ipv4_addr; elements = { 198.51.100.1 }; }
  chain c { type filter hook forward priority 5; ip saddr @s counter drop; }
}
END
cd /etc/systemd/network
printf '[NetDev]\\nName=theirs\\nKind=dummy\\nMACAddress=02:00:00:00:07:01\\n' >20-theirs.netdev
printf '[NetDev]\\nName=ownport\\nKind=dummy\\nMACAddress=02:00:00:00:07:02\\n' >20-ownport.netdev
cat >20-theirs.network <<'END'
[Match]
Name=theirs
[Network]
LinkLocalAddressing=no
Address=198.51.100.1/24
[RoutingPolicyRule]
From=198.51.100.0/24
Table=77
Priority=12000
[Route]
Destination=203.0.113.0/24
Table=77
END
networkctl reload
until networkctl list theirs | grep -q configured && [ -e /sys/class/net/ownport ]; do sleep 0.2; done
systemctl enable --quiet --now nftables
cat >/etc/systemd/system/seen.service <<'END'
[Unit]
After=hostnet.service systemd-networkd.service
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo 1 >/proc/sys/net/ipv6/conf/ownport/disable_ipv6; ip link set dev ownport up; sh /etc/look >/run/seen'
[Install]
WantedBy=multi-user.target
END
systemctl enable --quiet seen
virsh -q net-define /dev/stdin <<'END' >/dev/null
<network><name>other</name><bridge name='virbr7'/><mac address='02:00:00:00:07:07'/><forward mode='nat'/>
<ip address='192.168.77.1' netmask='255.255.255.0'/></network>
END`;

/** A whole machine with a disk of its own: for faults that no namespace has. */
export class Machine implements Bed {
  readonly proxy: { readonly port: number };
  readonly key: { readonly private: string };
  readonly hostKey: { readonly public: string };

  private constructor(readonly vm: Vm) {
    this.proxy = { port: vm.port };
    this.key = { private: readFileSync(vm.keyFile, "utf8") };
    this.hostKey = { public: vm.hostKey };
  }

  static async start(suite?: string): Promise<Machine> {
    const machine = new Machine(await startVm({ keepDisk: true, suite }));
    await machine.sh(`${FOREIGN}\ncat >/etc/look <<'END'\n${LOOK}\nEND\nsystemctl start seen; sync`);
    return machine;
  }

  sh(command: string): Promise<string> {
    return this.vm.sh(`set +e\n${command}`, { timeout: 180 });
  }

  /** What there was after the boot, before anybody could log in. */
  async seen(): Promise<Look> {
    return parted(await this.sh("cat /run/seen"));
  }

  login(seconds = 5): Promise<boolean> {
    const words = ["-S", "none", ...this.vm.login().split(" ").slice(1), "echo in"];
    return new Promise((resolve) =>
      execFile("timeout", [String(seconds), "ssh", ...words], (_, said) => resolve(said === "in\n")),
    );
  }

  /** A script that goes on by itself, also when no connection is left. */
  behind(script: string): Promise<string> {
    return this.sh(`systemd-run --quiet --collect sh -c '${script.replaceAll("'", "'\\''")}'`);
  }

  async wipe(): Promise<void> {
    await this.sh(`[ ! -e /etc/hostnet/remove-all ] || sh /etc/hostnet/remove-all || :
      rm -rf /etc/hostnet /run/hostnet/pending /run/hostnet/objects
      nft list tables | grep ' own' | while read -r x family name; do nft delete table $family $name; done
      for l in /sys/class/net/own[bi]*; do [ ! -e $l ] || ip link del dev \${l##*/}; done
      while ip rule | grep -q '^5[0-9]:'; do ip rule del pref $(ip rule | sed -n '/^5[0-9]:/{s/:.*//;p;q}'); done`);
  }

  log(): Promise<string> {
    return this.vm.log();
  }

  stop(): Promise<void> {
    return this.vm.stop();
  }
}
