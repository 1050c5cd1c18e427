import { closeSync, openSync, writeSync } from 'node:fs';
import { registryMetrics, repositoryMetrics } from '../src/metrics.ts';
import { line, type Row, rendered } from '../test/support/grafana-history.ts';
import { startFilledPrometheus } from '../test/support/grafana-prometheus.ts';
import { hour, now, providerOf, registries, registryView, repositories, repositoryView } from './fleet.ts';
import { cpuOf, median, ms } from './report.ts';

/** A real Prometheus that holds a day of the fleet in a block. */

/** What is looked at over a day, or of a day ago; everything else has a sample of now only. */
const overTime = /_repository_(images|findings|size_bytes|vulnerable_images)$|_repositories$|_up$|_total$/;

/** How many repositories one block has. */
const perBlock = 20_000;

/** Writes the history of the repositories from one to another; the first part has that of the registries too. */
function write(path: string, from: number, to: number): number {
  const file = openSync(path, 'w');
  let series = 0;
  const put = (rows: readonly Row[], view: object, labels: Record<string, string>): string => {
    const isRegistry = labels['repository'] === undefined;
    let text = '';
    for (const row of rows)
      for (const sample of rendered([row], view as never, labels)) {
        series += 1;
        const severity = sample.labels['severity'];
        const hourly = row.name.endsWith('vulnerable_images') && /^(CRITICAL|HIGH)$/.test(severity ?? '');
        const step = hourly ? hour : 24 * hour;
        if (overTime.test(row.name))
          for (let at = now - 24 * hour; at < now; at += step) text += `${line(sample, at)}\n`;
        // Rules look at the last hour of a registry, scrape by scrape.
        if (isRegistry) for (let at = now - hour; at < now; at += 60) text += `${line(sample, at)}\n`;
        text += `${line(sample, now)}\n`;
      }
    return text;
  };
  for (let at = 0; from === 0 && at < registries; at++)
    writeSync(
      file,
      put(registryMetrics as readonly Row[], registryView(at, now), {
        registry: `registry-${at}`,
        provider: providerOf(at),
      }),
    );
  for (let seed = from; seed < to; seed++) {
    const view = repositoryView(seed);
    const labels = {
      registry: `registry-${seed % registries}`,
      provider: providerOf(seed % registries),
      repository: view.totals.repository,
    };
    writeSync(file, put(repositoryMetrics as readonly Row[], view, labels));
  }
  if (from === 0)
    for (const [name, labels] of [
      ['up', ''],
      ['container_registry_exporter_build_info', ',version="1",revision="r",nodeversion="v26"'],
    ])
      writeSync(
        file,
        `${name}{job="container-registry-exporter",instance="10.4.0.17:10056"${labels}} 1 ${now}\n`,
      );
  writeSync(file, '# EOF\n');
  closeSync(file);
  return series;
}

export interface Cost {
  readonly board: string;
  readonly what: string;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly bytes: number;
}

let series = 0;
const began = Date.now();
const parts = Array.from({ length: Math.ceil(repositories / perBlock) }, (_, at) => at * perBlock);
export const prometheus = await startFilledPrometheus(
  parts.map((from) => (path: string) => {
    series += write(path, from, Math.min(from + perBlock, repositories));
  }),
);
console.log(
  `${registries} registries, ${repositories} repositories, ${3 * repositories} images: ${series} series, ready after ${Math.round((Date.now() - began) / 1000)} s`,
);

/** The middle one of three askings. */
export async function measured(
  board: string,
  what: string,
  endpoint: string,
  query: Record<string, string>,
): Promise<Cost> {
  const runs: { wall: number; cpu: number; bytes: number }[] = [];
  for (let run = 0; run < 3; run++) {
    const [cpu, start] = [cpuOf(prometheus.pid), performance.now()];
    const answer = await fetch(`${prometheus.url}/api/v1/${endpoint}?${new URLSearchParams(query)}`);
    const body = Buffer.from(await answer.arrayBuffer());
    if (!answer.ok) throw new Error(`${what}: ${body.toString().slice(0, 500)}`);
    runs.push({
      wall: performance.now() - start,
      cpu: (cpuOf(prometheus.pid) - cpu) * 1000,
      bytes: body.length,
    });
  }
  return {
    board,
    what,
    wallMs: median(runs.map(({ wall }) => wall)),
    cpuMs: median(runs.map(({ cpu }) => cpu)),
    bytes: Math.max(...runs.map(({ bytes }) => bytes)),
  };
}

/** A cost, as a row of a table. */
export const costRow = ({ board, what, wallMs, cpuMs, bytes }: Cost) => [
  board,
  what,
  ms(wallMs),
  ms(cpuMs),
  `${(bytes / 1000).toFixed(0)} KB`,
];
