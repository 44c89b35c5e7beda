import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UnknownOutcome } from "../../provider/errors";
import { LocalHost } from "../local-host";

const folder = mkdtempSync(join(tmpdir(), "hostnet-log-"));
const file = join(folder, "log");
let host: LocalHost;
beforeAll(async () => {
  host = await new LocalHost().ready();
});
afterAll(() => {
  host.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  delete process.env.HOSTNET_LOG;
});

const lines = () =>
  readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("a line of JSON for each script: host, resources, size, time and exit; nothing of what was sent or answered", async () => {
  process.env.HOSTNET_LOG = file;
  const secret = { argv: ["echo", "c4nary"] };
  await Promise.all([
    host.at().submit({ label: 'look at Bridge "a" (urn:a)', queries: [secret] }),
    host.at().submit({ label: 'look at Bridge "b" (urn:b)', queries: [] }),
  ]);
  host.around = () => ({ code: 3, stdout: Buffer.from(""), stderr: Buffer.from("c4nary") });
  await expect(host.at().submit({ label: 'look at Bridge "a" (urn:a)', queries: [] })).rejects.toThrow();
  host.around = () => {
    throw new UnknownOutcome("lost: c4nary");
  };
  await expect(host.at().submit({ label: 'look at Bridge "a" (urn:a)', queries: [] })).rejects.toThrow(
    "lost",
  );
  expect(lines()).toEqual([
    {
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      host: "root@local",
      resources: ['look at Bridge "a" (urn:a)', 'look at Bridge "b" (urn:b)'],
      bytes: expect.any(Number),
      exit: 0,
      milliseconds: expect.any(Number),
    },
    expect.objectContaining({ exit: 3 }),
    expect.objectContaining({ error: "UnknownOutcome" }),
  ]);
  expect(readFileSync(file, "utf8")).not.toContain("c4nary");
});

test("without HOSTNET_LOG nothing is written", async () => {
  rmSync(file, { force: true });
  host.around = (run) => run();
  await host.at().submit({ queries: [] });
  expect(() => readFileSync(file)).toThrow("ENOENT");
});

test("a file that cannot be written fails no change, and is told", async () => {
  process.env.HOSTNET_LOG = join(folder, "none", "log");
  const told = jest.spyOn(console, "warn").mockImplementation(() => {});
  await host.at().submit({ queries: [] });
  expect(told.mock.calls.flat().join()).toContain("HOSTNET_LOG: ENOENT");
  told.mockRestore();
});
