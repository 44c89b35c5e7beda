// check and diff of every kind in the real provider process, on the compiled package: what a preview does.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { UNKNOWN } from "../../provider/schema";
import * as sources from "../../provider/v1";
import { compiled } from "../compiled";
import { type Example, examples } from "./examples";
import { NODE, ProviderProcess, project } from "./process";

type Props = Record<string, unknown>;

let provider: ProviderProcess;
beforeAll(async () => {
  compiled();
  provider = await new ProviderProcess().start({ "hostnet:password": "s3cret", "net:other": "x" });
}, 60_000);
afterAll(() => provider.stop());

// With a name of its own for each test: two resources for one object are refused in a run.
let count = 0;
const inputs = ({ kind, code, args }: Example, more: Props = {}): Props => ({
  connection: { host: `h${count++}.example`, user: "root", port: 22, hostKey: "ssh-ed25519 AAAA" },
  ssh: { sudo: { command: "doas" }, knownHosts: "/k" },
  adopt: "identical",
  persist: true,
  ...args,
  ...more,
  __provider: code,
  __owner: `urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:${kind}::r`,
  __resource: "r",
});
const own = ({ args }: Example, checked: Props): Props =>
  Object.fromEntries(Object.entries(checked).filter(([key]) => key in args));
/** As after a create: the canonical inputs, and what the hidden output keeps. */
const outputs = (example: Example, checked: Props): Props => ({
  ...checked,
  drift: [],
  __last: { desired: own(example, checked), incarnation: "1", machineId: "2" },
});

