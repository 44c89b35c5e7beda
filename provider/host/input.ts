/** Bytes that came and were not yet read, and the wait for more. Joined only when read, or 64 MiB would be copied often. */
export class Input {
  size = 0;
  private chunks: Buffer[] = [];
  /** Tells a waiting reader to look again: bytes have come, or the end. */
  wake = (): void => {};

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.size += chunk.length;
    this.wake();
  }

  take(length = this.size): Buffer {
    const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
    this.chunks = [];
    this.size = 0;
    this.put(all.subarray(length));
    return all.subarray(0, length);
  }

  /** Puts back what a reader did not want. */
  put(rest: Buffer): void {
    if (rest.length === 0) return;
    this.chunks.unshift(rest);
    this.size += rest.length;
  }

  /** Waits until there is reason to look again; false when the deadline comes first. */
  more(deadline: number): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (answer: boolean): void => {
        clearTimeout(timer);
        this.wake = () => {};
        resolve(answer);
      };
      const timer = setTimeout(() => done(false), Math.min(Math.max(0, deadline - Date.now()), 2 ** 31 - 1));
      this.wake = () => done(true);
    });
  }
}
