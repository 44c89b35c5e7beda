/** Where in what it read nft found something wrong: line and columns from 1. */
export interface NftError {
  readonly line: number;
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

const ERROR = /^(?:\/dev\/stdin|-):(\d+):(\d+)-(\d+): Error: (.+)$/gm;

/** Those that name a place. */
export const nftErrors = (stderr: string): NftError[] =>
  withoutEchoes(
    [...stderr.matchAll(ERROR)].map(([, line, from, to, reason]) => ({
      line: Number(line),
      from: Number(from),
      to: Number(to),
      reason: reason!,
    })),
  );

/** The kernel looks at all chains whenever a rule is added: what it has against one rule, it says of every later one. */
const ECHOED = /^Could not process rule: (Operation not supported|Too many links)$/;

function withoutEchoes(errors: readonly NftError[]): NftError[] {
  const told = new Set<string>();
  return errors.filter(({ reason }) => {
    const echo = told.has(reason);
    if (ECHOED.test(reason)) told.add(reason);
    return !echo;
  });
}

const WIDTH = 160;

/** A line with carets under what nft means; of a long one the piece around them. */
export function marked(line: string, from: number, to: number): string {
  const [first, last] = [Math.max(from, 1), Math.min(Math.max(to, 1), line.length)];
  const cut = first > WIDTH / 2 && line.length > WIDTH ? first - WIDTH / 2 : 0;
  const piece = line.slice(cut, cut + WIDTH);
  const carets = "^".repeat(Math.max(1, Math.min(last - first + 1, piece.length - (first - 1 - cut))));
  return `${piece}\n${" ".repeat(first - 1 - cut)}${carets}`;
}
