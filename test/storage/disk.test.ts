import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createDisk, DiskHangsError } from '../../src/storage/disk.ts';
import { createLatest } from '../../src/storage/latest.ts';

test('so many calls are made at once, and the others in their order', async () => {
  const disk = createDisk({ atOnce: 2, hangsAfterMs: 60_000 });
  const running = new Set<number>();
  const seen: string[] = [];
  const call = (number: number) =>
    disk.call(async () => {
      running.add(number);
      seen.push([...running].join(' '));
      await sleep(5);
      running.delete(number);
      return number;
    });
  expect(await Promise.all([1, 2, 3, 4, 5].map(call))).toEqual([1, 2, 3, 4, 5]);
  expect(Math.max(...seen.map((at) => at.split(' ').length))).toBe(2);
});

test('a call that fails gives its turn to the next', async () => {
  const disk = createDisk({ atOnce: 1, hangsAfterMs: 60_000 });
  const failing = disk.call(() => Promise.reject(new Error('EIO')));
  const next = disk.call(async () => 'done');
  await expect(failing).rejects.toThrow('EIO');
  expect(await next).toBe('done');
});

test('while calls hang whoever waits is told, whoever comes is told at once, and what was begun goes on', async () => {
  const disk = createDisk({ atOnce: 2, hangsAfterMs: 20 });
  const gate = Promise.withResolvers<string>();
  const hanging = [1, 2].map(() => disk.call(() => gate.promise));
  await expect(disk.unlessItHangs(hanging[0] as Promise<string>)).rejects.toThrow(DiskHangsError);
  expect(disk.hangs()).toBe(true);
  const queued = disk.call(async () => 'queued');
  await expect(disk.unlessItHangs(queued)).rejects.toThrow('has not answered for 0.02 s');
  gate.resolve('at last');
  expect(await Promise.all([...hanging, queued])).toEqual(['at last', 'at last', 'queued']);
  expect(disk.hangs()).toBe(false);
  expect(await disk.unlessItHangs(disk.call(async () => 'well'))).toBe('well');
});

test('one call that hangs is enough to be told; the others are made all the same', async () => {
  const disk = createDisk({ atOnce: 2, hangsAfterMs: 1 });
  void disk.call(() => new Promise(() => {}));
  await sleep(20);
  const other = disk.call(async () => 'well');
  await expect(disk.unlessItHangs(other)).rejects.toThrow(DiskHangsError);
  expect(await other).toBe('well');
});

test('of the values that come while one is written, the newest is written next and the others are not', async () => {
  const written: number[] = [];
  let gate = Promise.withResolvers<void>();
  const save = createLatest(async (value: number) => {
    written.push(value);
    await gate.promise;
  });
  const first = save(1);
  await sleep(1);
  const later = [2, 3, 4].map((value) => save(value));
  expect(written).toEqual([1]);
  gate.resolve();
  await first;
  gate = Promise.withResolvers();
  await sleep(1);
  expect(written).toEqual([1, 4]);
  gate.resolve();
  await Promise.all(later);
  expect(written).toEqual([1, 4]);
});

test('a value that cannot be written fails for those who wait for it, and the next is tried', async () => {
  let broken = true;
  const save = createLatest(async () => {
    if (broken) throw new Error('ENOSPC');
  });
  await expect(save(1)).rejects.toThrow('ENOSPC');
  broken = false;
  await save(2);
});
