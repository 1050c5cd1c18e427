import type { Stats } from 'node:fs';
import { constants, type FileHandle, open, stat } from 'node:fs/promises';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { createYielder } from '../../yielding.ts';
import { readList } from '../json-elements.ts';
import { defineSource } from '../source.ts';
import type { Containers, Counting } from '../tally.ts';

const largestFile = 64 * 2 ** 20;
const pieceBytes = 64 * 2 ** 10;

const name = z.string().max(1_000);
/** An element of the JSON form: a reference, or what is known of it. */
const entry = z.union([
  name,
  z.strictObject({
    image: name,
    imageId: name.optional(),
    cluster: name.optional(),
    namespace: name.optional(),
    workload: name.optional(),
    containers: z.int().min(0).max(1_000_000).optional(),
  }),
]);

const options = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe('Text file with a reference NAME@DIGEST in each line, or a JSON file with a list of them'),
});

const plain = (image: string): Containers => ({
  ...{ imageId: image, image, count: 1 },
  ...{ cluster: '', namespace: '', workload: '' },
});

/** A line with a reference, and a number of containers after it where there are several; `#` begins a comment. */
function lineOf(line: string, path: string, at: number): Containers[] {
  const [reference = '', count, ...more] = line.replace(/#.*/, '').trim().split(/\s+/);
  if (reference === '') return [];
  if (more.length > 0 || (count !== undefined && !/^\d{1,7}$/.test(count)))
    throw new CollectError(
      'invalid_response',
      `${path}:${at} is no reference with a number of containers after it`,
    );
  return [{ ...plain(reference), count: Number(count ?? 1) }];
}

async function countLines(pieces: AsyncIterable<Buffer>, path: string, counted: Counting): Promise<void> {
  const pause = createYielder();
  const decoder = new TextDecoder();
  let number = 0;
  let rest = '';
  const add = (lines: readonly string[]) =>
    counted.add(lines.flatMap((line) => lineOf(line, path, ++number)));
  for await (const piece of pieces) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > pieceBytes)
      throw new CollectError('invalid_response', `${path}:${number + 1} is no reference: it is too long`);
    add(lines);
    await pause();
  }
  add([rest]);
}

function entryOf(raw: unknown, path: string, at: number): Containers {
  const { success, data: item, error } = entry.safeParse(raw);
  if (!success) {
    const [issue] = error.issues;
    const place = [at, ...(issue?.path ?? [])].join('.');
    throw new CollectError(
      'invalid_response',
      `${path} holds no list of references: ${place} ${issue?.message}`.slice(0, 300),
    );
  }
  if (typeof item === 'string') return plain(item);
  return {
    imageId: item.imageId ?? item.image,
    image: item.image,
    cluster: item.cluster ?? '',
    namespace: item.namespace ?? '',
    workload: item.workload ?? '',
    count: item.containers ?? 1,
  };
}

async function countJson(pieces: AsyncIterable<Buffer>, path: string, counted: Counting): Promise<void> {
  let entries = 0;
  const take = (elements: readonly unknown[]) =>
    counted.add(elements.map((raw) => entryOf(raw, path, entries++)));
  const rest = await readList(pieces, [], path, take).catch((cause: unknown) => {
    if (!(cause instanceof Error && cause.cause instanceof SyntaxError)) throw cause;
    const why = 'begins like JSON and is none: it may be being written';
    throw new CollectError('invalid_response', `${path} ${why}`, { cause });
  });
  if (!Array.isArray(rest)) throw new CollectError('invalid_response', `${path} holds no list of references`);
}

/** Clocks differ by minutes; a file of tomorrow would count for a day after the last one was written. */
const aheadAtMostSeconds = 300;

/** When the file was written, Unix seconds. @throws CollectError for what is no file of this kind */
function writtenAt({ mtimeMs, size, mode }: Stats, path: string): number {
  const refuse = (problem: string) => new CollectError('configuration', `the file ${path} ${problem}`);
  // A pipe or a device would be waited for, or read without end.
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw refuse('is no regular file: check the path');
  if (size > largestFile) throw refuse(`is larger than ${largestFile} bytes: check the path`);
  const at = mtimeMs / 1000;
  if (at > Date.now() / 1000 + aheadAtMostSeconds)
    throw new CollectError(
      'invalid_response',
      `the file ${path} was written in the future: check the clocks`,
    );
  return at;
}

/** The file in pieces, the first one known. */
async function* from(first: Buffer, handle: FileHandle): AsyncGenerator<Buffer> {
  yield first;
  yield* handle.createReadStream({ highWaterMark: pieceBytes, autoClose: false }) as AsyncIterable<Buffer>;
}

async function countFile(handle: FileHandle, path: string, counted: Counting): Promise<void> {
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(pieceBytes));
  const first = buffer.subarray(0, bytesRead);
  const isJson = /^\s*[[{]/.test(first.toString('utf8'));
  await (isJson ? countJson : countLines)(from(first, handle), path, counted);
}

/** What a cron job, Nomad, ECS or systemd hosts write down. Its age is that of the file. */
export const file = defineSource({
  type: 'file',
  options,
  staleAfterMs: 3_600_000,
  open: ({ path }) => ({
    async read({ count }) {
      const counted = count();
      try {
        const at = writtenAt(await stat(path), path);
        const handle = await open(path, 'r');
        try {
          await countFile(handle, path, counted);
        } finally {
          await handle.close();
        }
        return { at, counted };
      } catch (cause) {
        if (cause instanceof CollectError) throw cause;
        throw new CollectError(
          'configuration',
          `the file ${path} cannot be read: check the path and its mount`,
          { cause },
        );
      }
    },
  }),
});
