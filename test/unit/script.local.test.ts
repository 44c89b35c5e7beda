// Scripts as they run, under each shell that a host may have as its sh.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { Change, ClaimFile, Plan } from "../../provider/host/plan";
import { claim, parseShared, release, sharedQuery } from "../../provider/host/records";
import { sharedFolder } from "../../provider/host/shared";
import type { Query, Step } from "../../provider/kind";
import { LocalHost } from "../local-host";

const folder = mkdtempSync(join(tmpdir(), "hostnet-busybox-"));
execFileSync("busybox", ["--install", "-s", folder]);
// Its ip knows no JSON; neither does any host have it.
rmSync(join(folder, "ip"));
afterAll(() => rmSync(folder, { recursive: true }));

const record = "/etc/hostnet/objects/a.json";
const none: Omit<Change, "guard" | "steps"> = {
  claims: [],
  intent: [],
  after: [],
  record: [],
  undo: [],
  restore: [],
};

describe.each([
  ["dash", ["dash"], ""],
  ["bash", ["bash"], ""],
  ["busybox", [join(folder, "sh")], `${folder}:`],
])("under %s", (_name, shell, tools) => {
  const host = new LocalHost(shell, tools);
  beforeAll(() => host.ready());
  afterAll(() => host.close());
  // What a step prints and leaves lies in /run, which is a folder of this host alone.
  beforeEach(() => host.sh("rm -rf /run/t /etc/hostnet/*; mkdir /run/t"));

  const submit = async (plan: Plan) => (await host.at().submit(plan)).outcome;
  const sh = (text: string, ...args: string[]): Step => ({ argv: ["sh", "-c", text, "sh", ...args] });

  async function look(queries: readonly Query[]) {
    const outcome = await submit({ queries });
    if (outcome.type !== "looked") throw new Error(outcome.type);
    return outcome;
  }
  const files: Query = {
    argv: [
      "find",
      "/run/t",
      "/etc/hostnet",
      "-type",
      "f",
      "!",
      "-path",
      "*/aside/*",
      "-exec",
      "grep",
      "-H",
      "",
      "{}",
      "+",
    ],
  };

  /** A change as the lifecycle makes it: with the guard of a look a moment before. */
  async function change(
    steps: readonly Step[],
    more: Partial<Change> = {},
    queries: readonly Query[] = [files],
  ) {
    const { guard } = await look(queries);
    return submit({ queries, change: { ...none, guard, steps, ...more } });
  }

  test("steps run in order, and the look afterwards sees them", async () => {
    const outcome = await change([sh("echo a >/run/t/x"), sh("echo b >>/run/t/x")], {
      after: [{ argv: ["cat", "/run/t/x"] }],
    });
    expect(outcome).toEqual({ type: "done", results: [{ code: 0, stdout: "a\nb\n", stderr: "" }] });
  });

  test("both streams and the exit code of a look, each whole", async () => {
    const { results } = await look([
      { argv: ["sh", "-c", "printf 'no newline'; printf é >&2; exit 3"] },
      { argv: ["sh", "-c", "printf 'two\n\n'; exit 0"] },
      { argv: ["no-such-tool"] },
      { argv: ["sh", "-c", "kill -9 $$"] },
    ]);
    expect(results.slice(0, 2)).toEqual([
      { code: 3, stdout: "no newline", stderr: "é" },
      { code: 0, stdout: "two\n\n", stderr: "" },
    ]);
    expect(results[2]!.code).toBe(127);
    expect(results[3]!.code).toBe(137);
  });

  test("no word of a command means anything to the shell", async () => {
    const hostile = [
      "",
      " ",
      "'",
      '"',
      "it's",
      "$(touch /run/t/canary)",
      "`touch /run/t/canary`",
      "a;touch /run/t/canary",
      "a\nb",
      "\\",
      "\\n",
      "*",
      "~",
      "-n",
      "#",
      "!",
      "é😀",
      "$HOME",
      "&",
      "|",
      ">",
      "(",
      "{a,b}",
      "%s",
      "\u0001",
      "a\tb",
    ];
    const { results } = await look(hostile.map((word) => ({ argv: ["printf", "%s", word] })));
    expect(results.map(({ stdout }) => stdout)).toEqual(hostile);
    const outcome = await change(
      hostile.map((word) => sh('printf "%s\\n" "$1" >>/run/t/x', word)),
      { after: [{ argv: ["cat", "/run/t/x"] }] },
    );
    expect(outcome).toMatchObject({
      type: "done",
      results: [{ stdout: hostile.map((word) => `${word}\n`).join("") }],
    });
    expect(host.sh("ls /run/t")).toBe("x\n");
  });

  test("stdin of a step is fed byte for byte", async () => {
    const blobs = [
      "",
      "\n",
      "no newline",
      "\0\u0001\u007f",
      "é€😀\n\n",
      "'EOF'\nexit\n$(touch /run/t/canary)",
      "x".repeat(300_000),
    ];
    const steps = blobs.map((stdin, n) => ({ ...sh('cat >"/run/t/$1"', String(n)), stdin }));
    const sums = { argv: ["sh", "-c", "cd /run/t; sha256sum *"] };
    const outcome = await change(steps, { after: [sums] });
    const { createHash } = await import("node:crypto");
    const wanted = blobs
      .map((blob, n) => `${createHash("sha256").update(blob).digest("hex")}  ${n}\n`)
      .join("");
    expect(outcome).toMatchObject({ type: "done", results: [{ stdout: wanted }] });
  });

  test("a step whose probe succeeds is skipped", async () => {
    const outcome = await change([
      { ...sh("echo skipped >/run/t/x"), unless: ["true"] },
      { ...sh("echo ran >/run/t/y"), unless: ["test", "-e", "/run/t/x"] },
    ]);
    expect(outcome.type).toBe("done");
    expect(host.sh("ls /run/t")).toBe("y\n");
  });

  test("a guard that misses: nothing runs, nothing is written", async () => {
    const { guard } = await look([files]);
    host.sh("echo by hand >/run/t/hand");
    const intent = [{ path: record, text: "{}" }];
    const plan = {
      ...none,
      guard,
      steps: [sh("touch /run/t/ran")],
      intent,
      record: intent,
      claims: [claim("k", "1", "me", "1", "0")],
    };
    expect(await submit({ queries: [files], change: plan })).toEqual({ type: "missed" });
    expect(host.sh("cd /; find run/t etc/hostnet -type f")).toBe("run/t/hand\n");
  });

  test("what is free, and what iproute2 changes by itself, is no part of the guard", async () => {
    const link = (state: string, more: string) =>
      `[{"ifname":"br0",${more}"operstate":"${state}","linkinfo":{"info_data":{"gc_timer":${state.length}.01}}}]`;
    const queries = [{ argv: ["cat", "/run/t/link"] }, { argv: ["cat", "/run/t/free"], free: true }];
    host.sh(
      `printf '%s' '${link("DOWN", '"flags":["NO-CARRIER","UP"],')}' >/run/t/link; echo 1 >/run/t/free`,
    );
    const { guard } = await look(queries);
    host.sh(
      `printf '%s' '${link("UNKNOWN", '"flags":["UP","LOWER_UP"],')}' >/run/t/link; echo 2 >/run/t/free`,
    );
    expect((await submit({ queries, change: { ...none, guard, steps: [] } })).type).toBe("done");
    host.sh(`printf '%s' '${link("DOWN", '"flags":["NO-CARRIER"],')}' >/run/t/link`);
    expect((await submit({ queries, change: { ...none, guard, steps: [] } })).type).toBe("missed");
  });

  test("the guard is one and the same here and there, whatever is printed", async () => {
    const word = fc.oneof(
      fc.constantFrom(
        '"operstate":',
        '"state":"UP"',
        '"gc_timer":1.2',
        '"carrier_changes":',
        '"tentative":true',
        '"UP"',
        '"root_id":"8000.a,b}c"x',
        '"state":"open',
      ),
      fc.constantFrom(...'[]{},\n"\\: aé\u0001'),
      // Without NUL, which no tool prints, and which ends a line for busybox.
      fc.string({ unit: "binary", maxLength: 3 }).map((text) => text.replaceAll("\0", "")),
    );
    const texts = fc.sample(
      fc.array(word, { maxLength: 12 }).map((list) => list.join("")),
      { numRuns: 150, seed: 7 },
    );
    // As bytes, not all of them UTF-8: a link may carry an alias in any encoding.
    const octal = texts.map((text, n) =>
      [...Buffer.from(text, n % 2 ? "latin1" : "utf8")]
        .map((b) => `\\${b.toString(8).padStart(3, "0")}`)
        .join(""),
    );
    const plans = await Promise.all(
      octal.map(async (text) => {
        const queries = [{ argv: ["printf", text] }];
        return { queries, change: { ...none, guard: (await look(queries)).guard, steps: [] } };
      }),
    );
    const outcomes = await Promise.all(plans.map(submit));
    expect(outcomes.flatMap(({ type }, n) => (type === "done" ? [] : [JSON.stringify(texts[n])]))).toEqual(
      [],
    );
  });

  test("a step that fails in the middle: the undo runs, and everything is as it was", async () => {
    host.sh("echo before >/run/t/x; mkdir -p /etc/hostnet/objects; echo old >/etc/hostnet/objects/a.json");
    const before = host.sh("cd /; grep -r '' run/t etc/hostnet | sort");
    const steps = [sh("echo after >/run/t/x"), sh("echo told >&2; exit 4"), sh("touch /run/t/never")];
    const outcome = await change(steps, {
      intent: [{ path: record, text: "changing\n" }],
      undo: [sh("exit 1"), sh("echo before >/run/t/x")],
      restore: [{ path: record, text: "old\n" }],
      record: [{ path: record, text: "new\n" }],
    });
    expect(outcome).toEqual({
      type: "failed",
      step: steps[1],
      number: 2,
      result: { code: 4, stdout: "", stderr: "told\n" },
      undone: true,
    });
    expect(host.sh("cd /; grep -r '' run/t etc/hostnet | sort")).toBe(before);
  });

  test("an undo that does not lead back is told", async () => {
    const outcome = await change([sh("echo >/run/t/x"), sh("exit 4")], { undo: [] });
    expect(outcome).toMatchObject({ type: "failed", undone: false });
  });

  test("a step that feeds on stdin and fails is a failure, also where the pipe breaks", async () => {
    const outcome = await change([{ ...sh("exec <&-; exit 5"), stdin: "x".repeat(1_000_000) }]);
    expect(outcome).toMatchObject({ type: "failed", result: { code: 5 }, undone: true });
  });

  test("a step that wants no input, or not all of it, is done", async () => {
    for (const wants of ["exit 0", "head -c 10 >/dev/null"])
      expect(await change([{ ...sh(wants), stdin: "0123456789".repeat(100_000) }])).toMatchObject({
        type: "done",
      });
  });

  // Of busybox it is no file of its own.
  if (tools === "")
    test("a step whose input cannot be printed has failed, though its command has not", async () => {
      host.sh("printf '#!/bin/sh\\necho no such flag >&2; exit 1\\n' >/run/t/dd; chmod 755 /run/t/dd");
      const broken = sh("mount --bind /run/t/dd /usr/bin/dd");
      const outcome = await change([broken, { ...sh("cat >/run/t/fed"), stdin: "all of it" }], {
        undo: [sh("umount /usr/bin/dd; rm -f /run/t/fed")],
      });
      expect(outcome).toMatchObject({ type: "failed", step: { stdin: "all of it" }, undone: true });
      expect(JSON.stringify(outcome)).toContain("no such flag");
    });

  test.each([
    ["the intent", { intent: [{ path: "/etc/hostnet/objects/no/a.json", text: "{}" }] }],
    ["the record", { record: [{ path: "/etc/hostnet/objects/no/a.json", text: "{}" }] }],
  ])("%s cannot be written: undone", async (_what, more) => {
    // Between the check for folders and the writing, as on a disk that fills up.
    const queries = [files];
    const { guard } = await look(queries);
    const hinder = { ...none, guard: "", steps: [] };
    const ran = "/run/t/ran";
    const plan = { ...hinder, guard, steps: [sh(`touch ${ran}`)], undo: [sh(`rm -f ${ran}`)], ...more };
    host.around = (run, text) => {
      const broken = text.replaceAll("mkdir -p /etc/hostnet/objects/no ", "mkdir -p /run/t ");
      return run(Buffer.from(broken, "latin1"));
    };
    try {
      const outcome = await submit({ queries, change: plan });
      expect(outcome).toMatchObject({ type: "failed", undone: true });
      expect(outcome).not.toHaveProperty("step.argv");
      expect((outcome as { result: { stderr: string } }).result.stderr).toMatch(/no\/a\.json|aside\/0\.0/);
    } finally {
      host.around = (run) => run();
    }
    expect(host.sh("ls -A /run/t")).toBe("");
  });

  test("a folder for records that cannot be made: nothing runs", async () => {
    host.sh("echo a file >/etc/hostnet/objects");
    const plan = change([sh("touch /run/t/ran")], { record: [{ path: record, text: "{}" }] });
    await expect(plan).rejects.toThrow(/^cannot write the records: .*\/etc\/hostnet\/objects/);
    expect(host.sh("ls -A /run/t")).toBe("");
  });

  test("a bad member of a script touches no neighbour", async () => {
    const { guard } = await look([{ argv: ["true"] }]);
    const make = (steps: Step[], queries: Query[] = [{ argv: ["true"] }]) =>
      submit({ queries, change: { ...none, guard, steps } });
    const begin = host.scripts.length;
    const outcomes = await Promise.all([
      make([sh("touch /run/t/1")]),
      make([sh("exit 1")]),
      make([sh("touch /run/t/3")], [{ argv: ["date", "+%N"] }]),
      make([{ argv: ["sh", "-c", "kill -TERM $$"] }]),
      make([sh("touch /run/t/5")]),
    ]);
    expect(outcomes.map(({ type }) => type)).toEqual(["done", "failed", "missed", "failed", "done"]);
    expect(host.sh("ls /run/t")).toBe("1\n5\n");
    expect(host.scripts.length - begin).toBe(1);
  });

  describe("a shared setting", () => {
    const key = "k";
    const at = sharedFolder(key);
    const value = "/run/t/value";
    const take = (who: string, wanted: string): ClaimFile =>
      claim(key, who, `urn:${who}`, wanted, { value: "0" });
    const set = (wanted: string) => sh(`echo ${wanted} >${value}`);
    const back: Step = { ...set("0"), released: [key] };
    const claims = async () => parseShared((await look([sharedQuery(key)])).results[0]!, key);
    const change1 = (steps: Step[], more: Partial<Change>) =>
      change(steps, { undo: [set("0")], ...more }, [{ argv: ["true"] }]);
    beforeEach(() => host.sh(`echo 0 >${value}`));

    test("three claim it at once, and the last one gives it back", async () => {
      const all = ["1", "2", "3"];
      const outcomes = await Promise.all(all.map((who) => change1([set("9")], { claims: [take(who, "9")] })));
      expect(outcomes.map(({ type }) => type)).toEqual(["done", "done", "done"]);
      const { claims: held, former } = await claims();
      expect(held.map(({ incarnation, owner, value }) => [incarnation, owner, value]).sort()).toEqual(
        all.map((who) => [who, `urn:${who}`, "9"]),
      );
      expect(former).toEqual({ value: "0" });
      for (const [who, left] of [
        ["2", "9"],
        ["1", "9"],
        ["3", "0"],
      ] as const) {
        await change1([back], { claims: [release(key, who)] });
        expect(host.sh(`cat ${value}`).trim()).toBe(left);
      }
      expect(host.sh("ls -A /etc/hostnet")).toBe("");
    });

    test("of two values in one script, the first is taken and the second misses", async () => {
      const outcomes = await Promise.all([
        change1([set("9")], { claims: [take("1", "9")] }),
        change1([set("8")], { claims: [take("2", "8")] }),
      ]);
      expect(outcomes.map(({ type }) => type)).toEqual(["done", "missed"]);
      expect(host.sh(`cat ${value}`)).toBe("9\n");
      expect((await claims()).claims.map(({ incarnation }) => incarnation)).toEqual(["1"]);
    });

    test("what was found first stays, whoever comes after", async () => {
      await change1([set("9")], { claims: [take("1", "9")] });
      await change1([set("9")], { claims: [claim(key, "2", "urn:2", "9", { value: "9" })] });
      expect((await claims()).former).toEqual({ value: "0" });
    });

    test("a claim changes its value alone, and not beside another", async () => {
      await change1([set("9")], { claims: [take("1", "9")] });
      expect((await change1([set("8")], { claims: [take("1", "8")] })).type).toBe("done");
      await change1([set("8")], { claims: [take("2", "8")] });
      expect((await change1([set("7")], { claims: [take("1", "7")] })).type).toBe("missed");
      expect((await claims()).claims.map(({ value }) => value)).toEqual(["8", "8"]);
    });

    test("a claim is taken over from a predecessor, though with another value", async () => {
      await change1([set("9")], { claims: [take("1", "9")] });
      expect((await change1([set("8")], { claims: [release(key, "1"), take("2", "8")] })).type).toBe("done");
      expect((await claims()).claims).toEqual([{ incarnation: "2", owner: "urn:2", value: "8" }]);
    });

    test("a change that fails leaves every claim as it was: new, changed, released, of several keys", async () => {
      const others = ["m", "n"].map((k) => claim(k, "1", "urn:1", `of ${k}`, `former of ${k}`));
      await change1([], { claims: [take("1", "9"), ...others] });
      const before = host.sh("cd /etc/hostnet; grep -r '' . | sort");
      const failing = (list: ClaimFile[]) => change1([sh("exit 1")], { claims: list });
      expect((await failing([take("1", "8"), release("m", "1"), release("n", "1")])).type).toBe("failed");
      expect(host.sh("cd /etc/hostnet; grep -r '' . | sort")).toBe(before);
      expect((await failing([claim("new", "1", "urn:1", "1", "0")])).type).toBe("failed");
      expect(host.sh("cd /etc/hostnet; grep -r '' . | sort")).toBe(before);
      expect(host.sh("ls /etc/hostnet/shared | wc -l").trim()).toBe("3");
    });

    test("a half-written file, left by a power cut, is nobody's claim", async () => {
      await change1([set("9")], { claims: [take("1", "9")] });
      host.sh(`printf 'value ' >${at}/.new`);
      expect((await claims()).claims).toHaveLength(1);
      expect((await change1([back], { claims: [release(key, "1")] })).type).toBe("done");
      expect(host.sh(`cat ${value}; ls -A /etc/hostnet`)).toBe("0\n");
    });
  });

  test("stopped at its limit: the change under way is undone, those behind it are not begun", async () => {
    // That of busybox spares the step under way, which then ends well.
    const ended = tools === "" ? { type: "failed", undone: true } : { type: "done" };
    const { guard } = await look([files]);
    const slow = { ...none, guard, steps: [sh("touch /run/t/x; sleep 2")], undo: [sh("rm /run/t/x")] };
    const behind = { ...none, guard, steps: [sh("touch /run/t/y")] };
    host.around = (run, text) => run(Buffer.from(text, "latin1"), 1);
    try {
      const outcomes = await Promise.all([
        submit({ queries: [files], change: slow }),
        submit({ queries: [files], change: behind }),
      ]);
      expect(outcomes).toEqual([expect.objectContaining(ended), { type: "not run" }]);
    } finally {
      host.around = (run) => run();
    }
    expect(host.sh("ls /run/t")).toBe(tools === "" ? "" : "x\n");
  });
});
