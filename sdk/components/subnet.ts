import { canonicalPrefix, formatAddress, parseAddress } from "../../provider/formats/cidr";

/** What follows from the network that guests are in. */
export interface Subnet {
  readonly family: 4 | 6;
  /** "10.7.0.0/24" */
  readonly network: string;
  /** The host's address in it, the first: "10.7.0.1". */
  readonly gateway: string;
  /** The same with its prefix length, as the bridge has it. */
  readonly address: string;
  /** What guests get by lease: of IPv4 the upper half, 65536 addresses at most. */
  readonly range: { readonly start: string; readonly end: string; readonly slaac?: boolean };
}

/** Those of a component's `subnet`; throws with the reason where no guests fit in. */
export function subnetsOf(given: string | readonly string[]): Subnet[] {
  const subnets = [given].flat().map((text) => {
    try {
      return subnetOf(text);
    } catch (error) {
      throw new Error(`subnet: ${JSON.stringify(text)}: ${(error as Error).message}`);
    }
  });
  const families = new Set(subnets.map(({ family }) => family));
  if (families.size === 0 || families.size < subnets.length)
    throw new Error("subnet: must be a network, or one of IPv4 and one of IPv6");
  return subnets;
}

function subnetOf(text: string): Subnet {
  const network = canonicalPrefix(text);
  const [base = "", digits] = network.split("/");
  const { family, value } = parseAddress(base);
  const length = Number(digits);
  if (family === 6 && length !== 64) throw new Error("must be a /64, for guests know no other size");
  if (family === 4 && (length > 30 || length < 8)) throw new Error("must be a /8 to /30");
  const size = 1n << BigInt((family === 4 ? 32 : 128) - length);
  const at = (offset: bigint) => formatAddress({ family, value: value + offset });
  const [first, last] = family === 6 ? [0x1000n, 0x1fffn] : [size / 2n, size - 2n];
  const most = first + 0xffffn;
  return {
    family,
    network,
    gateway: at(1n),
    address: `${at(1n)}/${length}`,
    range: {
      start: at(first),
      end: at(last < most ? last : most),
      ...(family === 6 && { slaac: true }),
    },
  };
}
