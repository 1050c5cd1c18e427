import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** What a scrape is answered with: buffers that are already there. */
export interface ExpositionBody {
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes. */
  readonly length: number;
  buffers(): AsyncIterable<Buffer> | Iterable<Buffer>;
}

/** One write of more than about a megabyte holds the event loop for tens of milliseconds. */
const pieceBytes = 512 * 1024;

/** Waits for a turn of the event loop: all who scrape together write about one piece in each. */
function createTurns(): () => Promise<void> {
  const waiting: (() => void)[] = [];
  let running = false;
  const run = () => {
    const next = waiting.shift();
    if (!next) {
      running = false;
      return;
    }
    next();
    setImmediate(run);
  };
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      if (running) return;
      running = true;
      setImmediate(run);
    });
}

/** The next turn of the event loop that no other scrape has. */
export const takeTurn: () => Promise<void> = createTurns();
/** A reader that takes nothing for so long is cut off. */
const stalledMs = 15_000;

/** Writes a body at the reader's pace, giving others their turn after each piece. */
export async function writeBody(response: ServerResponse, body: ExpositionBody): Promise<void> {
  response.writeHead(200, { ...body.headers, 'Content-Length': body.length });
  if (response.req.method === 'HEAD') {
    response.end();
    return;
  }
  const closed = new AbortController();
  const onClose = () => closed.abort();
  response.once('close', onClose);

  const flush = async (pieces: readonly Buffer[]): Promise<boolean> => {
    await takeTurn();
    if (response.destroyed) return false;
    // One system call, and no copy: the buffers are shared by all who scrape.
    response.cork();
    let more = true;
    for (const piece of pieces) more = response.write(piece);
    response.uncork();
    if (more) return !response.destroyed;
    const stalled = setTimeout(() => response.destroy(), stalledMs);
    try {
      await once(response, 'drain', { signal: closed.signal });
      return true;
    } catch {
      return false;
    } finally {
      clearTimeout(stalled);
    }
  };

  let pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const buffer of body.buffers()) {
      for (let start = 0; start < buffer.length; start += pieceBytes) {
        const piece = buffer.subarray(start, start + pieceBytes);
        if (bytes > 0 && bytes + piece.length > pieceBytes) {
          if (!(await flush(pieces))) return;
          pieces = [];
          bytes = 0;
        }
        pieces.push(piece);
        bytes += piece.length;
      }
    }
    if (bytes > 0 && !(await flush(pieces))) return;
    response.end();
  } finally {
    response.removeListener('close', onClose);
  }
}
