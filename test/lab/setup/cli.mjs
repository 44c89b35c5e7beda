// The Pulumi CLI and its Node language host: the machine's own, or built from their Go modules.
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { artefact } from "./cache.mjs";
import { cutSource } from "./cuts.mjs";
import { run, Stop, which } from "./shell.mjs";

const oldest = [3, 216];

const cli = {
  module: "test/lab/cli",
  command: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
  version: "v3.259.0",
  cuts: readFileSync(new URL("./cuts.mjs", import.meta.url), "utf8"),
};
// The language host of newer versions is a Go module that no proxy has; this one runs well under the CLI above.
const languageHost = {
  module: "test/lab/language-host",
  command: "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs",
  version: "v3.68.0",
};

// The linker would leave the debug information out; so no compiler makes it. And no C compiler is needed.
const flags = ["-gcflags=all=-dwarf=false"];
const env = { ...process.env, CGO_ENABLED: "0" };

/** The folders to put on PATH for `pulumi`: none when the machine has a whole CLI, else what we built. */
export async function pulumiCli() {
  const own = which("pulumi");
  if (own && (await recent(own)))
    return which("pulumi-language-nodejs") || beside(own) ? [] : [await build(languageHost)];
  return [await build(cli, languageHost)];
}

async function recent(pulumi) {
  const env = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "1" };
  const version = /v?(\d+)\.(\d+)/.exec(await run(pulumi, ["version"], { env }).catch(() => ""));
  if (!version) return false;
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

function beside(pulumi) {
  return existsSync(join(dirname(realpathSync(pulumi)), "pulumi-language-nodejs"));
}

/** Builds programs into one folder of the cache. */
function build(...programs) {
  const sum = (program) => readFileSync(join(program.module, "go.sum"), "utf8");
  const name = programs[0].command.split("/").at(-1);
  return artefact(name, { programs, sums: programs.map(sum), flags }, async (folder) => {
    if (!which("go")) {
      throw new Stop(
        "There is neither a Pulumi CLI (3.216 or newer) nor a Go toolchain to build one with. Install either and try again.",
      );
    }
    for (const { module, command, version, cuts } of programs) {
      const work = mkdtempSync(join(folder, "build-"));
      const cut = cuts ? [`-modfile=${await cutSource(module, work)}`] : [];
      const linked = `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=${version}`;
      const output = join(folder, command.split("/").at(-1));
      await run("go", ["build", ...flags, ...cut, "-ldflags", linked, "-o", output, command], {
        cwd: module,
        env,
      });
      rmSync(work, { recursive: true });
    }
  });
}
