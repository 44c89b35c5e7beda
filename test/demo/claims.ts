// A claim is a sentence and what was seen; the first false one ends the demo.

export interface Claim {
  readonly claim: string;
  readonly seen: string;
}

const began = Date.now();
let count = 0;

export function chapter(title: string): void {
  console.log(`\n${title}  (${((Date.now() - began) / 1000).toFixed(0)} s)`);
}

export async function prove(claim: string, look: () => Promise<string> | string): Promise<void> {
  try {
    const seen = await look();
    count++;
    console.log(`  true   ${claim}\n           ${seen}`);
  } catch (error) {
    const seen = error instanceof Error ? error.message : String(error);
    console.log(`  FALSE  ${claim}\n           ${seen}`);
    throw new FalseClaim(`${claim}: ${seen}`);
  }
}

export class FalseClaim extends Error {}

export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

export const proven = (): number => count;
