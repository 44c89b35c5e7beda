import { z } from "zod";
import { integer } from "./schema";

/** The fields of @pulumi/command's remote ConnectionArgs, so that one object serves both packages. */
const server = {
  host: z.string().min(1, "must not be empty"),
  port: integer(1, 65535).optional(),
  user: z.string().min(1, "must not be empty").optional(),
  password: z.string().optional(),
  privateKey: z.string().optional(),
  privateKeyPassword: z.string().optional(),
  agentSocketPath: z.string().optional(),
  hostKey: z.string().optional(),
  dialErrorLimit: integer(-1, 1000).optional(),
  perDialTimeout: integer(0, 3600).optional(),
};

const later = (what: string) => z.undefined(`${what} is not supported yet: leave it out`).optional();

/** How to reach the host and how to treat it: the same for every kind. */
export const hostSchema = z.strictObject({
  connection: z.strictObject({ ...server, proxy: z.strictObject(server).optional() }),
  ssh: z
    .strictObject({
      identityFile: z.string().min(1).optional(),
      knownHosts: z.string().min(1).optional(),
      acceptNewHostKey: z.boolean().optional(),
      sudo: z.union([z.boolean(), z.strictObject({ command: z.string().min(1).optional() })]).optional(),
      config: later("ssh.config"),
      jumps: later("ssh.jumps"),
    })
    .optional(),
  confirm: later("confirm"),
  adopt: z.enum(["identical", "overwrite"], 'must be "identical" or "overwrite"').optional(),
  persist: z.boolean().optional(),
  acceptMachine: z
    .string()
    .regex(/^[0-9a-f]{32}$/, "is no machine-id: 32 hexadecimal digits, as in /etc/machine-id")
    .optional(),
});

export type HostArgs = z.output<typeof hostSchema>;
export const HOST_KEYS = Object.keys(hostSchema.shape);
