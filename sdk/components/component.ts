// What the components have in common.
import * as pulumi from "@pulumi/pulumi";

/** What is wrong with a component's arguments, said of it by name. */
export function refused<T>(component: string, name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new pulumi.RunError(`${component} "${name}": ${(error as Error).message}`);
  }
}

/** The settings by which a host forwards. */
export const forwarding = (families: Iterable<4 | 6>): Record<string, number> =>
  Object.fromEntries(
    [...families].map((family) => [family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding", 1]),
  );
