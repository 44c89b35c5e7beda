import { Refused, type SshOptions } from "./target";

/** Bytes of output that one script may leave on each stream: four lists of a million addresses, looked at together. */
export const MOST_OUTPUT = 64 * 1024 * 1024;
/** Seconds that a script stopped at its limit still has to undo what it began. */
export const GRACE = 30;

/** What the driver needs on the host beside a shell, and the packages that have it. */
const TOOLS: Readonly<Record<string, string>> = {
  flock: "util-linux",
  gzip: "gzip",
  head: "coreutils",
  mktemp: "coreutils",
  sha256sum: "coreutils",
  sync: "coreutils",
  timeout: "coreutils",
  wc: "coreutils",
};

/**
 * Runs on the host for as long as the session lives, and takes one script after the other.
 *
 *   greeting   MARK ok UID MACHINE-ID BOOT-ID [WAY]  or  MARK no REASON WORD
 *              WAY: client and port, server and port as sshd has them, the router and the link towards the client,
 *              the links below and above it, then those of the link that has the server's address; "*" where not all are known
 *   request    LENGTH SHA256 SECONDS MARK [z]         then exactly that many bytes; with z they are compressed, the hash is of the script
 *   reply      MARK EXIT OUT-LENGTH ERR-LENGTH       then exactly those bytes
 *              MARK EXIT over                        more output than is taken in
 *              MARK bad                              what came is not what was sent, nothing ran; the driver ends
 *
 * A plain `sh` on stdin would read ahead, and run half of what a cut connection delivered. The text passes through the
 * user's login shell, be it tcsh or fish: it has no single quote, exclamation mark, backslash or newline. A script's
 * output goes to files, so that a lost connection cannot stop it half-way (SIGPIPE). They are made beforehand: a full
 * disk is noticed before anything runs.
 */
const TEXT = [
  "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin LC_ALL=C; export PATH LC_ALL; cd /; umask 022",
  "q=$1; n() { echo $q no $*; exit 1; }; echo; u=$(id -u); [ $u = 0 ] || n root $u",
  `for c in ${Object.keys(TOOLS).join(" ")}; do command -v $c >/dev/null || n tool $c; done`,
  "j=; k=; read -r j </etc/machine-id; read -r k </proc/sys/kernel/random/boot_id",
  '[ "$j" ] || n machine-id',
  "mkdir -p -m 700 /run/hostnet && d=$(mktemp -d /run/hostnet/session.XXXXXX) || n folder",
  'trap "rm -rf $d" 0; trap "exit 1" 1 2 15; trap : 13',
  // The link and the router towards the client.
  'g() { v=-; while [ $# -gt 1 ]; do case $1 in via) v=$2;; dev) echo "$v $2"; return;; esac; shift; done; }',
  'b() { for f in "/sys/class/net/$1"/lower_*; do [ -e "$f" ] || continue; printf " %s" "${f##*/lower_}"; b "${f##*/lower_}"; done; }',
  'a() { for f in "/sys/class/net/$1"/upper_*; do [ -e "$f" ] || continue; printf " %s" "${f##*/upper_}"; done; }',
  // From the address that the client has come to: rules may lead elsewhere from others.
  "f() { ip -o route get $c from $s || ip -o route get $c; }; o() { echo $2; }",
  'c=${2%% *}; s=${2% *}; s=${s##* }; case $c in "") r=;; *%*) r="- ${c#*%}";; *) r=$(set -f; g $(f 2>/dev/null));; esac',
  'l=${r#* }; w=; [ -z "$l" ] || w="$2 $r$(b "$l")$(a "$l")"',
  // What comes may come in by another link than the answers go out by.
  'm=; [ -z "$w" ] || m=$(o $(ip -o addr show to $s 2>/dev/null)); case $m in ""|"$l") ;; *) w="$w $m$(b "$m")$(a "$m")";; esac',
  // Only of Ethernet the links that carry it are known.
  't=; [ -z "$w" ] || { read -r t <"/sys/class/net/$l/type"; [ "$t" = 1 ] || w="$w *"; } 2>/dev/null',
  'echo "$1 ok $u $j $k $w"',
  "while read -r n h t m z",
  'do if [ $z ]; then head -c $n | gzip -dc; else head -c $n; fi >$d/script && true >$d/.out && true >$d/.err && [ "$(sha256sum <$d/script)" = "$h  -" ] || { echo $m bad; exit 1; }',
  `timeout -k ${GRACE} $t sh $d/script </dev/null >>$d/.out 2>>$d/.err; r=$?`,
  "set -- $(wc -c $d/.out $d/.err); o=$1; e=$3",
  `if [ $o -gt ${MOST_OUTPUT} ] || [ $e -gt ${MOST_OUTPUT} ]; then echo $m $r over`,
  "else echo $m $r $o $e; [ $o = 0 ] || head -c $o $d/.out; [ $e = 0 ] || head -c $e $d/.err; fi",
  "rm -rf $d/* $d/.out $d/.err; done",
];

