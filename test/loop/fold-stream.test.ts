import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { foldStream } from '../../src/loop/fold-stream.ts';
import type { Observation } from '../../src/model.ts';

const options = { images: { perRepository: 3, matches: () => false }, now: 1_000_000 };

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function heapBytes(): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

test('what was folded is not held until the end of the poll', async () => {
  const pages = 100_000;
  let perPage = Number.NaN;
  async function* stream(): AsyncGenerator<Observation> {
    yield { type: 'repository', repository: 'app' };
    const before = await heapBytes();
    for (let page = 0; page < pages; page += 1) yield { type: 'images', repository: 'app', images: [] };
    perPage = ((await heapBytes()) - before) / pages;
    yield { type: 'repository-complete', repository: 'app' };
  }
  await foldStream(stream(), options, { signal: new AbortController().signal, passed: () => false });
  // A promise that waits for each page takes 256.
  expect(perPage).toBeLessThan(32);
});

test('a stream whose signal has ended already is not taken for a whole one', async () => {
  const ended = AbortSignal.abort(new Error('the exporter stops'));
  async function* stream(): AsyncGenerator<Observation> {
    yield { type: 'registry', facts: {} };
  }
  await expect(foldStream(stream(), options, { signal: ended, passed: () => false })).rejects.toThrow(
    'the exporter stops',
  );
});
