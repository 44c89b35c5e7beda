import { createHash } from "node:crypto";
import { z } from "zod";
import { HostnetError } from "../errors";
import type { Result } from "../kind";

const DEFAULT_URI = "qemu:///system";

export const libvirtUri = z
  .string()
  .regex(
    /^[a-z][a-z0-9]*:\/\/\/?[A-Za-z0-9/_.-]*$/,
    'is no URI of a libvirt on the host, as "qemu:///system", "nwfilter:///system" or "lxc:///"',
  );

export const uuid = z
  .string()
  .regex(
    /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i,
    "is no UUID, as fce8ae34-e69e-83bf-262e-30786c1f8073",
  )
  .transform((text) => dashed(text.toLowerCase().replaceAll("-", "")));

const dashed = (digits: string): string =>
  digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");

/** A call of virsh, in English and without headings. */
export const virsh = (uri: string | undefined, ...words: readonly string[]): readonly string[] => [
  "env",
  "LC_ALL=C.UTF-8",
  "virsh",
  "-q",
  "-c",
  uri ?? DEFAULT_URI,
  ...words,
];

/** As a probe: succeeds where virsh fails, so that what is gone already need not be taken away. */
export const unlessGone = (argv: readonly string[]): readonly string[] => [
  "sh",
  "-c",
  '! "$@"',
  "sh",
  ...argv,
];

/** What virsh printed; undefined where libvirt itself says that there is no such thing. Everything else is an error. */
export function found({ code, stdout, stderr }: Result, absent: RegExp, uri?: string): string | undefined {
  if (code === 0) return stdout;
  if (absent.test(stderr) && !/failed to connect/.test(stderr)) return undefined;
  throw new HostnetError(unanswered(stderr.trim() || `exit code ${code}`, uri));
}

function unanswered(said: string, uri = DEFAULT_URI): string {
  const lines = said.split("\n").map((line) => line.replace(/^error: /, ""));
  // Not by who we are: a session is always root's.
  if (/authentication|Permission denied|access denied/i.test(said))
    return `libvirt at ${uri} refuses virsh: ${lines.join(": ")}. It runs as root already: see auth_unix_rw and access_drivers of that daemon (/etc/libvirt/libvirtd.conf), and AppArmor or SELinux`;
  const hint = /No such file or directory|Connection refused/.test(said)
    ? ". Is libvirt installed and its socket unit enabled there? Where its daemons are separate, uri may have to name another one"
    : "";
  return `libvirt at ${uri} does not answer: ${lines.join(": ")}${hint}`;
}

/** Why libvirt would not, without virsh's frame around it. */
export function reasonOf({ stderr }: Result): string | undefined {
  const lines = stderr.split("\n").map((line) => line.replace(/^error: /, "").trim());
  return (
    lines.filter((line) => line !== "" && !/^Failed to \w+ network filter/.test(line)).join(": ") || undefined
  );
}

/** A UUID that is the same whenever it is made from the same text (version 8, variant 1). */
export function uuidFrom(text: string): string {
  const bytes = createHash("sha256").update(`hostnet ${text}`).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return dashed(bytes.toString("hex"));
}
