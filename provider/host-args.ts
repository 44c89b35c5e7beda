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

const probe = z.union(
  [
    z.strictObject({ ping: z.string().regex(/^[0-9A-Za-z][\w.:%-]*$/, "is no address or host name") }),
    z.strictObject({
      tcp: z.string().regex(/^(\[[0-9a-fA-F:.%\w]+\]|[\w.-]+):\d{1,5}$/, "is not host:port, as 10.0.0.1:443"),
    }),
    z.strictObject({ run: z.string().min(1, "must not be empty") }),
  ],
  'must be one of { ping: "10.0.0.1" }, { tcp: "10.0.0.1:443" }, { run: "a command" }',
);

/** How to reach the host and how to treat it: the same for every kind. */
export const hostSchema = z.strictObject({
  connection: z.strictObject({ ...server, proxy: z.strictObject(server).optional() }),
  ssh: z
    .strictObject({
      identityFile: z.string().min(1).optional(),
      knownHosts: z.string().min(1).optional(),
      acceptNewHostKey: z.boolean().optional(),
      sudo: z.union([z.boolean(), z.strictObject({ command: z.string().min(1).optional() })]).optional(),
      config: z.boolean("must be true or false").optional(),
      jumps: z.array(z.strictObject(server)).optional(),
    })
    .optional(),
  confirm: z
    .strictObject({
      when: z.enum(["risky", "always", "never"], 'must be "risky", "always" or "never"').optional(),
      timeout: integer(5, 3600).optional(),
      allowLockout: z.boolean("must be true or false").optional(),
      probes: z.array(probe).optional(),
    })
    .optional(),
  adopt: z.enum(["identical", "overwrite"], 'must be "identical" or "overwrite"').optional(),
  persist: z.boolean().optional(),
  acceptMachine: z
    .string()
    .regex(/^[0-9a-f]{32}$/, "is no machine-id: 32 hexadecimal digits, as in /etc/machine-id")
    .optional(),
});

export type HostArgs = z.output<typeof hostSchema>;
export const HOST_KEYS = Object.keys(hostSchema.shape);
