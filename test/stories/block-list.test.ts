// examples/block-list, with fifty thousand networks, by packets and by nft.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { exampleProject, newStack } from "../e2e/lab.ts";
import type { Project } from "../e2e/project.ts";
import { Namespaces } from "../lab/namespaces.ts";
import { lan, ping } from "../lab/network.ts";

jest.setTimeout(600_000);

let host: Namespaces;
let project: Project;
beforeAll(async () => {
  host = await Namespaces.start();
  await host.sh(`${lan}
lan net wan0 02:00:00:00:07:00 10.5.0 10 11
ip addr add 10.5.0.1/24 dev wan0`);
  project = exampleProject("block-list");
});
afterAll(async () => {
  project?.close();
  await host?.stop();
});

/** With gaps, so that none can be merged; half as many of IPv6. */
const list = (more: readonly string[]): string => {
  const ipv4 = Array.from(
    { length: 50_000 },
    (_, n) => `${20 + (n >> 15)}.${(n >> 7) & 255}.${(n & 127) * 2}.0/24`,
  );
  const ipv6 = Array.from({ length: 100 }, (_, n) => `2001:db8:${(n * 2).toString(16)}::/48 ; SBL${n}`);
  return ["# a list", "; of somebody", ...ipv4, ...ipv6, ...more, ""].join("\n");
};
const elements = async (set: string) =>
  (await host.sh(`nft list set inet blocklist ${set}`)).match(/[0-9a-f.:]+\/\d+/g)?.length;
const answered = async (node: number) =>
  host.sh(ping(`net-${node}`, "10.5.0.1")).then(
    () => true,
    () => false,
  );

test("fifty thousand networks, then one more and one less", async () => {
  const file = join(host.folder, "list");
  writeFileSync(file, list([]));
  await newStack(host, project);
  await project.ok(["config", "set", "file", file]);
  await project.up();
  expect([await elements("blocked4"), await elements("blocked6")]).toEqual([50_000, 100]);
  expect([await answered(10), await answered(11)]).toEqual([true, true]);

  writeFileSync(file, list(["10.5.0.11 # a neighbour"]).replace("20.0.4.0/24\n", ""));
  const shown = (await project.ok(["preview", "--diff"]))
    .split("\n")
    .filter((line) => /^\s*[+-] .*\d+\.\d+\./.test(line));
  expect(shown.map((line) => line.trim().replace(/ *:.*/, "")).sort()).toEqual([
    "+ 10.5.0.11",
    "- 20.0.4.0/24",
  ]);
  await project.up();
  expect(await elements("blocked4")).toBe(49_999);
  expect([await answered(10), await answered(11)]).toEqual([true, false]);
  expect(await host.sh("nft list counter inet blocklist dropped")).toMatch(/packets [1-9]/);
  await project.destroy();
  expect(await host.sh("nft list tables | grep -c blocklist || :")).toBe("0\n");
});
