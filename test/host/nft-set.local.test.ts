// Sets and the table around them, by the whole lifecycle, in every order of their coming and going.
import { lifecycle } from "../../provider/lifecycle";
import { nftSet } from "../../provider/nft-set";
import { nftTable } from "../../provider/nft-table";
import { Stack } from "../engine";
import { LocalHost } from "../local-host";

let host: LocalHost;
let stack: Stack;
beforeEach(async () => {
  host = await new LocalHost().ready();
  stack = new Stack("dev", () => ({
    NftSet: lifecycle(nftSet, host),
    NftTable: lifecycle(nftTable, host),
  }));
});
afterEach(() => host.close());

const base = { type: "filter", hook: "forward", priority: 0 };
const banned = { family: "inet", table: "fw", type: "ipv4_addr", elements: ["192.0.2.1"] };
const table = (...rules: string[]) => ({ family: "inet", chains: { forward: { ...base, rules } } });
const using = { ...table("ip saddr @banned drop"), uses: ["banned"] };
const drift = async (type: string, name: string) => (await stack.refresh(type, name))!.outputs.drift;
const ruleset = () => host.sh("nft list ruleset");
/** Sets of addresses are listed in whatever order. */
const sortedRuleset = () =>
  ruleset()
    .split(/[\s,]+/)
    .sort()
    .join(" ");

test("sets first, then the table, one more set, changes of each, and away", async () => {
  await stack.up("NftSet", "banned", banned);
  await stack.up("NftTable", "fw", using);
  await stack.run().up("NftSet", "allowed", banned);
  expect(await drift("NftTable", "fw")).toEqual([]);
  await stack.run().up("NftTable", "fw", { ...using, ...table("ip saddr @banned drop", "accept") });
  await stack.run().up("NftSet", "banned", { ...banned, elements: ["192.0.2.2"] });
  expect(ruleset()).toMatch(/set allowed[\s\S]*accept/);
  expect(ruleset()).toContain("192.0.2.2");
  for (const [type, name] of [
    ["NftTable", "fw"],
    ["NftSet", "banned"],
    ["NftSet", "allowed"],
  ] as const)
    expect(await drift(type, name)).toEqual([]);
  // The rules go first, the sets that stand alone stay with the bare table, which goes with the last.
  await expect(stack.destroy("NftSet", "banned")).rejects.toThrow(/rules of forward in inet fw still use it/);
  await stack.destroy("NftTable", "fw");
  expect(ruleset()).not.toContain("chain");
  expect(await drift("NftSet", "banned")).toEqual([]);
  await stack.destroy("NftSet", "banned");
  expect(ruleset()).toContain("set allowed");
  await stack.destroy("NftSet", "allowed");
  expect(ruleset()).toBe("");
  expect(host.sh("ls /etc/hostnet")).toBe("");
});

test("the table first; a set that no rule names is no drift, and outlives the table", async () => {
  await stack.up("NftTable", "fw", table("accept"));
  await stack.run().up("NftSet", "banned", banned);
  expect(await drift("NftTable", "fw")).toEqual([]);
  await stack.run().up("NftTable", "fw", table("drop"));
  expect(ruleset()).toContain("192.0.2.1");
  await stack.destroy("NftSet", "banned");
  expect(ruleset()).toContain("drop");
  await stack.run().up("NftSet", "banned", banned);
  await stack.destroy("NftTable", "fw");
  expect(await drift("NftSet", "banned")).toEqual([]);
  await stack.destroy("NftSet", "banned");
  expect(ruleset()).toBe("");
});

test("a table with a set that no rule names yet is no foreign table", async () => {
  await stack.up("NftSet", "banned", banned);
  await stack.up("NftTable", "fw", table("accept"));
  expect(ruleset()).toContain("192.0.2.1");
});

test("adopted: a table made by hand, with sets of ours in it", async () => {
  host.sh("nft add table inet fw; nft add chain inet fw mine; nft add rule inet fw mine accept");
  const found = ruleset();
  await stack.up("NftSet", "banned", banned);
  await expect(stack.up("NftTable", "fw", using)).rejects.toThrow(/is not ours/);
  await stack.run().up("NftTable", "fw", { ...using, adopt: "overwrite" });
  expect(await drift("NftTable", "fw")).toEqual([]);
  await stack.destroy("NftTable", "fw");
  expect(ruleset()).toContain("chain mine");
  await stack.destroy("NftSet", "banned");
  expect(ruleset()).toBe(found);
});

test("adopted: a set made by hand goes back to how it was found", async () => {
  host.sh(
    "nft 'add table inet fw; add set inet fw banned { type ipv4_addr; }; add element inet fw banned { 10.0.0.1 }'",
  );
  const found = ruleset();
  await expect(stack.up("NftSet", "banned", banned)).rejects.toThrow(/is not ours/);
  await expect(stack.run().up("NftSet", "banned", { ...banned, adopt: "identical" })).rejects.toThrow(
    /192\.0\.2\.1/,
  );
  await stack.run().up("NftSet", "banned", { ...banned, adopt: "overwrite" });
  expect(ruleset()).not.toContain("10.0.0.1");
  await stack.destroy("NftSet", "banned");
  expect(ruleset()).toBe(found);
});

