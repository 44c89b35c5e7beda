// One operation of the real provider, in a process of its own that may be killed: { kind, verb, args } on stdin.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const { kind, verb, args, config } = JSON.parse(readFileSync(0, "utf8"));
const provider = require(join(__dirname, "..", "..", "dist", "provider", "v1.js"))[kind];
provider
  .configure({ config: { get: (key) => config[key] } })
  .then(() => provider[verb](...args))
  .then(
    (answer) => console.log(JSON.stringify(answer ?? {})),
    (error) => {
      console.error(error.message);
      process.exit(1);
    },
  );
