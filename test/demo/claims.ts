// A claim is a sentence and what was seen; the first false one ends the demo.
import { AsyncLocalStorage } from "node:async_hooks";

export interface Claim {
  readonly claim: string;
  readonly seen: string;
}

const began = Date.now();
let count = 0;

/** Of a scene that is played behind the curtain: its lines. */
const curtain = new AsyncLocalStorage<{ lines: string[] | undefined }>();

/** Plays a scene while another is told, and tells of it when asked to. */
export function behind(play: () => Promise<void>): { readonly tell: () => Promise<void> } {
  const hidden: { lines: string[] | undefined } = { lines: [] };
  const played = curtain.run(hidden, play);
  // Whoever asks hears of it; the demo may have ended before.
  played.catch(() => {});
  return {
    tell: () => {
      for (const line of hidden.lines ?? []) console.log(line);
      hidden.lines = undefined;
      return played;
    },
  };
}

function say(line: string): void {
  const hidden = curtain.getStore()?.lines;
  if (hidden) hidden.push(line);
  else console.log(line);
}

export function chapter(title: string): void {
  say(`\n${title}  (${((Date.now() - began) / 1000).toFixed(0)} s)`);
}

export async function prove(claim: string, look: () => Promise<string> | string): Promise<void> {
  try {
    const seen = await look();
    count++;
    say(`  true   ${claim}\n           ${seen}`);
  } catch (error) {
    const seen = error instanceof Error ? error.message : String(error);
    say(`  FALSE  ${claim}\n           ${seen}`);
    throw new FalseClaim(`${claim}: ${seen}`);
  }
}

export class FalseClaim extends Error {}

export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}

export const proven = (): number => count;
