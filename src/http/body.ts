import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { CollectError } from '../errors.ts';

/** Only gzip is asked for; some proxies answer in another encoding all the same. */
const decoders = new Map<string, () => Transform & { readonly bytesWritten: number }>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
  ['zstd', createZstdDecompress],
]);

const decoderNamed = (encoding = '') => decoders.get(encoding.trim().toLowerCase());

/** What a socket gives at once. */
const largePiece = 65_536;

/**
 * The largest answers of each kind, in bytes after decompression. Pages of lists follow the setting `http.maxBytes`.
 * A registry has to take manifests of up to 4 MiB:
 * https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests
 */
export const largestAnswer = {
  token: 2 ** 20,
  manifest: 4 * 2 ** 20,
  /** Of an error only the beginning is read: that is enough to say what it was. */
  error: 64 * 2 ** 10,
} as const;

/** A body unfolds to at most so many times its compressed size; pages of real registries stay below 30. */
const largestRatio = 200;
/** The ratio is judged from this unpacked size on: a short text may be as uniform as it likes. */
const ratioFrom = 2 ** 20;

/** How much of a body is read. */
export interface BodyLimit {
  readonly maxBytes: number;
  /** What to do where more is right, for the error. */
  readonly advice?: string;
  /** Keeps the beginning of a larger body instead of refusing it: of errors. */
  readonly cut?: boolean;
}

/** Counts what arrives and refuses what honest answers never have. */
function createMeter(where: string, { maxBytes, advice, cut }: BodyLimit, packed: () => number | undefined) {
  let length = 0;
  return {
    /** @returns how much of the piece is kept; less than its length ends the body */
    take(piece: number): number {
      length += piece;
      if (length > maxBytes) {
        if (cut) return Math.max(0, piece - (length - maxBytes));
        throw new CollectError(
          'too_large',
          `${where} answered with more than ${maxBytes} bytes${advice ? `: ${advice}` : ''}`,
        );
      }
      const compressed = packed();
      if (compressed !== undefined && length > ratioFrom && length > largestRatio * compressed)
        throw new CollectError(
          'too_large',
          `${where} answered with a body that unfolds to more than ${largestRatio} times its size: no registry's answer does`,
        );
      return piece;
    },
  };
}

/** Gathers the pieces of a body. */
interface Gathered {
  add(piece: Buffer): void;
  whole(): Buffer;
}

/** @param announced as Content-Length says: then there is one buffer from the start, and no pieces and their copy beside it */
function createGathered(announced: number): Gathered {
  const reserved = Buffer.allocUnsafeSlow(announced);
  const pieces: Buffer[] = [];
  let filled = 0;
  return {
    add(piece) {
      // What is longer than was announced goes on in pieces.
      if (pieces.length === 0 && filled + piece.length <= announced) filled += piece.copy(reserved, filled);
      else pieces.push(piece);
    },
    whole() {
      const all = filled > 0 ? [reserved.subarray(0, filled), ...pieces] : pieces;
      return all.length === 1 && all[0] ? all[0] : Buffer.concat(all);
    },
  };
}

/**
 * The pieces of a body as they arrive, decompressed.
 * @throws CollectError `too_large` beyond the limit after decompression: a small answer may unfold to gigabytes.
 */
export async function* piecesOf(
  stream: Readable,
  encoding: string | undefined,
  limit: BodyLimit,
  where: string,
): AsyncGenerator<Buffer, void> {
  const decoder = decoderNamed(encoding)?.();
  const source = decoder ? stream.pipe(decoder) : stream;
  if (decoder) stream.once('error', (error) => decoder.destroy(error));
  const meter = createMeter(where, limit, () => decoder?.bytesWritten);
  try {
    for await (const piece of source as AsyncIterable<Buffer>) {
      const kept = meter.take(piece.length);
      yield kept < piece.length ? piece.subarray(0, kept) : piece;
      if (kept < piece.length) break;
    }
  } catch (error) {
    if (decoder?.bytesWritten === 0 && mayBeEmpty(error, limit)) return;
    throw decoder ? explainedDecoding(error, where) : error;
  } finally {
    stream.destroy();
    decoder?.destroy();
  }
}

/**
 * Reads a body whole, decompressed.
 * @param announced its length as Content-Length says
 * @throws CollectError as {@link piecesOf} does
 */
export async function readBody(
  stream: Readable,
  encoding: string | undefined,
  limit: BodyLimit,
  where: string,
  announced = 0,
): Promise<Buffer> {
  const isReserved = !decoderNamed(encoding) && announced > largePiece && announced <= limit.maxBytes;
  const gathered = createGathered(isReserved ? announced : 0);
  for await (const piece of piecesOf(stream, encoding, limit, where)) gathered.add(piece);
  return gathered.whole();
}

const isDecoding = (error: unknown): boolean =>
  /^(Z_|ZSTD_|ERR_(_ERROR|BROTLI|ZSTD))/.test(String((error as NodeJS.ErrnoException).code ?? ''));

/**
 * Answers without a body, to HEAD for example, name the encoding that it would have: it ends too soon. Of an error the
 * status tells.
 */
const mayBeEmpty = (error: unknown, { cut }: BodyLimit): boolean =>
  cut ? isDecoding(error) : (error as NodeJS.ErrnoException).code === 'Z_BUF_ERROR';

/** What zlib could not read is an invalid answer; everything else stays what it is. */
function explainedDecoding(error: unknown, where: string): unknown {
  if (error instanceof CollectError || !isDecoding(error)) return error;
  return new CollectError('invalid_response', `${where} answered with a body that cannot be decompressed`, {
    cause: error,
  });
}
