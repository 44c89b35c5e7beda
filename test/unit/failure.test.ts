import { requireTools } from "../../provider/failure";
import { nftSet } from "../../provider/nft-set";
import type { NftSet } from "../../provider/nft-set/args";
import { canonical, failed, said } from "./steps";

const set = canonical<NftSet>(nftSet, { family: "inet", table: "fw", name: "s", type: "ipv4_addr" });
const [inShell] = nftSet.query(set);
const direct = { argv: ["env", "TZ=UTC", "nft", "list", "ruleset"] };

test.each([
  ["dash", inShell!, "sh: 1: nft: not found\n"],
  ["bash", inShell!, "sh: line 1: nft: command not found\n"],
  ["busybox", inShell!, "sh: nft: not found\n"],
  ["env", direct, "env: 'nft': No such file or directory\n"],
])(
  "a tool that is not there is named with its package, also where a shell looks for it: %s",
  (_, query, stderr) => {
    expect(() => requireTools([direct, query], [said(""), failed(127, stderr)])).toThrow(
      "nft is not installed there: on Debian, apt install nftables",
    );
  },
);

test("any other failure is an answer", () => {
  expect(() => requireTools([direct], [failed(1, "Error: No such file or directory\n")])).not.toThrow();
});
