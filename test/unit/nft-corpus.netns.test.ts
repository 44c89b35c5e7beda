import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nftTable } from "../../provider/nft-table";
import type { BaseChain, NftTable, NftTableFields } from "../../provider/nft-table/args";
import { desired, Netns } from "./nft-netns";

/** nftables' own rule tests: every rule marked ok for a family loads, reads back, and a second look changes nothing. */
const CORPUS = join(__dirname, "../../../shared/corpora/nftables-py");

interface Group {
  readonly file: string;
  readonly family: NftTable["family"];
  readonly chains: Record<string, BaseChain>;
  readonly text: string;
  readonly ok: readonly string[];
  readonly fail: readonly string[];
}

function groups(): Group[] {
  const files = ["any", "arp", "bridge", "inet", "ip", "ip6", "netdev"].flatMap((folder) =>
    existsSync(join(CORPUS, folder))
      ? readdirSync(join(CORPUS, folder))
          .filter((name) => name.endsWith(".t"))
          .map((name) => join(folder, name))
      : [],
  );
  return files.flatMap((file) => {
    const lines = readFileSync(join(CORPUS, file), "utf8")
      .split("\n")
      .filter((line) => line.trim() !== "" && !/^[#-]/.test(line));
    const specs = new Map(
      lines.flatMap((l) =>
        /^:(.*?);(.*)$/.exec(l)?.slice(1) ? [/^:(.*?);(.*)$/.exec(l)!.slice(1) as [string, string]] : [],
      ),
    );
    const blocks = lines.flatMap((l) => block(l) ?? []);
    const rules = lines.filter((l) => !/^[:*!?%]/.test(l)).map((l) => split(l));
    const of = (mark: string) => rules.filter(([, state]) => state === mark).map(([rule]) => rule!);
    return lines.flatMap((line) => {
      const [, family, , names] = /^\*(\w+);([^;]*);(.*)$/.exec(line) ?? [];
      if (!family) return [];
      const chains = Object.fromEntries(
        names!.split(",").map((name) => [name, chain(specs.get(name)!, family)]),
      );
      return [
        {
          file,
          family: family as NftTable["family"],
          chains,
          text: blocks.join("\n"),
          ok: of("ok"),
          fail: of("fail"),
        },
      ];
    });
  });
}

/** rule;ok;listing, where the rule may hold a ; between quotes or braces. */
function split(line: string): string[] {
  const found = /^(.*?);(ok|fail)(?:;|$|\s)/.exec(line);
  return found ? [found[1]!.trim(), found[2]!] : [line, "?"];
}

/** Priority 0 is refused in the bridge family, on purpose. */
function chain(spec: string, family: string): BaseChain {
  const [, type, hook, device, priority] = /^type (\S+) hook (\S+)(?: device (\S+))? priority (\S+)/.exec(
    spec,
  )!;
  return {
    type,
    hook,
    ...(device && { device }),
    priority: family === "bridge" ? -200 : Number(priority),
  } as BaseChain;
}

const STATEMENT = / (?=(?:flags|timeout|size|wscale|timestamp|sack-perm) )| (?=timestamp sack-perm)/;

function block(line: string): string | undefined {
  const [, mark, name, what, state] = /^([!%])(\S+) (.*);(ok|fail)/.exec(line) ?? [];
  if (state !== "ok") return undefined;
  if (mark === "!")
    return `${what!.includes(" : ") ? "map" : "set"} ${name} {\n${what!.split(STATEMENT).join("\n")}\n}`;
  const [, kind, body] =
    /^type (counter|quota|limit|ct helper|ct timeout|ct expectation|synproxy) ?(.*)$/.exec(what!)!;
  const inside = body!.replace(/^\{ ?|\}$/g, "").split(/;| (?=wscale|timestamp)/);
  return `${kind} ${name} {\n${inside.join("\n")}\n}`;
}

const ns = new Netns();
beforeAll(() => ns.open());
afterAll(() => ns.close());
const counts = { rules: 0, loaded: 0, refusedByNft: [] as string[], falseAlarms: [] as string[], refused: 0 };

function fields({ family, chains, text }: Group, rules: readonly string[]): NftTableFields {
  const filled = Object.fromEntries(
    Object.entries(chains).map(([name, c]) => [name, { ...c, rules: [...rules] }]),
  );
  return { family, name: "t", chains: filled, ...(text && { text }) };
}

/** The lines that nft does not take, by number, with its words. Loaded for real: -c does not see everything. */
function refusals(d: NftTable): Map<number, string> {
  const [step] = nftTable.ensure(d, ns.look(d));
  const { code, stderr } = ns.run(step!);
  ns.flush();
  if (code === 0) return new Map();
  return new Map(
    [...stderr.matchAll(/^\/dev\/stdin:(\d+):\S+ (Error: .*)$/gm)].map(([, line, why]) => [
      Number(line),
      why!,
    ]),
  );
}

const attempt = (make: () => NftTable): NftTable | string => {
  try {
    return make();
  } catch (error) {
    return (error as Error).message;
  }
};

const all = groups();
if (all.length === 0) {
  // Its name is what `npm test` tells of it.
  test.skip("../shared/corpora/nftables-py is absent: nftables' own rules are not tried", () => {});
} else {
  test.each(all.map((group) => [`${group.file} ${group.family}`, group] as const))("%s", (_, group) => {
    const wanted = group.ok.filter((rule) => {
      const d = attempt(() => desired(fields(group, [rule])));
      if (typeof d !== "string") return true;
      counts.falseAlarms.push(`${group.family} ${rule}: ${d}`);
      return false;
    });
    counts.rules += group.ok.length;
    let taken = wanted;
    let d = desired(fields(group, taken));
    for (let refused = refusals(d); refused.size > 0; refused = refusals(d)) {
      const lines = nftTable.ensure(d, ns.look(d))[0]!.stdin!.split("\n");
      const first = lines.findIndex((line) => line.startsWith("add rule"));
      const bad = new Set([...refused.keys()].map((line) => (line - 1 - first) % taken.length));
      for (const [line, why] of refused) counts.refusedByNft.push(`${lines[line - 1]}: ${why}`);
      taken = taken.filter((_, n) => !bad.has(n));
      d = desired(fields(group, taken));
    }
    counts.loaded += taken.length;
    const last = ns.apply(d);
    const now = ns.look(d, last);
    expect(now.state).toEqual(d);
    expect(nftTable.ensure(d, now, last)).toEqual([]);
    ns.steps(nftTable.remove(now, last));
    expect(ns.nft("list", "ruleset")).toBe("");

    for (const rule of group.fail) {
      const one = attempt(() => desired(fields(group, [rule])));
      if (typeof one === "string" || refusals(one).size > 0) counts.refused++;
      else throw new Error(`marked as wrong, but taken: ${rule}`);
    }
  });

  test("the counts", () => {
    const { rules, loaded, refused, refusedByNft, falseAlarms } = counts;
    console.log(
      `${rules} rules, ${loaded} loaded and stable, ${refusedByNft.length} refused by this nft and kernel, ${refused} wrong ones refused`,
    );
    if (process.env.NFT_CORPUS) console.log([...falseAlarms, "---", ...refusedByNft].join("\n"));
    expect(falseAlarms).toEqual([]);
    expect(loaded).toBeGreaterThan(0.9 * rules);
  });
}
