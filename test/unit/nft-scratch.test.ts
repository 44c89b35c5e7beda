import { nftTable } from "../../provider/nft-table";
import { same, difference } from "../../provider/compare";
import { Netns, desired } from "./nft-netns";
const ns = new Netns();
beforeAll(() => ns.open());
afterAll(() => ns.close());
test("x", () => {
  const a = desired({ family: "inet", name: "fw", chains: { input: { type: "filter", hook: "input", priority: "filter + 10", policy: "drop", rules: ["ct state established,related counter accept", "tcp dport {ssh,80} accept", "ip saddr @lan jump ok"] }, ok: { rules: "accept" } },
    sets: { lan: { type: "ipv4_addr", flags: ["interval"], elements: ["10.0.0.0/8", "11.0.0.0 - 11.0.0.5"] }, ports: { type: "inet_service", elements: ["ssh", "0x50"] } },
    maps: { m: { type: "ipv4_addr", value: "verdict", elements: ["1.1.1.1 : jump ok", { element: "2.2.2.2", value: "drop", comment: "x : y" }] } },
    counters: { c: {} } });
  console.log(JSON.stringify(a, null, 1));
  const before = ns.look(a);
  const steps = nftTable.ensure(a, before);
  console.log(steps[0]!.stdin);
  const last = ns.apply(a);
  console.log(nftTable.outputs!(last.facts).listing);
  const now = ns.look(a, last);
  console.log(difference(a, now.state!, Object.keys({...a, ...now.state!})));
  expect(nftTable.ensure(a, now, last)).toEqual([]);
});
