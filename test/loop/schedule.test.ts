import { expect, test } from 'vitest';
import { runLoop } from '../support/running-loop.ts';
import { holding, imageOf, listed, scripted, until } from './scripted.ts';

test('a scheduled poll that meets a look at a pushed repository comes after it; one that meets a poll is left out', async () => {
  const { provider, say } = scripted(holding('app'));
  const loop = await runLoop(provider, { schedule: '1s' });
  await until(() => loop.loop.status().lastSuccessAt !== undefined);
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  say(async function* (context) {
    seen.push(context.only ? 'look' : 'poll');
    if (context.only) await gate.promise;
    yield* listed('app', imageOf('v1'));
  });
  loop.loop.receive('test', [{ id: String(Math.random()), type: 'pushed', repository: 'app' }]);
  await until(() => seen.includes('look'));
  // Two scheduled polls meet the look.
  await new Promise((resolve) => setTimeout(resolve, 2200));
  expect(seen.at(-1)).toBe('look');
  gate.resolve();
  await until(() => seen.at(-1) === 'poll');
  expect(loop.log()).not.toContain('this one is skipped');

  const polling = Promise.withResolvers<void>();
  say(async function* () {
    await polling.promise;
    yield* listed('app', imageOf('v1'));
  });
  await until(() => loop.log().includes('this one is skipped'));
  polling.resolve();
  await loop.stop();
});
