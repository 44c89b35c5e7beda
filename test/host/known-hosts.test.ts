import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  fingerprint,
  judge,
  keyTypes,
  line,
  matches,
  parseKnownHosts,
  parsePins,
  typeOf,
} from "../../provider/host/known-hosts";
import { keyPair } from "./server";

const A = keyPair().public;
const B = keyPair().public;
const RSA = keyPair("rsa").public;
const key = (text: string): Buffer => Buffer.from(text.split(" ")[1]!, "base64");
// As ssh-keygen -H writes "10.0.0.5" and "[10.0.0.5]:2222".
const HASHED = "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|aFUdB/3oRE+BqAbvqsEIGfKcIpo=";

describe("host patterns", () => {
  test.each<[string, string, number, boolean]>([
    ["10.0.0.5", "10.0.0.5", 22, true],
    ["10.0.0.5", "10.0.0.50", 22, false],
    ["10.0.0.5", "10.0.0.5", 2222, false],
    ["[10.0.0.5]:2222", "10.0.0.5", 2222, true],
    ["[10.0.0.5]:2222", "10.0.0.5", 22, false],
    ["a.example,10.0.0.5", "10.0.0.5", 22, true],
    ["A.Example", "a.exAMPLE", 22, true],
    ["*.example", "a.b.example", 22, true],
    ["*.example", "example", 22, false],
    ["10.0.0.?", "10.0.0.5", 22, true],
    ["10.0.0.?", "10.0.0.55", 22, false],
    ["*", "anything", 2222, true],
    ["10.0.0.*,!10.0.0.5", "10.0.0.5", 22, false],
    ["!10.0.0.5,10.0.0.*", "10.0.0.5", 22, false],
    ["10.0.0.*,!10.0.0.5", "10.0.0.6", 22, true],
    ["!10.0.0.5", "10.0.0.6", 22, false],
    ["[10.0.0.*]:2222", "10.0.0.5", 2222, true],
    ["a.example", "a-example", 22, false],
    ["fd00::5", "FD00::5", 22, true],
    ["[fd00::5]:2222", "fd00::5", 2222, true],
    ["|1|broken", "10.0.0.5", 22, false],
    ["|2|c2FsdA==|aGFzaA==", "10.0.0.5", 22, false],
    [HASHED, "10.0.0.6", 22, false],
  ])("%s on %s port %i: %p", (pattern, host, port, expected) => {
    expect(matches(pattern, host, port)).toBe(expected);
  });

  test("agree with ssh-keygen -F on hashed and plain names", () => {
    const folder = mkdtempSync(join(tmpdir(), "hostnet-"));
    const file = join(folder, "known");
    const hosts = [
      ["10.0.0.5", 22],
      ["10.0.0.5", 2222],
      ["web.example", 22],
    ] as const;
    writeFileSync(file, hosts.map(([host, port]) => `${line(host, port, key(A))}\n`).join(""));
    execFileSync("ssh-keygen", ["-q", "-H", "-f", file], { stdio: "ignore" });
    const entries = parseKnownHosts(execFileSync("cat", [file], { encoding: "utf8" }), file);
    expect(entries.map((entry) => entry.hosts.slice(0, 3))).toEqual(["|1|", "|1|", "|1|"]);
    for (const [host, port] of [...hosts, ["web.example", 2222], ["10.0.0.6", 22]] as const) {
      const name = port === 22 ? host : `[${host}]:${port}`;
      const found = spawnSync("ssh-keygen", ["-F", name, "-f", file]).status === 0;
      expect([name, judge(entries, host, port, key(A)).is === "known"]).toEqual([name, found]);
    }
    rmSync(folder, { recursive: true });
  });
});

test("a fingerprint is what ssh-keygen prints", () => {
  for (const text of [A, RSA]) {
    const told = execFileSync("ssh-keygen", ["-lf", "-"], { input: text, encoding: "utf8" });
    expect(told).toContain(` ${fingerprint(key(text))} `);
  }
});

