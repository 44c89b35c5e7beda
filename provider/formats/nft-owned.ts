import { HostnetError } from "../errors";
import type { Query, Result } from "../kind";

/** Sets with a resource of their own, as the host's records tell: no part of the table that they live in. */
export const ownedQuery = (family: string, table: string): Query => ({
  argv: [
    "grep",
    "-rhso",
    `"kind":"NftSet","id":"${family}/${table.replace(/[\\.]/g, "\\$&")}/[^"]*"`,
    "/etc/hostnet/objects",
    "/run/hostnet/objects",
  ],
  free: true,
});

/** Its exit code tells nothing: one of the folders need not be there. */
export function ownedSets({ stdout, stderr }: Result, family: string, table: string): ReadonlySet<string> {
  if (stderr !== "") throw new HostnetError(`cannot read whose sets there are: ${stderr.trim()}`);
  const start = `"kind":"NftSet","id":"${family}/${table}/`;
  const lines = stdout.split("\n").filter((line) => line.startsWith(start));
  return new Set(lines.map((line) => line.slice(start.length, -1)));
}
