// Everything that the demo and the tests stand on, from a bare machine; each step is skipped when it is done already.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { booted } from "./booted.mjs";
import { cacheFolder } from "./cache.mjs";
import { pulumiCli } from "./cli.mjs";
import { compile } from "./compile.mjs";
import { image } from "./image.mjs";
import { kvmWorks } from "./kvm.mjs";
import { newerNft } from "./nft.mjs";
import { nodeOnPath, npmPackages, sayNode } from "./npm.mjs";
import { systemPackages } from "./system.mjs";

/** All of it: packages, the compiled provider, the Pulumi CLI, the lab's image; for the tests, a newer nft. */
export async function setUp({ tests = false } = {}) {
  await systemPackages();
  await npmPackages();
  await nodeOnPath();
  await sayNode();
  // The CLI keeps the processors busy, the image mostly waits for the archive: side by side.
  const [pulumi, folder, nft] = await together(pulumiCli(), image(), tests && newerNft());
  const [host] = await together(hostOf(folder), compile());
  return note({ ...host, pulumi, ...(nft && { nft }) });
}

/** What tests in namespaces of this machine need. */
export async function setUpTests() {
  await systemPackages();
  await npmPackages();
  await nodeOnPath();
  await compile();
}

/** What a host of the lab alone needs. */
export async function setUpLab() {
  await systemPackages();
  await npmPackages();
  await nodeOnPath();
  return note(await hostOf(await image()));
}

async function hostOf(image) {
  const kvm = await kvmWorks(image);
  return { image, kvm, booted: kvm ? undefined : await booted(image) };
}

/** Leaves what was found where test/lab/vm.ts looks for it. */
function note(found) {
  const folder = join("node_modules", ".cache", "pulumi-hostnet");
  const file = join(folder, "lab.json");
  const former = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { pulumi: [] };
  const lab = { ...former, cache: cacheFolder(), ...found };
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, `${JSON.stringify(lab, undefined, 2)}\n`);
  return lab;
}

/** Waits for all, also when one fails, so that none is cut off in the middle. */
async function together(...jobs) {
  const results = await Promise.allSettled(jobs);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
  return results.map((result) => result.value);
}
