// OverlappingSubnets: three sites with the same addresses, a fourth that comes and one that goes, by packets.
import { must, prove } from "../demo/claims.ts";
import { ping } from "../lab/network.ts";
import {
  buildSites,
  card,
  type Name,
  pingsAll,
  removeSites,
  SITES,
  Stream,
  samePortEverywhere,
  seenAs,
  staysInside,
} from "../lab/sites.ts";
import { differences } from "../lab/snapshot.ts";
import { newProject, program, settled, startVm, type Vm } from "./lab.ts";
import type { Project } from "./project.ts";

jest.setTimeout(900_000);

let vm: Vm;
let project: Project;

beforeAll(async () => {
  vm = await startVm();
  project = newProject();
  await project.init();
});
afterAll(async () => {
  project?.close();
  await vm?.stop();
});

/** The lab's nodes are at a bridge, each other site is at a card. */
function sites(...names: readonly Name[]): string {
  const entries = names.map((name) => {
    const plug =
      name === "lab"
        ? { bridge: { name: "br-lab", ports: [card("lab"), card("lab2")] } }
        : { interface: card(name) };
    return [name, { id: SITES[name].id, seenAs: seenAs(name), ...plug }];
  });
  return program(
    vm,
    `new OverlappingSubnets("sites", { ...host, confirm: { when: "never" }, addresses: ["192.168.2.1/24", "fd00:2::1/64"],
       sites: ${JSON.stringify(Object.fromEntries(entries))} });`,
  );
}
const said = async (proof: Promise<{ claim: string; seen: string }>) => {
  const { claim, seen } = await proof;
  await prove(claim, () => seen);
};
/** What the host has of its own. */
const own = () =>
  vm.sh(
    "ip -br addr show dev $(cat /run/lab/uplink); for v in -4 -6; do ip $v route show | sed '/card-/d; s/ expires [0-9]*sec//'; done",
  );

test("sites with the same addresses reach each other, come and go", async () => {
  await buildSites(vm);
  const [before, ownBefore] = [await settled(vm), await own()];
  const three = ["berlin", "lab", "paris"] as const;
  project.program(sites(...three));
  await project.up();
  await vm.sh("while ip -6 addr show tentative | grep -q .; do sleep 0.1; done");

  await said(pingsAll(vm, three));
  await prove("T9 two VRFs, the same five-tuple", async () => (await samePortEverywhere(vm, three)).seen);
  await said(staysInside(vm, three));
  await prove("the host's own addresses and routes are as they were", async () => {
    const now = await own();
    must(now === ownBefore, `${ownBefore}instead of\n${now}`);
    return now.split("\n")[0]!;
  });
  await prove("a site sees itself under its own network too; a bridge carries what stays in it", async () => {
    await vm.sh(
      [ping("lab", "192.168.4.11"), ping("lab", "fd00:4::11"), ping("lab", "192.168.2.11")].join("\n"),
    );
    return "lab to 192.168.4.11, fd00:4::11 and 192.168.2.11: answered";
  });
  await prove("refresh finds nothing", async () => {
    await project.ok(["refresh", "--yes", "--skip-preview", "--expect-no-changes"]);
    return "no drift";
  });
  await prove("where others track connections in bridges, the zones hold", async () => {
    await vm.sh(`nft -f - <<'END'
table bridge others { chain c { type filter hook forward priority -200; ct state established,related accept; }; }
END
modprobe br_netfilter`);
    const { seen } = await samePortEverywhere(vm, three);
    await vm.sh("nft flush chain bridge sites zones");
    const lost = await samePortEverywhere(vm, three).then(
      () => "none",
      (error: Error) => error.message,
    );
    must(
      /^lab to .*timed out/s.test(lost),
      `without the zones in the bridge, the lab's calls are lost, not ${lost}`,
    );
    await vm.sh(
      "nft add rule bridge sites zones ct original zone set meta ibrname map @zones; nft delete table bridge others; rmmod br_netfilter",
    );
    return `${seen}; without the rule in the bridge: ${lost.split("\n")[0]}`;
  });

  const stream = await Stream.start(vm, "berlin", "paris");
  await prove("a fourth site is a few lines, and changes no other", async () => {
    project.program(sites("berlin", "lab", "oslo", "paris"));
    const steps = (await project.preview()).filter(({ op }) => op !== "same");
    const shown = steps.map(({ op, urn }) => `${op} ${urn.split(":").slice(-1)[0]}`).sort();
    const wanted = ["create sites-oslo", "create sites-oslo-ipv4", "create sites-oslo-ipv6", "update sites"];
    must(JSON.stringify(shown) === JSON.stringify(wanted), shown.join(", "));
    return shown.join(", ");
  });
  await project.up();
  await said(pingsAll(vm, ["berlin", "lab", "oslo", "paris"]));
  project.program(sites("berlin", "oslo", "paris"));
  await project.up();
  await prove("a site that goes takes nothing of the others along", async () => {
    const { seen } = await samePortEverywhere(vm, ["berlin", "oslo", "paris"]);
    await vm.sh(`if ${ping("berlin", "192.168.4.10")}; then echo "the lab answers"; exit 1; fi
if nft list tables | grep -q bridge || ip link show br-lab >/dev/null 2>&1; then nft list tables; exit 1; fi`);
    return `${seen}; the lab is cut off, and neither its bridge nor the bridges' table is left`;
  });
  await prove("a connection ran all the while", async () => `${await stream.stop()} letters came back`);

  await prove("destroyed, the host is as it was", async () => {
    await project.destroy();
    const left = differences(before, await settled(vm));
    must(left.length === 0, left.join("\n"));
    return "no difference";
  });
  await removeSites(vm);
});
