import { lifecycle } from "../../provider/lifecycle";
import { sysctl } from "../../provider/sysctl";
import { LocalHost } from "../local-host";

const host = new LocalHost();
const provider = lifecycle(sysctl, host);
const urn = (stack: string, name: string) =>
  `urn:pulumi:${stack}::net::pulumi-nodejs:dynamic/hostnet:Sysctl::${name}`;

beforeAll(async () => {
  await host.ready();
  host.sh("ip link add name v1 type veth peer name v2 && ip link set dev v2 name v2.10");
});
afterAll(() => host.close());

const value = (key: string) => host.sh(`cat /proc/sys/net/${key}`).trim();
/** Every forwarding setting there is, and what goes with it: by a tool of its own. */
const snapshot = () =>
  host.sh("grep -rH '' /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | sort");

async function inputs(name: string, settings: object, stack = "dev") {
  const news = {
    connection: { host: "h" },
    __provider: "p",
    __owner: urn(stack, name),
    __resource: name,
    settings,
  };
  const checked = await provider.check({}, news);
  expect(checked.failures).toEqual([]);
  return checked.inputs;
}
const create = async (name: string, settings: object, stack?: string) =>
  provider.create(await inputs(name, settings, stack));

test("a setting lives its whole life", async () => {
  const { id, outs } = await create("a", {
    "net/ipv4/tcp_rmem": "4096  131072\t6291456",
    "net.ipv4.conf.v1.rp_filter": 2,
  });
  expect(id).toBe("a");
  expect(outs.settings).toEqual({
    "net.ipv4.conf.v1.rp_filter": "2",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
  });
  expect(value("ipv4/conf/v1/rp_filter")).toBe("2");

  host.sh("echo 1 >/proc/sys/net/ipv4/conf/v1/rp_filter");
  const read = await provider.read(id, outs);
  expect(read.props!.drift).toEqual(["settings.net.ipv4.conf.v1.rp_filter: 1 instead of 2"]);
  const back = await provider.update(id, read.props!, await inputs("a", outs.settings as object));
  expect(value("ipv4/conf/v1/rp_filter")).toBe("2");

  const less = await provider.update(
    id,
    back.outs,
    await inputs("a", { "net.ipv4.tcp_rmem": "4096 131072 6291456" }),
  );
  expect(value("ipv4/conf/v1/rp_filter")).toBe("0");
  await provider.delete(id, less.outs);
  expect(value("ipv4/tcp_rmem")).toBe("4096\t131072\t33554432");
  expect(host.sh("ls -A /etc/hostnet")).toBe("");
});

test("forwarding goes back on every device, and takes its companion along", async () => {
  host.sh("cd /proc/sys/net/ipv4/conf; echo 1 >v1/forwarding; echo 0 >all/accept_redirects");
  const before = snapshot();
  const first = await create("fwd", { "net.ipv4.ip_forward": 1, "net/ipv4/conf/v2.10/forwarding": 0 });
  expect(value("ipv4/conf/v1/forwarding")).toBe("1");
  expect(value("ipv4/conf/lo/forwarding")).toBe("1");
  expect(value("ipv4/conf/v2.10/forwarding")).toBe("0");
  expect(first.outs.settings).toEqual({ "net.ipv4.conf.v2/10.forwarding": "0", "net.ipv4.ip_forward": "1" });
  const second = await create("fwd2", { "net.ipv4.conf.all.forwarding": "1" }, "other");
  await provider.delete("fwd", first.outs);
  expect(value("ipv4/ip_forward")).toBe("1");
  await provider.delete("fwd2", second.outs);
  expect(snapshot()).toBe(before);
  expect(host.sh("ls -A /etc/hostnet")).toBe("");
});

test("another value for a claimed key is refused, naming who claims it", async () => {
  const first = await create("one", { "net.ipv4.ip_forward": 1 });
  await expect(create("two", { "net.ipv4.ip_forward": 0 }, "other")).rejects.toThrow(
    `Unable to create Sysctl "two" on root@local: net.ipv4.ip_forward is wanted as 0 here, but as 1 by ${urn("dev", "one")}`,
  );
  await provider.delete("one", first.outs);
});
