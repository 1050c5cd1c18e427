import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oci } from '../../src/providers/oci.ts';
import { pushTo } from '../support/oci-image.ts';
import { built } from '../support/oci-running.ts';
import { freePort, programs, type RunningProgram, tempDir } from '../support/programs.ts';
import { startDistribution } from '../support/real-programs.ts';
import { runLoop } from '../support/running-loop.ts';

/** A poll of a pull-through cache must not be the one who pulls: shown with the real distribution registry. */
describe.skipIf(!programs('docker-registry'))('the distribution registry as a pull-through cache', () => {
  const folder = tempDir();
  let upstream: RunningProgram;
  let cache: RunningProgram;
  let endpoint: string;

  beforeAll(async () => {
    const [upstreamPort, cachePort] = [await freePort(), await freePort()];
    const address = `http://127.0.0.1:${upstreamPort}`;
    endpoint = `http://127.0.0.1:${cachePort}`;
    const cacheFolder = `${folder.path}/cache`;
    // What it stores already was pushed before it became a cache: a pull through it goes on after its answer.
    const filling = await startDistribution({ folder: cacheFolder, port: cachePort });
    await pushTo(endpoint, 'team/app', built('v1'), 'v1');
    await filling.stop();
    upstream = await startDistribution({ folder: `${folder.path}/upstream`, port: upstreamPort });
    for (const tag of ['v1', 'v2', 'v3']) await pushTo(address, 'team/app', built(tag), tag);
    cache = await startDistribution({ folder: cacheFolder, port: cachePort, cacheOf: address });
  });
  afterAll(async () => {
    await Promise.all([upstream?.stop(), cache?.stop()]);
    folder.remove();
  });

  /** Requests that reach the upstream while the cache is polled twice. */
  async function upstreamRequests(registry: Record<string, unknown>): Promise<number> {
    const count = () => upstream.output().split('HTTP/1.1"').length;
    const before = count();
    const running = await runLoop(oci, { endpoint, ...registry });
    await running.poll();
    await running.poll();
    expect(await running.value('up')).toBe(1);
    expect(await running.value('repositories')).toBe(1);
    await running.stop();
    return count() - before;
  }

  test('is asked by a poll for what it has to fetch, unless the configuration says what it is', async () => {
    expect(await upstreamRequests({ cache: true })).toBe(0);
    expect(await upstreamRequests({})).toBeGreaterThan(0);
  });
});
