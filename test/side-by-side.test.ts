import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Observation } from '../src/model.ts';
import { readSideBySide } from '../src/side-by-side.ts';
import { imageOf, listed } from './loop/scripted.ts';

/** Repositories of so many pages of a thousand images, and how many images were held at once while they were read. */
async function read(repositories: number, pages: number, concurrency: number) {
  const open = new Map<string, number>();
  let most = 0;
  let atOnce = 0;
  let done = 0;
  async function* one(repository: string): AsyncGenerator<Observation> {
    open.set(repository, 0);
    atOnce = Math.max(atOnce, open.size);
    yield { type: 'repository', repository };
    for (let page = 0; page < pages; page += 1) {
      await sleep(1);
      const images = Array.from({ length: 1000 }, (_, at) => imageOf(`${page} ${at}`));
      open.set(repository, (open.get(repository) ?? 0) + images.length);
      yield { type: 'images', repository, images };
    }
    yield { type: 'repository-complete', repository };
  }
  const names = Array.from({ length: repositories }, (_, number) => `app-${number}`);
  const context = { signal: new AbortController().signal, concurrency, progress() {} };
  const complete: string[] = [];
  for await (const observation of readSideBySide(context, names, one)) {
    if (observation.type === 'images')
      most = Math.max(
        most,
        [...open.values()].reduce((a, b) => a + b, 0),
      );
    if (observation.type !== 'repository-complete') continue;
    open.delete(observation.repository);
    complete.push(observation.repository);
    done += 1;
  }
  expect(complete.toSorted()).toEqual(names.toSorted());
  return { most, atOnce, done };
}

test('small repositories are read side by side', async () => {
  expect((await read(30, 1, 10)).atOnce).toBe(10);
});

test('one that is named twice is read once', async () => {
  const context = { signal: new AbortController().signal, concurrency: 4, progress() {} };
  const read: string[] = [];
  for await (const { type } of readSideBySide(context, ['a', 'b', 'a'], async function* (repository) {
    read.push(repository);
    yield* listed(repository, imageOf('v1'));
  }))
    expect(type).not.toBe('repository-failed');
  expect(read).toEqual(['a', 'b']);
});

test('of large ones no more are held than fit, and all come to their end', async () => {
  // 16 repositories of 20,000 images: at once they would be 320,000.
  const { most, done } = await read(16, 20, 16);
  expect(done).toBe(16);
  // Four go on when the others wait, each with up to a page more than it had.
  expect(most).toBeLessThan(40_000 + 4 * 20_000 + 16_000);
});