test("a set that leaves the table for a life of its own", async () => {
  const inside = { ...using, uses: [], sets: { banned: { type: "ipv4_addr", elements: ["192.0.2.1"] } } };
  await stack.up("NftTable", "fw", inside);
  await stack.run().up("NftSet", "banned", { ...banned, adopt: "identical" });
  await stack.up("NftTable", "fw", using);
  expect(await drift("NftTable", "fw")).toEqual([]);
  expect(await drift("NftSet", "banned")).toEqual([]);
  expect(ruleset()).toMatch(/192\.0\.2\.1[\s\S]*@banned drop/);
});

test("many elements: one changed is one sent, and the record stays small", async () => {
  const many = Array.from({ length: 20_000 }, (_, n) => `10.${n >> 8}.${n & 255}.7`);
  await stack.up("NftSet", "banned", { ...banned, elements: many });
  const before = host.scripts.length;
  await stack.run().up("NftSet", "banned", { ...banned, elements: [...many.slice(1), "192.0.2.9"] });
  const sent = host.scripts.slice(before).reduce((sum, script) => sum + script.length, 0);
  expect(sent).toBeLessThan(20_000);
  expect(ruleset()).toContain("192.0.2.9");
  expect(ruleset()).not.toContain("10.0.0.7,");
  expect(Number(host.sh("cat /etc/hostnet/objects/* | wc -c"))).toBeLessThan(5000);
  expect(await drift("NftSet", "banned")).toEqual([]);
  host.sh("nft delete element inet fw banned '{ 10.0.1.7 }'");
  expect(await drift("NftSet", "banned")).toEqual(["elements.10.0.1.7:  is missing"]);
});

const kept = () => host.sh(`sh -c 'cat /etc/hostnet/boot.d/*'`);
const listed = /\telements = /;
/** What is shown is the same as before it; how many elements that has. */
function afterBoot(element = /\/24/, shown = ruleset): number {
  const now = shown();
  host.sh("nft flush ruleset; rm -f /run/hostnet/failed; sh /etc/hostnet/boot tables");
  expect(shown()).toBe(now);
  return now.split(element).length - 1;
}

test("many elements: what is there after a boot is what was declared, and is listed only where it is not known", async () => {
  const many = Array.from({ length: 3000 }, (_, n) => `10.${n >> 7}.${(2 * n) & 255}.0/24`);
  const up = (from: number, to: number) =>
    stack.run().up("NftSet", "banned", { ...banned, elements: many.slice(from, to) });
  await up(0, 2000);
  expect(afterBoot()).toBe(2000);
  // A little, at both ends.
  await up(5, 2005);
  expect(kept()).not.toMatch(listed);
  expect(afterBoot()).toBe(2000);
  // Much, which is sent anyway.
  await up(900, 3000);
  expect(kept()).not.toMatch(listed);
  expect(afterBoot()).toBe(2100);
  // Somebody wrote in the file.
  host.sh(`sed -i '/^10.9.0.0/d' /etc/hostnet/boot.d/*`);
  await up(901, 3000);
  expect(kept()).toMatch(listed);
  expect(afterBoot()).toBe(2099);
  await up(902, 3000);
  expect(afterBoot()).toBe(2098);
});

test("a long list, which nft reads as JSON: sent once, changed by one, there after a boot", async () => {
  const many = Array.from({ length: 60_000 }, (_, n) => `${n % 2 ? 11 : 203}.${n >> 8}.${n & 255}.7`);
  const before = host.scripts.length;
  const sent = () => host.scripts.slice(before).reduce((sum, script) => sum + script.length, 0);
  await stack.up("NftSet", "banned", { ...banned, elements: many });
  const once = sent();
  expect(once).toBeLessThan(60_000 * 14);
  expect(afterBoot(/\d+(?:\.\d+){3}/, sortedRuleset)).toBe(60_000);
  await stack.run().up("NftSet", "banned", { ...banned, elements: [...many.slice(1), "192.0.2.9"] });
  expect(sent() - once).toBeLessThan(20_000);
  expect(kept()).not.toMatch(listed);
  expect(await drift("NftSet", "banned")).toEqual([]);
  expect(afterBoot(/\d+(?:\.\d+){3}/, sortedRuleset)).toBe(60_000);
});

test("no elements, for others manage them, and then none at all: theirs go", async () => {
  const { elements: _, ...open } = banned;
  await stack.up("NftSet", "banned", open);
  host.sh("nft add element inet fw banned '{ 192.0.2.7 }'");
  await stack.run().up("NftSet", "banned", open);
  expect(await drift("NftSet", "banned")).toEqual([]);
  await stack.run().up("NftSet", "banned", { ...banned, elements: [] });
  expect(ruleset()).not.toContain("192.0.2.7");
  host.sh("nft add element inet fw banned '{ 192.0.2.8 }'");
  await stack.run().up("NftSet", "banned", open);
  expect(await drift("NftSet", "banned")).toEqual([]);
  expect(stack.steps).toEqual(["create banned", "same banned", "update banned", "update banned"]);
});
