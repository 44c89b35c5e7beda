// The real provider process against a real SSH server: one connection, credentials from the configuration, no secret anywhere.
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compiled } from "../compiled";
import { Host } from "../host/server";
import { LocalHost } from "../local-host";
import { ProviderProcess } from "./process";

type Props = Record<string, unknown>;

const PASSWORD = "c4nary-of-the-configuration";
const INLINE = "c4nary-in-the-connection";

const spaces = new LocalHost();
const log = join(spaces.folder, "log");
let server: Host;
let provider: ProviderProcess;

beforeAll(async () => {
  compiled();
  await spaces.ready();
  // What comes in by SSH runs in the namespaces of the local host.
  const shell = join(spaces.folder, "shell");
  writeFileSync(shell, `#!/bin/sh\nexec nsenter ${spaces.enter().join(" ")} sh "$@"\n`);
  chmodSync(shell, 0o755);
  server = await new Host({
    shell,
    authenticate: (attempt) => {
      const right = attempt.method === "password" && [PASSWORD, INLINE].includes(attempt.password);
      if (right) attempt.accept();
      else attempt.reject(["password"]);
    },
  }).listen();
}, 60_000);
beforeEach(async () => {
  rmSync(log, { force: true });
  provider = await new ProviderProcess().start({ "hostnet:password": PASSWORD }, { HOSTNET_LOG: log });
});
afterEach(async () => {
  await provider.stop();
  expect(provider.output).not.toContain("c4nary");
});
afterAll(async () => {
  await server.close();
  spaces.close();
});

function news(kind: "Bridge" | "Sysctl", name: string, args: Props, connection: Props = {}): Props {
  return {
    connection: {
      host: "127.0.0.1",
      port: server.port,
      hostKey: server.hostKey.public,
      agentSocketPath: "",
      ...connection,
    },
    ...args,
    __provider: `exports.handler=()=>require('pulumi-hostnet/v1').${kind.toLowerCase()};`,
    __owner: `urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:${kind}::${name}`,
    __resource: name,
  };
}
async function create(kind: "Bridge" | "Sysctl", name: string, args: Props, connection?: Props) {
  const { inputs, failures } = await provider.check({}, news(kind, name, args, connection));
  expect(failures).toEqual([]);
  return provider.create(inputs);
}

test("a whole life over one connection, with the password of the configuration, from the first two calls on", async () => {
  const connections = server.tcpConnections;
  const [lan, wan, on] = await Promise.all([
    create("Bridge", "lan", { addresses: ["10.1.0.1/24"] }),
    create("Bridge", "wan", {}),
    create("Sysctl", "on", { settings: { "net.ipv4.ip_forward": 1 } }),
  ]);
  // One for all, and one that confirms: forwarding may cut the way.
  expect(server.tcpConnections - connections).toBe(2);
  expect(server.attempts.filter((method) => method === "password")).toHaveLength(2);
  expect([lan!.id, wan!.id, on!.id]).toEqual(["lan", "wan", "on"]);
  expect(spaces.sh("ip -o -4 addr show dev lan; cat /proc/sys/net/ipv4/ip_forward")).toMatch(
    /10\.1\.0\.1\/24.*\n1\n/,
  );

  // What the engine keeps in clear: neither password nor undefined.
  const kept = JSON.stringify([lan, wan, on]);
  expect(kept).not.toContain("c4nary");
  expect(lan!.outputs).toMatchObject({
    __provider: expect.any(String),
    name: "lan",
    ifindex: expect.any(Number),
    drift: [],
  });
  expect(spaces.sh("grep -r '' /etc/hostnet /run/hostnet")).not.toContain("c4nary");

  const { inputs } = await provider.check({}, news("Bridge", "lan", { addresses: ["10.1.0.2/24"] }));
  expect((await provider.diff(lan!.outputs, inputs)).changes).toBe(true);
  const updated = await provider.update("lan", lan!.outputs, inputs);
  spaces.sh("ip addr del 10.1.0.2/24 dev lan");
  const read = await provider.read("lan", updated);
  expect(read.outputs!.drift).toEqual(["addresses: 10.1.0.2/24 is missing"]);
  expect(read.inputs).toMatchObject({
    drift: ["addresses: 10.1.0.2/24 is missing"],
    __provider: inputs.__provider,
    connection: inputs.connection,
  });
  expect(JSON.stringify(read)).not.toContain("c4nary");

  await Promise.all([
    provider.delete("lan", read.outputs!),
    provider.delete("wan", wan!.outputs),
    provider.delete("on", on!.outputs),
  ]);
  expect(spaces.sh("ip -br link; cat /proc/sys/net/ipv4/ip_forward; ls -A /etc/hostnet")).toMatch(
    /^lo .*\n0\n$/,
  );
  expect(await provider.read("lan", read.outputs!)).toMatchObject({ id: "" });
  const scripts = readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).resources);
  expect(scripts.flat()).toContainEqual(expect.stringMatching(/^update Bridge "lan" \(urn:pulumi:dev::/));
  expect(readFileSync(log, "utf8")).not.toContain("c4nary");
  // Nothing opened a connection of its own but changes that had to be confirmed: over the loopback, which a forwarder may have
  // passed it to, all of links are.
  expect(server.tcpConnections - connections).toBe(6);
});

test("a password in the connection stands in the outputs under its own name alone", async () => {
  const made = await create("Bridge", "lan", {}, { password: INLINE });
  expect((made.outputs.connection as Props).password).toBe(INLINE);
  expect(JSON.stringify(made).split(INLINE)).toHaveLength(2);
  expect(spaces.sh("grep -r '' /etc/hostnet /run/hostnet")).not.toContain("c4nary");
  const read = await provider.read("lan", made.outputs);
  expect(JSON.stringify(read).split(INLINE)).toHaveLength(3);
  await provider.delete("lan", made.outputs);
});

test("an error names resource, host and reason, and no secret", async () => {
  const wrong = create("Bridge", "lan", {}, { password: `${INLINE}-of-old`, user: "admin" });
  await expect(wrong).rejects.toThrow(/Unable to create Bridge "lan" on admin@127\.0\.0\.1:\d+: /);
  await expect(wrong).rejects.not.toThrow("c4nary");
  await expect(create("Bridge", "lan", { ports: ["nope"] }, { password: INLINE })).rejects.toThrow(
    /Unable to create Bridge "lan" on root@127\.0\.0\.1:\d+: ports: nope does not exist on the host/,
  );
});

test("one call that fails does not end the process", async () => {
  await expect(create("Sysctl", "s", { settings: { "net.nope": 1 } })).rejects.toThrow(
    "settings.net.nope: the host has no such setting",
  );
  const made = await create("Sysctl", "s", { settings: { "net.ipv4.ip_forward": 1 } });
  await provider.delete("s", made.outputs);
});
