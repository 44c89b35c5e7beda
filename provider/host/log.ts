import { appendFileSync } from "node:fs";

/** One line of JSON for each script, in the file that HOSTNET_LOG names. Never what is sent or answered: that may be secret. */
export function log(entry: Readonly<Record<string, unknown>>): void {
  const file = process.env.HOSTNET_LOG;
  if (!file) return;
  appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`, { mode: 0o600 });
}
