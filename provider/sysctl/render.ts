import { HostnetError } from "../errors";
import type { Boot, Claim, Last, Observed, Step } from "../kind";
import type { Sysctl, schema } from "./args";
import { claimKey, inOrder, pathOf, slashes, spreadOf, spreads } from "./keys";
import type { Facts, Former } from "./parse";

type Shape = typeof schema.shape;
type Seen = Observed<Shape, Facts>;

export function ensure(d: Sysctl, before: Seen, last?: Last<Shape, Facts>): readonly Step[] {
  const now = before.state?.settings ?? {};
  const keys = Object.keys(d.settings);
  // Only the way back of a failed change knows what was there before it, or starts from nothing.
  const wayBack = before.state === undefined || last?.former.state !== undefined;
  const missing = wayBack ? undefined : keys.find((key) => now[key] === undefined);
  if (missing !== undefined) refuseMissing(missing);
  const left = Object.keys(last?.desired.settings ?? {}).filter(
    (key) => !keys.some((stays) => claimKey(stays) === claimKey(key)),
  );
  const given = left.flatMap((key) => giveBack(key, before, last!));
  // What a key writes into every device also overwrites the devices' own keys, however they stand now.
  const written = left.filter((key) => isGivenBack(key, before));
  const sets: Step[] = [];
  for (const key of inOrder(keys)) {
    if (now[key] === d.settings[key] && !written.some((other) => reaches(other, key))) continue;
    sets.push(set(key, d.settings[key]!));
    written.push(key);
  }
  return [...given, ...sets, ...(wayBack ? devicesBack(written, before.facts) : [])];
}

/** Before the links, whose settings begin with these; those of a link wait for it. */
export function boot({ settings }: Sysctl, facts: Facts): Boot<Facts> {
  return { order: 10, facts, steps: inOrder(Object.keys(settings)).map((key) => set(key, settings[key]!)) };
}

export function remove(before: Seen, last: Last<Shape, Facts>): readonly Step[] {
  return inOrder(Object.keys(last.desired.settings)).flatMap((key) => giveBack(key, before, last));
}

export function claims(d: Sysctl, before?: Seen): Record<string, Claim> {
  return Object.fromEntries(
    Object.entries(d.settings).map(([key, value]) => {
      const devices = Object.entries(before?.facts.devices ?? {}).filter(([device]) => reaches(key, device));
      const former = { value: before?.state?.settings[key], devices: Object.fromEntries(devices) };
      return [claimKey(key), { value, former }];
    }),
  );
}

function refuseMissing(key: string): never {
  throw new HostnetError(
    `settings.${key}: the host has no such setting: its device, or the kernel module that brings it, may be missing ` +
      "(br_netfilter for net.bridge, nf_conntrack for net.netfilter)",
  );
}

function reaches(key: string, device: string): boolean {
  const spread = spreadOf(key);
  return spread !== undefined && key !== device && spreads(spread, device);
}

const set = (key: string, value: string): Step =>
  value === "" ? put(key, value) : { argv: ["sysctl", "-qw", `${slashes(key)}=${value}`] };

/** For any value and any name of a device, which sysctl would cut at an equals sign. */
const put = (key: string, value: string): Step => ({ argv: ["tee", pathOf(key)], stdin: `${value}\n` });

const formerOf = (key: string, { shared }: Pick<Seen, "shared">): Former | undefined =>
  shared?.[claimKey(key)] as Former | undefined;

/** What a key goes back to with its last claim, or with that of a key that wrote it. */
export function formerValue(key: string, shared: Seen["shared"] = {}): string | undefined {
  const formers = Object.values(shared) as (Former | undefined)[];
  return formerOf(key, { shared })?.value ?? formers.find((f) => f?.devices?.[key])?.devices[key];
}

const isGivenBack = (key: string, before: Seen): boolean => {
  const former = formerOf(key, before);
  const now = before.state?.settings[key];
  return former !== undefined && now !== undefined && former.value !== now;
};

/** To what was found before the first claim, unless another resource still claims the setting, or that of a device. */
function giveBack(key: string, before: Seen, { desired }: Last<Shape, Facts>): Step[] {
  const former = formerOf(key, before);
  const now = before.state?.settings[key];
  if (former === undefined || now === undefined) return [];
  const own: Step[] = now === former.value ? [] : [{ ...put(key, former.value), released: [claimKey(key)] }];
  // A key that never left its former value changed no device: what differs there, others have set.
  if (own.length === 0 && desired.settings[key] === former.value) return [];
  const spread = spreadOf(key);
  const devices = Object.entries(former.devices).filter(([device, value]) => {
    const current = before.facts.devices[device];
    const differs = value !== former.value || (spread?.sparing === true && current === now);
    const forced = own.length > 0 && (spread?.also.includes(device) || differs);
    return current !== undefined && (forced || (own.length === 0 && current !== value));
  });
  return [
    ...own,
    ...inOrder(devices.map(([device]) => device)).map((device) => ({
      ...put(device, former.devices[device]!),
      released: [claimKey(key), device],
      ...unlessGone(device),
    })),
  ];
}

const unlessGone = (key: string): Pick<Step, "unless"> => ({ unless: ["test", "!", "-e", pathOf(key)] });

/** The devices as they were before the change that is taken back. */
function devicesBack(written: readonly string[], { devices }: Facts): Step[] {
  const changed = Object.keys(devices).filter((device) => written.some((key) => reaches(key, device)));
  return inOrder(changed).map((device) => ({ ...put(device, devices[device]!), ...unlessGone(device) }));
}
