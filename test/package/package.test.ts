// The package as others install it: packed, put into projects of their own, compiled against and run there.
import { execFile, execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { compiled, ROOT } from "../compiled";
import { folders } from "../kinds";
import { NODE } from "../provider/process";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "hostnet-package-"));
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const tarball = join(folder, `pulumi-hostnet-${manifest.version}.tgz`);
/** As unpacked. */
const packed = join(folder, "package");
const bin = (name: string): string => join(ROOT, "node_modules", ".bin", name);

beforeAll(() => {
  compiled();
  // Without its build before: others may be reading what it would clean away.
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], {
    cwd: ROOT,
    stdio: "ignore",
  });
  execFileSync("tar", ["-xzf", tarball, "-C", folder]);
  for (const [name, command, args] of INSTALLERS)
    installed.set(name, install(join(folder, name), command, args));
}, 90_000);
afterAll(async () => {
  await Promise.allSettled(installed.values());
  rmSync(folder, { recursive: true, force: true });
});

const INSTALLERS = [
  ["npm", "npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--prefix"]],
  ["pnpm", bin("pnpm"), ["install", "--prefer-offline", "--ignore-scripts", "--dir"]],
] as const;
/** The installations, both under way at once. */
const installed = new Map<string, Promise<unknown>>();

/** A project with nothing but its direct dependencies, as its owner would write them down. */
async function install(project: string, command: string, args: readonly string[]): Promise<unknown> {
  mkdirSync(project);
  const dependencies = {
    "@pulumi/pulumi": manifest.devDependencies["@pulumi/pulumi"],
    "@types/node": manifest.devDependencies["@types/node"],
    "pulumi-hostnet": `file:${tarball}`,
  };
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "net", private: true, dependencies }));
  return run(command, [...args, project], { cwd: project });
}

const files = (): string[] =>
  readdirSync(packed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(packed.length + 1))
    .sort();
const text = (file: string): string => readFileSync(join(packed, file), "utf8");

describe("what is packed", () => {
  test("the compiled package, its declarations, and what one reads first; no sources, no tests", () => {
    const other = files().filter((file) => !/^dist\/(sdk|provider)\/.*\.(js|d\.ts)$/.test(file));
    expect(other).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "docs/operations.md",
      "docs/safety.md",
      "package.json",
    ]);
    const scripts = files().filter((file) => file.endsWith(".js"));
    expect(scripts.filter((file) => !files().includes(file.replace(/\.js$/, ".d.ts")))).toEqual([]);
    const sources = ["sdk", "provider"].flatMap((root) =>
      readdirSync(join(ROOT, root), { recursive: true, encoding: "utf8" }).map(
        (file) => `dist/${root}/${file}`,
      ),
    );
    expect(scripts).toEqual(
      sources
        .filter((file) => file.endsWith(".ts"))
        .map((file) => file.replace(/\.ts$/, ".js"))
        .sort(),
    );
  });

  test("every door leads somewhere, the build is made before packing, and the licence is whole", () => {
    const doors = [
      manifest.main,
      manifest.types,
      ...Object.values(manifest.exports).flatMap((to) =>
        typeof to === "string" ? to : Object.values(to as object),
      ),
    ];
    expect(doors.length).toBeGreaterThan(6);
    for (const door of doors) expect([door, existsSync(join(packed, door))]).toEqual([door, true]);
    expect(manifest.scripts.prepack).toBe("npm run build");
    expect(manifest.license).toBe("Apache-2.0");
    expect(text("LICENSE")).toMatch(
      /Apache License\s+Version 2\.0, January 2004.*END OF TERMS AND CONDITIONS/s,
    );
  });

  test("CommonJS, with the comments of every argument in the declarations", () => {
    for (const file of files().filter((name) => name.endsWith(".js")))
      expect([file, text(file).startsWith('"use strict";\n')]).toEqual([file, true]);
    expect(text("dist/sdk/bridge.d.ts")).toMatch(/\/\*\*\n \* A Linux bridge/);
    expect(text("dist/provider/bridge/args.d.ts")).toMatch(/Bytes, 68 to 65535/);
    // The users' fields are the interfaces; the schemas beside them are our own affair.
    for (const kind of folders) {
      const fields = readFileSync(join(packed, "dist", "provider", kind, "args.d.ts"), "utf8");
      const [, body] = /export interface \w+Fields \{\n(.*?)\n\}/s.exec(fields)!;
      const lines = body!.split("\n");
      const bare = lines.filter((line, n) => /^ {4}\w/.test(line) && !lines[n - 1]?.endsWith("*/"));
      expect(lines.filter((line) => /^ {4}\w/.test(line)).length).toBeGreaterThan(1);
      expect([kind, bare]).toEqual([kind, []]);
    }
  });

  test("no path of the machine that it was made on", () => {
    for (const file of files())
      expect([file, text(file).includes(realpathSync(ROOT))]).toEqual([file, false]);
  });
});

