import { fork } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ecr } from '../../src/providers/ecr.ts';
import { useAwsFiles } from '../support/aws.ts';
import type { Seen, ServerOptions, Told } from '../support/ecr-server.ts';
import { closing } from '../support/ecr-setup.ts';
import { tempDir } from '../support/programs.ts';
import { runLoop } from '../support/running-loop.ts';

/** How quick a poll is, and that it is not too quick for the registry. */

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

/** How many times quicker a poll is than one that asks one thing after the other, of which a part is measured. */
async function timesQuicker(latencyMs: number): Promise<number> {
  const server = await serve({ repositories: 1000, images: 50, latencyMs });
  // Modules are loaded and code is compiled before anything is measured.
  await poll(server.url, { repositories: { include: ['team/service-1*'] } });
  const single = await poll(server.url, {
    repositories: { include: ['team/service-1?'] },
    http: { maxConcurrent: 1 },
  });
  await server.seen();
  const all = await poll(server.url);
  const { requests, most } = await server.seen();
  expect(requests['DescribeImages']).toBe(1000);
  expect(most).toBeGreaterThan(20);
  return (single.ms * 100) / all.ms;
}

// Ten repositories and five other calls: a bit more than a hundredth of the thousand is measured.
const share = 15 / 10;

test('a thousand repositories side by side are twenty times quicker than one after the other', async () => {
  expect((await timesQuicker(100)) / share).toBeGreaterThan(20);
}, 60_000);

// With little latency the CPU is what limits: on a machine that does other things this says nothing.
test.runIf(process.env['LONG'])(
  'also with 20 ms of latency',
  async () => {
    expect((await timesQuicker(20)) / share).toBeGreaterThan(20);
  },
  60_000,
);

test('no more requests per second than configured', async () => {
  const server = await serve({ repositories: 150, images: 1 });
  const { ms } = await poll(server.url, { http: { requestsPerSecond: 50 } });
  const { requests } = await server.seen();
  const count = Object.values(requests).reduce((sum, one) => sum + one, 0);
  expect(count).toBeGreaterThan(150);
  // One starts at once, and the others in its wake.
  expect(count - 3).toBeLessThanOrEqual((ms / 1000) * 50);
});

/** A quota of so many per second: what a poll takes at least is its requests at that rate. */
async function underQuota(perSecond: number, repositories: number) {
  const server = await serve({ repositories, images: 2, latencyMs: 5, perSecond });
  const { ms, running } = await poll(server.url);
  const { requests, throttled } = await server.seen();
  expect((await running.lines('poll_failures_total')).filter((line) => !line.endsWith(' 0'))).toEqual([]);
  expect(await running.value('repositories')).toBe(repositories);
  const served = Object.values(requests).reduce((sum, one) => sum + one, 0) - throttled;
  // A full bucket at the start is for free.
  const leastMs = ((served - perSecond) / perSecond) * 1000;
  expect(throttled).toBeGreaterThan(0);
  return ms / leastMs;
}

test('a quota is found out and kept to: no repository fails, and little time is lost', async () => {
  expect(await underQuota(200, 1000)).toBeLessThan(1.3);
}, 60_000);

test.runIf(process.env['LONG'])(
  'twenty requests per second',
  async () => {
    expect(await underQuota(20, 1000)).toBeLessThan(1.3);
  },
  180_000,
);
