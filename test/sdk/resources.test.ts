// The classes as a program uses them, against Pulumi's own mocks.
import { remote, type types } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { hostSchema } from "../../provider/host-args";
import { parseFields } from "../../provider/schema";
import {
  Bridge,
  type Connection,
  DhcpDns,
  filterref,
  KernelModules,
  NftSet,
  NftTable,
  NwFilter,
  NwFilterBinding,
  nft,
  PolicyRoute,
  type SshOptions,
  Sysctl,
  Vlan,
  Vrf,
} from "../../sdk";
import { usedName } from "../../sdk/nft-table";
import type { Args } from "../../sdk/resource";
import { examples } from "../provider/examples";

type Props = Record<string, unknown>;
interface Sent {
  readonly type: string;
  readonly name: string;
  readonly inputs: Props;
}

interface Monitor {
  registerResource(
    request: { getType(): string; getName(): string; getObject(): { toJavaScript(): Props } },
    callback: unknown,
  ): unknown;
}

const sent: Sent[] = [];
/** What the provider answers beside the inputs. */
let answer: Props = {};

beforeAll(async () => {
  const newResource = ({ name, inputs }: pulumi.runtime.MockResourceArgs) => ({
    id: `id of ${name}`,
    state: { ...inputs, ...answer },
  });
  await pulumi.runtime.setMocks({ newResource, call: () => ({}) }, "net", "dev");
  // What goes over the wire: the mocks see the whole of an object as a secret where one thing in it is.
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor;
  const register = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, callback) => {
    sent.push({
      type: request.getType(),
      name: request.getName(),
      inputs: request.getObject().toJavaScript(),
    });
    return register(request, callback);
  };
});
beforeEach(() => {
  sent.length = 0;
  answer = {};
});

const known = <T>(output: pulumi.Output<T>): Promise<T> => new Promise((resolve) => output.apply(resolve));
const classes = {
  Bridge,
  Vlan,
  Vrf,
  PolicyRoute,
  NftTable,
  NftSet,
  Sysctl,
  KernelModules,
  NwFilter,
  NwFilterBinding,
  DhcpDns,
} as unknown as Record<
  string,
  new (
    name: string,
    args: object,
    opts?: pulumi.CustomResourceOptions,
  ) => pulumi.CustomResource
>;
const host = { connection: { host: "10.0.0.5" } };
/** How a secret is written on the wire. */
const isSecret = (value: unknown): boolean =>
  (value as Props)?.[pulumi.runtime.specialSigKey] === pulumi.runtime.specialSecretSig;
async function made(resource: pulumi.CustomResource): Promise<Sent> {
  await known(resource.urn);
  return sent.at(-1)!;
}

test("type tokens and provider code, as they stand in users' state for ever", async () => {
  const pinned: Record<string, string> = {};
  for (const { kind, args } of examples) {
    const { type, inputs } = await made(new classes[kind]!(`r-${kind}`, { ...host, ...args }));
    pinned[type] = inputs.__provider as string;
  }
  expect(pinned).toEqual({
    "pulumi-nodejs:dynamic/hostnet:Bridge": "exports.handler=()=>require('pulumi-hostnet/v1').bridge;",
    "pulumi-nodejs:dynamic/hostnet:Vlan": "exports.handler=()=>require('pulumi-hostnet/v1').vlan;",
    "pulumi-nodejs:dynamic/hostnet:Vrf": "exports.handler=()=>require('pulumi-hostnet/v1').vrf;",
    "pulumi-nodejs:dynamic/hostnet:PolicyRoute":
      "exports.handler=()=>require('pulumi-hostnet/v1').policyRoute;",
    "pulumi-nodejs:dynamic/hostnet:NftTable": "exports.handler=()=>require('pulumi-hostnet/v1').nftTable;",
    "pulumi-nodejs:dynamic/hostnet:NftSet": "exports.handler=()=>require('pulumi-hostnet/v1').nftSet;",
    "pulumi-nodejs:dynamic/hostnet:Sysctl": "exports.handler=()=>require('pulumi-hostnet/v1').sysctl;",
    "pulumi-nodejs:dynamic/hostnet:DhcpDns": "exports.handler=()=>require('pulumi-hostnet/v1').dhcpDns;",
    "pulumi-nodejs:dynamic/hostnet:KernelModules":
      "exports.handler=()=>require('pulumi-hostnet/v1').kernelModules;",
    "pulumi-nodejs:dynamic/hostnet:NwFilter": "exports.handler=()=>require('pulumi-hostnet/v1').nwFilter;",
    "pulumi-nodejs:dynamic/hostnet:NwFilterBinding":
      "exports.handler=()=>require('pulumi-hostnet/v1').nwFilterBinding;",
  });
});

