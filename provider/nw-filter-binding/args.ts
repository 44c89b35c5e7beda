import { z } from "zod";
import { type FilterParameters, filterName, parameters } from "../formats/filterref";
import { libvirtUri, uuid } from "../formats/libvirt";
import type { Desired } from "../kind";
import { ifname, mac } from "../schema";

/**
 * A filter at a port of a bridge that libvirt does not manage: the tap of any VMM, the host's end of a veth. A domain of
 * libvirt takes its filter from its own XML instead: `filterref()`.
 */
export interface NwFilterBindingFields {
  /**
   * Name of the port. It must exist: libvirt would take the binding all the same, and filter nothing. A port that is made
   * again under the name keeps its rules. A change replaces the binding.
   */
  portDev: string;
  /** MAC address of the guest, $MAC in filters. While it changes, the port is closed. */
  macAddress: string;
  /** Name of the filter: `filter.name`, so that it is there first, or one that comes with libvirt, as "clean-traffic". */
  filter: string;
  /** What stands for the filter's variables, as for NwFilterRef. Without IP, libvirt learns the guest's address. */
  parameters?: FilterParameters;
  /** Whom libvirt is told as the owner. Left out, one is made from the port, once. While it changes, the port is closed. */
  vm?: { name: string; uuid: string };
  /** Another text, of A-Z a-z 0-9 _ . : to 100, makes libvirt build the rules anew, as when others flushed theirs. */
  trigger?: string;
  /** How virsh reaches libvirt. @default "qemu:///system" */
  uri?: string;
}

/** Our own variable in the wrapper. */
export const TRIGGER = "HOSTNET_TRIGGER";

export const schema = z.strictObject({
  portDev: ifname,
  macAddress: mac,
  filter: filterName,
  parameters: parameters
    .refine((given) => !(TRIGGER in given), `${TRIGGER} is ours: take trigger`)
    .default({}),
  vm: z
    .strictObject({
      name: z.string().regex(/^[^\p{Cc}\ufffe\uffff]{1,255}$/u, "must be one line of 1 to 255 characters"),
      uuid,
    })
    .optional(),
  trigger: z
    .string()
    .regex(/^[A-Za-z0-9_.:]{1,100}$/, "must be 1 to 100 of A-Z a-z 0-9 _ . :")
    .optional(),
  uri: libvirtUri.optional(),
});

export type NwFilterBinding = Desired<typeof schema.shape>;
