import { references, unquote } from "../formats/nft";
import { type Block, keyOf, parseBody } from "../formats/nft-block";
import { collectionHead } from "../formats/nft-collection";
import { parseTime } from "../formats/nft-element";
import { type Chain, type NftTable, rulesOf, type SetOrMap } from "./args";

/** A declared table as its blocks, whether they were written in structure or as text. */
export interface Table {
  readonly comment?: string;
  readonly blocks: ReadonlyMap<string, Block>;
}

type Fields = Partial<NftTable>;

/** The blocks of each field. The text's own come last. */
export function tableOf(d: Fields): Table {
  const { statements, passages } = parseBody(d.text ?? "");
  const structured = [
    ...of(d.counters, "counter", (c) => commented(c)),
    ...of(d.quotas, "quota", (q) => [...commented(q), `${q.over ? "over " : ""}${q.bytes}`]),
    ...of(d.limits, "limit", (l) => [
      ...commented(l),
      `rate ${l.over ? "over " : ""}${l.rate}${l.burst ? ` burst ${l.burst}` : ""}`,
    ]),
    ...of(d.ctHelpers, "ct helper", (h) => [
      ...commented(h),
      `type "${h.type}" protocol ${h.protocol}`,
      ...(h.l3proto ? [`l3proto ${h.l3proto}`] : []),
    ]),
    ...of(d.flowtables, "flowtable", (f) => [
      `hook ingress priority ${f.priority}`,
      `devices = { ${f.devices.map((name) => `"${name}"`).join(", ")} }`,
      ...(f.counter ? ["counter"] : []),
      ...(f.offload ? ["flags offload"] : []),
    ]),
    ...of(d.sets, "set", (s) => collectionHead(s)).map((block) => withElements(block, d.sets?.[block.name])),
    ...of(d.maps, "map", (m) => collectionHead(m)).map((block) => withElements(block, d.maps?.[block.name])),
    ...Object.entries(d.chains ?? {}).map(([name, c]) => ({
      kind: "chain",
      name,
      head: chainHead(c),
      rules: rulesOf(c),
    })),
  ];
  const comment = statements.find((s) => s.startsWith("comment "));
  return {
    ...(comment && { comment: unquote(comment.slice(8)) }),
    blocks: new Map(
      [...structured, ...passages.map(({ block }) => block)].map((block) => [keyOf(block), block]),
    ),
  };
}

function of<T>(things: Record<string, T> | undefined, kind: string, head: (thing: T) => string[]): Block[] {
  return Object.entries(things ?? {}).map(([name, thing]) => ({ kind, name, head: head(thing) }));
}

const commented = ({ comment }: { comment?: string }): string[] =>
  comment === undefined ? [] : [`comment "${comment}"`];
const withElements = (block: Block, { elements }: Partial<SetOrMap> = {}): Block =>
  elements ? { ...block, elements } : block;

function chainHead(c: Chain): string[] {
  if (c.type === undefined) return commented(c);
  const [first, ...more] = c.devices ?? [];
  const devices =
    first === undefined
      ? ""
      : more.length === 0
        ? ` device "${first}"`
        : ` devices = { ${[first, ...more].map((name) => `"${name}"`).join(", ")} }`;
  return [
    ...commented(c),
    `type ${c.type} hook ${c.hook}${devices} priority ${c.priority}`,
    ...(c.policy ? [`policy ${c.policy}`] : []),
  ];
}

export const PRIORITIES: Readonly<Record<"bridge" | "other", Readonly<Record<string, number>>>> = {
  bridge: { dstnat: -300, filter: -200, out: 100, srcnat: 300 },
  other: { raw: -300, mangle: -150, dstnat: -100, filter: 0, security: 50, srcnat: 100 },
};

/** The number of "filter + 10"; undefined where the family has no such name. */
export function priorityNumber(family: string, priority: number | string): number | undefined {
  const [, name = "", sign, offset = "0"] = /^(-?\w+)(?:\s*([+-])\s*(\d+))?$/.exec(String(priority)) ?? [];
  const base = /^-?\d+$/.test(name)
    ? Number(name)
    : PRIORITIES[family === "bridge" ? "bridge" : "other"][name];
  return base === undefined ? undefined : base + (sign === "-" ? -1 : 1) * Number(offset);
}

/** What a head means, whoever wrote it: numbers for names, one unit of time, the defaults left out, in one order. */
export function meaning({ kind, head }: Block, family: string): string {
  const lines = head.map((line) =>
    line.startsWith("comment ") ? line : said(line.replace(/"/g, ""), kind, family),
  );
  const isDefault = (line: string) =>
    line === "policy performance" || (kind === "chain" && line === "policy accept");
  return lines
    .filter((line) => !isDefault(line))
    .sort()
    .join("\n");
}

function said(line: string, kind: string, family: string): string {
  const sorted = (list: string) => list.split(/ ?, ?/).sort().join(", ");
  if (kind === "chain" || kind === "flowtable") {
    return line
      .replace(/ priority (.+)$/, (whole, text: string) => {
        const number = priorityNumber(family, text);
        return number === undefined ? whole : ` priority ${number}`;
      })
      .replace(/ device (\S+)/, " devices = { $1 }")
      .replace(/\{ (.+) \}/, (_, list: string) => `{ ${sorted(list)} }`);
  }
  if (kind === "ct timeout") return line.replace(/\b(\d+)s?(?= ?[,}])/g, "$1s");
  return line
    .replace(/^flags (.+)$/, (_, list: string) => `flags ${sorted(list)}`)
    .replace(
      /^(timeout|gc-interval) (\S+)$/,
      (_, word: string, time: string) => `${word} ${parseTime(time) ?? time}`,
    )
    .replace(/ (burst 5 packets|used 0 bytes)$/, "")
    .replace(/^until (?=\d)/, "");
}

export const isBase = (block: Block): boolean =>
  block.kind === "chain" && block.head.some((line) => line.startsWith("type "));
export const hasFlag = (block: Block, flag: string): boolean =>
  block.head.some((line) => line.startsWith("flags ") && line.slice(6).split(/ ?, ?/).includes(flag));

/** Sets that rules write. */
export const writtenBy = (...tables: Table[]): ReadonlySet<string> =>
  new Set(
    tables.flatMap(({ blocks }) =>
      [...blocks.values()].flatMap((b) => (b.rules ?? []).flatMap((r) => references(r).written)),
    ),
  );

/** Set whose elements come and go without us: packets add them, time takes them. */
export const isLively = (block: Block, written: ReadonlySet<string>): boolean =>
  hasFlag(block, "dynamic") ||
  hasFlag(block, "timeout") ||
  written.has(block.name) ||
  block.head.some((l) => l.startsWith("timeout "));