test("the classes that there are have an example here", async () => {
  const sdk = await import("../../sdk");
  const resources = Object.entries(sdk).filter(
    ([, value]) => typeof value === "function" && value.prototype instanceof pulumi.CustomResource,
  );
  expect(resources.map(([name]) => name).sort()).toEqual(examples.map(({ kind }) => kind).sort());
});

test.each(examples.map((example) => [example.kind, example] as const))(
  "%s: what is given is sent, with the name and the URN, and nothing else",
  async (kind, { args }) => {
    const { name, inputs } = await made(
      new classes[kind]!("some-name", { ...host, persist: false, ...args }),
    );
    expect(name).toBe("some-name");
    const { __provider, ...rest } = inputs;
    expect(rest).toEqual({
      connection: { host: "10.0.0.5" },
      persist: false,
      ...args,
      __owner: `urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:${kind}::some-name`,
      __resource: "some-name",
    });
  },
);

test("the owner is the URN, also below a component", async () => {
  class Site extends pulumi.ComponentResource {
    constructor(name: string) {
      super("my:net:Site", name);
    }
  }
  const parent = new Site("home");
  const lan = new Bridge("lan", host, { parent });
  const { inputs } = await made(lan);
  expect(inputs.__owner).toBe("urn:pulumi:dev::net::my:net:Site$pulumi-nodejs:dynamic/hostnet:Bridge::lan");
  expect(inputs.__owner).toBe(await known(lan.urn));
});

test("children of one component do not wait for each other", async () => {
  const parent = new pulumi.ComponentResource("my:net:Site", "two");
  const all = ["a", "b"].map((name) => new Bridge(name, host, { parent }));
  expect(await known(pulumi.all(all.map(({ urn }) => urn)))).toHaveLength(2);
});

test.each<[pulumi.CustomResourceOptions, RegExp]>([
  [{ import: "br0" }, /^Bridge "lan": the option import does not work here: adopt: "identical"/],
  [{ id: "br0" }, /^Bridge "lan": the option id does not work here: adopt: "identical"/],
  [{ replaceOnChanges: ["mtu"] }, /^Bridge "lan": the option replaceOnChanges .* pulumi up --replace/],
])("what the engine cannot do for a dynamic resource is refused: %j", (options, reason) => {
  expect(() => new Bridge("lan", host, options)).toThrow(reason);
});

