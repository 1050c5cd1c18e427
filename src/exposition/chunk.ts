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

// Level 1 is right for text made to be scraped: level 6 takes four times as long for 14 % less. Most results are
// smaller than 4 KiB; zlib would get 16 KiB for each otherwise.
const flushed = { level: 1, finishFlush: constants.Z_FULL_FLUSH, chunkSize: 4096 } as const;

/** Text becomes bytes here, again and again: what is only to be compressed needs no memory of its own. */
let scratch = Buffer.allocUnsafeSlow(64 * 1024);

function encoded(text: string): Buffer {
  // UTF-8 takes three bytes at most for each unit of a string.
  if (text.length * 3 > scratch.length) scratch = Buffer.allocUnsafeSlow(text.length * 4);
  return scratch.subarray(0, scratch.write(text));
}

export function createChunk(text: string, keepPlain: boolean): Chunk {
  const plain = encoded(text);
  return {
    deflated: deflateRawSync(plain, flushed),
    crc: crc32(plain),
    length: plain.length,
    plain: keepPlain ? Buffer.from(plain) : undefined,
  };
}

/**
 * The same chunks with their compressed bytes side by side in memory of just their size: what zlib returns holds on to
 * a buffer of 4 KiB or more each.
 */
export function pack(chunks: readonly (Chunk | undefined)[]): (Chunk | undefined)[] {
  const whole = Buffer.allocUnsafeSlow(chunks.reduce((sum, chunk) => sum + (chunk?.deflated.length ?? 0), 0));
  let offset = 0;
  return chunks.map((chunk) => {
    if (!chunk) return undefined;
    const start = offset;
    offset += chunk.deflated.copy(whole, start);
    return { ...chunk, deflated: whole.subarray(start, offset) };
  });
}

/** Unpackings in progress: many who ask at once share one. */
const unpacking = new WeakMap<Chunk, Promise<Buffer>>();

/** The plain form, unpacked and kept when it is not there. */
export async function plainOf(chunk: Chunk): Promise<Buffer> {
  if (chunk.plain) return chunk.plain;
  const running =
    unpacking.get(chunk) ??
    (inflate(chunk.deflated, { finishFlush: constants.Z_SYNC_FLUSH }) as Promise<Buffer>);
  unpacking.set(chunk, running);
  chunk.plain = await running;
  unpacking.delete(chunk);
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
