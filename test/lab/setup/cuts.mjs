// Pulumi's CLI without what fills most of its build and no test calls: the clients of three clouds, where state, keys
// and logs could be kept, and `pulumi api`. State in files and secrets under a passphrase stay.
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run, Stop } from "./shell.mjs";

const source = "github.com/pulumi/pulumi/pkg/v3";

const dropped = {
  operations: ["operations_aws", "operations_cloud_aws", "operations_gcp"],
  "cmd/pulumi/cloud": [
    ...["api", "describe", "describe_markdown", "encoding", "fields", "format", "list", "output"],
    ...["paginate", "pathmatch", "schema", "spec", "spec_fetch"],
  ],
};

const cut = {
  "backend/diy/backend.go": [
    /^\t(_ )?"gocloud\.dev\/blob\/(azure|gcs|s3)blob".*\n/gm,
    /^\t(_ )?"github\.com\/pulumi\/pulumi\/pkg\/v3\/(authhelpers|backend\/diy\/postgres)".*\n/gm,
    /^\tif p\.Scheme == (gcs|azure)blob\.Scheme \{\n(.*\n)*?\t\}\n/gm,
  ],
  "backend/diy/bucket.go": [
    /^\t(awss3 .*|"net\/url")\n/gm,
    /^\t\tvar input \*awss3\.(.*\n)*?\t\t\}\n/gm,
    /^func fixupS3CopySource\((.*\n)*?\}\n/gm,
  ],
  "cmd/pulumi/cloud/envelope.go": [/^\t\w+ +\[\]ParamSpec.*\n/gm],
  "cmd/pulumi/pulumi.go": [
    /^\t"github\.com\/pulumi\/pulumi\/pkg\/v3\/cmd\/pulumi\/cloud"\n/gm,
    /^\t+cloud\.NewAPICmd\(\),\n/gm,
  ],
  "operations/resources.go": [/^\tcase "cloud":\n(.*\n)*?(?=\tdefault:)/gm],
  "secrets/cloud/manager.go": [
    /^\t(_ )?"(gocloud\.dev\/secrets\/|google\.golang\.org\/api\/|github\.com\/pulumi\/pulumi\/pkg\/v3\/authhelpers).*\n/gm,
    /^\tcase gcpkms\.Scheme:\n(.*\n)*?(?=\tdefault:)/gm,
  ],
};

/** Copies the CLI's source into a folder, cuts it, and returns a go.mod that takes the copy in the source's place. */
export async function cutSource(module, folder) {
  const download = await run("go", ["mod", "download", "-json", source], { cwd: module });
  const copy = join(folder, "source");
  await run("cp", ["-r", "--no-preserve=mode", JSON.parse(download).Dir, copy]);
  for (const [place, names] of Object.entries(dropped))
    for (const name of names) rmSync(join(copy, place, `${name}.go`));
  for (const [name, parts] of Object.entries(cut)) {
    const path = join(copy, name);
    writeFileSync(path, parts.reduce(without, readFileSync(path, "utf8")));
  }
  for (const file of ["go.mod", "go.sum"]) copyFileSync(join(module, file), join(folder, file));
  await run("go", ["mod", "edit", `-replace=${source}=${copy}`, join(folder, "go.mod")]);
  return join(folder, "go.mod");
}

/** A cut that finds nothing is an error: a newer CLI reads otherwise. */
function without(text, part) {
  if (text.search(part) < 0) throw new Stop(`The source of ${source} does not have ${part}`);
  return text.replaceAll(part, "");
}
