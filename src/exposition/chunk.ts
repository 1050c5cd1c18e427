import { promisify } from 'node:util';
import { constants, crc32, deflateRawSync, inflateRaw } from 'node:zlib';
import { combineCrc } from './crc.ts';

const inflate = promisify(inflateRaw);

/**
 * Rendered bytes that never change: always compressed, and plain only while somebody scrapes plain. The compressed
 * form is raw deflate that ends on a byte boundary with its history forgotten (full flush), so that chunks can be
 * put one after the other in any order within one gzip member.
 */
export interface Chunk {
  readonly deflated: Buffer;
  readonly crc: number;
  /** Of the plain form, bytes. */
  readonly length: number;
  plain: Buffer | undefined;
}

// Level 1 is right for text made to be scraped: level 6 takes four times as long for 14 % less.
const flushed = { level: 1, finishFlush: constants.Z_FULL_FLUSH } as const;

export function createChunk(text: string, keepPlain: boolean): Chunk {
  const plain = Buffer.from(text, 'utf8');
  return {
    deflated: deflateRawSync(plain, flushed),
    crc: crc32(plain),
    length: plain.length,
    plain: keepPlain ? plain : undefined,
  };
}

/** The plain form, unpacked and kept when it is not there. */
export async function plainOf(chunk: Chunk): Promise<Buffer> {
  chunk.plain ??= (await inflate(chunk.deflated, { finishFlush: constants.Z_SYNC_FLUSH })) as Buffer;
  return chunk.plain;
}

/** Chunks as one, for whoever joins them further. */
export interface Joined {
  readonly chunks: readonly Chunk[];
  readonly crc: number;
  readonly length: number;
  readonly deflatedLength: number;
}

export function join(chunks: readonly Chunk[]): Joined {
  let crc = 0;
  let length = 0;
  let deflatedLength = 0;
  for (const chunk of chunks) {
    crc = combineCrc(crc, chunk.crc, chunk.length);
    length += chunk.length;
    deflatedLength += chunk.deflated.length;
  }
  return { chunks, crc, length, deflatedLength };
}

export function joinAll(parts: readonly Joined[]): Joined {
  let crc = 0;
  let length = 0;
  let deflatedLength = 0;
  const chunks: Chunk[] = [];
  for (const part of parts) {
    crc = combineCrc(crc, part.crc, part.length);
    length += part.length;
    deflatedLength += part.deflatedLength;
    for (const chunk of part.chunks) chunks.push(chunk);
  }
  return { chunks, crc, length, deflatedLength };
}

/** Start of a gzip member (RFC 1952): deflate, no name, no time, unknown system. */
export const gzipHeader: Buffer = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff]);

/** End of the member: an empty final deflate block, the CRC and the length. */
export function gzipTrailer({ crc, length }: Joined): Buffer {
  const trailer = Buffer.alloc(10);
  trailer[0] = 0x03;
  trailer.writeUInt32LE(crc, 2);
  trailer.writeUInt32LE(length % 2 ** 32, 6);
  return trailer;
}