describe("secrets of the connection", () => {
  const connection: Connection = {
    host: "10.0.0.5",
    port: 2222,
    user: "admin",
    password: "p1",
    privateKey: "p2",
    privateKeyPassword: "p3",
    hostKey: "ssh-ed25519 A",
    proxy: { host: "jump", password: "p4", user: "j" },
  };
  const wrapped = (inputs: Props) => {
    const { proxy, ...own } = inputs.connection as Props;
    const secret = (of: object) =>
      Object.entries(of).flatMap(([key, value]) => (isSecret(value) ? [key] : []));
    return [isSecret(inputs.connection), secret(own), isSecret(proxy), secret(proxy as object)];
  };
  const expected = [false, ["password", "privateKey", "privateKeyPassword"], false, ["password"]];

  test.each([
    ["plain", connection],
    ["an Output", pulumi.output(connection)],
    ["a promise", Promise.resolve(connection)],
    [
      "with Outputs in it",
      {
        ...connection,
        host: pulumi.output("10.0.0.5"),
        password: pulumi.output("p1"),
        proxy: pulumi.output(connection.proxy),
      },
    ],
    ["with secrets in it", { ...connection, password: pulumi.secret("p1") }],
  ])("are wrapped one by one, and the host stays readable: %s", async (_how, given) => {
    const { inputs } = await made(new Bridge("b", { connection: given as Connection }));
    expect(wrapped(inputs)).toEqual(expected);
    const shown = inputs.connection as Props;
    expect([shown.host, shown.user, (shown.proxy as Props).host]).toEqual(["10.0.0.5", "admin", "jump"]);
  });

  const jump = { host: "jump", password: "p5", privateKey: "p6" };
  test.each<[string, SshOptions]>([
    ["plain", { sudo: true, jumps: [jump, jump] }],
    [
      "Outputs in it",
      { sudo: true, jumps: [pulumi.output(jump), { ...jump, password: pulumi.output("p5") }] },
    ],
    ["an Output of jumps", { sudo: true, jumps: pulumi.output([jump, jump]) }],
  ])("so are those of ssh.jumps: %s", async (_how, ssh) => {
    const { inputs } = await made(new Bridge("b", { connection, ssh }));
    const shown = inputs.ssh as { sudo: unknown; jumps: Props[] };
    expect([isSecret(shown), shown.sudo, isSecret(shown.jumps)]).toEqual([false, true, false]);
    expect(
      shown.jumps.map(({ host, password, privateKey }) => [host, isSecret(password), isSecret(privateKey)]),
    ).toEqual([
      ["jump", true, true],
      ["jump", true, true],
    ]);
  });

  test("what is absent is not sent at all: a secret of nothing would arrive as null", async () => {
    const { inputs } = await made(
      new Bridge("b", {
        connection: { host: "h", password: undefined, privateKey: undefined, proxy: undefined },
      }),
    );
    expect(inputs.connection).toEqual({ host: "h" });
  });

  test("in any other field they are warned of, for they end up in clear", async () => {
    const warn = jest.spyOn(pulumi.log, "warn").mockResolvedValue();
    const told = async (addresses: pulumi.Input<string>[]) => {
      warn.mockClear();
      await made(new Bridge("b", { connection, ssh: { jumps: [jump] }, addresses }));
      return warn.mock.calls.map(([text]) => text);
    };
    expect(await told(["10.0.0.1/24", pulumi.output("10.0.0.2/24")])).toEqual([]);
    expect(await told(["10.0.0.1/24", pulumi.secret("10.0.0.2/24")])).toEqual([
      "a secret stands in its fields: on the host and in the state it is readable",
    ]);
    warn.mockRestore();
  });

  test("nothing else is a secret", async () => {
    const { inputs } = await made(new Sysctl("s", { connection, settings: { "net.ipv4.ip_forward": 1 } }));
    expect(Object.entries(inputs).filter(([, value]) => isSecret(value))).toEqual([]);
  });
});

test("one connection object serves @pulumi/command and us, with every field that it has", async () => {
  const server = {
    host: "10.0.0.5",
    port: 22,
    user: "root",
    password: "p",
    privateKey: "k",
    privateKeyPassword: "kp",
    agentSocketPath: "/a",
    hostKey: "ssh-ed25519 A",
    dialErrorLimit: -1,
    perDialTimeout: 0,
  };
  const connection: types.input.remote.ConnectionArgs = { ...server, proxy: server };
  const theirs = await made(new remote.Command("c", { connection, create: "true" }));
  const ours = await made(new Bridge("b", { connection }));
  const plain = (value: unknown) =>
    JSON.parse(JSON.stringify(value, (_key, v) => (isSecret(v) ? (v as Props).value : v)));
  expect(plain(ours.inputs.connection)).toEqual(connection);
  expect(Object.keys(plain(theirs.inputs.connection)).sort()).toEqual(Object.keys(connection).sort());
  expect(parseFields(hostSchema, { connection: plain(ours.inputs.connection) }).problems).toEqual([]);
});