describe("verdicts", () => {
  const verdict = (text: string, shown = A, host = "10.0.0.5", port = 22) =>
    judge(parseKnownHosts(text, "known_hosts"), host, port, key(shown)).is;

  test.each<[string, string, string]>([
    ["empty", "", "unknown"],
    ["comments and noise", `# 10.0.0.5 ${A}\n\n10.0.0.5\nnonsense at all\n`, "unknown"],
    ["known", `10.0.0.5 ${A}\n`, "known"],
    ["known, with a comment and tabs", `10.0.0.5\t${A}  root@host\r\n`, "known"],
    ["another host", `10.0.0.6 ${A}\n`, "unknown"],
    ["changed", `10.0.0.5 ${B}\n`, "changed"],
    ["several, one fits", `10.0.0.5 ${B}\n10.0.0.5 ${RSA}\n10.0.0.5 ${A}\n`, "known"],
    ["another type only", `10.0.0.5 ${RSA}\n`, "changed"],
    ["revoked beats known", `10.0.0.5 ${A}\n@revoked * ${A}\n`, "revoked"],
    ["revoked elsewhere", `10.0.0.5 ${A}\n@revoked 10.0.0.6 ${A}\n`, "known"],
    ["another key revoked", `@revoked * ${B}\n`, "unknown"],
    ["authority only", `@cert-authority *.0.0.5 ${B}\n`, "certified"],
    ["the authority's own key is no host key", `@cert-authority * ${A}\n`, "certified"],
    ["authority and plain", `@cert-authority * ${B}\n10.0.0.5 ${A}\n`, "known"],
    ["authority and another plain", `@cert-authority * ${A}\n10.0.0.5 ${B}\n`, "changed"],
    ["a marker of the future", `@sigstore 10.0.0.5 ${A}\n`, "unknown"],
    ["a type that is not the key's", `10.0.0.5 ssh-rsa ${A.split(" ")[1]}\n`, "unknown"],
    ["a torn key", `10.0.0.5 ssh-ed25519 AAAA\n`, "unknown"],
  ])("%s", (_name, text, expected) => {
    expect(verdict(text)).toBe(expected);
  });

  test("only a plain entry of this host with this very key is known", () => {
    const hosts = fc.constantFrom("10.0.0.5", "10.0.0.6", "*", "!10.0.0.5,*", "[10.0.0.5]:2222");
    const marker = fc.constantFrom("", "@revoked ", "@cert-authority ");
    const entry = fc.record({ marker, hosts, text: fc.constantFrom(A, B, RSA) });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), fc.constantFrom(22, 2222), (entries, port) => {
        const text = entries.map((e) => `${e.marker}${e.hosts} ${e.text}\n`).join("");
        const ours = entries.filter((e) => matches(e.hosts, "10.0.0.5", port) && e.text === A);
        const expected = ours.some((e) => e.marker === "") && !ours.some((e) => e.marker === "@revoked ");
        expect(verdict(text, A, "10.0.0.5", port) === "known").toBe(expected);
      }),
    );
  });

  test("the types to ask for are those of the host's plain entries", () => {
    const text = `10.0.0.5 ${RSA}\n10.0.0.5 ${A}\n10.0.0.5 ${B}\n@revoked * ${B}\n10.0.0.6 ${A}\n`;
    const entries = parseKnownHosts(text, "f");
    expect(keyTypes(entries, "10.0.0.5", 22)).toEqual(["ssh-rsa", "ssh-ed25519"]);
    expect(keyTypes(entries, "10.0.0.7", 22)).toEqual([]);
  });
});

describe("pins", () => {
  test.each<[string, string, number]>([
    ["as in authorized_keys", A, 1],
    ["with a comment", `${A} root@host`, 1],
    ["with a host before it", `10.0.0.5 ${A}`, 1],
    ["of another host: the user's own pin", `other.example ${A}`, 1],
    [
      "several lines, as ssh-keyscan prints them",
      `# 10.0.0.5:22 SSH-2.0\n10.0.0.5 ${A}\n\n10.0.0.5 ${RSA}\n`,
      2,
    ],
  ])("%s", (_name, text, count) => {
    const pins = parsePins(text, "connection.hostKey");
    expect(pins).toHaveLength(count);
    expect(Array.isArray(pins) && judge(pins, "10.0.0.5", 2222, key(A)).is).toBe("known");
  });

  test.each<[string, string, string]>([
    ["empty", "", "line 1"],
    ["no key", "hello", "line 1"],
    ["a fingerprint", "SHA256:abc", "line 1"],
    ["one good line, one bad", `${A}\nssh-ed25519 AAAA`, "line 2"],
    ["a marker", `@revoked * ${A}`, "line 1"],
    ["a marker as a host", `@cert-authority ${A}`, "line 1"],
  ])("%s is an error", (_name, text, bad) => {
    expect(parsePins(text, "connection.hostKey")).toEqual({ bad });
  });
});

test("what is no key has no type", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void typeOf(Buffer.from(bytes))));
  expect(typeOf(Buffer.from([0xff, 0xff, 0xff, 0xff, 1]))).toBeUndefined();
});
