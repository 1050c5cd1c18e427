import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { CollectError } from '../errors.ts';

const decoders = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** What a socket gives at once. */
const largePiece = 65_536;

/**
 * Reads a body whole, decompressed.
 * @throws CollectError `too_large` beyond `maxBytes` after decompression: a small answer may unfold to gigabytes.
 */
export async function readBody(
  stream: Readable,
  encoding: string | undefined,
  maxBytes: number,
  where: string,
  /** As Content-Length says: then there is one buffer from the start, and no pieces and their copy beside each other. */
  announced?: number,
): Promise<Buffer> {
  const decoder = decoders[(encoding ?? '').trim().toLowerCase() as keyof typeof decoders]?.();
  const source = decoder ? stream.pipe(decoder) : stream;
  if (decoder) stream.once('error', (error) => decoder.destroy(error));
  const pieces: Buffer[] = [];
  const whole =
    !decoder && announced !== undefined && announced > largePiece && announced <= maxBytes
      ? Buffer.allocUnsafeSlow(announced)
      : undefined;
  let length = 0;
  try {
    for await (const piece of source) {
      length += (piece as Buffer).length;
      if (length > maxBytes)
        throw new CollectError(
          'too_large',
          `${where} answered with more than ${maxBytes} bytes: raise http.maxBytes if that is right`,
        );
      if (whole && length <= whole.length) (piece as Buffer).copy(whole, length - (piece as Buffer).length);
      else pieces.push(piece as Buffer);
    }
  } catch (error) {
    if (
      decoder &&
      !(error instanceof CollectError) &&
      String((error as NodeJS.ErrnoException).code ?? '').startsWith('Z_')
    )
      throw new CollectError(
        'invalid_response',
        `${where} answered with a body that cannot be decompressed`,
        { cause: error },
      );
    throw error;
  } finally {
    stream.destroy();
  }
  if (whole)
    return length === whole.length ? whole : Buffer.concat([whole.subarray(0, length), ...pieces], length);
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces, length);
}
