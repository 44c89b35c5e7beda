import { lifecycle } from "../../provider/lifecycle";
import { sysctl } from "../../provider/sysctl";
import { keyAt, spreadOf } from "../../provider/sysctl/keys";
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
  const [buffers, filter] = [value("ipv4/tcp_rmem"), value("ipv4/conf/v1/rp_filter")];
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
  expect(value("ipv4/conf/v1/rp_filter")).toBe(filter);
  await provider.delete(id, less.outs);
  expect(value("ipv4/tcp_rmem")).toBe(buffers);
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

test.each(["forwarding", "disable_ipv6", "addr_gen_mode", "ignore_routes_with_linkdown"])(
  "net.ipv6.conf.all.%s goes back on every device, the default, and one that was otherwise",
  async (name) => {
    const all = `/proc/sys/net/ipv6/conf/all/${name}`;
    host.sh(`echo 1 >/proc/sys/net/ipv6/conf/v1/${name}`);
    const before = snapshot();
    const { id, outs } = await create("six", { [`net.ipv6.conf.all.${name}`]: 1 });
    expect(
      host.sh(`cat ${all} /proc/sys/net/ipv6/conf/default/${name} /proc/sys/net/ipv6/conf/v2.10/${name}`),
    ).toBe("1\n1\n1\n");
    // One device comes and one goes meanwhile.
    host.sh("ip link add name w1 type veth peer name w2; ip link del dev x1 2>/dev/null || :");
    await provider.delete(id, outs);
    host.sh("ip link del dev w1");
    expect(snapshot()).toBe(before);
  },
);

test("what the default of new devices changes of those that are there goes back with it", async () => {
  host.sh("ip link add name w1 type veth peer name w2");
  const before = snapshot();
  const made = await create("filter", { "net.ipv4.conf.default.rp_filter": 2 });
  expect(value("ipv4/conf/w1/rp_filter")).toBe("2");
  // With an address its settings are its own.
  host.sh("ip addr add 192.0.2.9/32 dev w1; ip addr del 192.0.2.9/32 dev w1");
  await provider.delete(made.id, made.outs);
  expect(snapshot()).toBe(before);
  host.sh("ip link del dev w1");
});

test("every key that this kernel writes into other devices is known", () => {
  const found = host.sh(`
    for f in /proc/sys/net/ipv[46]/conf/all/*; do
      old=$(cat $f 2>/dev/null) || continue
      case $old in 0) new=1 ;; 1) new=0 ;; *) continue ;; esac
      v1=\${f%/all/*}/v1/\${f##*/}
      [ -e $v1 ] && echo $old >$v1 && echo $new >$f || continue
      [ "$(cat $v1)" = $old ] || echo $f
      echo $old >$f
    done 2>/dev/null`);
  const keys = found.trim().split("\n").map(keyAt);
  expect(keys.length).toBeGreaterThan(3);
  expect(keys.filter((key) => spreadOf(key) === undefined)).toEqual([]);
});

test("a device that goes between look and change is no failure", async () => {
  host.sh("ip link add name x1 type veth peer name x2; echo 1 >/proc/sys/net/ipv4/conf/x1/forwarding");
  const { id, outs } = await create("gone", { "net.ipv4.ip_forward": 1 });
  host.around = (run, script) => {
    if (script.includes("\na0() {")) host.sh("ip link del dev x1 2>/dev/null || :");
    return run();
  };
  await provider.delete(id, outs);
  host.around = (run) => run();
  expect(value("ipv4/ip_forward")).toBe("0");
});

test("another value for a claimed key is refused, naming who claims it", async () => {
  const first = await create("one", { "net.ipv4.ip_forward": 1 });
  await expect(create("two", { "net.ipv4.ip_forward": 0 }, "other")).rejects.toThrow(
    `Unable to create Sysctl "two" on root@local: net.ipv4.ip_forward is wanted as 0 here, but as 1 by ${urn("dev", "one")}`,
  );
  await provider.delete("one", first.outs);
});
