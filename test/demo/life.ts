// The life of examples/overlapping-subnets, told in claims, each proven by packets or by another tool than ours.
import { newStack } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { buildLans, PingMonitor, proofs } from "../lab/overlap.ts";
import { checkpoints, logins, settled } from "../lab/settled.ts";
import { differences } from "../lab/snapshot.ts";
import type { Vm } from "../lab/vm.ts";
import { chapter, must, prove } from "./claims.ts";

/** @param keep ends while the stack is up */
export async function life(vm: Vm, project: Project, keep = false): Promise<void> {
  chapter("The world: two LANs, three nodes each, all in 192.168.2.0/24");
  await vm.reset();
  await buildLans(vm);
  const before = await settled(vm);
  await prove("without us, the LANs do not reach each other", async () => {
    const { code } = await vm.ssh("ip netns exec inner-10 ping -n -q -c 1 -W 2 192.168.3.10");
    must(code !== 0, "the ping was answered");
    return "inner-10 to 192.168.3.10: no answer";
  });

  await newStack(vm, project, "demo");

  chapter("pulumi preview, pulumi up");
  await prove("the preview promises seven resources, and makes no connection", async () => {
    const seen = await logins(vm);
    const output = await project.ok(["preview"]);
    must(output.includes("+ 7 to create"), output);
    must((await logins(vm)) === seen, "the host saw a login");
    return "+ 7 to create; the host saw no login";
  });
  await prove(
    "up makes them, over one connection, and a new one to confirm each change that may cut it",
    async () => {
      const [seen, armed] = [await logins(vm), await checkpoints(vm)];
      const output = await project.up();
      must(output.includes("+ 7 created"), output);
      const [more, confirmed] = [(await logins(vm)) - seen, (await checkpoints(vm)) - armed];
      must(
        confirmed > 0 && more === 1 + confirmed,
        `the host saw ${more} logins for ${confirmed} confirmations`,
      );
      return `+ 7 created; the host saw 1 login, and ${confirmed} that confirmed`;
    },
  );
  await provePackets(vm);

  chapter("Nothing changed, nothing done");
  await prove("a second up changes nothing and makes no connection", async () => {
    const seen = await logins(vm);
    const output = await project.up("--expect-no-changes");
    must((await logins(vm)) === seen, "the host saw a login");
    return line(output, /unchanged/);
  });

  chapter("A changed program: port 8081 between the LANs is to be refused");
  await change(vm, project);

  chapter("A hand on the host");
  await handEdit(vm, project);

  if (keep) return;
  chapter("pulumi destroy");
  await prove(
    "the host is as it was: links, addresses, rules, routes, nftables, sysctls, files",
    async () => {
      await project.destroy();
      const left = differences(before, await settled(vm));
      must(left.length === 0, left.join("\n           "));
      return "no difference, but for the lock file in /run/hostnet, which goes with the next boot";
    },
  );
}

async function provePackets(vm: Vm, some = proofs): Promise<void> {
  for (const proof of some) {
    const { claim, seen } = await proof(vm).catch((error: Error) => ({ claim: proof.name, seen: error }));
    await prove(claim, () => {
      if (typeof seen !== "string") throw seen;
      return seen;
    });
  }
}

async function change(vm: Vm, project: Project): Promise<void> {
  await project.ok(["config", "set", "--path", "blockedPorts[0]", "8081"]);
  await prove("the preview shows the one new rule, as one line", async () => {
    const output = await project.ok(["preview", "--diff"]);
    must(/~ 1 to update/.test(output) && /6 unchanged/.test(output), output);
    const changed = output.split("\n").filter((text) => /^\s*[+-] /.test(text));
    must(changed.length === 1 && changed[0]!.includes("dport 8081"), output);
    return changed[0]!.trim();
  });
  await prove("it is applied in place, while a running ping loses no packet", async () => {
    const pings = await PingMonitor.start(vm);
    const output = await project.up();
    const { answered, lost } = await pings.stop();
    must(/~ 1 updated/.test(output), output);
    must(lost === 0 && answered > 10, `${answered} answered, ${lost} lost`);
    return `1 updated; ${answered} pings answered, ${lost} lost`;
  });
  await prove("port 8081 is refused, port 8082 is not", async () => {
    const seen = await vm.sh(`
for port in 8081 8082; do timeout 20 ip netns exec outer-10 nc -l -k -p $port >/dev/null 2>&1 </dev/null & done
tries=0
until [ "$(ip netns exec outer-10 ss -Hltn | grep -c ':808[12] ')" = 2 ]; do tries=$((tries + 1)); [ $tries -lt 50 ]; sleep 0.1; done
for port in 8081 8082; do
  if ip netns exec inner-10 nc -z -w 3 192.168.3.10 $port; then echo "$port open"; else echo "$port refused"; fi
done
kill $(jobs -p) 2>/dev/null || :
`);
    must(seen === "8081 refused\n8082 open\n", seen);
    return seen.trim().replace("\n", ", ");
  });
}

async function handEdit(vm: Vm, project: Project): Promise<void> {
  await vm.sh(`
nft delete rule ip overlap zones handle $(nft -a list chain ip overlap zones | sed -n 's/.*eth1.*# handle //p')
ip link set dev middleman-eth1 nomaster
ip rule del pref 100 fwmark 100 table 200
`);
  await prove("an nft rule deleted, a member detached, an ip rule deleted: refresh shows each", async () => {
    const output = await project.refresh();
    const shown = [
      'chains.zones.rules: iifname \\\\"middleman-eth1\\\\" ct original zone set 200 is missing',
      "interfaces: middleman-eth1",
      "it is missing on the host",
    ];
    for (const text of shown)
      must(output.includes(text.replaceAll("\\\\", "\\")), `no "${text}" in:\n${output}`);
    return shown.map((text) => text.replaceAll('\\\\"', '"')).join(" | ");
  });
  await prove("the next up repairs it", async () => {
    const output = await project.up();
    return line(output, /updated/);
  });
  // The rest is as it was: what the repaired parts carry is enough.
  await provePackets(vm, proofs.slice(0, 3));
}

const line = (output: string, wanted: RegExp): string =>
  output
    .split("\n")
    .find((text) => wanted.test(text))
    ?.trim() ?? output;
