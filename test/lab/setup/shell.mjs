// Running other programs, and saying what happens. Node >= 18 built-ins only: this runs before any npm package is there.
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** One line for the person who waits. */
export function say(line) {
  process.stderr.write(`setup: ${line}\n`);
}

/** A reason to stop that needs no stack trace. */
export class Stop extends Error {}

/** Runs a step, and says how long it took when that was worth a word. */
export async function timed(what, step) {
  say(`${what} …`);
  const begin = Date.now();
  const result = await step().catch((error) => {
    say(`${what}: failed`);
    throw error;
  });
  say(`${what}: done in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
  return result;
}

/** The full path of a program, or undefined. System folders count, though a plain user's PATH lacks them. */
export function which(name) {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find(executable);
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a program to its end and returns its output; fails with what it said. */
export function run(command, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    let stdout = "";
    let all = "";
    child.stdout.on("data", (data) => {
      stdout += data;
      all += data;
    });
    child.stderr.on("data", (data) => {
      all += data;
    });
    child.on("error", fail);
    child.on("close", (code, signal) => {
      if (code === 0) return done(stdout);
      const lines = all.trim().split("\n");
      const told = lines.length > 60 ? [...lines.slice(0, 30), "…", ...lines.slice(-30)] : lines;
      fail(
        new Stop(`${command} ${args.join(" ")}\nended with ${signal ?? `code ${code}`}:\n${told.join("\n")}`),
      );
    });
  });
}

/** Runs a program in the foreground, on our own terminal, and returns its exit code. Ctrl-C reaches it and us. */
export function foreground(command, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: "inherit", ...options });
    const ignore = () => {};
    process.on("SIGINT", ignore);
    child.on("error", fail);
    child.on("close", (code) => {
      process.off("SIGINT", ignore);
      done(code ?? 1);
    });
  });
}

/** The frame of every command: a Stop prints its message only. */
export async function main(job) {
  try {
    process.exitCode = (await job()) ?? 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Stop ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}
