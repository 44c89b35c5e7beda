import { bridge } from "../../provider/bridge";
import { lifecycle } from "../../provider/lifecycle";
import { LocalHost } from "../local-host";

const host = new LocalHost();
const provider = lifecycle(bridge, host);
const owner = "urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:Bridge::br-lan";
const common = { connection: { host: "h" }, __provider: "p", __owner: owner, __resource: "br-lan" };

beforeAll(() => host.ready());
afterAll(() => host.close());

async function inputs(args: object) {
  const { inputs, failures } = await provider.check({}, { ...common, ...args });
  expect(failures).toEqual([]);
  return inputs;
}

test("a bridge lives its whole life", async () => {
  host.sh("ip link add name p1 type veth peer name q1");
  const first = await inputs({ addresses: ["192.168.2.1/24", "2001:db8::1/64"], ports: ["p1"], stp: false });
  const { id, outs } = await provider.create(first);
  expect(id).toBe("br-lan");
  expect(host.sh("ip -br link show master br-lan")).toContain("p1");
  expect(host.sh("ip -br addr show dev br-lan")).toContain("192.168.2.1/24");
  expect(outs).toMatchObject({ name: "br-lan", drift: [] });

  const same = await provider.diff(
    id,
    outs,
    await inputs({ addresses: ["2001:db8::1/64", "192.168.2.1/24"], ports: ["p1"], stp: false }),
  );
  expect(same.changes).toBe(false);

  const second = await inputs({
    addresses: ["192.168.2.2/24"],
    ports: [{ name: "p1", isolated: true }],
    ageingTime: 60,
  });
  expect((await provider.diff(id, outs, second)).changes).toBe(true);
  const updated = await provider.update(id, outs, second);
  expect(host.sh("ip -br addr show dev br-lan")).not.toContain("192.168.2.1/24");
  expect(host.sh("ip -d link show dev p1")).toContain("isolated on");

  host.sh("ip link set dev p1 nomaster");
  const read = await provider.read(id, updated.outs);
  expect(read.props!.drift).toEqual(["ports: p1 isolated=true is missing"]);
  expect((await provider.diff(id, read.props!, second)).changes).toBe(true);
  const repaired = await provider.update(id, read.props!, second);
  expect(host.sh("ip -br link show master br-lan")).toContain("p1");

  await provider.delete(id, repaired.outs);
  expect(host.sh("ip -br link")).not.toContain("br-lan");
  expect(host.sh("ip -br link show dev p1")).toContain("DOWN");
  expect(host.sh("ls /etc/hostnet")).toBe("");
}, 30_000);
