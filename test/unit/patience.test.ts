// How long a script may take: by what its changes are, so that a slow one is not stopped in the middle.
import { NotSent } from "../../provider/errors";
import { Commit } from "../../provider/host/commit";
import type { Change } from "../../provider/host/plan";
import type { Session } from "../../provider/host/session";
import { nwFilter } from "../../provider/nw-filter";
import { nwFilterBinding } from "../../provider/nw-filter-binding";

const change = (seconds?: number): Change => ({
  guard: "",
  claims: [],
  intent: [],
  steps: [{ argv: ["true"] }],
  after: [],
  record: [],
  undo: [],
  restore: [],
  seconds,
});

/** The limit of the script that carries these changes. */
async function limit(...changes: Change[]): Promise<number> {
  let given = 0;
  const session: Session = {
    greeting: { uid: 0, machineId: "", bootId: "" },
    alive: true,
    run: (_script, seconds) => {
      given = seconds;
      throw new NotSent("enough seen");
    },
    close: () => {},
  };
  const queue = new Commit({ label: "h", session: async () => session, renew: async () => session });
  await Promise.allSettled(changes.map((one) => queue.submit({ queries: [], change: one })));
  return given;
}

test("each change adds what it needs", async () => {
  const plain = await limit(change());
  expect(await limit(change(120))).toBe(plain + 120);
  expect(await limit(change(120), change(60))).toBe((await limit(change(), change())) + 180);
});

test("libvirt gets a minute for each port that it builds anew", () => {
  expect(nwFilter.patience!({ facts: { users: ["tap0", "tap1", "tap2"] } })).toBe(180);
  expect(
    nwFilterBinding.patience!({ facts: { port: true, wrapped: false, rules: [] } }),
  ).toBeGreaterThanOrEqual(60);
});
