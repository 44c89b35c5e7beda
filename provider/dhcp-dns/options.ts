import { z } from "zod";
import { canonicalAddress, family as familyOf } from "../formats/cidr";
import { issue } from "../schema";

/** Options of DHCP by dnsmasq's names, or by number. */
export type DhcpOptions = Record<string, string | number | (string | number)[]>;

/** What dnsmasq calls them (`dnsmasq --help dhcp`), by what they hold; what it takes from elsewhere is left out. */
const WORDS = {
  4: {
    addresses:
      "router dns-server log-server lpr-server swap-server policy-filter router-solicitation static-route nis-server " +
      "ntp-server netbios-ns netbios-dd x-windows-fs x-windows-dm nis+-server mobile-ip-home smtp-server pop3-server " +
      "nntp-server irc-server tftp-server-address",
    1: "ip-forward-enable non-local-source-routing default-ttl all-subnets-local router-discovery trailer-encapsulation ethernet-encap tcp-ttl netbios-nodetype",
    2: "boot-file-size max-datagram-reassembly mtu",
    4: "time-offset arp-timeout tcp-keepalive T1 T2 ipv6-only",
    text:
      "domain-name root-path extension-path nis-domain vendor-class nis+-domain tftp-server bootfile-name posix-timezone " +
      "tzdb-timezone domain-search sip-server classless-static-route vendor-id-encap",
  },
  6: {
    addresses: "sip-server dns-server nis-server nis+-server sntp-server ntp-server",
    1: "",
    2: "",
    4: "information-refresh-time",
    text: "sip-server-domain domain-search nis-domain nis+-domain posix-timezone tzdb-timezone bootfile-url bootfile-param",
  },
} as const;

const known = (family: 4 | 6) =>
  new Map(
    Object.entries(WORDS[family]).flatMap(([holds, words]) =>
      words.split(" ").map((w) => [w, holds] as const),
    ),
  );
const KNOWN = { 4: known(4), 6: known(6) };
const LAST = { 4: 254, 6: 65535 };

/** Each as a list of texts: dnsmasq separates values by commas, and takes quotes, backslashes and " #" for its own. */
export const dhcpOptions = (family: 4 | 6) =>
  z.unknown().transform((raw, context) => {
    const problem = (message: string, path: (string | number)[] = []) => issue(context, message, raw, path);
    if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
      problem("must be options by dnsmasq's names, as { mtu: 1400 }");
      return z.NEVER;
    }
    const entries = Object.entries(raw).map(([name, given]): [string, string[]] => {
      const holds = KNOWN[family].get(name);
      const numbered = /^[1-9]\d{0,4}$/.test(name) && Number(name) <= LAST[family];
      if (holds === undefined && !numbered)
        problem(`is no option of DHCPv${family} by dnsmasq's names, nor a number from 1 to ${LAST[family]}`, [
          name,
        ]);
      const list = Array.isArray(given) ? given : [given];
      return [
        name,
        list.map((value, n) => {
          const path = Array.isArray(given) ? [name, n] : [name];
          const { text, wrong } = readValue(value, holds, family);
          if (wrong) problem(wrong, path);
          return text;
        }),
      ];
    });
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  });

function readValue(
  value: unknown,
  holds: string | undefined,
  family: 4 | 6,
): { text: string; wrong?: string } {
  const text = String(value);
  const wrong = (message: string) => ({ text, wrong: message });
  if (typeof value !== "string" && typeof value !== "number")
    return wrong("must be a text, a number, or a list");
  if (holds === "addresses") {
    try {
      return familyOf(text) === family
        ? { text: canonicalAddress(text) }
        : wrong(`is no IPv${family} address`);
    } catch (error) {
      return wrong((error as Error).message);
    }
  }
  const bytes = holds === "text" || holds === undefined ? undefined : Number(holds);
  const most = bytes === undefined ? 0 : 256 ** bytes - 1;
  if (bytes !== undefined && !(/^\d{1,10}$/.test(text) && Number(text) <= most))
    return wrong(`must be a whole number from 0 to ${most}`);
  if (!/^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(text) || /[",\\]|(^| )#/.test(text))
    return wrong(
      'must be 1 to 255 printable ASCII characters without " \\ or a comma (write a list), none of them a lone #',
    );
  return { text };
}