/** Every place in a structure, as paths. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  const inner = Array.isArray(value)
    ? [...value.entries()]
    : typeof value === "object" && value !== null
      ? Object.entries(value)
      : [];
  return [...(path.length > 0 ? [path] : []), ...inner.flatMap(([key, v]) => places(v, [...path, key]))];
}
function placed(value: unknown, [head, ...rest]: (string | number)[], what: unknown): unknown {
  if (head === undefined) return what;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  copy[head] = placed(copy[head], rest, what);
  return copy;
}

test("every kind of the stable entry has its example, and none has gone", () => {
  expect(Object.keys(sources).sort()).toEqual([
    "bridge",
    "dhcpDns",
    "kernelModules",
    "nftSet",
    "nftTable",
    "nwFilter",
    "nwFilterBinding",
    "policyRoute",
    "sysctl",
    "vlan",
    "vrf",
  ]);
  expect(examples.map(({ code }) => /\.(\w+);$/.exec(code)![1]).sort()).toEqual(Object.keys(sources).sort());
});

describe.each(examples.map((example) => [example.kind, example] as const))("%s", (_kind, example) => {
  test("check takes all of it, and what it returns stands", async () => {
    const news = inputs(example);
    const first = await provider.check({}, news);
    expect(first.failures).toEqual([]);
    expect(first.inputs).toMatchObject({
      connection: news.connection,
      ssh: news.ssh,
      adopt: "identical",
      __owner: news.__owner,
    });
    expect(Object.keys(first.inputs).sort()).toEqual(
      expect.arrayContaining(
        Object.keys(example.args)
          .filter((key) => key !== "dormant")
          .sort(),
      ),
    );
    expect(await provider.check(first.inputs, first.inputs)).toEqual(first);
  });

  test("no change is no change, and neither are a new owner and a new text of the provider code", async () => {
    const { inputs: checked } = await provider.check({}, inputs(example));
    const olds = outputs(example, checked);
    const none = { changes: false, replaces: [], deleteBeforeReplace: example.deleteBeforeReplace };
    expect(await provider.diff(olds, checked)).toEqual(none);
    expect(
      await provider.diff(olds, { ...checked, __owner: "urn:pulumi:dev::net::x", __resource: "y" }),
    ).toEqual(none);
    expect(await provider.diff({ ...olds, __provider: "exports.handler=()=>1;" }, checked)).toEqual(none);
  });

  test("a change of any field is a change; that of the identity, and no other, replaces", async () => {
    const { inputs: checked } = await provider.check({}, inputs(example));
    const olds = outputs(example, checked);
    for (const key of Object.keys(own(example, checked))) {
      const others = [
        { ...checked, [key]: "something else" },
        Object.fromEntries(Object.entries(checked).filter(([k]) => k !== key)),
      ];
      for (const news of others) {
        expect([key, await provider.diff(olds, news)]).toEqual([
          key,
          {
            changes: true,
            replaces: example.identity.includes(key) ? [key] : [],
            deleteBeforeReplace: example.deleteBeforeReplace,
          },
        ]);
      }
    }
  });

  test("how the host is reached is a change, and never replaces", async () => {
    const { inputs: checked } = await provider.check({}, inputs(example));
    const olds = outputs(example, checked);
    const others: Props[] = [
      { connection: { host: "other.example" } },
      { connection: { ...(checked.connection as object), password: "p" } },
      { ssh: { sudo: true } },
      { adopt: "overwrite" },
      { persist: false },
      { acceptMachine: "f".repeat(32) },
    ];
    for (const other of others) {
      expect([other, await provider.diff(olds, { ...checked, ...other })]).toMatchObject([
        other,
        { changes: true, replaces: [] },
      ]);
    }
  });

  test("drift that a refresh found is a change", async () => {
    const { inputs: checked } = await provider.check({}, inputs(example));
    const olds = { ...outputs(example, checked), drift: ["mtu: 1 instead of 2"] };
    expect(await provider.diff(olds, checked)).toMatchObject({ changes: true, replaces: [] });
  });

  test("an unknown value may stand anywhere, in check and in diff", async () => {
    const { inputs: checked } = await provider.check({}, inputs(example));
    const olds = outputs(example, checked);
    const whole = inputs(example);
    const paths = places(example.args).concat(places({ connection: whole.connection, ssh: whole.ssh }), [
      ["adopt"],
      ["persist"],
      ["acceptMachine"],
      ["__owner"],
    ]);
    expect(paths.length).toBeGreaterThan(10);
    for (const path of paths) {
      const news = placed(inputs(example), path, UNKNOWN) as Props;
      const answer = await provider.check(checked, news);
      expect([path, answer.failures]).toEqual([path, []]);
      const at = path.reduce<unknown>(
        (value, key) => (value as Record<string | number, unknown>)[key],
        answer.inputs,
      );
      expect([path, at]).toEqual([path, UNKNOWN]);
      const [field] = path as [string];
      if (field === "__owner") continue;
      expect([path, await provider.diff(olds, answer.inputs)]).toEqual([
        path,
        {
          changes: true,
          replaces: example.identity.includes(field) ? [field] : [],
          deleteBeforeReplace: example.deleteBeforeReplace,
        },
      ]);
    }
  });

  test("what is wrong is told on its property; nothing of it is sent, and nothing is thrown", async () => {
    const wrong = inputs(example, { nope: 1 });
    const { failures } = await provider.check(
      {},
      { ...wrong, connection: { host: "h", hots: "x", password: 31337 } },
    );
    expect(failures.map((failure) => failure.split(":")[0]).sort()).toEqual([
      "connection.hots",
      "connection.password",
      "nope",
    ]);
    expect(failures.join()).not.toContain("31337");
    const bare = { __provider: example.code, __owner: "urn:x", __resource: "r\n" };
    const { failures: none } = await provider.check({}, bare);
    expect(none).toContain("connection: is required");
    expect(none.length).toBeGreaterThan(1);
  });
});

test("the name is the program's, else the old one, else the resource's: an alias renames nothing on the host", async () => {
  const bridge = examples[0]!;
  const nameless = (resource: string) => {
    const { name, ...rest } = inputs(bridge) as { name: string; __owner: string };
    return { ...rest, __owner: `${rest.__owner}-${resource}`, __resource: resource };
  };
  expect((await provider.check({}, nameless("lan"))).inputs.name).toBe("lan");
  const { inputs: olds } = await provider.check({}, nameless("lan"));
  expect((await provider.check(olds, nameless("office"))).inputs.name).toBe("lan");
  expect((await provider.check({}, nameless("office"))).inputs.name).toBe("lan");
  expect((await provider.check(olds, { ...nameless("office"), name: "wan" })).inputs.name).toBe("wan");
  expect((await provider.check({}, nameless("no interface"))).failures).toEqual([
    expect.stringMatching(/^name: "no interface": is no interface name/),
  ]);
});

test("a state of a foreign hand is refused in a sentence", async () => {
  const { inputs: checked } = await provider.check({}, inputs(examples[0]!));
  await expect(provider.diff(checked, checked)).rejects.toThrow(
    "the state of this resource was not written by pulumi-hostnet",
  );
});

test("check and diff load neither Pulumi nor SSH", () => {
  const folder = project();
  const program = `
    const { ${Object.keys(sources).join(", ")} } = require("pulumi-hostnet/v1");
    const kinds = { ${Object.keys(sources).join(", ")} };
    (async () => {
      for (const { code, news, own } of JSON.parse(process.argv[1])) {
        const kind = kinds[/\\.(\\w+);$/.exec(code)[1]];
        await kind.configure({ config: { get: (key) => (key === "hostnet:check" ? undefined : "x") } });
        const { inputs, failures } = await kind.check({}, news);
        if (failures.length > 0) throw new Error(JSON.stringify(failures));
        const { changes } = await kind.diff("id", { ...inputs, __last: { desired: {} } }, inputs);
        if (!changes) throw new Error("no changes");
      }
      console.log(JSON.stringify(Object.keys(require.cache)));
    })();`;
  const given = JSON.stringify(examples.map((example) => ({ code: example.code, news: inputs(example) })));
  const { stdout, stderr } = spawnSync(NODE, ["-e", program, given], { cwd: folder, encoding: "utf8" });
  expect(stderr).toBe("");
  const loaded = (JSON.parse(stdout) as string[]).map((path) => path.split("/node_modules/").at(-1)!);
  expect(loaded.some((path) => path.startsWith("zod/"))).toBe(true);
  expect(loaded.filter((path) => /^(@pulumi|node-ssh|ssh2|ssh2-streams|@grpc)\//.test(path))).toEqual([]);
  rmSync(folder, { recursive: true });
});

describe("hostnet:check", () => {
  const table = examples.find(({ kind }) => kind === "NftTable")!;
  const ruled = (...rules: string[]) => {
    const chains = { c: { type: "filter", hook: "input", priority: 0, rules } };
    return inputs({ ...table, args: { family: "inet", name: "checked", chains } });
  };
  const checked = async (config: Props, news: Props) => {
    const other = await new ProviderProcess().start(config);
    try {
      return (await other.check({}, news)).failures;
    } finally {
      await other.stop();
    }
  };

  test("nft: a typo is told on its rule; without the setting, nobody asks nft", async () => {
    const news = ruled("accept", "tcp dport 70000 accept");
    expect((await provider.check({}, news)).failures).toEqual([]);
    expect(await checked({ "hostnet:check": "nft" }, news)).toEqual([
      "chains.c.rules[1]: Service out of range\ntcp dport 70000 accept\n          ^^^^^",
    ]);
    expect(await checked({ "hostnet:check": "nft" }, ruled("accept", "tcp dport 7000 accept"))).toEqual([]);
  });

  test("nft: a value that is not known yet leaves the resource to up", async () => {
    expect(await checked({ "hostnet:check": "nft" }, ruled("tcp dport 70000 accept", UNKNOWN))).toEqual([]);
  });
});

test("nothing of all this was printed, but for the one error", () => {
  expect(
    provider.output.replaceAll(
      /^.*the state of this resource was not written by pulumi-hostnet\n(.+\n)*/gm,
      "",
    ),
  ).toBe("");
});
