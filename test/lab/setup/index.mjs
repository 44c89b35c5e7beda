// Everything that the demo and the tests stand on, from a bare machine; each step is skipped when it is done already.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { booted } from "./booted.mjs";
import { cacheFolder } from "./cache.mjs";
import { pulumiCli } from "./cli.mjs";
import { compile } from "./compile.mjs";
import { image } from "./image.mjs";
import { kvmWorks } from "./kvm.mjs";
import { nftOf } from "./nft.mjs";
import { nodeOnPath, npmPackages, sayNode } from "./npm.mjs";
import { systemPackages } from "./system.mjs";

/** Which Debian the lab's host is; HOSTNET_SUITE=trixie is the next one. */
const suite = process.env.HOSTNET_SUITE ?? "bookworm";

/** All of it: packages, the compiled provider, the Pulumi CLI, the lab's image; for the tests, a newer nft. */
export async function setUp({ tests = false } = {}) {
  await systemPackages();
  await npmPackages();
  await nodeOnPath();
  await sayNode();
  // The CLI keeps the processors busy, the image mostly waits for the archive: side by side.
  const [pulumi, folder, nft] = await together(pulumiCli(), image(suite), tests && nftOf("trixie"));
  const [host] = await together(hostOf(folder), compile());
  return note({ ...host, pulumi, ...(nft && { nft: { trixie: nft } }) });
}

/** And what only `npm run faults` needs: hosts of the next Debian, and each nft for each. */
export async function setUpFaults() {
  const lab = await setUp({ tests: true });
  const next = await hostOf(await image("trixie"));
  const nft = { ...lab.nft, bookworm: await nftOf("bookworm") };
  note({ ...lab, nft });
  note({ ...lab, ...next, nft }, "trixie");
}

/** What a host of the lab alone needs. */
export async function setUpLab() {
  await systemPackages();
  await npmPackages();
  await nodeOnPath();
  return note(await hostOf(await image(suite)));
}

async function hostOf(image) {
  const kvm = await kvmWorks(image);
  return { image, kvm, booted: kvm ? undefined : await booted(image) };
}

/** Leaves what was found where test/lab/vm.ts looks for it. */
function note(found, of = suite) {
  const folder = join("node_modules", ".cache", "pulumi-hostnet");
  const file = join(folder, `lab-${of}.json`);
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
