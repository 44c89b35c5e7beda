// A host of the lab for as long as a command runs.
import { spawn } from "node:child_process";
import { typescript } from "./npm.mjs";
import { Stop, timed } from "./shell.mjs";

/** Starts one, or attaches to the one that is up. Returns its state file, and how to give it back. */
export function holdHost() {
  return timed("starting a host of the lab", () => {
    const holder = spawn("node", [...typescript, "test/lab/hold.ts"], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = new Promise((end) => holder.once("close", end));
    const release = () => {
      holder.stdin.end();
      return ended;
    };
    return new Promise((done, fail) => {
      holder.stdout.once("data", (line) => done({ state: String(line).trim(), release }));
      holder.once("error", fail);
      holder.once("close", () => fail(new Stop("no host of the lab")));
    });
  });
}
