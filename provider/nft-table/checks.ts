import { references } from "../formats/nft";
import { type Block, hookOf, parseBody } from "../formats/nft-block";
import { divide } from "../formats/nft-element";
import { ownerOf } from "../formats/nft-words";
import type { Problem } from "../kind";
import { type NftTable, rulesOf } from "./args";
import { isBase, meaning, PRIORITIES, priorityNumber, tableOf } from "./blocks";
import { fieldOf } from "./structure";

/** Rules across fields, asked when all of them are known. */
export function refine(d: NftTable): readonly Problem[] {
  const owner = ownerOf(d.family, d.name);
  return [
    ...(owner
      ? [
          {
            property: "name",
            reason: `"${d.name}": the table ${d.family} ${d.name} belongs to ${owner}; take another name`,
          },
        ]
      : []),
    ...parseBody(d.text ?? "").tables.flatMap(({ table }) =>
      table === `${d.family} ${d.name}`
        ? []
        : [
            {
              property: "text",
              reason: `table ${table}: this resource is the table ${d.family} ${d.name}; another table is a resource of its own`,
            },
          ],
    ),
    ...twice(d),
    ...[...tableOf(d).blocks.values()].flatMap((block) => (isBase(block) ? baseChain(d, block) : [])),
    ...unknownNames(d),
  ];
}

/** Where the user wrote a block. */
function placeOf(d: NftTable, { kind, name }: Block): string {
  const field = fieldOf(kind);
  return field && d[field]?.[name] ? `${field}.${name}` : "text";
}

/** Chains and sets are told apart by kind in nft, but sets and maps share their names. */
function twice(d: NftTable): Problem[] {
  const { passages } = parseBody(d.text ?? "");
  const doubles = passages.flatMap(({ block }) => {
    const field = fieldOf(block.kind);
    return field && d[field]?.[block.name] ? [block] : [];
  });
  const unlike = passages.flatMap(({ block, again = [] }) =>
    again.some((more) => !agrees(block, more.block, d.family)) ? [block] : [],
  );
  const used = (d.uses ?? []).filter((name) => d.sets?.[name] || d.maps?.[name]);
  const both = Object.keys(d.sets ?? {}).filter((name) => d.maps?.[name]);
  return [
    ...doubles.map(({ kind, name }) => ({ property: "text", reason: `${kind} ${name} is declared twice` })),
    ...unlike.map(({ kind, name }) => ({
      property: "text",
      reason: `${kind} ${name} is declared twice, and not alike${kind in ADDED ? `: the second may add ${ADDED[kind]}` : ""}`,
    })),
    ...used.map((name) => ({ property: "uses", reason: `${name} is declared by the table itself, too` })),
    ...both.map((name) => ({ property: `maps.${name}`, reason: "is the name of a set, too" })),
  ];
}

/** What a block that is declared once more may say anew. */
const ADDED: Readonly<Record<string, string>> = {
  chain: "rules, and a policy",
  set: "elements",
  map: "elements",
};

/** Whether nft takes a block once more: a chain may leave its head out then, all else is to say the same. */
function agrees(block: Block, more: Block, family: string): boolean {
  const compared = ({ head }: Block) =>
    head.filter((line) => (block.kind === "chain" ? line.startsWith("type ") : !line.startsWith("comment ")));
  if (block.kind === "chain" && !isBase(more)) return true;
  const said = (one: Block) => meaning({ ...one, head: compared(one) }, family);
  return said(block) === said(more);
}

const HOOKS: Readonly<Record<NftTable["family"], readonly string[]>> = {
  ip: ["prerouting", "input", "forward", "output", "postrouting"],
  ip6: ["prerouting", "input", "forward", "output", "postrouting"],
  inet: ["prerouting", "input", "forward", "output", "postrouting", "ingress"],
  arp: ["input", "output"],
  bridge: ["prerouting", "input", "forward", "output", "postrouting"],
  netdev: ["ingress", "egress"],
};
const TYPE_HOOKS: Readonly<Record<string, readonly string[]>> = {
  nat: ["prerouting", "input", "output", "postrouting"],
  route: ["output"],
};

