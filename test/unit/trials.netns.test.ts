// hostnet:check=nft, by the nft of this machine, in namespaces of their own.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Problem, Result } from "../../provider/kind";
import { nftSet } from "../../provider/nft-set";
import type { NftSet, NftSetFields } from "../../provider/nft-set/args";
import { nftTable } from "../../provider/nft-table";
import type { NftTableFields } from "../../provider/nft-table/args";
import { judged, Trials } from "../../provider/trials";
import { desired } from "./nft-netns";
import { RULESETS } from "./nft-rulesets";
import { canonical } from "./steps";

function asking(setting: string | undefined, onHost?: (batch: string) => Promise<Result>) {
  const trials = new Trials();
  trials.setting = setting;
  const told = (problems: readonly Problem[]) => problems.map((p) => `${p.property}: ${p.reason}`);
  return {
    table: async (fields: Omit<NftTableFields, "family" | "name"> & Partial<NftTableFields>) =>
      told(
        await trials.judge(nftTable.trial!(desired({ family: "inet", name: "fw", ...fields })), "h", onHost),
      ),
    set: async (fields: Partial<NftSetFields>) =>
      told(
        await trials.judge(
          nftSet.trial!(
            canonical<NftSet>(nftSet, { family: "inet", table: "fw", name: "banned", ...fields }),
          ),
          "h",
          onHost,
        ),
      ),
  };
}
const input = { type: "filter", hook: "input", priority: 0 } as const;
const rules = (...list: string[]) => ({ chains: { input: { ...input, rules: list } } });

test.each(Object.entries(RULESETS))("nothing to say of %s", async (_, fields) => {
  expect(await asking("nft").table(fields)).toEqual([]);
});

test("without the setting nobody is asked; another word is told", async () => {
  expect(await asking(undefined).table(rules("tcp dport 70000 accept"))).toEqual([]);
  await expect(asking("nfft").table(rules())).rejects.toThrow(/^hostnet:check is "nfft": it can be "nft"/);
});

describe("mistakes, on what the program says", () => {
  test.each<[string, Omit<NftTableFields, "family" | "name">, RegExp[]]>([
    [
      "a word that is none",
      rules("accept", "tcp dprot 22 accept"),
      [/^chains\.input\.rules\[1\]: syntax error, .*\ntcp dprot 22 accept\n +\^/],
    ],
    [
      "a number too large",
      rules("tcp dport 70000 accept"),
      [/^chains\.input\.rules\[0\]: Service out of range\n.*\n {10}\^{5}$/],
    ],
    [
      "two rules",
      rules("tcp dport 70000 accept", "accept", "udp dport 70001 drop"),
      [/rules\[0\]/, /rules\[2\]/],
    ],
    [
      "a type of a set",
      { sets: { s: { type: "ipv4_adr" } } },
      [/^sets\.s: unknown datatype ipv4_adr\n/, /^sets\.s: set definition does not specify key/],
    ],
    [
      "an element",
      { sets: { s: { type: "inet_service", elements: ["22", "99999"] } } },
      [/^sets\.s\.elements: Service out of range/],
    ],
    [
      "a line of the text",
      { text: "chain a {\n accept\n tcp dport 70000 drop\n}" },
      [/^text: line 3: Service out of range/],
    ],
    [
      "a protocol that the family has not",
      { family: "ip", ...rules("ip6 saddr ::1 accept") } as never,
      [/rules\[0\]: .*conflicting protocols/s],
    ],
    [
      "what only another chain takes",
      rules("accept", "masquerade"),
      [/^chains\.input\.rules\[1\]: Could not process rule: Operation not supported\nmasquerade/],
    ],
    [
      "a loop",
      {
        chains: {
          input: { ...input, rules: ["jump a"] },
          a: { rules: ["jump b"] },
          b: { rules: ["jump a"] },
        },
      },
      [/^chains\.(input|a|b)\.rules\[0\]: .*Too many links/s],
    ],
    [
      "more elements than fit",
      { sets: { s: { type: "mark", size: 1, elements: ["1", "2"] } } },
      [/^sets\.s/],
    ],
  ])("%s", async (_, fields, expected) => {
    const told = await asking("nft").table(fields);
    expect(told).toHaveLength(expected.length);
    for (const [n, pattern] of expected.entries()) expect(told[n]).toMatch(pattern);
  });

  test("of a set, by its element", async () => {
    const { set } = asking("nft");
    expect(await set({ type: "ipv4_adr" })).toContainEqual(expect.stringMatching(/^type: unknown datatype/));
    expect(await set({ type: "icmp_type", elements: ["echo-request", "echo-requst"] })).toEqual([
      expect.stringMatching(/^elements\.echo-requst: .*\n"echo-requst"\n\^{13}$/),
    ]);
    expect(await set({ type: "ipv4_addr", elements: ["10.0.0.0/8", "11.0.0.1 timeout 1h"] })).toEqual([]);
  });
});

