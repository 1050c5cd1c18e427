import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type BodyLimit, piecesOf, readBody } from '../../src/http/body.ts';

const where = 'https://registry.example.com/v2/a';
const noLimit: BodyLimit = { maxBytes: 2 ** 30 };
const streamOf = (...pieces: readonly (string | Buffer)[]) =>
  Readable.from(pieces.map((piece) => Buffer.from(piece)));
const read = async (
  pieces: readonly (string | Buffer)[],
  more: { readonly encoding?: string; readonly limit?: BodyLimit; readonly announced?: number } = {},
) =>
  (
    await readBody(streamOf(...pieces), more.encoding, more.limit ?? noLimit, where, more.announced)
  ).toString();

describe('a body is unpacked as its encoding says', () => {
  test.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    [' GZip ', gzipSync],
  ])('%s', async (encoding, pack) => {
    expect(await read([pack('{"tags":[]}')], { encoding })).toBe('{"tags":[]}');
  });

  test.each(['identity', '', undefined, 'compress'])('or left as it is: %s', async (encoding) => {
    expect(await read(['{"tags":[]}'], encoding === undefined ? {} : { encoding })).toBe('{"tags":[]}');
  });

  /** To HEAD, for example: some proxies name the encoding that it would have. */
  test.each(['gzip', 'deflate', 'br', 'zstd'])('or is empty where there is none: %s', async (encoding) => {
    expect(await read([], { encoding })).toBe('');
  });

  test('and one that is of another encoding than it says is told, but for an error, whose status tells', async () => {
    await expect(read(['{"tags":[]}'], { encoding: 'gzip' })).rejects.toThrow('cannot be decompressed');
    expect(await read(['{"errors":[]}'], { encoding: 'gzip', limit: { maxBytes: 100, cut: true } })).toBe('');
  });

  test('and one that is cut is told as that, not as a short one', async () => {
    const packed = gzipSync(randomBytes(10_000));
    await expect(read([packed.subarray(0, 5_000)], { encoding: 'gzip' })).rejects.toMatchObject({
      reason: 'invalid_response',
      message: `${where} answered with a body that cannot be decompressed`,
      cause: { code: 'Z_BUF_ERROR' },
    });
  });

  test.each([undefined, 'gzip'])(
    'what breaks a connection stays what it is, encoding %s',
    async (encoding) => {
      const broken = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
      const stream = new Readable({
        read() {
          this.push(gzipSync('x').subarray(0, 4));
          this.destroy(broken);
        },
      });
      await expect(readBody(stream, encoding, noLimit, where)).rejects.toBe(broken);
    },
  );
});

describe('a body is no longer than allowed', () => {
  test('and as long as allowed', async () => {
    expect(await read(['12', '345'], { limit: { maxBytes: 5 } })).toBe('12345');
  });

  test.each([
    ['with what to do about it', { advice: 'ask for less' }, ': ask for less'],
    ['or without', {}, ''],
  ])('or it is refused, %s', async (_title, more, end) => {
    await expect(read(['12', '3456'], { limit: { maxBytes: 5, ...more } })).rejects.toMatchObject({
      reason: 'too_large',
      message: `${where} answered with more than 5 bytes${end}`,
    });
  });

  test('or cut, where its beginning is enough; nothing more is read then', async () => {
    const limit = { maxBytes: 5, cut: true };
    expect(await read(['12', '3456', '789'], { limit })).toBe('12345');
    expect(await read(['12345', '6'], { limit })).toBe('12345');
    const stream = streamOf('12', '3456', '789');
    for await (const _piece of piecesOf(stream, undefined, limit, where));
    expect(stream.destroyed).toBe(true);
  });
});

describe('a body that unfolds to more than 200 times its size is none that a registry sends', () => {
  test('from a megabyte on', async () => {
    await expect(read([gzipSync('x'.repeat(3e6))], { encoding: 'gzip' })).rejects.toMatchObject({
      reason: 'too_large',
      message: `${where} answered with a body that unfolds to more than 200 times its size: no registry's answer does`,
    });
    expect(await read([gzipSync('x'.repeat(1e6))], { encoding: 'gzip' })).toHaveLength(1e6);
  });

  test('but one that unfolds less is read, and so is a long one that is not packed', async () => {
    const line = () => `${randomBytes(50).toString('hex')}${'x'.repeat(2_000)}`;
    const text = Array.from({ length: 1_000 }, line).join('');
    expect(await read([gzipSync(text)], { encoding: 'gzip' })).toHaveLength(2_100_000);
    expect(await read(['x'.repeat(3e6)])).toHaveLength(3e6);
  });
});

/** Content-Length is a hint for the memory, and no promise. */
describe('a length that was announced', () => {
  const pieces = ['a', 'b', 'c'].map((letter) => letter.repeat(30_000));
  const whole = pieces.join('');
  test.each([
    ['right', 90_000],
    ['too short', 70_000],
    ['too long', 100_000],
    ['not of a body that is held in one piece', 10],
    ['none', 0],
  ])('that is %s changes nothing of what is read', async (_title, announced) => {
    expect((await read(pieces, { announced })) === whole).toBe(true);
  });

  /** Pieces that are wiped soon after they were read: what was copied at once does not see that. */
  async function* wiped() {
    const given: Buffer[] = [];
    for (let index = 0; index < 18; index += 1) {
      const piece = Buffer.alloc(5_000, whole[index * 5_000]);
      given.push(piece);
      yield piece;
      given.at(-4)?.fill('x');
    }
  }

  test('is where a large body goes at once: its pieces are not held until the end', async () => {
    const body = await readBody(Readable.from(wiped()), undefined, noLimit, where, 90_000);
    expect(body.toString() === whole).toBe(true);
  });

  test('takes no memory where it is beyond the limit', async () => {
    const limit = { maxBytes: 100_000 };
    const body = await readBody(streamOf(...pieces), undefined, limit, where, 2 ** 52);
    expect(body.length).toBe(90_000);
  });

  test('is that of the packed body, and says nothing of what it unfolds to', async () => {
    const packed = gzipSync(randomBytes(70_000).toString('latin1'));
    const body = await readBody(streamOf(packed), 'gzip', noLimit, where, packed.length);
    expect(body.byteOffset + body.length).toBeLessThanOrEqual(body.buffer.byteLength);
    expect(body.toString('utf8')).toHaveLength(70_000);
  });
});

test('a body of one piece is not copied', async () => {
  const piece = Buffer.from('{"tags":[]}');
  expect(await readBody(Readable.from([piece]), undefined, noLimit, where)).toBe(piece);
});
