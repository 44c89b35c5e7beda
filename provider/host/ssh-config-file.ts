import { readdirSync, readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, isAbsolute, join } from "node:path";
import { glob, parse } from "ssh-config";
import { type Computed, KNOWN, type LookUp, type Surroundings, UNDECIDED } from "./ssh-config";
import { expandHome, Refused } from "./target";

type Lines = ReturnType<typeof parse>;
type Line = Lines[number];
type Directive = Extract<Line, { param: string }>;
type Section = Directive & { config: Lines; criteria?: Record<string, unknown> };

const FILE = "~/.ssh/config";
/** As OpenSSH has it. */
const DEEPEST = 16;

/** A container of CI may run as a user that no passwd knows: then both throw. */
export function surroundings(): Surroundings {
  const environment = process.env;
  const known = (ask: () => string): string | undefined => {
    try {
      return ask();
    } catch {
      return undefined;
    }
  };
  const user = known(() => userInfo().username) ?? environment.USER ?? String(process.getuid?.());
  return { home: known(homedir) ?? "/", user, environment };
}

/** Reads ~/.ssh/config and what it includes. The reading of a host's own lines is the library's `compute`. */
export function readSshConfig(): LookUp {
  const lines = linesOf(expandHome(FILE), 0) ?? [];
  const config = parse("");
  config.length = 0;
  config.push(...lines);
  return (host, user) => {
    const compute = (as: string | undefined): Computed =>
      config.compute({ Host: host, User: as }, { ignoreCase: true, matchExec: false }) as Computed;
    const found = compute(user);
    // Nobody says a user: it is our default that `Match user` is to see.
    return found.user === undefined ? { ...compute("root"), user: undefined } : found;
  };
}

/** Undefined where there is no such file. */
function linesOf(file: string, depth: number): Line[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unreadable(file, (error as Error).message);
  }
  let lines: Lines;
  try {
    lines = parse(text);
  } catch (error) {
    throw unreadable(file, (error as Error).message);
  }
  return [...lines].flatMap((line) => prepared(line, file, depth));
}

/** What the library passes over in silence is made visible, or left out, before it computes. */
function prepared(line: Line, file: string, depth: number): Line[] {
  if (!("param" in line)) return [];
  complete(line, file);
  if (!("config" in line)) {
    if (line.param.toLowerCase() !== "include") return directive(line);
    if (depth >= DEEPEST) throw unreadable(file, "too many files are included in each other");
    return values(line)
      .flatMap((pattern) => included(pattern, file))
      .flatMap((path) => linesOf(path, depth + 1) ?? []);
  }
  const section = line as Section;
  const inner = [...section.config].flatMap((each) =>
    "param" in each ? directive(complete(each, file)) : [],
  );
  const undecided = section.criteria ? leaveOut(section) : undefined;
  if (undecided && !inner.some(({ param }) => KNOWN.has(param.toLowerCase()))) return [];
  if (undecided) inner.unshift({ ...line, param: UNDECIDED, value: undecided, config: undefined } as never);
  section.config.length = 0;
  section.config.push(...inner);
  return [section];
}

/** Where a keyword has no value, the library takes the next line for it. */
function complete(line: Directive, file: string): Directive {
  if (!/[\r\n]/.test(line.param + line.separator)) return line;
  throw unreadable(file, `${line.param.split(/\s/)[0]} has no value`);
}

/** CanonicalDomains would have it run nslookup; and for `Match` it knows two keywords in one spelling only. */
function directive(line: Directive): Directive[] {
  const keyword = line.param.toLowerCase();
  if (keyword === "canonicaldomains") return [];
  const param = { hostname: "HostName", user: "User" }[keyword] ?? line.param;
  return [{ ...line, param }];
}

/** The criteria that it cannot decide, as exec, taken out: the section then applies where the others do, and says so. */
function leaveOut(section: Section): string | undefined {
  const criteria = section.criteria ?? {};
  const words = values(section);
  const count = Object.keys(criteria).reduce(
    (n, key) => n + (/^(all|final|canonical)$/i.test(key) ? 1 : 2),
    0,
  );
  const odd = Object.keys(criteria).filter(
    (key) => !/^(all|final|host|originalhost|user|localuser)$/i.test(key),
  );
  for (const key of odd) delete criteria[key];
  return odd.length > 0 || count !== words.length ? words.join(" ") : undefined;
}

function included(pattern: string, file: string): string[] {
  const home = expandHome(pattern);
  const path = isAbsolute(home) ? home : join(dirname(expandHome(FILE)), home);
  const [folder, name] = [dirname(path), basename(path)];
  if (/[*?[]/.test(folder) || /[[%$]/.test(path) || path.startsWith("~"))
    throw unreadable(file, `Include ${pattern}: only * and ? in the last part of the path are supported`);
  if (!/[*?]/.test(name)) return [path];
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((each) => glob(name, each) && (each.startsWith(".") ? name.startsWith(".") : true))
    .sort()
    .map((each) => join(folder, each));
}

const values = ({ value }: Directive): string[] =>
  typeof value === "string" ? [value] : value.map(({ val }) => val);

const unreadable = (file: string, why: string): Refused =>
  new Refused(`cannot read ${file}: ${why}. With ssh.config: false it is not read.`);
