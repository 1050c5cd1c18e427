import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { everyRegistry } from '../test/simulators/every-registry.ts';
import { freePort, tempDir } from '../test/support/programs.ts';
import { startExporter } from '../test/support/real-programs.ts';
import { mib, table } from './report.ts';

/**
 * `npm run bench:sizing [harbor oci …]`: what one registry of 1,000 repositories takes of the whole program: requests
 * and CPU of the first poll and of one that finds nothing new, series, memory. For docs/scale.md.
 */
const repositories = 1000;
const asked = Object.keys(everyRegistry).filter((name) => process.argv.includes(name));
const all = asked.length > 0 ? asked : Object.keys(everyRegistry);

interface Sums {
  readonly polls: number;
  readonly images: number;
  readonly requests: number;
  readonly cpu: number;
  readonly memory: number;
  readonly series: number;
}

/** Sums of the samples of a family, over all labels. */
function sumsOf(text: string): Sums {
  const of = (family: string) =>
    [...text.matchAll(new RegExp(`^${family}(?:\\{[^\\n]*\\})? (\\S+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );
  return {
    polls: of('container_registry_polls_total'),
    images: of('container_registry_repository_images'),
    requests: of('container_registry_api_requests_total'),
    cpu: of('process_cpu_seconds_total'),
    memory: of('process_resident_memory_bytes'),
    series: text.split('\n').filter((line) => line && !line.startsWith('#')).length,
  };
}

async function measure(type: string): Promise<readonly string[]> {
  const folder = tempDir();
  const start = everyRegistry[type];
  if (!start) throw new Error(`no simulator of ${type}`);
  const simulated = await start({ seed: 1, repositories, now: Math.floor(Date.now() / 1000) });
  const port = await freePort();
  const config = join(folder.path, 'exporter.yaml');
  const http = { requestsPerSecond: 10_000, maxConcurrent: 16 };
  const registry = { name: type, type, schedule: '20s', timeout: '10m', ...simulated.registry, http };
  writeFileSync(config, stringify({ registries: [registry] }));
  const exporter = await startExporter({ config, port, storage: join(folder.path, 'storage') });
  const scrape = async () => sumsOf(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
  async function afterPoll(count: number): Promise<Sums> {
    for (;;) {
      const sums = await scrape();
      if (sums.polls >= count) return sums;
      await sleep(500);
    }
  }
  try {
    const idle = await scrape();
    const first = await afterPoll(1);
    const second = await afterPoll(2);
    const third = await afterPoll(3);
    return [
      type,
      String(first.images),
      String(first.requests - idle.requests),
      String(third.requests - second.requests),
      `${(first.cpu - idle.cpu).toFixed(1)} s`,
      `${(third.cpu - second.cpu).toFixed(1)} s`,
      String(third.series),
      mib(third.memory),
    ];
  } finally {
    await exporter.stop();
    await simulated.close();
    folder.remove();
  }
}

const head = [
  'provider',
  'images',
  'requests, first poll',
  'later polls',
  'CPU, first',
  'later',
  'series',
  'memory',
];
const rows: (readonly string[])[] = [];
for (const type of all) rows.push(await measure(type));
table(`One registry of ${repositories} repositories`, [head, ...rows]);
