import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { log } from "../../provider/host/log";

const folder = mkdtempSync(join(tmpdir(), "hostnet-log-"));
afterEach(() => {
  delete process.env.HOSTNET_LOG;
  jest.restoreAllMocks();
});
afterAll(() => rmSync(folder, { recursive: true }));

test("a line of JSON for each entry", () => {
  process.env.HOSTNET_LOG = join(folder, "log");
  log({ exit: 0 });
  log({ exit: 1 });
  const lines = readFileSync(process.env.HOSTNET_LOG, "utf8").trim().split("\n");
  expect(lines.map((line) => JSON.parse(line).exit)).toEqual([0, 1]);
});

test("a file that cannot be written fails no change, and is told", () => {
  process.env.HOSTNET_LOG = join(folder, "none", "log");
  const told = jest.spyOn(console, "warn").mockImplementation(() => {});
  expect(() => log({ exit: 0 })).not.toThrow();
  expect(told.mock.calls.flat().join()).toContain("HOSTNET_LOG: ENOENT");
});
