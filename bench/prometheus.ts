import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, startProgram, tempDir } from '../test/support/programs.ts';
import { type Child, startChild } from './child.ts';
import { median, ms, ratio, table, target } from './report.ts';

const download = (port: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', path: '/metrics', headers: { 'accept-encoding': 'gzip' } }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (data: Buffer) => pieces.push(data));
      response.on('end', () => resolve(Buffer.concat(pieces)));
    }).on('error', reject);
  });

/** What a real Prometheus measures of the exporter, against a static server that sends the same bytes. */
export async function comparePrometheus(size: string, ours: Child): Promise<void> {
  const dir = tempDir();
  const file = join(dir.path, 'metrics.gz');
  writeFileSync(file, await download(ours.port));
  const still = await startChild('static', file);
  const port = await freePort();
  const job = (name: string, target: number) => ({
    job_name: name,
    static_configs: [{ targets: [`127.0.0.1:${target}`] }],
  });
  writeFileSync(
    join(dir.path, 'prometheus.yml'),
    JSON.stringify({
      global: { scrape_interval: '12s', scrape_timeout: '12s' },
      scrape_configs: [job('ours', ours.port), job('static', still.port)],
    }),
  );
  const prometheus = await startProgram(
    'prometheus',
    [
      `--config.file=${join(dir.path, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir.path, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { waitFor: /Server is ready/ },
  );
  // The first scrape of each creates the series, which costs more than all the others.
  await sleep(90_000);
  const durations = async (name: string): Promise<number[]> => {
    const query = encodeURIComponent(`scrape_duration_seconds{job="${name}"}[90s]`);
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${query}`);
    const { data } = (await answer.json()) as { data: { result: { values: [number, string][] }[] } };
    return (data.result[0]?.values ?? []).slice(1).map(([, value]) => Number(value) * 1000);
  };
  const [mine, base] = [await durations('ours'), await durations('static')];
  const against = median(mine) / median(base);
  table(`${size} series: scrape_duration_seconds of a real Prometheus, median of ${mine.length}`, [
    ['ours', ms(median(mine))],
    ['static file server', ms(median(base))],
    ['  ratio', ratio(against)],
  ]);
  target(`${size}: scrape_duration_seconds ${ratio(against)} of a static server's ≤ 1.1`, against <= 1.1);
  await prometheus.stop();
  still.stop();
  dir.remove();
}
