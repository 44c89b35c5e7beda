import { createPrivateKey, type KeyObject } from "node:crypto";

/**
 * PKCS#8, which OpenSSL and Pulumi's tls provider write and ssh2 cannot read, in a form that it can. Any other key stays
 * as it is. Throws what OpenSSL says of a key it cannot open.
 */
export function readable(key: string, passphrase?: string): string {
  if (!/-----BEGIN (ENCRYPTED )?PRIVATE KEY-----/.test(key)) return key;
  const parsed = createPrivateKey({ key, passphrase });
  switch (parsed.asymmetricKeyType) {
    case "rsa":
      return parsed.export({ type: "pkcs1", format: "pem" }) as string;
    case "ec":
      return parsed.export({ type: "sec1", format: "pem" }) as string;
    case "ed25519":
      return ed25519(parsed);
    default:
      throw new Error(`a key of type ${parsed.asymmetricKeyType} is not for SSH`);
  }
}

/** The public part of a key as SSH sends it: of a public key's line, and of OpenSSH's private form, where it lies open. */
export function publicOf(key: string): Buffer | undefined {
  const [, line] = /^\s*(?:ssh-|ecdsa-|sk-)\S+ ([A-Za-z0-9+/=]+)/.exec(key) ?? [];
  if (line !== undefined) return Buffer.from(line, "base64");
  const [, body] = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]*)/.exec(key) ?? [];
  if (body === undefined) return undefined;
  const data = Buffer.from(body, "base64");
  // After the magic: cipher, its KDF and the KDF's options, the number of keys, the key.
  let at = "openssh-key-v1\0".length;
  const next = (): Buffer => {
    const from = at + 4;
    at = from + data.readUInt32BE(at);
    return data.subarray(from, at);
  };
  try {
    for (let i = 0; i < 3; i++) next();
    at += 4;
    return next();
  } catch {
    return undefined;
  }
}

/** The layout of OpenSSH's PROTOCOL.key, unencrypted: Ed25519 has no older one. */
function ed25519(key: KeyObject): string {
  const { d = "", x = "" } = key.export({ format: "jwk" });
  const [secret, point] = [Buffer.from(d, "base64url"), Buffer.from(x, "base64url")];
  const type = field(Buffer.from("ssh-ed25519"));
  const open = Buffer.concat([type, field(point)]);
  const closed = Buffer.concat([
    Buffer.alloc(8),
    open,
    field(Buffer.concat([secret, point])),
    field(Buffer.alloc(0)),
  ]);
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (closed.length % 8)) % 8));
  const none = field(Buffer.from("none"));
  const one = Buffer.from([0, 0, 0, 1]);
  const whole = [
    Buffer.from("openssh-key-v1\0"),
    none,
    none,
    field(Buffer.alloc(0)),
    one,
    field(open),
    field(Buffer.concat([closed, padding])),
  ];
  const text = Buffer.concat(whole).toString("base64").replace(/.{70}/g, "$&\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${text}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

function field(data: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}