describe("outputs", () => {
  test("what the host adds", async () => {
    answer = { ifindex: 7, macAddress: "02:00:00:00:00:01", drift: ["mtu: 1 instead of 2"] };
    const lan = new Bridge("lan", { ...host, name: "br0", addresses: ["10.1.0.1/24"] });
    expect(
      await known(pulumi.all([lan.name, lan.ifindex, lan.macAddress, lan.addresses, lan.drift])),
    ).toEqual([...["br0", 7, "02:00:00:00:00:01", ["10.1.0.1/24"], ["mtu: 1 instead of 2"]]]);
    answer = { name: "vrf", ifindex: 8, table: 100 };
    const vrf = new Vrf("vrf", { ...host, table: 100 });
    expect(await known(pulumi.all([vrf.name, vrf.ifindex, vrf.table]))).toEqual(["vrf", 8, 100]);
    answer = { name: "fw", listing: "table inet fw {\n}\n" };
    const table = new NftTable("fw", { ...host, family: "inet" });
    expect(await known(pulumi.all([table.name, table.family, table.listing]))).toEqual([
      "fw",
      "inet",
      "table inet fw {\n}\n",
    ]);
    answer = { name: "s", settings: { "net.ipv4.ip_forward": "1" } };
    const sysctl = new Sysctl("s", { ...host, settings: { "net/ipv4/ip_forward": 1 } });
    expect(await known(pulumi.all([sysctl.name, sysctl.settings]))).toEqual([
      "s",
      { "net.ipv4.ip_forward": "1" },
    ]);
    answer = { name: "m", modules: ["br_netfilter"] };
    const modules = new KernelModules("m", { ...host, modules: ["br-netfilter"] });
    expect(await known(pulumi.all([modules.name, modules.modules]))).toEqual(["m", ["br_netfilter"]]);
    answer = { name: "r" };
    const rule = new PolicyRoute("r", { ...host, family: "ipv4", priority: 5, table: 7 });
    expect(await known(pulumi.all([rule.name, rule.family, rule.priority, rule.table]))).toEqual([
      "r",
      "ipv4",
      5,
      7,
    ]);
  });

  test("warnings are told on each run", async () => {
    const warn = jest.spyOn(pulumi.log, "warn").mockResolvedValue();
    answer = { warnings: ["docker drops it", "so does ufw"] };
    const table = new NftTable("fw", { ...host, family: "inet" });
    expect(await known(table.warnings)).toEqual(answer.warnings);
    expect(warn.mock.calls).toEqual([
      ["docker drops it", table],
      ["so does ufw", table],
    ]);
    warn.mockClear();
    answer = {};
    await known(new NftTable("quiet", { ...host, family: "inet" }).warnings);
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
  });

  test.each(examples.map(({ kind, args }) => [kind, args] as const))(
    "%s: every declared output is one, also where the program does not give it",
    (kind, args) => {
      const declared: Record<string, string[]> = {
        Bridge: ["name", "ifindex", "macAddress", "addresses"],
        Vlan: ["name", "link", "vlanId", "ifindex"],
        Vrf: ["name", "table", "ifindex"],
        PolicyRoute: ["name", "family", "priority", "table"],
        NftTable: ["family", "name", "listing"],
        NftSet: ["family", "table", "name"],
        Sysctl: ["name", "settings"],
        KernelModules: ["name", "modules"],
        NwFilter: ["name", "uuid", "xml"],
        NwFilterBinding: ["portDev", "macAddress", "filter"],
        DhcpDns: ["interface", "domain"],
      };
      const needed = [
        "interface",
        "link",
        "vlanId",
        "table",
        "family",
        "priority",
        "settings",
        "modules",
        "portDev",
        "macAddress",
        "filter",
      ].filter((key) => key in args);
      const resource = new classes[kind]!("o", {
        ...host,
        ...Object.fromEntries(needed.map((key) => [key, args[key]])),
      }) as unknown as Props;
      for (const key of [...declared[kind]!, "drift", "warnings"])
        expect([key, pulumi.Output.isInstance(resource[key])]).toEqual([key, true]);
    },
  );
});

