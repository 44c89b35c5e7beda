// Loaded into every Node process of `pulumi up` (NODE_OPTIONS): when it began and ended, and what loading our package cost.
const { appendFileSync } = require("node:fs");
const Module = require("node:module");
const { performance } = require("node:perf_hooks");

const WATCHED = ["pulumi-hostnet", "pulumi-hostnet/v1", "node-ssh", "@pulumi/pulumi"];
const loads = {};
const load = Module._load;
Module._load = function traced(request, ...rest) {
  if (!WATCHED.includes(request) || request in loads) return load.call(this, request, ...rest);
  const begin = performance.now();
  loads[request] = 0;
  const loaded = load.call(this, request, ...rest);
  loads[request] = performance.now() - begin;
  return loaded;
};

let written = false;
function write() {
  if (written) return;
  written = true;
  const { user, system } = process.cpuUsage();
  const line = {
    script: process.argv[1],
    begin: performance.timeOrigin,
    end: performance.timeOrigin + performance.now(),
    cpu: (user + system) / 1000,
    loads,
  };
  appendFileSync(process.env.BENCH_TRACE, `${JSON.stringify(line)}\n`);
}
process.on("exit", write);
// The engine ends its provider by a signal.
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    write();
    process.exit();
  });
}
