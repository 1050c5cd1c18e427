import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { startAwsEvents } from '../simulators/aws-events.ts';
import { everyRegistry } from '../simulators/every-registry.ts';
import { createRandom } from '../simulators/random.ts';
import { eventually, freePort, type RunningProgram, tempDir } from '../support/programs.ts';
import { startExporter } from '../support/real-programs.ts';

/**
 * 10,000 push events at 500 a second through a queue, 5 % of them twice and 1 % of them nonsense, while somebody
 * scrapes, and with `kill -9` in the middle: each counts exactly once.
 */
const [total, perSecond, twice, odd] = [10_000, 500, 0.05, 0.01];
const dir = tempDir();
const closing: (() => unknown)[] = [];
afterAll(async () => {
  for (const close of closing.reverse()) await close();
  dir.remove();
});

/** Kills the exporter as the kernel would, and waits until it is gone. */
async function kill({ process }: RunningProgram): Promise<void> {
  const gone = new Promise((resolve) => process.once('exit', resolve));
  process.kill('SIGKILL');
  await gone;
}

test('each event of a queue counts once over kill -9, and memory stays bounded', async () => {
  // Short, so that what the killed process had taken comes again.
  const queue = await startAwsEvents({ visibilityMs: 3_000 });
  const ecr = await everyRegistry['ecr']?.({ seed: 7, repositories: 4, now: Math.floor(Date.now() / 1000) });
  if (!ecr) throw new Error('no simulator of ECR');
  closing.push(queue.close, ecr.close);
  const names = [...new Set(ecr.truth().flatMap((line) => /repository="([^"]+)"/.exec(line)?.[1] ?? []))];
  const config = join(dir.path, 'exporter.yaml');
  const entry = {
    ...{ name: 'prod', type: 'ecr', schedule: '1h', ...ecr.registry },
    endpoints: { ...(ecr.registry['endpoints'] as object), cloudTrail: queue.url },
    pushEvents: { queue: queue.queue },
    http: { requestsPerSecond: 10_000 },
  };
  writeFileSync(config, stringify({ registries: [entry] }));
  const port = await freePort();
  const start = () => startExporter({ config, port, storage: join(dir.path, 'storage') });
  const scrape = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const memoryMb = async () =>
    Number(/^process_resident_memory_bytes (\S+)$/m.exec(await scrape())?.[1]) / 2 ** 20;
  const counted = async () =>
    [...(await scrape()).matchAll(/^container_registry_pushes_total\{.*\} (\d+)$/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    );

  let exporter = await start();
  closing.push(() => exporter.stop());
  await eventually(async () =>
    expect(await scrape()).toContain('container_registry_up{registry="prod",provider="ecr"} 1'),
  );
  const before = await memoryMb();
  const scrapes = { made: 0, failed: 0, going: true };
  const scraping = (async () => {
    while (scrapes.going) {
      await scrape().catch(() => (scrapes.failed += 1));
      scrapes.made += 1;
      await sleep(200);
    }
  })();

  const random = createRandom(26);
  const began = performance.now();
  for (let sent = 0; sent < total; sent += 1) {
    const event = {
      version: '0',
      id: `13cde686-328b-6117-af20-${String(sent).padStart(12, '0')}`,
      'detail-type': 'ECR Image Action',
      source: 'aws.ecr',
      time: new Date().toISOString(),
      region: 'us-east-1',
      detail: {
        result: 'SUCCESS',
        'repository-name': names[sent % names.length],
        'action-type': 'PUSH',
        'image-tag': 'v1',
      },
    };
    queue.send(event);
    if (random() < twice) queue.send(event);
    if (random() < odd) queue.send('nonsense');
    if (sent === total / 2) {
      await kill(exporter);
      exporter = await start();
    }
    const aheadMs = (sent / perSecond) * 1000 - (performance.now() - began);
    if (aheadMs > 5) await sleep(aheadMs);
  }
  await eventually(() => expect(queue.waiting()).toBe(0));
  // A count is shown with the look at its repository that follows.
  await eventually(async () => expect(await counted()).toBe(total), 30_000);
  const after = await memoryMb();
  scrapes.going = false;
  await scraping;
  console.log(
    `${total} events in ${((performance.now() - began) / 1000).toFixed(0)} s, ${scrapes.made} scrapes (${scrapes.failed} while it was killed); memory ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after`,
  );
  expect(scrapes.made).toBeGreaterThan(20);
  // What the heap grows to under such a load; three times as many events take no more.
  expect(after).toBeLessThan(before + 300);
});
