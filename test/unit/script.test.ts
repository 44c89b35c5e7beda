import type { Plan } from "../../provider/host/plan";
import { compile } from "../../provider/host/script";

const change = {
  guard: "f00d",
  claims: [
    { folder: "/etc/hostnet/shared/k", incarnation: "11", value: "1", owner: "urn:a", former: '"0"' },
    { folder: "/etc/hostnet/shared/l", incarnation: "11" },
  ],
  intent: [{ path: "/etc/hostnet/objects/a.json", text: '{"changing":true}\n' }],
  steps: [
    { argv: ["nft", "-f", "-"], stdin: "add table inet it's\n" },
    { argv: ["ip", "link", "add", "it's"], unless: ["test", "-e", "/x y"], released: ["k"] },
  ],
  after: [{ argv: ["ip", "-j", "link"] }],
  record: [{ path: "/etc/hostnet/objects/a.json", text: "{}\n" }, { path: "/run/hostnet/objects/a.json" }],
  undo: [{ argv: ["nft", "-f", "-"], stdin: "delete table inet it's\n" }],
  restore: [{ path: "/etc/hostnet/objects/a.json" }],
};
const look: Plan = { queries: [{ argv: ["cat", "/etc/machine-id"], free: true }] };
const plan: Plan = {
  label: "change k",
  queries: [{ argv: ["ip", "-j", "link"] }, { argv: ["ls", "/"], free: true }],
  change,
};

/** The part between the helpers and the data. */
function body(plans: readonly Plan[]): string {
  const text = compile(plans, "MARK", "me@here").toString();
  return text.slice(text.indexOf("\ng0() {") + 1, text.lastIndexOf("lock -x"));
}

test("the whole text of a change and a look", () => {
  expect(body([plan, look])).toBe(`g0() {
  s 0 ip -j link
  return 0
}
p0() {
  s 0 ip -j link
  return 0
}
w0() {
  cp /etc/hostnet/shared/k/11 $P/c0.0 2>/dev/null || :
  mv /etc/hostnet/shared/l/11 $P/c0.1 2>/dev/null || :
  echo begun >$P/u0 && mkdir -p /etc/hostnet/shared/k && { [ -e /etc/hostnet/shared/k/former ] || put /etc/hostnet/shared/k/former '"0"'; } && put /etc/hostnet/shared/k/11 'value 1
owner urn:a
' && mv /etc/hostnet/aside/0.0 /etc/hostnet/objects/a.json
}
r0() {
  mv /etc/hostnet/aside/0.1 /etc/hostnet/objects/a.json && drop /run/hostnet/objects/a.json
}
a0() {
  feed 1 20 | s 0 nft -f - || return
  [ -n "$(ls /etc/hostnet/shared/8254c329a92850f6d539dd376f4816ee 2>/dev/null | grep -vx former)" ] || test -e '/x y' >/dev/null 2>&1 || s 1 ip link add 'it'\\''s' || return
  return 0
}
u0() {
  mv $P/c0.0 /etc/hostnet/shared/k/11 2>/dev/null || rm -f /etc/hostnet/shared/k/11
  mv $P/c0.1 /etc/hostnet/shared/l/11 2>/dev/null || rm -f /etc/hostnet/shared/l/11
  [ "$(ls /etc/hostnet/shared/k 2>/dev/null)" != former ] || rm -r /etc/hostnet/shared/k
  [ "$(ls /etc/hostnet/shared/l 2>/dev/null)" != former ] || rm -r /etc/hostnet/shared/l
  feed 21 23 | s 0 nft -f -
  drop /etc/hostnet/objects/a.json || :
}
o0() {
  [ -z "$T" ] || { M="$R 0 end"; f 0 4; return; }
  M=-; g0 >"$D/g" 2>/dev/null
  case $(hash "$D/g") in f00d*) ;; *) { M="$R 0 end"; f 0 1; return; } ;; esac
  [ -z "$(ls /etc/hostnet/shared/k 2>/dev/null | grep -vxe former -e 11 | ( cd /etc/hostnet/shared/k 2>/dev/null && xargs -r grep -LFxe 'value 1' ))" ] || { M="$R 0 end"; f 0 1; return; }
  M="$R 0 i"
  s 0 w0 && M="$R 0 a" && a0 || { b0; return; }
  e0
}
e0() {
  M="$R 0 p"; p0
  M="$R 0 r"
  s 0 r0 || { b0; return; }
  [ "$(ls /etc/hostnet/shared/k 2>/dev/null)" != former ] || rm -r /etc/hostnet/shared/k
  [ "$(ls /etc/hostnet/shared/l 2>/dev/null)" != former ] || rm -r /etc/hostnet/shared/l
  echo done >$P/u0
  say 'change k by me@here' done
  { M="$R 0 end"; f 0 0; return; }
}
b0() {
  M="$R 0 u"; u0
  echo done >$P/u0
  M=-; g0 >"$D/g" 2>/dev/null
  case $(hash "$D/g") in f00d*) say 'change k by me@here' undone; { M="$R 0 end"; f 0 2; return; } ;; *) say 'change k by me@here' "half undone"; { M="$R 0 end"; f 0 3; return; } ;; esac
}
q1() {
  s 0 cat /etc/machine-id
  return 0
}
o1() {
  M="$R 1 q"; q1
}
asides() {
  aside /etc/hostnet/aside/0.0 '{"changing":true}
' || return
  aside /etc/hostnet/aside/0.1 '{}
' || return
  sync $A
}
kept() {
  for x in /etc/hostnet/objects; do [ ! -d $x ] || set -- "$@" $x; done
  [ $# = 0 ] || sync "$@"
}
k() {
  x=; { read -r x <$P/u0; } 2>/dev/null; [ "$x" != applied ] || e0
}
z() {
  [ -z "$V" ] || { M="$R 0 b"; f $V 1; }
  x=; { read -r x <$P/u0; } 2>/dev/null; [ "$x" = "" ] || [ "$x" = done ] || b0
}
before() {
  return 0
}
probe() {
  return 0
}
case \${1-} in watch | undo | confirm) "$@"; exit ;; esac
main() {
  { mkdir $P && command cat "$0" >$P/script && echo $R >$P/token && echo 'me@here: change k' >$P/holder; } || { rm -rf $P; exit 73; }
  true >$P/ready
  mkdir -p /etc/hostnet/objects /etc/hostnet/aside || { rm -rf $P; exit 73; }
  asides || { rm -rf $P; tidy; exit 73; }
  o0
  o1
  kept || exit 77
  rm -rf $P
  tidy
  return 0
}
`);
});