describe("sets of other resources", () => {
  const uses = { uses: ["banned"], ...rules("ip saddr @banned drop", "tcp dport 70000 accept") };

  test("are declared as their resource says", async () => {
    const { set, table } = asking("nft");
    expect(await set({ type: "ipv6_addr", elements: ["::1"] })).toEqual([]);
    expect(await table({ uses: ["banned"], ...rules("ip6 saddr @banned drop") })).toEqual([]);
    expect(await table({ uses: ["banned"], ...rules("accept", "ip saddr @banned drop") })).toEqual([
      expect.stringMatching(/^chains\.input\.rules\[1\]: datatype mismatch/),
    ]);
  });

  test("that nobody has declared yet: the rules that name them are left to the host, the others are judged", async () => {
    expect(await asking("nft").table(uses)).toEqual([
      expect.stringMatching(/^chains\.input\.rules\[1\]: Service/),
    ]);
  });
});

describe("what this machine cannot know is no mistake", () => {
  test("links of the host, and what stands beside them is judged all the same", async () => {
    const { table } = asking("nft");
    expect(await table(rules('iif "there" accept', 'oif "eth77" drop'))).toEqual([]);
    expect(await table(rules('iif "there" accept', "tcp dport 70000 accept"))).toEqual([
      expect.stringMatching(/^chains\.input\.rules\[1\]: Service out of range/),
    ]);
  });

  /** A kernel that lacks something: its answers, by what they are about. */
  const lacking =
    (pattern: RegExp, reason: string) =>
    async (batch: string): Promise<Result> => {
      const stderr = batch
        .split("\n")
        .flatMap((line, n) =>
          pattern.test(line) ? [`/dev/stdin:${n + 1}:1-9: Error: Could not process rule: ${reason}\n`] : [],
        );
      return { code: stderr.length > 0 ? 1 : 0, stdout: "", stderr: stderr.join("") };
    };

  test.each([
    ["No such file or directory", /flow|@fast/],
    ["Operation not supported", /ibrname/],
    ["Protocol error", /ct state/],
  ])("a kernel without it: %s", async (reason, pattern) => {
    const kernel = lacking(pattern, reason);
    const fields = {
      flowtables: { fast: { priority: 0, devices: ["lo"] } },
      ...rules("ct state new accept", "meta ibrname br0 accept", "ip protocol tcp flow add @fast"),
    };
    const trial = nftTable.trial!(desired({ family: "inet", name: "fw", ...fields }));
    expect(await judged(trial.lines, trial, kernel, true)).toEqual([]);
    // The host's own is another matter.
    expect((await judged(trial.lines, trial, kernel, false)).length).toBeGreaterThan(0);
  });
});

test("the host is asked for exactly what a create would send, and for its own sets", async () => {
  const batches: string[] = [];
  const onHost = async (batch: string): Promise<Result> => {
    batches.push(batch);
    return { code: 0, stdout: "", stderr: "" };
  };
  const { set, table } = asking("host", onHost);
  await set({ type: "ipv4_addr", elements: ["10.0.0.1"] });
  await table({ uses: ["banned"], ...rules("ip saddr @banned drop") });
  expect(
    batches[1],
  ).toBe(`add table inet fw; delete table inet fw; add table inet fw; create set inet fw banned { type ipv4_addr; }
add chain inet fw input { type filter hook input priority 0; policy accept; }
flush chain inet fw input
add rule inet fw input ip saddr @banned drop
`);
});

describe("where nft cannot be asked, that is told, for it was asked for", () => {
  const path = process.env.PATH;
  const folder = mkdtempSync(join(tmpdir(), "hostnet-path-"));
  afterEach(() => {
    process.env.PATH = path;
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const tool = (name: string, text: string) =>
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });

  test("no namespaces", async () => {
    tool("unshare", 'echo "unshare: unshare failed: Operation not permitted" >&2; exit 1');
    process.env.PATH = `${folder}:${path}`;
    await expect(asking("nft").table(rules("accept"))).rejects.toThrow(
      /^hostnet:check is "nft", but nft cannot be asked on this machine, .*: unshare: unshare failed: Operation not permitted\n/,
    );
  });

  test("no nft", async () => {
    tool("unshare", "exec /usr/bin/unshare -n no-such-nft");
    process.env.PATH = `${folder}:${path}`;
    await expect(asking("nft").table(rules("accept"))).rejects.toThrow(
      /^hostnet:check is "nft", but .*no-such-nft/s,
    );
  });

  test("an nft that says something else", async () => {
    rmSync(join(folder, "unshare"));
    tool("nft", 'echo "nft: something odd" >&2; exit 1');
    process.env.PATH = `${folder}:${path}`;
    await expect(asking("nft").table(rules("accept"))).rejects.toThrow(
      /hostnet:check: nft could not be asked: nft: something odd/,
    );
  });
});
