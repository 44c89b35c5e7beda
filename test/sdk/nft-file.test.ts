import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nft } from "../../sdk/nft";

const folder = mkdtempSync(join(tmpdir(), "hostnet-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

test("what a file includes stands in its place, as nft itself reads it", () => {
  mkdirSync(join(folder, "rules.d"));
  file("rules.d/20-web.nft", "tcp dport $web accept\n");
  file("rules.d/10-ssh.nft", "tcp dport 22 accept\n");
  file("rules.d/.hidden", "drop\n");
  file("defines.nft", "define web = { 80, 443 }\n");
  const main = file(
    "main.nft",
    `include "${folder}/defines.nft"
table inet filter {
  chain input {
    type filter hook input priority filter; policy accept;
    include "${folder}/rules.d/*.nft"
    include "${folder}/none.d/*"
    log prefix "include \\"x\\""
  }
}
`.replace(' \\"x\\"', ""),
  );
  const text = nft.file(main);
  expect(text).toBe(`define web = { 80, 443 }
table inet filter {
  chain input {
    type filter hook input priority filter; policy accept;
tcp dport 22 accept
tcp dport $web accept

    log prefix "include"
  }
}
`);
  const listed = (path: string) =>
    execFileSync("unshare", ["-rn", "sh", "-c", 'nft -f "$1" && nft list ruleset', "sh", path], {
      encoding: "utf8",
    });
  expect(listed(file("whole.nft", text))).toBe(listed(main));
});

test("paths are those of the file that includes; what is missing, or circular, is named", () => {
  file("sub.nft", "counter\n");
  expect(nft.file(file("relative.nft", "include './sub.nft';\n"))).toBe("counter\n");
  expect(() => nft.file(join(folder, "absent.nft"))).toThrow(/nft\.file: ENOENT.*absent\.nft/);
  expect(() => nft.file(file("bad.nft", 'include "absent.nft"\n'))).toThrow(/nft\.file: ENOENT.*absent\.nft/);
  const round = file("round.nft", 'include "round.nft"\n');
  expect(() => nft.file(round)).toThrow(/round\.nft: more than 16 files include each other/);
  expect(() => nft.file(file("far.nft", 'include "*/x.nft"\n'))).toThrow(
    /far\.nft: a pattern stands in the last part/,
  );
});
