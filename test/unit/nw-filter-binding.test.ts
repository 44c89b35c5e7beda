import fc from "fast-check";
import type { Last, Observed, Query, Result, Step } from "../../provider/kind";
import { nwFilterBinding } from "../../provider/nw-filter-binding";
import type { NwFilterBinding } from "../../provider/nw-filter-binding/args";
import type { Facts } from "../../provider/nw-filter-binding/parse";
import { canonical, failed, problems, said } from "./steps";

type Shape = typeof nwFilterBinding.schema.shape;
type Seen = Observed<Shape, Facts>;

const base = { portDev: "tap0", macAddress: "52:54:00:00:00:05", filter: "clean-traffic" };
const desired = (more: object = {}): NwFilterBinding =>
  canonical<NwFilterBinding>(nwFilterBinding, { ...base, ...more });

const JUMP = "-A PREROUTING -i tap0 -j libvirt-I-tap0";

/** libvirt and the kernel, as far as this kind looks and acts; what was done, in order. */
class Host {
  binding?: string;
  wrapper?: string;
  port = true;
  rules: string[] = [];
  closed = false;
  /** Moments in which the port exists and neither a rule nor a closed port is in front of it. */
  unfiltered = 0;
  readonly done: string[] = [];

  answer({ argv }: Query): Result {
    const text = argv.join(" ");
    if (argv[0] === "cat")
      return this.port ? said("7\n") : failed(1, `/sys/class/net/tap0/ifindex: No such file or directory\n`);
    if (argv[0] === "sh") return said(this.rules.map((rule) => `ebtables ${rule}\n`).join(""));
    if (text.includes("binding-dumpxml"))
      return this.binding === undefined
        ? failed(1, "error: Network filter binding not found: no nwfilter binding for port dev 'tap0'\n")
        : said(`${this.binding}\n`);
    return this.wrapper === undefined
      ? failed(1, "error: Network filter not found: no nwfilter with matching name 'hostnet-tap0'\n")
      : said(`${this.wrapper}\n`);
  }

  run(steps: readonly Step[]): this {
    for (const { argv, stdin = "" } of steps) {
      const what = argv[0] === "nft" ? (stdin.includes("{") ? "close" : "open") : argv[6]!;
      this.done.push(what);
      if (what === "close") this.closed = true;
      if (what === "open") this.closed = false;
      if (what === "nwfilter-define") {
        if (stdin !== this.wrapper && this.binding) this.rules = [JUMP];
        this.wrapper = stdin;
      }
      if (what === "nwfilter-undefine" && !this.binding) this.wrapper = undefined;
      if (what === "nwfilter-binding-create") {
        if (!this.wrapper) throw new Error("referenced filter is missing");
        // libvirt gives the MAC address as a parameter, and prints each element on its own line.
        const mac = /mac address='([^']*)'/.exec(stdin)![1];
        this.binding = stdin.replace(
          /<filterref filter='([^']*)'\/>/,
          `<filterref filter='$1'>\n    <parameter name='MAC' value='${mac}'/>\n  </filterref>`,
        );
        this.rules = [JUMP];
      }
      if (what === "nwfilter-binding-delete") [this.binding, this.rules] = [undefined, []];
      if (this.rules.length === 0 && !this.closed) this.unfiltered++;
    }
    return this;
  }

  look(d: NwFilterBinding, last?: Last<Shape, Facts>): Seen {
    return nwFilterBinding.parse(
      nwFilterBinding.query(d).map((query) => this.answer(query)),
      d,
      last,
    );
  }
}
const applied = (d: NwFilterBinding, facts?: Facts): Last<Shape, Facts> => ({
  desired: d,
  facts,
  former: { facts: { port: true, wrapped: false, rules: [] } },
});
const bound = (d: NwFilterBinding): Host => {
  const host = new Host();
  host.run(nwFilterBinding.ensure(d, host.look(d)));
  host.done.length = 0;
  host.unfiltered = 0;
  return host;
};