/** A program of every kind of resource; what must not compile is marked. */
const program = (how: "import" | "require"): string => `
${how === "import" ? 'import * as pulumi from "@pulumi/pulumi";\nimport { Bridge, KernelModules, NftSet, NftTable, PolicyRoute, Sysctl, Vrf, nft } from "pulumi-hostnet";' : 'const pulumi = require("@pulumi/pulumi");\nconst { Bridge, KernelModules, NftSet, NftTable, PolicyRoute, Sysctl, Vrf, nft } = require("pulumi-hostnet");'}
const host = { connection: { host: "10.0.0.5", password: pulumi.secret("x") } };
const lan = new Bridge("lan", { ...host, addresses: ["10.1.0.1/24"], ports: ["eth1"] });
const blue = new Vrf("blue", { ...host, table: 100, interfaces: [lan.name] });
new PolicyRoute("rule", { ...host, family: "ipv4", priority: 100, fwmark: 100, table: blue.table });
new Sysctl("forwarding", { ...host, settings: { "net.ipv4.ip_forward": 1 } });
new KernelModules("modules", { ...host, modules: ["br_netfilter"] });
new NftTable("fw", { ...host, family: "inet", chains: { c: { rules: [nft\`iifname \${lan.name} tcp dport \${[80, 443]} accept\`] } } });
`;
const typed = `${program("import")}
export const index: pulumi.Output<number> = lan.ifindex;
// @ts-expect-error a field that nobody knows
new Bridge("b", { ...host, adresses: [] });
// @ts-expect-error an address is a text
new Bridge("b", { ...host, addresses: [1] });
// @ts-expect-error an output is no plain number
export const number: number = lan.ifindex;
`;
const mocks = (how: string): string => `
pulumi.runtime.setMocks({
  newResource: (args) => {
    console.log(args.type, args.name, args.inputs.__provider);
    return { id: args.name, state: { ...args.inputs, name: args.name } };
  },
  call: () => ({}),
});
${how}`;
/** With the mocks between the imports and the resources. */
const runnable = (how: "import" | "require"): string =>
  program(how).replace("\nconst host", (line) => mocks(line));

const printed = [
  "pulumi-nodejs:dynamic/hostnet:Bridge lan exports.handler=()=>require('pulumi-hostnet/v1').bridge;",
  "pulumi-nodejs:dynamic/hostnet:KernelModules modules exports.handler=()=>require('pulumi-hostnet/v1').kernelModules;",
  "pulumi-nodejs:dynamic/hostnet:NftTable fw exports.handler=()=>require('pulumi-hostnet/v1').nftTable;",
  "pulumi-nodejs:dynamic/hostnet:PolicyRoute rule exports.handler=()=>require('pulumi-hostnet/v1').policyRoute;",
  "pulumi-nodejs:dynamic/hostnet:Sysctl forwarding exports.handler=()=>require('pulumi-hostnet/v1').sysctl;",
  "pulumi-nodejs:dynamic/hostnet:Vrf blue exports.handler=()=>require('pulumi-hostnet/v1').vrf;",
];

/** Does what the engine's provider process does with the code in a user's state. */
const handler = `
const code = process.argv[1];
const load = new (require("module"))("state", undefined);
load.paths = require("module")._nodeModulePaths(process.cwd());
load._compile(code, "state");
load.exports.handler().check({}, { connection: { host: "h" }, name: "br0" }).then(({ inputs }) => console.log(JSON.stringify(inputs)));`;

const RESOLUTIONS = {
  node10: { module: "commonjs", moduleResolution: "node10" },
  node16: { module: "node16", moduleResolution: "node16" },
  bundler: { module: "esnext", moduleResolution: "bundler" },
};

describe.each(INSTALLERS.map(([name]) => name))("a project that installs it with %s", (name) => {
  const project = join(folder, name);
  beforeAll(() => installed.get(name), 180_000);

  const write = (file: string, content: string): string => {
    writeFileSync(join(project, file), content);
    return file;
  };

  test("a CommonJS and an ESM program run, and so does the code that their states keep", async () => {
    const programs = [write("index.js", runnable("require")), write("index.mjs", runnable("import"))];
    for (const { stdout } of await Promise.all(programs.map((file) => run(NODE, [file], { cwd: project })))) {
      expect(stdout.trim().split("\n").sort()).toEqual(printed);
    }
    const { stdout } = await run(
      NODE,
      ["-e", handler, "exports.handler=()=>require('pulumi-hostnet/v1').bridge;"],
      { cwd: project },
    );
    expect(JSON.parse(stdout)).toEqual({ connection: { host: "h" }, name: "br0", up: true });
  }, 60_000);

  test.each(Object.entries(RESOLUTIONS))(
    "a TypeScript program compiles with moduleResolution %s, and a wrong one does not",
    async (how, options) => {
      const source = write(`${how}.ts`, typed);
      const config = {
        compilerOptions: {
          ...options,
          target: "es2022",
          strict: true,
          noEmit: true,
          skipLibCheck: true,
          types: ["node"],
        },
        files: [source],
      };
      const { stdout } = await run(
        bin("tsc"),
        ["-p", write(`tsconfig.${how}.json`, JSON.stringify(config))],
        { cwd: project },
      ).catch((error) => error);
      expect(stdout).toBe("");
    },
    60_000,
  );
});