test("nothing runs before the whole text is there: the lock is taken, and main called, in the last lines", () => {
  const text = compile([plan, look], "MARK").toString();
  const begin = text.lastIndexOf("\nlock -x\n") + 1;
  expect(text.slice(begin)).toBe(`lock -x
main 9>&-
exit
add table inet it's
delete table inet it's
`);
  const calls = text
    .slice(0, begin)
    .split("\n")
    .filter(
      (line) =>
        /^\S/.test(line) && !/^([a-z]\w*\(\) \{|\}|B=|D=|P=|R=|umask|export|trap|#|owner|' |")/.test(line),
    );
  // What the script does when it is called for the end of a change that waits.
  expect(calls).toEqual(['case ${1-} in watch | undo | confirm) "$@"; exit ;; esac']);
});

test("a look takes the lock with others, and makes no folder", () => {
  const text = compile([look, look], "MARK").toString();
  expect(text).toMatch(/\nlock -s\nmain 9>&-\nexit\n$/);
  expect(text).not.toMatch(/mkdir|put \//);
});

test("the offset of the data counts bytes, however long the text is", () => {
  for (const word of ["x", "é", "😀".repeat(20_000)]) {
    const step = { argv: ["echo", word], stdin: "data é" };
    const blob = compile([{ queries: [], change: { ...change, steps: [step], undo: [] } }], "MARK");
    const offset = Number(/^B=\$\(\(1(\d{9}) - 1000000000\)\)\n/.exec(blob.toString())![1]);
    expect(blob.subarray(offset).toString()).toBe("data é");
  }
});

test("a long text is sent once, though its first lines differ", () => {
  const list = Array.from({ length: 2000 }, (_, n) => `10.0.${n >> 8}.${n & 255},\n`).join("");
  const batch = `add table ip t é\ncreate set ip t s\nadd element ip t s {\n${list}}\n`;
  const kept = batch.replace("create", "add");
  const file = { path: "/etc/hostnet/boot.d/s", text: "# head\n", source: kept };
  const bytes = compile(
    [{ queries: [], change: { ...change, steps: [{ argv: ["nft"], stdin: batch }], record: [file] } }],
    "MARK",
  );
  expect(bytes.toString().split(list).length - 1).toBe(1);
  const printed = (pattern: RegExp) => {
    const [, ...numbers] = pattern.exec(bytes.toString())!;
    const at = numbers.filter((one) => one !== undefined).map(Number);
    const offset = Number(/^B=\$\(\(1(\d+)/.exec(bytes.toString())![1]);
    const piece = (n: number) =>
      bytes.subarray(offset + at[n]! - 1, offset + at[n]! - 1 + at[n + 1]!).toString();
    return at.length === 2 ? piece(0) : piece(0) + piece(2);
  };
  expect(printed(/feed (\d+) (\d+) \| s 0 nft \|\|/)).toBe(batch);
  expect(printed(/fill \S+ '# head\n' \S+\n\S+\n\S* ?i (\d+) (\d+) (\d+) (\d+)\n/)).toBe(kept);
});

describe("a long file that the host could list", () => {
  const list = (first: number) =>
    `add element ip t s {\n${Array.from({ length: 2000 }, (_, n) => `${first + n},\n`).join("")}}\n`;
  const fill = (stdin: string, former?: string): string => {
    const file = { path: "/f", text: "#\n", source: list(1), listing: ["nft", "list"], former };
    const steps = [{ argv: ["nft"], stdin }];
    const text = compile([{ queries: [], change: { ...change, steps, record: [file] } }], "MARK");
    return /fill \/f '#\n' 'HOSTNET\n\}\n' ([^}]*)\n\}/.exec(text.toString())![1]!;
  };
  test.each<[string, RegExp, string, string?]>([
    ["is what a step sends", /^i \d+ \d+( \d+ \d+)?$/, `flush set ip t s\n${list(1)}`],
    [
      "is edited where it has changed a little",
      /^edited \/f [0-9a-f]{64} '2i\\\n1,\n2001d' nft list$/,
      "",
      list(2),
    ],
    ["is listed where it has changed much", /^nft list$/, "", list(1500)],
    ["is listed where nobody knows what it was", /^nft list$/, ""],
  ])("%s", (_, expected, stdin, former = "") => expect(fill(stdin, former || undefined)).toMatch(expected));
});
