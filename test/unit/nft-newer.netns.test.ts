// The suites of nft once more, with one that is newer than this machine's; and a host that gets another one.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nftTable } from "../../provider/nft-table";
import { desired, Netns } from "./nft-netns";
import { OTHER_FAMILIES, RULESETS } from "./nft-rulesets";

const lab = join("node_modules", ".cache", "pulumi-hostnet", "lab.json");
const folder: string | undefined = existsSync(lab) ? JSON.parse(readFileSync(lab, "utf8")).nft : undefined;

const tables = [
  ...Object.entries(RULESETS).map(([name, fields]) => [name, desired(fields)] as const),
  ...OTHER_FAMILIES.map((fields) => [fields.family, desired(fields)] as const),
];

if (folder === undefined) {
  // Its name is what `npm test` tells of it.
  test.skip("there is no newer nft: test/lab/setup unpacks one", () => {});
} else {
  jest.isolateModules(() => {
    process.env.HOSTNET_NFT = folder;
    for (const suite of ["table", "files", "set", "corpus"]) require(`./nft-${suite}.netns.test`);
    delete process.env.HOSTNET_NFT;
  });

  describe("a host that gets it under an existing state shows no diff", () => {
    const ns = new Netns();
    beforeAll(() => ns.open());
    afterAll(() => ns.close());
    afterEach(() => {
      ns.tools = undefined;
      ns.flush();
    });
    const { settled, drift } = ns.table;

    test.each(tables)("%s", (_, d) => {
      const last = ns.apply(d);
      ns.tools = folder;
      settled(d, last);
      expect(ns.look(d, last).state).toEqual(d);
    });

    test("and drift as before", () => {
      const d = desired(RULESETS["a host's firewall"]!);
      const last = ns.apply(d);
      ns.load("add rule inet fw guests tcp flags syn / syn,ack accept; flush chain inet fw forward");
      ns.tools = folder;
      expect(drift(d, last)).toEqual([
        "chains.forward.rules: jump guests is missing",
        expect.stringMatching(/^chains\.guests\.rules: tcp flags .* is there$/),
      ]);
      ns.steps(nftTable.ensure(d, ns.look(d, last), last));
      settled(d, last);
    });
  });
}
