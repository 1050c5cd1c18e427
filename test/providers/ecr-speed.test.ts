import { fork } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { useAwsFiles } from '../support/aws.ts';
import type { Seen, ServerOptions, Told } from '../support/ecr-server.ts';
import { closing } from '../support/ecr-setup.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';

/** How much a poll asks for at once, and that it is not too quick for the registry; how long it takes is in bench/. */

async function serve(options: ServerOptions) {
  const child = fork(join(import.meta.dirname, '..', 'support', 'ecr-server.ts'), [JSON.stringify(options)]);
  closing(() => child.kill());
  const answer = <T>() =>
    new Promise<T>((resolve) => child.once('message', (message) => resolve(message as T)));
  const { url, ...key } = await answer<Told>();
  const folder = tempDir();
  closing(() => folder.remove());
  useAwsFiles(folder.path, { default: key });
  return {
    url,
    seen() {
      const answered = answer<Seen>();
      child.send('seen');
      return answered;
    },
  };
}

async function poll(url: string, registry: Readonly<Record<string, unknown>> = {}) {
  const running = await runLoop(ecr, { endpoint: url, region: 'us-east-1', timeout: '10m', ...registry });
  closing(() => running.stop());
  const began = performance.now();
  await running.poll();
  const ms = performance.now() - began;
  expect(await running.value('up'), running.log()).toBe(1);
  return { ms, running };
}

test('repositories are read side by side, as many as may be at once', async () => {
  const server = await serve({ repositories: 64, images: 5, latencyMs: 2000 });
  await poll(server.url);
  const { requests, most } = await server.seen();
  expect(requests['DescribeImages']).toBe(64);
  expect(most).toBeGreaterThanOrEqual(32);
  // A request for the limits is on its way beside them.
  expect(most).toBeLessThanOrEqual(33);
});

test('no more at once than configured', async () => {
  const server = await serve({ repositories: 12, images: 5, latencyMs: 50 });
  await poll(server.url, { http: { maxConcurrent: 1 } });
  expect(await server.seen()).toMatchObject({ requests: { DescribeImages: 12 }, most: 1 });
});

test('no more requests per second than configured', async () => {
  const server = await serve({ repositories: 150, images: 1 });
  const { ms } = await poll(server.url, { http: { requestsPerSecond: 50 } });
  const { requests } = await server.seen();
  const count = Object.values(requests).reduce((sum, one) => sum + one, 0);
  expect(count).toBeGreaterThan(150);
  // One starts at once, and the others in its wake.
  expect(count - 3).toBeLessThanOrEqual((ms / 1000) * 50);
});

test.each([
  [200, 600],
  [20, 120],
])(
  'under a quota of %i requests per second no repository of %i fails',
  async (perSecond, repositories) => {
    const server = await serve({ repositories, images: 2, latencyMs: 5, perSecond });
    const { running } = await poll(server.url);
    const { requests, throttled } = await server.seen();
    expect((await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'))).toEqual([]);
    expect(await running.value('repositories')).toBe(repositories);
    // What is refused is asked again; the rate is learned, so that most is served at once.
    const all = Object.values(requests).reduce((sum, one) => sum + one, 0);
    expect(all - throttled).toBeGreaterThanOrEqual(repositories);
    expect(throttled).toBeLessThan(all / 2);
  },
  240_000,
);
