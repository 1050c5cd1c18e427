import { expect, test } from 'vitest';
import { createQueue } from '../src/queue.ts';

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

test('tasks run one after the other, in the order in which they were given', async () => {
  const queue = createQueue();
  const seen: string[] = [];
  const task = (name: string, ms: number) => async () => {
    seen.push(`${name} begins`);
    await later(ms);
    seen.push(`${name} ends`);
    return name;
  };
  const results = [queue.run(task('slow', 20)), queue.run(task('quick', 0))];
  expect(await Promise.all(results)).toEqual(['slow', 'quick']);
  expect(seen).toEqual(['slow begins', 'slow ends', 'quick begins', 'quick ends']);
});

test('a task that fails holds up none, and whoever gave it learns why', async () => {
  const queue = createQueue();
  const failing = queue.run(async () => {
    throw new Error('broken');
  });
  const next = queue.run(async () => 'done');
  await expect(failing).rejects.toThrow('broken');
  expect(await next).toBe('done');
});

test('it is drained when all that was given so far has ended, also by failing', async () => {
  const queue = createQueue();
  let ended = false;
  queue
    .run(async () => {
      await later(10);
      ended = true;
      throw new Error('broken');
    })
    .catch(() => {});
  await queue.drained();
  expect(ended).toBe(true);
});
