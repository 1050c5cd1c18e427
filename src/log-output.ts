import { write } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Where log lines go. Nothing that becomes of it can end the process, or hold it up. */
export interface LogOutput {
  write(text: string): void;
  /** Ends when everything is written, or cannot be. */
  flush(): Promise<void>;
}

const writeTo = promisify(write);
/** What cannot be written for now is kept up to so many characters. */
const longestQueue = 2 ** 20;
/** A pipe that is full takes more when its reader has read. */
const retryMs = 50;

async function writeWhole(descriptor: number, text: string): Promise<void> {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      const { bytesWritten } = await writeTo(descriptor, rest, 0, rest.length);
      rest = rest.subarray(bytesWritten);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await sleep(retryMs);
    }
  }
}

/**
 * Writes to a descriptor, beside everything else. Node's own streams throw, or end the process, when the disk is full or
 * the reader of the pipe is gone, stay broken afterwards, and wait for a reader that stalls. Lines that are lost are
 * counted, and that is said as soon as lines can be written again.
 * @param lostLine the line that says how many were lost
 */
export function createLogOutput(descriptor: number, lostLine: (count: number) => string): LogOutput {
  let queue: string[] = [];
  let length = 0;
  let lost = 0;
  let draining: Promise<void> | undefined;

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const lines = queue;
      const before = lost;
      queue = [];
      length = 0;
      try {
        await writeWhole(descriptor, `${before > 0 ? lostLine(before) : ''}${lines.join('')}`);
        lost -= before;
      } catch {
        lost += lines.length;
      }
    }
    draining = undefined;
  }

  return {
    write(text) {
      if (length + text.length > longestQueue) {
        lost += 1;
        return;
      }
      queue.push(text);
      length += text.length;
      draining ??= drain();
    },
    flush: async () => draining,
  };
}
