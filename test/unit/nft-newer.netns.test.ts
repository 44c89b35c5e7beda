// The suites of nft once more, with one that is newer than this machine's; and a host that gets another one.
import { nftTable } from "../../provider/nft-table";
import { again, desired, Netns, newerNft } from "./nft-netns";
import { OTHER_FAMILIES, RULESETS } from "./nft-rulesets";

const tables = [
  ...Object.entries(RULESETS).map(([name, fields]) => [name, desired(fields)] as const),
  ...OTHER_FAMILIES.map((fields) => [fields.family, desired(fields)] as const),
];

again("table", "files", "set");

if (newerNft !== undefined) {
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
      ns.tools = newerNft;
      settled(d, last);
      expect(ns.look(d, last).state).toEqual(d);
    });

    test("and drift as before", () => {
      const d = desired(RULESETS["a host's firewall"]!);
      const last = ns.apply(d);
      ns.load("add rule inet fw guests tcp flags syn / syn,ack accept; flush chain inet fw forward");
      ns.tools = newerNft;
      expect(drift(d, last)).toEqual([
        "chains.forward.rules: jump guests is missing",
        expect.stringMatching(/^chains\.guests\.rules: tcp flags .* is there$/),
      ]);
      ns.steps(nftTable.ensure(d, ns.look(d, last), last));
      settled(d, last);
    });
  });
}
