// `npm test`, from a fresh clone: types, lint, pure tests, real nft and sshd, the lab's host, the CLI, and real counts. Of
// what plays long stories through the CLI it has a part; `npm test -- --whole`, which the CI runs, has all of it.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { holdHost } from "./lab/setup/host.mjs";
import { setUp } from "./lab/setup/index.mjs";
import { foreground, main } from "./lab/setup/shell.mjs";

// What needs the host of the lab, or reboots one of its own.
const onHost = "/test/(reboot/|lab[a-z-]*/|e2e/|faults/(machine|versions))";
/** Reboots, the examples but for the first, and what others do to them; nft's cases with a second version of it. */
const long =
  "/test/(reboot/|e2e/(?!life|overlapping-subnets)|stories/(?!life)|faults/machine|unit/nft-newer)";
const leftOut = process.argv.includes("--whole")
  ? []
  : allTests().filter((path) => new RegExp(long).test(path));

await main(async () => {
  const begin = Date.now();
  const lab = await setUp({ tests: true });
  process.env.PATH = [...lab.pulumi, process.env.PATH].join(delimiter);
  const queue = testsOnHost();
  const results = [
    await tool("types", "tsc", "-p", "tsconfig.json"),
    await tool("lint", "biome", "check", "."),
    // The host's tests mostly wait for the host: the others fill the gaps, and then help with a second host.
    ...(
      await Promise.all([
        inOrder(
          () =>
            run(
              ["--maxWorkers=2", "--testPathIgnorePatterns", "/node_modules/", onHost, ...leftOut],
              process.env,
            ),
          () => fromQueue(queue),
        ),
        fromQueue(queue),
      ])
    ).flat(),
  ];
  return report(results, begin);
});

/** A whole tool as one test. */
async function tool(name, command, ...args) {
  const code = await foreground(command, args);
  return {
    name,
    status: code === 0 ? "passed" : "failed",
    message: `${command} ended with code ${code}, see above`,
  };
}

async function inOrder(...runs) {
  const results = [];
  for (const run of runs) results.push(...(await run()));
  return results;
}

function allTests() {
  return readdirSync("test", { recursive: true })
    .map((path) => `/test/${path}`)
    .filter((path) => path.endsWith(".test.ts"))
    .sort();
}

/** What takes longest first, so that both hosts end at about the same time. */
function testsOnHost() {
  const first = (path) => Number(/reboot|life|machine|vrf/.test(path));
  return allTests()
    .filter((path) => new RegExp(onHost).test(path) && !leftOut.includes(path))
    .sort((a, b) => first(b) - first(a));
}

/** One file after the other, until none is left, on a host that they find by HOSTNET_VM. */
async function fromQueue(queue) {
  if (queue.length === 0) return [];
  const host = await holdHost().catch((error) => error);
  if (host instanceof Error) return [{ name: "the lab's host", status: "failed", message: host.message }];
  const env = { ...process.env, HOSTNET_VM: host.state };
  const results = [];
  try {
    for (let path = queue.shift(); path; path = queue.shift())
      results.push(...(await run(["--runInBand", "--testPathPatterns", path], env)));
  } finally {
    await host.release();
  }
  return results;
}

/**
 * Every test of a jest run, and one failed test for each file that could not be run. Another one if jest stays when all of
 * them are done, for something that a test left open: that must not hold up what comes after it.
 */
async function run(args, env) {
  const folder = mkdtempSync(join(tmpdir(), "hostnet-jest-"));
  const file = join(folder, "report.json");
  const stays = new AbortController();
  const watch = setInterval(() => {
    if (existsSync(file) && Date.now() - statSync(file).mtimeMs > 30_000) stays.abort();
  }, 1000);
  try {
    const code = await foreground("jest", ["--json", `--outputFile=${file}`, ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env,
      signal: stays.signal,
    }).catch((error) => {
      if (!stays.signal.aborted) throw error;
      return 1;
    });
    const results = fromJest(file, code, args);
    const message = "it did not end: a test has left something open";
    return stays.signal.aborted
      ? [...results, { name: `jest ${args.join(" ")}`, status: "failed", message }]
      : results;
  } finally {
    clearInterval(watch);
    rmSync(folder, { recursive: true, force: true });
  }
}

function fromJest(file, code, args) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return [
      {
        name: `jest ${args.join(" ")}`,
        status: "failed",
        message: `no report; jest ended with code ${code}`,
      },
    ];
  }
  return report.testResults.flatMap((suite) => {
    const path = relative(process.cwd(), suite.name);
    const tests = suite.assertionResults.map((test) => ({
      name: `${path}: ${test.fullName}`,
      status: test.status === "passed" || test.status === "failed" ? test.status : "skipped",
      message: test.failureMessages.join("\n"),
    }));
    const broken = suite.status === "failed" && tests.every((test) => test.status !== "failed");
    return broken ? [...tests, { name: path, status: "failed", message: suite.message }] : tests;
  });
}

/** Failures, skips, and the line that everything ends with. */
function report(results, begin) {
  const all = (status) => results.filter((result) => result.status === status);
  const [passed, failed, skipped] = [all("passed"), all("failed"), all("skipped")];
  for (const { name, message } of failed) console.log(`\nFAILED ${name}\n${message}`);
  for (const { name } of skipped) console.log(`skipped ${name}`);
  if (leftOut.length > 0)
    console.log(`\nleft to \`npm test -- --whole\`, ${leftOut.length} files:\n${leftOut.join("\n")}`);
  console.log(`\nin ${((Date.now() - begin) / 60_000).toFixed(1)} minutes`);
  console.log(`${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped`);
  return failed.length > 0 || passed.length === 0 ? 1 : 0;
}