/** The command line that starts the driver. With a password, sudo asks for it with the mark as its prompt. */
export function commandLine(mark: string, sudo: SshOptions["sudo"], password?: string): string {
  // sudo takes SSH_CONNECTION out of the environment.
  const driver = `sh -c '${TEXT.join("; ")}' hostnet ${mark} "$SSH_CONNECTION"`;
  if (!sudo) return `exec ${driver}`;
  if (password !== undefined && /[\r\n]/.test(password))
    throw new Refused("hostnet:sudoPassword has a line break in it");
  const words = (sudo === true ? "sudo" : (sudo.command ?? "sudo")).split(" ").filter((word) => word !== "");
  const bad = words.find((word) => !/^[\w@%+=:,./-]+$/.test(word));
  if (bad !== undefined || words.length === 0) {
    throw new Refused(
      `ssh.sudo.command is to be a command and its options, of letters, digits and @%_+=:,./-; not ${bad ?? "nothing"}`,
    );
  }
  // In the C locale, or its complaints could not be understood.
  return `exec env LC_ALL=C ${words.join(" ")} ${password !== undefined ? `-S -p ${prompt(mark)}` : "-n"} -- ${driver}`;
}

export const WRONG_PASSWORD = "sudo refused the password of hostnet:sudoPassword.";

/** What sudo prints when it wants the password. Not the mark itself, which begins the greeting. */
export function prompt(mark: string): string {
  return `ask-${mark}`;
}

/** What a host said, fit for an error: the end of it, and nothing that moves a terminal's cursor. */
export function plain(bytes: string): string {
  const text = Buffer.from(bytes, "latin1").toString("utf8");
  return text
    .replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "")
    .trim()
    .slice(-400);
}

/** Why the driver does not start, in the words of its greeting. */
export function refusal(reason: string, word: string, sudo: SshOptions["sudo"], said: string): string {
  const told = saying(said);
  switch (reason) {
    case "root":
      if (sudo) return `sudo does not make us root (uid ${word}).`;
      return `the user is not root (uid ${word}): log in as root, or set ssh.sudo to true.`;
    case "tool":
      return `the host lacks ${word}: install the package ${TOOLS[word] ?? word}.`;
    case "machine-id":
      return `/etc/machine-id cannot be read or is empty: systemd-machine-id-setup makes it.${told}`;
    default:
      return `cannot make a folder in /run/hostnet.${told}`;
  }
}

function saying(bytes: string): string {
  const said = plain(bytes);
  return said === "" ? "" : ` The host says: ${said}`;
}

/** Why the login did not lead to the driver, from what the channel said until it closed. */
export function noGreeting(code: number | null, output: string, diagnosis: string): string {
  const told = saying(diagnosis.trim() ? diagnosis : output);
  const rules: readonly (readonly [RegExp, string])[] = [
    [/must have a tty/, "sudo wants a terminal: remove requiretty for this user from the sudoers."],
    [
      /not in the sudoers|may not run sudo|not allowed to (execute|run)/,
      "the sudoers do not let this user run sh as root.",
    ],
    [/try again|incorrect password|incorrect authentication/, WRONG_PASSWORD],
    [
      /password is required|no askpass|authentication (is )?required/i,
      "sudo wants a password: set hostnet:sudoPassword, or allow the user NOPASSWD.",
    ],
    [
      /(env|exec): .*(No such file|not found)|sudo: .*not found/,
      "there is no such command to become root with: install sudo, or log in as root.",
    ],
    [/not available|nologin/, "the user's login shell lets nobody in."],
  ];
  // nologin says so on stdout; sudo on stderr.
  const rule = rules.find(([pattern]) => pattern.test(`${diagnosis}\n${output}`));
  if (rule) return `${rule[1]}${told}`;
  return (
    `the login ended at once (exit ${code ?? "unknown"}) without running our command: ` +
    `is there a ForceCommand, or a login shell like false?${told}`
  );
}
