import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../provider/version";
import { compiled, ROOT } from "../compiled";
import { NODE } from "../provider/process";

test("version.ts says what package.json says", () => {
  expect(JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version).toBe(version);
});

describe("the engine runs the provider code from the project's folder", () => {
  const folder = mkdtempSync(join(tmpdir(), "hostnet-project-"));
  const installed = join(folder, "node_modules", "pulumi-hostnet");
  beforeAll(compiled, 60_000);
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(() => rmSync(join(folder, "node_modules"), { recursive: true, force: true }));

  /** What a program says that declares a resource, in this project folder. */
  function program(): string {
    const text = `
      const pulumi = require(${JSON.stringify(join(ROOT, "node_modules", "@pulumi", "pulumi"))});
      pulumi.runtime.setMocks({ newResource: () => ({ id: "x", state: {} }), call: () => ({}) });
      const { Bridge } = require(${JSON.stringify(join(ROOT, "dist", "sdk"))});
      try {
        for (const name of ["lan", "wan"]) new Bridge(name, { connection: { host: "h" } });
        console.log("fine");
      } catch (error) {
        // Said without a stack, which would not help.
        console.log(pulumi.RunError.isInstance(error) ? error.message : error.stack);
      }`;
    return spawnSync(NODE, ["-e", text], { cwd: folder, encoding: "utf8" }).stdout.trim();
  }
  function install(found: string, v1 = true): void {
    mkdirSync(installed, { recursive: true });
    const exports = { "./package.json": "./package.json", ...(v1 && { "./v1": "./v1.js" }) };
    writeFileSync(
      join(installed, "package.json"),
      JSON.stringify({ name: "pulumi-hostnet", version: found, exports }),
    );
    writeFileSync(join(installed, "v1.js"), "");
  }

  test("of this version: fine, also as a link", () => {
    install(version);
    expect(program()).toBe("fine");
    rmSync(installed, { recursive: true });
    symlinkSync(ROOT, installed);
    expect(program()).toBe("fine");
  });

  test("not there: it says what to install, and why", () => {
    expect(program()).toBe(
      `pulumi-hostnet cannot be found from the project folder ${folder}: it must be a direct dependency of the project, ` +
        `also when another package uses it. Run: npm install pulumi-hostnet@${version}`,
    );
  });

  test("without its stable entry: the same", () => {
    install(version, false);
    expect(program()).toMatch(/^pulumi-hostnet cannot be found from the project folder /);
  });

  test("of another version: it names both", () => {
    install("9.9.9");
    expect(program()).toBe(
      `the project folder ${folder} has pulumi-hostnet 9.9.9, but the program uses ${version}. Run there: npm install pulumi-hostnet@${version}`,
    );
  });
});