test.each<[object, string]>([
  [{ portDev: "a b" }, "is no interface name"],
  [{ portDev: "../x" }, "is no interface name"],
  [{ macAddress: "ff:ff:ff:ff:ff:ff" }, "is a multicast address"],
  [{ filter: "a'b" }, "is no name of a filter"],
  [{ parameters: { IP: "10.0.0.0/8" } }, "libvirt drops one with other characters"],
  [{ parameters: { HOSTNET_TRIGGER: "1" } }, "is ours: take trigger"],
  [{ trigger: "a b" }, "must be 1 to 100"],
  [{ vm: { name: "x", uuid: "1" } }, "is no UUID"],
  [{ vm: { name: "two\nlines", uuid: "fce8ae34-e69e-83bf-262e-30786c1f8073" } }, "must be one line"],
])("%j is refused", (more, message) => {
  const told = problems(nwFilterBinding, { ...base, ...more }).map(({ reason }) => reason);
  expect(told.join("\n")).toContain(message);
});

describe("cases", () => {
  const d = desired({ parameters: { IP: "10.0.0.5" } });

  test("create: a filter of its own, then the binding to it", () => {
    const [define, bind, open, ...more] = nwFilterBinding.ensure(d, new Host().look(d));
    expect(more).toEqual([]);
    // What closes the port at boot.
    expect(open!.stdin).toMatch(/\ndelete table bridge hostnet-closed-tap0\n$/);
    expect(define!.stdin).toMatch(
      /^<filter name='hostnet-tap0' chain='root'>\n {2}<uuid>[0-9a-f-]{36}<\/uuid>\n {2}<filterref filter='clean-traffic'>\n {4}<parameter name='IP' value='10.0.0.5'\/>\n {2}<\/filterref>\n<\/filter>\n$/,
    );
    expect(bind!.stdin).toContain("<filterref filter='hostnet-tap0'/>");
    expect(bind!.stdin).toContain("<mac address='52:54:00:00:00:05'/>");
  });

  test("a port that is absent is an error, never a binding without rules", () => {
    const host = new Host();
    host.port = false;
    expect(() => nwFilterBinding.ensure(d, host.look(d))).toThrow(
      "portDev: tap0 does not exist on the host: libvirt would filter nothing there",
    );
    const gone = bound(d);
    gone.port = false;
    expect(nwFilterBinding.ensure(d, gone.look(d), applied(d))).toEqual([]);
  });

  test.each<[string, object, string[]]>([
    ["filter", { filter: "other" }, ["nwfilter-define"]],
    ["parameters", { parameters: { IP: ["10.0.0.5", "10.0.0.6"] } }, ["nwfilter-define"]],
    ["trigger", { trigger: "2" }, ["nwfilter-define"]],
    [
      "macAddress",
      { macAddress: "52:54:00:00:00:06" },
      ["close", "nwfilter-binding-delete", "nwfilter-define", "nwfilter-binding-create", "open"],
    ],
    [
      "vm",
      { vm: { name: `it's "<x>"`, uuid: "fce8ae34-e69e-83bf-262e-30786c1f8073" } },
      ["close", "nwfilter-binding-delete", "nwfilter-define", "nwfilter-binding-create", "open"],
    ],
  ])("a change of %s leaves no moment unfiltered", (_, change, steps) => {
    const host = bound(d);
    const next = desired({ parameters: { IP: "10.0.0.5" }, ...change });
    host.run(nwFilterBinding.ensure(next, host.look(next), applied(d)));
    expect(host.done).toEqual(steps);
    expect([host.unfiltered, host.closed]).toEqual([0, false]);
    expect(host.look(next).state).toEqual(next);
    expect(nwFilterBinding.ensure(next, host.look(next), applied(next))).toEqual([]);
  });

  test("rules that others flushed are drift, and built anew", () => {
    const host = bound(d);
    const last = applied(d, host.look(d).facts);
    expect(host.look(d, last).broken).toEqual([]);
    host.rules = [];
    const seen = host.look(d, last);
    expect(seen.broken).toEqual([`its rules are gone: ebtables ${JUMP}`]);
    host.run(nwFilterBinding.ensure(d, seen, last));
    expect(host.look(d, last)).toMatchObject({ state: d, broken: [] });
  });

  test("a binding of another is not taken over; ours that a hand replaced is", () => {
    const host = bound(d);
    host.binding = host.binding!.replace("hostnet-tap0", "allow-arp");
    const seen = host.look(d);
    expect(seen.state).toMatchObject({ filter: "allow-arp", parameters: {} });
    expect(() => nwFilterBinding.ensure(d, seen)).toThrow(
      "tap0 has a binding of another, to the filter allow-arp",
    );
    host.run(nwFilterBinding.ensure(d, seen, applied(d)));
    expect(host.look(d).state).toEqual(d);
  });

  test("remove takes the binding and its filter, as far as they are there", () => {
    const host = bound(d);
    const steps = nwFilterBinding.remove(host.look(d), applied(d));
    expect(steps.every(({ unless }) => unless?.[2] === '! "$@"')).toBe(true);
    host.run(steps);
    expect([host.binding, host.wrapper]).toEqual([undefined, undefined]);
  });

  test.each<[number, Result, RegExp]>([
    [0, failed(1, "error: failed to connect to the hypervisor\n"), /does not answer/],
    [0, said("<filterbinding/>"), /has 0 <owner>/],
    [0, said(""), /is not understood/],
    [1, failed(1, "error: x\n"), /does not answer: x/],
    [1, failed(1, "error: Network filter not found: no nwfilter\n"), /has the binding, but not its filter/],
    [1, said("<filter name='hostnet-tap0'><uuid>x</uuid></filter>"), /is not as we write it/],
    [2, failed(1, "cat: Permission denied"), /is not known whether tap0 exists/],
  ])("invalid: an odd answer is never an absence: %i %j", (n, result, message) => {
    const host = bound(d);
    const results = nwFilterBinding.query(d).map((query) => host.answer(query));
    expect(() => nwFilterBinding.parse(results.with(n, result), d)).toThrow(message);
  });
});

