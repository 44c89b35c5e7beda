import { appendFileSync } from "node:fs";

/** One line of JSON for each script, in the file that HOSTNET_LOG names. Never what is sent or answered: that may be secret. */
export function log(entry: Readonly<Record<string, unknown>>): void {
  const file = process.env.HOSTNET_LOG;
  if (!file) return;
  try {
    appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`, {
      mode: 0o600,
    });
  } catch (error) {
    // What the host did stands: a change must not fail for its log.
    console.warn(`HOSTNET_LOG: ${(error as Error).message}`);
  }
}
