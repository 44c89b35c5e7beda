import { lifecycle } from "../../provider/lifecycle";
import { nftTable } from "../../provider/nft-table";
import { LocalHost } from "../local-host";

const host = new LocalHost();
const provider = lifecycle(nftTable, host);
const owner = "urn:pulumi:dev::net::pulumi-nodejs:dynamic/hostnet:NftTable::guests";
const common = {
  connection: { host: "h" },
  __provider: "p",
  __owner: owner,
  __resource: "guests",
  family: "inet",
};

beforeAll(() => host.ready());
afterAll(() => host.close());

async function inputs(args: object) {
  const { inputs, failures } = await provider.check({}, { ...common, ...args });
  expect(failures).toEqual([]);
  return inputs;
}

const forward = (...rules: string[]) => ({
  chains: { forward: { type: "filter", hook: "forward", priority: "filter", policy: "accept", rules } },
});

test("a table lives its whole life", async () => {
  const first = await inputs(forward("ct state established,related accept", "tcp dport { 22, 80 } accept"));
  const { id, outs } = await provider.create(first);
  expect(host.sh("nft list ruleset")).toContain("tcp dport { 22, 80 } accept");
  expect((await provider.diff(id, outs, first)).changes).toBe(false);
  expect((await provider.read(id, outs)).props!.drift).toEqual([]);

  const second = await inputs(
    forward("ct state established,related accept", "tcp dport 443 counter", "tcp dport { 22, 80 } accept"),
  );
  const updated = await provider.update(id, outs, second);
  host.sh(
    "nft delete rule inet guests forward handle $(nft -a list chain inet guests forward | sed -n 's/.*{ 22.*handle //p')",
  );
  const read = await provider.read(id, updated.outs);
  expect(read.props!.drift).toEqual(["chains.forward.rules: tcp dport { 22, 80 } accept is missing"]);
  const repaired = await provider.update(id, read.props!, second);
  expect((await provider.read(id, repaired.outs)).props!.drift).toEqual([]);

  host.sh("nft flush ruleset");
  const gone = await provider.read(id, repaired.outs);
  expect(gone.props!.drift).toEqual(["it is missing on the host"]);
  const back = await provider.update(id, gone.props!, second);
  const broken = await inputs(forward("tcp dport 443 frobnicate"));
  await expect(provider.update(id, back.outs, broken)).rejects.toThrow(
    [
      'Unable to update NftTable "inet/guests" on root@local: chains.forward.rules[0]: syntax error, unexpected newline',
      "tcp dport 443 frobnicate",
      "                        ^",
      "Everything is as it was before.",
    ].join("\n"),
  );
  expect((await provider.read(id, back.outs)).props!.drift).toEqual([]);
  await provider.delete(id, back.outs);
  expect(host.sh("nft list ruleset")).toBe("");
  expect(host.sh("ls /etc/hostnet")).toBe("");
}, 30_000);

test("a table without anything in it comes and goes", async () => {
  const bare = await inputs({ chains: {} });
  const { id, outs } = await provider.create(bare);
  expect(host.sh("nft list ruleset")).toBe("table inet guests {\n}\n");
  await provider.delete(id, outs);
  expect(host.sh("nft list ruleset; ls /etc/hostnet")).toBe("");
});