const wish = fc
  .record(
    {
      filter: fc.constantFrom("clean-traffic", "x"),
      macAddress: fc.constantFrom("52:54:00:00:00:05", "52:54:00:00:00:06"),
      parameters: fc.dictionary(fc.constantFrom("IP", "Z", "A"), fc.constantFrom("1", ["2", "3"])),
      trigger: fc.constantFrom("1", "again"),
      vm: fc.constant({ name: "v", uuid: "fce8ae34-e69e-83bf-262e-30786c1f8073" }),
    },
    { requiredKeys: ["filter"] },
  )
  .map(desired);

test("law: from anywhere, ensure ends where it should without a gap; cut and undone, where it began", () => {
  fc.assert(
    fc.property(wish, wish, fc.nat(5), (a, b, cut) => {
      const host = bound(a);
      const before = host.look(b);
      const begin = [host.wrapper, host.look(a).state];
      const steps = nwFilterBinding.ensure(b, before, applied(a));
      host.run(steps.slice(0, cut));
      const reached = { state: b, facts: before.facts };
      host.run(nwFilterBinding.ensure(before.state!, reached, applied(b, before.facts)));
      expect([host.wrapper, host.look(a).state, host.closed, host.unfiltered]).toEqual([...begin, false, 0]);
      host.run(nwFilterBinding.ensure(b, host.look(b), applied(a)));
      expect(host.look(b).state).toEqual({ ...b, trigger: b.trigger });
      expect(nwFilterBinding.ensure(b, host.look(b), applied(b))).toEqual([]);
      expect([host.closed, host.unfiltered]).toEqual([false, 0]);
      expect(canonical(nwFilterBinding, b)).toEqual(b);
    }),
  );
});
