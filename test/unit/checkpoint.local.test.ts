// Changes that wait for their confirmation, as they run, under each shell that a host may have as its sh.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NotSent, UnknownOutcome } from "../../provider/errors";
import type { Change, Plan } from "../../provider/host/plan";
import type { Step } from "../../provider/kind";
import { LocalHost } from "../local-host";

const folder = mkdtempSync(join(tmpdir(), "hostnet-busybox-"));
execFileSync("busybox", ["--install", "-s", folder]);
rmSync(join(folder, "ip"));
afterAll(() => rmSync(folder, { recursive: true }));

const sh = (text: string, ...args: string[]): Step => ({ argv: ["sh", "-c", text, "sh", ...args] });
const queries = [{ argv: ["sh", "-c", "cat /run/t/*; :"] }];
const record = "/etc/hostnet/objects/a.json";
const none = {
  claims: [],
  intent: [],
  after: queries,
  record: [{ path: record, text: "new" }],
  restore: [{ path: record }],
};

describe.each([
  ["dash", ["dash"], ""],
  ["bash", ["bash"], ""],
  ["busybox", [join(folder, "sh")], `${folder}:`],
])("under %s", (_name, shell, tools) => {
  let host: LocalHost;
  beforeEach(async () => {
    host = await new LocalHost(shell, tools).ready();
    host.sh("mkdir /run/t; echo old >/run/t/x");
  });
  afterEach(() => host.close());

  const submit = async (plan: Plan) => host.at().submit(plan);
  const x = () => host.sh("cat /run/t/x").trim();
  const left = () => host.sh("ls -A /run/hostnet /etc/hostnet/objects 2>/dev/null || :");
  /** Those of this host: others have theirs at the same path. */
  const watchers = () =>
    host.sh(`for p in $(ps -eo pid=,args= | awk '/[h]ostnet\\/pending/ { print $1 }'); do
      [ "$(readlink /proc/$p/ns/mnt)" != "$(readlink /proc/self/ns/mnt)" ] || echo $p; done`);
  /** Another login, at another time: its own queue. */
  const settled = async () => (await submit({ queries })).outcome;

  async function change(more: Partial<Change> = {}, timeout = 2) {
    const seen = (await submit({ queries })).outcome;
    if (seen.type !== "looked") throw new Error(seen.type);
    const own: Change = {
      ...none,
      guard: seen.guard,
      steps: [sh("echo new >/run/t/x")],
      undo: [sh("echo old >/run/t/x")],
      confirm: { timeout, probes: [] },
      ...more,
    };
    return { label: "change x", queries, change: own };
  }

  test("a new connection confirms: the record is written, and nothing waits any more", async () => {
    let renewed = 0;
    host.renew = (session) => {
      renewed++;
      expect(x()).toBe("new");
      expect(host.sh("ls /etc/hostnet/objects")).toBe("");
      return session();
    };
    const { outcome } = await submit(await change());
    expect(outcome).toEqual({ type: "done", results: [{ code: 0, stdout: "new\n", stderr: "" }] });
    expect(renewed).toBe(1);
    expect(host.sh(`cat ${record}`)).toBe("new");
    expect(left()).not.toContain("pending");
    // The watcher has gone too.
    await new Promise((tick) => setTimeout(tick, 1500));
    expect(watchers()).toBe("");
  });

  test("nobody confirms: the host takes it back by itself, in time, and says so", async () => {
    let applied = 0;
    let back = 0;
    host.renew = async (session) => {
      applied ||= Date.now();
      if (x() === "new") throw new NotSent("root@local: cannot connect");
      back ||= Date.now();
      return session();
    };
    const { outcome, reason } = await submit(await change());
    expect(outcome).toEqual({ type: "unconfirmed", undone: true, probe: undefined });
    expect(reason).toBe("root@local: cannot connect");
    expect(back - applied).toBeGreaterThan(1500);
    // Half a second of it is our own pause between two attempts.
    expect(back - applied).toBeLessThan(4500);
    expect(left()).not.toMatch(/pending|a\.json/);
  });

  test("the script is killed in the middle: the host takes it back at once", async () => {
    const begin = Date.now();
    // The script is the parent of its steps.
    const plan = await change({ steps: [sh("echo new >/run/t/x; kill -9 $PPID")] }, 60);
    host.renew = async (session) => {
      if (x() === "new") throw new NotSent("gone");
      return session();
    };
    const { outcome, reason } = await submit(plan);
    expect(outcome).toMatchObject({ type: "unconfirmed", undone: true });
    expect(reason).toBe("the script was killed on the host");
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(await settled()).toMatchObject({ results: [{ stdout: "old\n" }] });
    expect(left()).not.toMatch(/pending|a\.json/);
  });

  test("a change that needs no confirmation is killed in the middle: the next to look takes it back", async () => {
    const plan = await change({ confirm: undefined, steps: [sh("echo new >/run/t/x; kill -9 $PPID")] });
    await expect(submit(plan)).rejects.toThrow("killed on the host");
    expect(x()).toBe("new");
    expect(await settled()).toMatchObject({ results: [{ stdout: "old\n" }] });
    expect(left()).not.toMatch(/pending|a\.json/);
  });

  test("the answer is lost: a new connection confirms what was applied, and the caller looks again", async () => {
    const plan = await change();
    host.around = (run, script) => {
      const reply = run();
      if (!script.includes("echo new")) return reply;
      throw new UnknownOutcome("lost");
    };
    const { outcome } = await submit(plan);
    expect(outcome.type).toBe("done");
    expect(host.sh(`cat ${record}`)).toBe("new");
  });

  test("the watcher is killed too: whoever comes after the deadline takes it back", async () => {
    host.renew = async () => {
      host.sh("kill -9 $(cat /run/hostnet/pending/watch) 2>/dev/null || :");
      throw new NotSent("gone");
    };
    const changing = submit(await change()).catch((error: unknown) => error);
    await new Promise((tick) => setTimeout(tick, 1000));
    expect(x()).toBe("new");
    // From another workstation.
    const other = host.another();
    const { outcome } = await other.submit({ queries });
    expect(outcome).toMatchObject({ results: [{ stdout: "old\n" }] });
    host.renew = (session) => session();
    expect(await changing).toMatchObject({ outcome: { type: "unconfirmed", undone: true } });
  });

  test("another writer waits for the confirmation", async () => {
    const other = host.another();
    let looked: Promise<unknown> | undefined;
    const order: string[] = [];
    host.renew = async (session) => {
      looked ??= other.submit({ queries }).then(({ outcome }) => {
        order.push("looked");
        return outcome;
      });
      await new Promise((tick) => setTimeout(tick, 700));
      order.push("confirmed");
      return session();
    };
    expect((await submit(await change({}, 20))).outcome.type).toBe("done");
    expect(await looked).toMatchObject({ results: [{ stdout: "new\n" }] });
    expect(order).toEqual(["confirmed", "looked"]);
  });

  test("a probe that passed before must pass after; one that failed before says nothing", async () => {
    const probes = [
      { name: "never", argv: ["false"] },
      { name: "old", argv: ["grep", "-q", "old", "/run/t/x"] },
    ];
    const begin = Date.now();
    const { outcome } = await submit(await change({ confirm: { timeout: 3, probes } }, 3));
    expect(outcome).toEqual({ type: "unconfirmed", undone: true, probe: "old" });
    expect(x()).toBe("old");
    expect(Date.now() - begin).toBeLessThan(6000);
    const fine = [{ name: "new", argv: ["grep", "-q", "new", "/run/t/x"] }, probes[0]!];
    expect((await submit(await change({ confirm: { timeout: 3, probes: fine } }))).outcome.type).toBe("done");
  });

  test("without the tool of a probe nothing is done", async () => {
    const probes = [{ name: "ping 10.0.0.1", argv: ["no-such-tool"] }];
    await expect(submit(await change({ confirm: { timeout: 3, probes } }))).rejects.toThrow(
      "the host lacks the tool for ping 10.0.0.1",
    );
    expect(x()).toBe("old");
    expect(left()).not.toContain("pending");
  });

  test("several in one script are taken back last first; a bad one touches no neighbour", async () => {
    host.renew = async (session) => {
      if (host.sh("cat /run/t/x").includes("2")) throw new NotSent("gone");
      return session();
    };
    const plan = await change();
    const nth = (n: number, more: Partial<Change> = {}): Plan => ({
      queries: [],
      change: {
        ...plan.change,
        guard: "",
        after: [],
        steps: [sh(`echo ${n} >>/run/t/x`)],
        undo: [sh(`[ "$(tail -n 1 /run/t/x)" = ${n} ] && sed -i '$d' /run/t/x`)],
        record: [{ path: `/etc/hostnet/objects/${n}.json`, text: "new" }],
        restore: [{ path: `/etc/hostnet/objects/${n}.json` }],
        ...more,
      },
    });
    const all = await Promise.all([
      submit(nth(1)),
      submit(nth(2)),
      submit(nth(3, { confirm: undefined, steps: [sh("false")], undo: [] })),
      submit(nth(4, { confirm: undefined, steps: [], undo: [] })),
    ]);
    expect(all.map(({ outcome }) => outcome.type)).toEqual(["unconfirmed", "unconfirmed", "failed", "done"]);
    expect(x()).toBe("old");
    expect(host.sh("ls /etc/hostnet/objects")).toBe("4.json\n");
  });

  test("a record that cannot be written after the confirmation: taken back", async () => {
    host.renew = (session) => {
      host.sh("mount -t tmpfs -o ro none /etc/hostnet/objects");
      return session();
    };
    const { outcome } = await submit(await change());
    expect(outcome).toMatchObject({ type: "failed" });
    expect(x()).toBe("old");
  });
});
