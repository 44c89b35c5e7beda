// The npm packages of the checkout, and a Node that can run everything.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, Stop, say, timed } from "./shell.mjs";

/** Installs what package-lock.json says, unless node_modules holds exactly that already. */
export async function npmPackages() {
  if (installed()) return;
  // Not `npm ci`: it refuses a lock file without the packages of systems that our registry does not have. npm 11 and
  // later warn of install scripts that they did not run; only a failure counts.
  await timed("npm install", () => run("npm", ["install", "--no-save", "--no-audit", "--no-fund"]));
}

function installed() {
  const locked = packages("package-lock.json");
  const present = packages(join("node_modules", ".package-lock.json"));
  if (!locked || !present) return false;
  const same = (path) => present[path]?.version === locked[path]?.version;
  const needed = Object.keys(locked).filter((path) => path !== "" && !locked[path].optional);
  return needed.every((path) => path in present && same(path)) && Object.keys(present).every(same);
}

function packages(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/**
 * Puts node_modules/.bin first on PATH, so that `node` is the one of the `node` npm package where the machine's own
 * is too old for Pulumi or for running TypeScript as it is.
 */
export async function nodeOnPath() {
  process.env.PATH = `${join(process.cwd(), "node_modules", ".bin")}:${process.env.PATH}`;
  // Each run of the CLI loads the same modules, twice: compiled once.
  process.env.NODE_COMPILE_CACHE ??= join(process.cwd(), "node_modules", ".cache", "node");
  const version = (await run("node", ["--version"])).trim();
  const [major, minor] = version.slice(1).split(".").map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return;
  const own = existsSync("node_modules/.bin/node");
  throw new Stop(
    `Node ${version} is too old, at least 22.18 is needed${own ? "" : ", and the npm package `node` is not installed"}.`,
  );
}

/** Arguments for Node to run TypeScript without a word about it. */
export const typescript = [
  "--disable-warning=ExperimentalWarning",
  "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
];

/** Says which Node runs the rest, when it is not the one that started us. */
export async function sayNode() {
  const version = (await run("node", ["--version"])).trim();
  if (version !== process.version)
    say(`Node ${version} from node_modules (this machine's is ${process.version})`);
}
