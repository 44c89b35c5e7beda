import { readFileSync } from "node:fs";
import { RunHosts } from "../../provider/hosts";
import type { Kind } from "../../provider/kind";
import { lifecycle } from "../../provider/lifecycle";
import { Stack } from "../engine";
import type { Vm } from "../lab/vm.ts";

// biome-ignore lint/suspicious/noExplicitAny: any kind
type Kinds = Readonly<Record<string, Kind<any, any>>>;

/** The lab's machine itself, over SSH: for what no namespace has, as libvirt, systemd and udev. */
export class WholeHost {
  private readonly hosts: RunHosts[] = [];

  constructor(
    private readonly vm: Vm,
    private readonly kinds: Kinds,
  ) {}

  get connection() {
    return { host: "127.0.0.1", port: this.vm.port, hostKey: this.vm.hostKey };
  }

  stack(): Stack {
    return new Stack("dev", () => {
      const hosts = new RunHosts();
      this.hosts.push(hosts);
      hosts.configure((key) => (key === "privateKey" ? readFileSync(this.vm.keyFile, "utf8") : undefined));
      return Object.fromEntries(
        Object.entries(this.kinds).map(([name, kind]) => [name, lifecycle(kind, hosts)]),
      );
    });
  }

  close(): void {
    for (const hosts of this.hosts) hosts.close();
  }
}
