import { createHash } from "node:crypto";

export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Names of files on the host: readable ids may have any characters. */
export const digest = (text: string): string => sha256(text).slice(0, 32);

/** Where the claims to a shared setting lie, each a file. */
export const sharedFolder = (key: string): string => `/etc/hostnet/shared/${digest(key)}`;
