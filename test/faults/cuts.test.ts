// Rows 1 to 3: the connection is cut, or falls silent, anywhere.
import { KEEPALIVE } from "../../provider/host/link";
import { FaultBed } from "./bed";
import { survives, Workstation } from "./oracles";
import type { Direction } from "./proxy";
import { row } from "./table";

const POINTS = 60;
/** Elements, for what goes up the line in all. */
const SIZES = { "1 kB": 1, "100 kB": 120, "1 MB": 1400 };

interface Lane {
  at: Workstation;
  turn: number;
  /** Bytes that the same change took when nothing was cut. */
  readonly usual: Map<string, Readonly<Record<Direction, number>>>;
}
const lanes: Lane[] = [];
beforeAll(async () => {
  KEEPALIVE.interval = 0.4;
  const beds = await Promise.all([1, 2, 3].map(() => FaultBed.make()));
  for (const bed of beds) lanes.push({ at: new Workstation(bed), turn: 0, usual: new Map() });
}, 60_000);
afterAll(() => {
  for (const { at } of lanes) {
    at.close();
    at.bed.close();
  }
});

/** A table whose set weighs so much, in one of two forms. */
function weighing(elements: number, turn: number) {
  const list = Array.from({ length: elements }, (_, n) => ({
    element: `10.${turn % 2}.${n >> 8}.${n & 255}`,
    comment: `${turn % 2} ${"x".repeat(100)}`,
  }));
  return {
    family: "inet",
    chains: { c: { type: "filter", hook: "forward", priority: 0, rules: ["ip saddr @s drop"] } },
    sets: { s: { type: "ipv4_addr", elements: list } },
  };
}

async function cut(
  lane: Lane,
  size: keyof typeof SIZES,
  direction: Direction,
  share: number,
  how: "RST" | "FIN" | "stall",
  down: boolean,
) {
  const { at } = lane;
  const { proxy } = at.bed;
  const up = (turn: number) => at.stack.run() && at.up("NftTable", "own", weighing(SIZES[size], turn));
  if (!lane.usual.has(size)) {
    await up(lane.turn++);
    proxy.mend();
    await up(lane.turn++);
    lane.usual.set(size, { ...proxy.bytes });
  }
  const turn = ++lane.turn;
  proxy.cut({ direction, after: Math.floor(lane.usual.get(size)![direction] * share), how, down });
  await survives({
    at,
    fault: () => up(turn),
    mend: () => proxy.mend(),
    again: () => at.up("NftTable", "own", weighing(SIZES[size], turn)),
  });
}

const points = Object.keys(SIZES).flatMap((size) =>
  Array.from({ length: POINTS }, (_, n) => ({
    size: size as keyof typeof SIZES,
    share: (n + 0.5) / POINTS,
    how: n % 2 ? ("RST" as const) : ("FIN" as const),
    down: n % 4 < 2,
  })),
);
row("1", "cut from client to server", { cases: points, few: 9, lanes }, (p, lane) =>
  cut(lane, p.size, "up", p.share, p.how, p.down),
);
row("2", "cut from server to client", { cases: points, few: 9, lanes }, (p, lane) =>
  cut(lane, p.size, "down", p.share, p.how, p.down),
);
const stalls = (["up", "down"] as const).flatMap((direction) =>
  Array.from({ length: 12 }, (_, n) => ({ direction, share: (n + 0.5) / 12, down: n % 2 === 0 })),
);
row("3", "black hole", { cases: stalls, few: 4, lanes }, (p, lane) =>
  cut(lane, "100 kB", p.direction, p.share, "stall", p.down),
);
