import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { changingFile } from '../../secret.ts';
import { type Containers, defineSource } from '../source.ts';

const largestFile = 64 * 2 ** 20;

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

const one = (image: string): Containers => ({
  ...{ imageId: image, image, count: 1 },
  ...{ cluster: '', namespace: '', workload: '' },
});

/** Lines with a reference each, and a number of containers after it where there are several; `#` begins a comment. */
function readLines(text: string, path: string): Containers[] {
  return text.split('\n').flatMap((line, at) => {
    const [reference = '', count, ...more] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (reference === '') return [];
    if (more.length > 0 || (count !== undefined && !/^\d{1,7}$/.test(count)))
      throw new CollectError(
        'invalid_response',
        `${path}:${at + 1} is no reference with a number of containers after it`,
      );
    return [{ ...one(reference), count: Number(count ?? 1) }];
  });
}

function readJson(text: string, path: string): Containers[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CollectError(
      'invalid_response',
      `${path} begins like JSON and is none: it may be being written`,
      { cause },
    );
  }
  const read = z.array(entry).safeParse(value);
  if (!read.success)
    throw new CollectError(
      'invalid_response',
      `${path} holds no list of references: ${read.error.issues[0]?.path.join('.')} ${read.error.issues[0]?.message}`.slice(
        0,
        300,
      ),
    );
  return read.data.map((item) =>
    typeof item === 'string'
      ? one(item)
      : {
          imageId: item.imageId ?? item.image,
          image: item.image,
          cluster: item.cluster ?? '',
          namespace: item.namespace ?? '',
          workload: item.workload ?? '',
          count: item.containers ?? 1,
        },
  );
}

/** Clocks differ by minutes; a file of tomorrow would count for a day after the last one was written. */
const aheadAtMostSeconds = 300;

/** When the file was written, Unix seconds. @throws CollectError for a time that lies ahead */
async function writtenAt(path: string): Promise<number> {
  const { mtimeMs } = await stat(path);
  const at = mtimeMs / 1000;
  if (at > Date.now() / 1000 + aheadAtMostSeconds)
    throw new CollectError(
      'invalid_response',
      `the file ${path} was written in the future: check the clocks`,
    );
  return at;
}

/** What a cron job, Nomad, ECS or systemd hosts write down. Its age is that of the file. */
export const file = defineSource({
  type: 'file',
  options,
  staleAfterMs: 3_600_000,
  open: ({ path }) => {
    const content = changingFile(
      path,
      largestFile,
      (problem, cause) => new CollectError('configuration', `the file ${path} ${problem}`, { cause }),
    );
    return {
      async read() {
        const text = await content.read();
        const at = await writtenAt(path);
        const rows = /^\s*[[{]/.test(text) ? readJson(text, path) : readLines(text, path);
        return {
          at,
          containers: (async function* () {
            yield rows;
          })(),
        };
      },
    };
  },
});
