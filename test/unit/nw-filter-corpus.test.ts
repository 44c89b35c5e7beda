// libvirt's own tests: what nwfilter-define is given comes out as nwfilter-dumpxml prints it, byte for byte.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nwFilter } from "../../provider/nw-filter";
import { filterOf, type NwFilter } from "../../provider/nw-filter/args";
import { parseFilter, renderFilter } from "../../provider/nw-filter/filter";
import { lossesOf } from "../../provider/nw-filter/losses";
import { attributesOf, protocolNames, type Values } from "../../provider/nw-filter/protocols";
import { canonical } from "./steps";

const CORPUS = join(__dirname, "../../../shared/corpora/libvirt-nwfilter");
const files = (folder: string): string[] =>
  existsSync(join(CORPUS, folder)) ? readdirSync(join(CORPUS, folder)).sort() : [];
const read = (folder: string, file: string): string => readFileSync(join(CORPUS, folder, file), "utf8");
const there = existsSync(CORPUS) ? test : test.skip;
if (!existsSync(CORPUS)) console.warn(`libvirt's tests are skipped: ${CORPUS} is not there`);

const invalid = files("in").filter((file) => file.includes("-invalid"));
const valid = files("in").filter((file) => !file.includes("-invalid"));

there("there is something to read", () => {
  expect([invalid.length, valid.length, files("out").length, files("builtin").length]).toEqual([
    12, 9, 9, 24,
  ]);
});

there("valid: out as libvirt says, again the same, and nothing is lost", () => {
  for (const file of valid) {
    const filter = parseFilter(read("in", file));
    const out = renderFilter(filter);
    expect({ file, out }).toEqual({ file, out: read("out", file) });
    expect(renderFilter(parseFilter(out))).toBe(out);
    expect({ file, lost: lossesOf(filter) }).toEqual({ file, lost: [] });
  }
});

there("valid: as entries, too, the same filter", () => {
  for (const file of valid) {
    const { name, uuid, chain, priority, entries } = parseFilter(read("in", file));
    const d = canonical<NwFilter>(nwFilter, { name, uuid, chain, priority, entries });
    expect(renderFilter(filterOf(d))).toBe(read("out", file));
    expect(canonical<NwFilter>(nwFilter, d)).toEqual(d);
  }
});

there("invalid: each is refused, with a reason that names the value", () => {
  const reasons = Object.fromEntries(
    invalid.map((file) => {
      let reason = "not refused";
      try {
        parseFilter(read("in", file));
      } catch (error) {
        reason = (error as Error).message;
      }
      return [file, reason];
    }),
  );
  for (const [file, reason] of Object.entries(reasons)) {
    expect(`${file} ${reason}`).toMatch(/ entry \d+: [\w-]+: [\w-]+: "[^"]+": (must be|is no)/);
  }
  expect(reasons["tcp-ipv6-test-invalid.xml"]).toBe('entry 3: tcp-ipv6: srcipmask: "129": must be 0 to 128');
});

there("the filters that come with libvirt survive the round trip, and lose nothing", () => {
  for (const file of files("builtin")) {
    const filter = parseFilter(read("builtin", file));
    expect(filter.name).toBe(file.replace(".xml", ""));
    expect(parseFilter(renderFilter(filter))).toEqual(filter);
    expect(lossesOf(filter)).toEqual([]);
  }
});

there("the table has libvirt's protocols, with its attributes in its order, and its types", () => {
  type Row = { name: string; types: string[] };
  const table: Record<string, Row[]> = JSON.parse(read(".", "attrs-by-protocol.json"));
  expect([...protocolNames].sort()).toEqual(Object.keys(table).sort());
  for (const [protocol, rows] of Object.entries(table)) {
    const own = attributesOf(protocol as (typeof protocolNames)[number]);
    expect({ protocol, names: Object.keys(own) }).toEqual({ protocol, names: rows.map(({ name }) => name) });
    for (const { name, types } of rows) {
      const kind = own[name]!;
      if (kind === "lost") expect(name).toMatch(/^ipset(flags)?$/);
      else
        expect({ protocol, name, types: TYPES[kind] }).toEqual({
          protocol,
          name,
          types: [...types].sort().join(),
        });
    }
  }
});

/** By our kind of value: libvirt's types. */
const TYPES: Readonly<Record<Exclude<keyof Values, "lost">, string>> = {
  mac: "MACADDR",
  macMask: "MACMASK",
  u8: "UINT8,UINT8_HEX",
  u16: "UINT16,UINT16_HEX",
  u32: "UINT32,UINT32_HEX",
  limit: "UINT16",
  vlan: "UINT16,UINT16_HEX",
  dscp: "UINT8,UINT8_HEX",
  etherType: "STRING,UINT16,UINT16_HEX",
  vlanProtocol: "STRING,UINT16,UINT16_HEX",
  opcode: "STRING,UINT16,UINT16_HEX",
  ipProtocol: "STRING,UINT8,UINT8_HEX",
  ip4: "IPADDR",
  ip4Mask: "IPMASK",
  ip6: "IPV6ADDR",
  ip6Mask: "IPV6MASK",
  ip6Variable: "IPADDR",
  state: "STRING",
  ipset: "IPSETNAME",
  ipsetFlags: "IPSETFLAGS",
  tcpFlags: "STRING",
  boolean: "BOOLEAN",
  comment: "STRINGCOPY",
};
