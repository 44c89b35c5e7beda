// Two workstations, each with a stack of its own, change one host at the same time: no update of either is lost.
import fc from "fast-check";
import { bridge } from "../../provider/bridge";
import { type Hosts, lifecycle } from "../../provider/lifecycle";
import { nftTable } from "../../provider/nft-table";
import { sysctl } from "../../provider/sysctl";
import { Stack } from "../engine";
import { LocalHost } from "../local-host";

let host: LocalHost;
beforeAll(async () => {
  host = await new LocalHost().ready();
});
afterAll(() => host.close());

/** A workstation: its own queue of scripts, which run beside those of the other. */
function workstation(name: string): Stack {
  const queue = host.another();
  const { greet, label } = host.at();
  const hosts: Hosts = {
    configure: () => {},
    at: () => ({ label, greet, submit: (plan) => queue.submit(plan) }),
  };
  return new Stack(name, () => ({
    Bridge: lifecycle(bridge, hosts),
    NftTable: lifecycle(nftTable, hosts),
    Sysctl: lifecycle(sysctl, hosts),
  }));
}

/** What one of them does next: an address of its bridge, a rule of its table, a claim to a setting that both want. */
type Move = {
  readonly type: "address" | "rule" | "claim" | "release";
  readonly n: number;
  readonly confirmed: boolean;
};
const move: fc.Arbitrary<Move> = fc.record({
  type: fc.constantFrom("address", "rule", "claim", "release"),
  n: fc.integer({ min: 1, max: 200 }),
  confirmed: fc.boolean(),
});

class Writer {
  private address = 0;
  private rule = 0;
  private claims = false;
  private readonly stack: Stack;

  constructor(private readonly letter: "a" | "b") {
    this.stack = workstation(letter);
  }

  async make({ type, n, confirmed }: Move): Promise<void> {
    const confirm = { when: confirmed ? "always" : "never", timeout: 20 };
    const { letter, stack } = this;
    switch (type) {
      case "address":
        this.address = n;
        await stack.run().up("Bridge", `br-${letter}`, { confirm, addresses: [`10.${n}.0.1/24`] });
        return;
      case "rule":
        this.rule = n;
        await stack.run().up("NftTable", `fw-${letter}`, {
          confirm,
          family: "inet",
          chains: {
            forward: { type: "filter", hook: "forward", priority: 0, rules: [`tcp dport ${n} drop`] },
          },
        });
        return;
      case "claim":
        this.claims = true;
        await stack.run().up("Sysctl", `s-${letter}`, { confirm, settings: { "net.ipv4.ip_forward": 1 } });
        return;
      case "release":
        if (this.claims) await stack.run().destroy("Sysctl", `s-${letter}`);
        this.claims = false;
    }
  }

  /** What the host shows, by other tools. */
  check(): void {
    const { letter } = this;
    if (this.address > 0)
      expect(host.sh(`ip -br -4 addr show dev br-${letter}`)).toContain(` 10.${this.address}.0.1/24`);
    if (this.rule > 0)
      expect(host.sh(`nft list table inet fw-${letter}`)).toContain(`tcp dport ${this.rule} drop`);
  }

  get wants(): boolean {
    return this.claims;
  }
}

test("100 random moves of each, side by side", async () => {
  const writers = [new Writer("a"), new Writer("b")];
  const moves = fc.sample(fc.tuple(move, move), { numRuns: 100, seed: 20 });
  for (const pair of moves) {
    await Promise.all(pair.map((one, n) => writers[n]!.make(one)));
    for (const writer of writers) writer.check();
    expect(host.sh("cat /proc/sys/net/ipv4/ip_forward")).toBe(
      writers.some(({ wants }) => wants) ? "1\n" : "0\n",
    );
  }
  expect(host.sh("ls -A /run/hostnet")).not.toContain("pending");
}, 300_000);
