import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { RegistryView } from '../src/metrics/row.ts';
import { registryMetrics, repositoryMetrics } from '../src/metrics.ts';
import type { ImageTotals, RepositoryTotals } from '../src/model.ts';
import { line, type Row, rendered } from '../test/support/grafana-history.ts';
import { startFilledPrometheus } from '../test/support/grafana-prometheus.ts';
import { median, ms } from './report.ts';

/**
 * A real Prometheus that holds a large fleet: 30 registries with so many repositories in all (the first argument, 100,000
 * by default), and three times as many images in the bounded set.
 */
export const repositories = Number(process.argv[2] ?? 100_000);
export const registries = 30;
const hour = 3600;
export const now = Math.floor(1_795_000_000 / hour) * hour;

const counts = (seed: number) => ({
  // One image of a hundred has critical findings, half of them high ones.
  CRITICAL: seed % 100 === 0 ? 1 + (seed % 7) : 0,
  HIGH: seed % 2 === 0 ? seed % 90 : 0,
  MEDIUM: seed % 200,
  LOW: seed % 300,
  NEGLIGIBLE: seed % 50,
  UNKNOWN: 0,
});

function imagesOf(seed: number): ImageTotals[] {
  return [0, 1, 2].map((age) => ({
    tag: `v1.${seed % 50}.${9 - age}`,
    digest: `sha256:${(seed * 3 + age).toString(16).padStart(64, '0')}`,
    sizeBytes: seed * 1000,
    pushedAt: now - seed,
    scannedAt: now - seed,
    signed: seed % 5 > 0,
    inUse: seed % 4,
    findings: { counts: counts(seed + age), fixable: counts(seed + age) },
  }));
}

export const totalsOf = (seed: number): RepositoryTotals => ({
  repository: `team-${seed % 100}/service-${seed}`,
  tagged: 20 + (seed % 50),
  untagged: seed % 7,
  tags: 30,
  artifacts: { signature: 5, sbom: 2, attestation: 1 },
  sizeBytes: (1 + (seed % 1000)) * 2 ** 24,
  reclaimableBytes: seed * 1000,
  staleImages: seed % 20,
  lastPushAt: now - seed,
  lastPullAt: now - seed,
  pulls: seed * 10,
  findings: { counts: counts(seed), fixable: counts(seed) },
  vulnerableImages: counts(seed),
  scans: { complete: 20, pending: 0, failed: 0, unsupported: 0, none: 1 },
  signedImages: 15,
  practices: { scan_on_push: true, immutable_tags: seed % 2 === 0, retention_policy: true, private: true },
  images: imagesOf(seed),
});

const registryView = (at: number): RegistryView => ({
  registry: `registry-${at}`,
  provider: 'ecr',
  identity: { host: `host-${at}` },
  up: at > 0,
  lastSuccessAt: now - 60,
  lastAttemptAt: now - 60,
  pollDurationSeconds: 30,
  pollIntervalSeconds: 300,
  staleAfterSeconds: 900,
  failedInARow: 0,
  polls: 100,
  failures: new Map(),
  capabilities: new Map([['findings', true]]),
  repositoryCount: Math.round(repositories / registries),
  seriesDropped: new Map(),
});

/** What is looked at over a day, or of a day ago; everything else has a sample of now only. */
const overTime = /_repository_(images|findings|size_bytes|vulnerable_images)$|_repositories$|_up$/;

/** Writes the history one metric after the other: as a whole it is larger than a string can be. */
function write(path: string): number {
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
  for (let at = 0; at < registries; at++)
    writeSync(
      file,
      put(registryMetrics as readonly Row[], registryView(at), {
        registry: `registry-${at}`,
        provider: 'ecr',
      }),
    );
  for (let seed = 0; seed < repositories; seed++) {
    const totals = totalsOf(seed);
    const labels = {
      registry: `registry-${seed % registries}`,
      provider: 'ecr',
      repository: totals.repository,
    };
    writeSync(file, put(repositoryMetrics as readonly Row[], { totals }, labels));
  }
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

/** Seconds of CPU that a process has used. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
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
export const prometheus = await startFilledPrometheus((path) => {
  series = write(path);
});
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
