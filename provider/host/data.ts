/** What lies behind the end of a script: the input of its steps, and long texts of files. */
export class Data {
  readonly blobs: Buffer[] = [];
  private readonly long: { readonly text: string; readonly begin: number }[] = [];
  private size = 0;

  /** Where a text lies: the offsets and lengths of its pieces, as `i` and `feed` take them. */
  place(text: string): string {
    const known = this.sameEnd(text);
    if (known === undefined) return this.add(text);
    const begin = text.slice(0, text.length - known.length);
    return `${begin === "" ? "" : `${this.add(begin)} `}${known.at}`;
  }

  /** Whether a long text is sent already, but for its first lines. */
  holds(text: string): boolean {
    return this.sameEnd(text) !== undefined;
  }

  private add(text: string): string {
    const blob = Buffer.from(text, "utf8");
    if (text.length > LONG) this.long.push({ text, begin: this.size });
    const at = `${this.size + 1} ${blob.length}`;
    this.blobs.push(blob);
    this.size += blob.length;
    return at;
  }

  /** A long list is sent once, for nft and for the file that is loaded at boot: only their first lines differ. */
  private sameEnd(text: string): { readonly at: string; readonly length: number } | undefined {
    if (text.length <= LONG) return undefined;
    for (const known of this.long) {
      let from = 0;
      for (let lines = 0; lines < HEAD; lines++) {
        const end = known.text.slice(from);
        if (end.length > LONG && text.endsWith(end)) {
          const skipped = Buffer.byteLength(known.text.slice(0, from));
          return { at: `${known.begin + skipped + 1} ${Buffer.byteLength(end)}`, length: end.length };
        }
        from = known.text.indexOf("\n", from) + 1;
        if (from === 0) break;
      }
    }
    return undefined;
  }
}

/** Characters of a text below which it may as well be a word of the script, or be sent twice. */
export const LONG = 8192;
/** Lines in which they may differ. */
const HEAD = 4;