test("an output of one is an input of the next", async () => {
  answer = { name: "br0" };
  const lan = new Bridge("lan", { ...host, name: "br0" });
  answer = {};
  const { inputs } = await made(
    new NftTable("fw", {
      ...host,
      family: "inet",
      chains: { c: { rules: [pulumi.interpolate`iifname ${lan.name} accept`] } },
    } as unknown as Args<object> & { family: "inet" }),
  );
  expect(JSON.stringify(inputs.chains)).toContain("iifname br0 accept");
});

describe("an NftSet in a rule", () => {
  const inFw = { ...host, family: "inet" as const, table: "fw", type: "ipv4_addr" };
  const chains = (rule: pulumi.Input<string>) => ({ c: { rules: [rule, "accept"] } });

  test("becomes its name, and a set that the table uses, beside those that are said", async () => {
    const banned = new NftSet("banned", { ...inFw, name: "banned" });
    const rules = chains(nft`ip saddr ${banned} drop`);
    const { inputs } = await made(
      new NftTable("fw", { ...host, family: "inet", name: "fw", uses: ["more"], chains: rules }),
    );
    expect(inputs.uses).toEqual(["more", "banned"]);
    expect((inputs.chains as typeof rules).c.rules).toEqual(["ip saddr @banned drop", "accept"]);
    expect(Object.keys(banned)).not.toContain("__hostnet");
  });

  test("of another table is refused, with what to write", () => {
    expect(() => usedName("other", ["inet", "fw", "banned"], ["ip", "other"])).toThrow(
      /names the set banned, which is in the table inet fw, not in ip other: .* with family: "ip", table: "other"/,
    );
    expect(usedName("fw", ["inet", "fw", "banned"], ["inet", "fw"])).toBe("banned");
    expect(() => usedName("renamed", ["inet", "fw", "banned"], ["inet", "renamed"])).toThrow(
      /table: "renamed"; or the NftTable with name: "fw", if the table is called so by now$/,
    );
  });

  test("cannot wait for the table: neither the NftTable nor its name is a table", () => {
    const fw = new NftTable("fw", { ...host, family: "inet" });
    const plain = /comes before the rules that use it.*Write the table's plain name, as table: "fw"/;
    for (const table of [fw, fw.name, pulumi.interpolate`${fw.name}`])
      expect(() => new NftSet("s", { ...inFw, table: table as never })).toThrow(plain);
    expect(() => new NftSet("s", { ...inFw, family: fw.family as never })).toThrow(/family: "inet"/);
  });

  test("a text that looks like one, and a list of them, are refused with what to write", () => {
    expect(() => nft`ip saddr ${"@banned"} drop`).toThrow(
      /write the NftSet itself, \$\{banned\}, or .* @\$\{"banned"\}/,
    );
    expect(() => nft`ip saddr ${[nft.raw("@a"), nft.raw("@b")]} drop`).toThrow(/a rule for each set/);
  });
});

describe("filterref", () => {
  test("is the element of a domain's interface, with known and unknown values", async () => {
    expect(await known(filterref("clean-traffic"))).toBe("<filterref filter='clean-traffic'/>");
    const filter = new NwFilter("web", { ...host, name: "web", entries: [] });
    const element = filterref(filter.name, {
      MAC: "52:54:00:00:00:05",
      IP: pulumi.output(["10.0.0.5", "10.0.0.6"]),
    });
    expect(await known(element)).toBe(
      [
        "<filterref filter='web'>",
        "  <parameter name='IP' value='10.0.0.5'/>",
        "  <parameter name='IP' value='10.0.0.6'/>",
        "  <parameter name='MAC' value='52:54:00:00:00:05'/>",
        "</filterref>",
      ].join("\n"),
    );
  });
});
