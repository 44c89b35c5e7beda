import type { Query, Result } from "../kind";

/** VLAN id -> untagged on the way out. */
export type Vlans = ReadonlyMap<number, boolean>;

/** As `bridge -j vlan show` lists one device. */
export interface ListedVlans {
  readonly vlans: Vlans;
  readonly pvid?: number;
}

export const showVlans = (name: string): Query => ({ argv: ["bridge", "-j", "vlan", "show", "dev", name] });

/** None of what is not there, or is no port of a bridge; anything else that is odd throws. */
export function parseListedVlans({ code, stdout, stderr }: Result, device: string): ListedVlans {
  if (code !== 0 && !/Cannot find device/.test(stderr))
    throw new Error(`bridge could not show the VLANs of ${device}: ${stderr.trim()}`);
  type Json = { ifname: string; vlans?: { vlan: number; vlanEnd?: number; flags?: string[] }[] }[];
  const all = JSON.parse(stdout || "[]") as Json;
  const vlans = new Map<number, boolean>();
  let pvid: number | undefined;
  for (const { vlan, vlanEnd = vlan, flags = [] } of all.find((one) => one.ifname === device)?.vlans ?? []) {
    if (flags.includes("PVID")) pvid = vlan;
    for (let id = vlan; id <= vlanEnd; id++) vlans.set(id, flags.includes("Egress Untagged"));
  }
  return { vlans, pvid };
}