function baseChain(d: NftTable, block: Block): Problem[] {
  const at = placeOf(d, block);
  const property = (key: string) => (at === "text" ? at : `${at}.${key}`);
  const said = at === "text" ? `chain ${block.name}: ` : "";
  const [, type = "", priority = ""] = /^type (\S+) .*priority (.+)$/m.exec(block.head.join("\n")) ?? [];
  const hook = hookOf(block)!;
  const number = priorityNumber(d.family, priority);
  const problem = (key: string, reason: string) => [{ property: property(key), reason: said + reason }];
  if (!HOOKS[d.family].includes(hook))
    return problem("hook", `"${hook}": the ${d.family} family has ${HOOKS[d.family].join(", ")}`);
  const hooks = TYPE_HOOKS[type];
  if (hooks && !hooks.includes(hook))
    return problem("hook", `"${hook}": a chain of type ${type} is for ${hooks.join(", ")}`);
  if ((type === "nat" || type === "route") && ["arp", "bridge", "netdev"].includes(d.family)) {
    return problem("type", `"${type}": the ${d.family} family has only "filter"`);
  }
  const names = Object.keys(PRIORITIES[d.family === "bridge" ? "bridge" : "other"]).join(", ");
  if (number === undefined)
    return problem("priority", `"${priority}": the ${d.family} family has a number, or one of ${names}`);
  if (type === "nat" && number <= -200)
    return problem("priority", `${priority}: a chain of type nat needs more than -200`);
  if (d.family === "bridge" && number === 0) {
    return problem(
      "priority",
      `${priority}: at 0 a bridge chain sees no IP packet once br_netfilter is loaded; "filter" is -200 here`,
    );
  }
  return [];
}

/** Jumps to chains, and sets, that neither this table nor `uses` declares. */
function unknownNames(d: NftTable): Problem[] {
  const blocks = [...tableOf(d).blocks.values()];
  const named = (...kinds: string[]) => blocks.filter((b) => kinds.includes(b.kind)).map((b) => b.name);
  const chains = new Set(named("chain"));
  const meters = blocks.flatMap((b) => (b.rules ?? []).flatMap((rule) => references(rule).meters));
  const sets = new Set([...named("set", "map", "flowtable"), ...meters, ...(d.uses ?? [])]);
  const missing = (text: string): string | undefined => {
    const { chains: to, sets: of } = references(text);
    const chain = to.find((name) => !chains.has(name) && !name.includes("$"));
    if (chain !== undefined) return `jumps to ${chain}, a chain that the table does not declare`;
    const set = of.find((name) => !sets.has(name) && !name.includes("$"));
    if (set !== undefined) {
      const variable = set.replace(/\W/g, "_");
      return (
        `names @${set}, a set that neither the table nor uses declares (an NftSet stands in a rule as itself: ` +
        `nft\`… \${${variable}} …\`; inside of an apply: uses: [${variable}.name])`
      );
    }
  };
  return blocks.flatMap((block) => {
    const at = placeOf(d, block);
    const rules =
      at === "text" || block.kind !== "chain" ? (block.rules ?? []) : rulesOf(d.chains![block.name]!);
    return [
      ...rules.map((rule, n) => [at === "text" ? at : `${at}.rules[${n}]`, rule] as const),
      ...Object.entries(block.elements ?? {}).map(
        ([key, rest]) =>
          [
            at === "text" ? at : `${at}.elements.${key}`,
            divide(rest, block.kind === "map").value ?? "",
          ] as const,
      ),
    ].flatMap(([property, text]) => {
      const reason = missing(text);
      return reason ? [{ property, reason: `${text}: ${reason}` }] : [];
    });
  });
}
