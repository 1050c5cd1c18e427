import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { bucketCount, sortIntoBuckets } from '../src/exposition/buckets.ts';
import { registryMetrics, repositoryMetrics } from '../src/metrics.ts';
import { type Row, rendered, type Sample } from '../test/support/grafana-history.ts';
import { freePort, startProgram, tempDir } from '../test/support/programs.ts';
import { hour, providerOf, registries, registryView, repositories, repositoryView } from './fleet.ts';
import { remoteWrite, type WrittenSeries } from './remote-write.ts';
import { conclude, cpuOf, median, ms, table, target } from './report.ts';

/**
 * `npm run bench:rules -- 100000`: what an evaluation of each group of rules takes, by what Prometheus tells of itself.
 * A real Prometheus with a large fleet in its head evaluates the rule files that the chart installs by default, alerts and
 * recorded series included. With `--aws-exporters` the names of aws-exporters/ecr are recorded too, with `--ecr` all
 * registries are ECR's.
 */
const folder = join(import.meta.dirname, '..', 'alerts');
const optIn = 'compat-aws-exporters-ecr.rules.yaml';
const files = readdirSync(folder).filter(
  (name) => name.endsWith('.rules.yaml') && (name !== optIn || process.argv.includes('--aws-exporters')),
);
/** Only what a rule reads is written: the rest costs memory and no time. */
const texts = files.map((name) => readFileSync(join(folder, name), 'utf8'));
const read = new Set(texts.flatMap((text) => text.match(/container_registry_\w+|\bup\b/g) ?? []));
/** Of these rules read what the last minutes held, and of the others the last sample. */
const readOver = new Set(
  texts.flatMap((text) =>
    [...text.matchAll(/(container_registry_\w+)(?:\{[^}]*\})?\[/g)].map(([, name]) => name),
  ),
);
const now = Math.floor(Date.now() / 1000);
const interval = 30;
/** The first evaluation creates the recorded series, and alerts. */
const evaluations = 4;
const askings = 9;

/** The last minutes, scrape by scrape. */
const last = (minutes: number): number[] =>
  Array.from({ length: minutes }, (_, at) => now - 60 * (minutes - 1 - at));

function* seriesOf(rows: readonly Row[], view: object, labels: Sample['labels'], times: readonly number[]) {
  for (const { name, labels: all, value } of rendered(rows, view as never, labels))
    if (read.has(name))
      yield { labels: { ...all, __name__: name }, value, times: readOver.has(name) ? last(50) : times };
}

/**
 * The repositories of a registry in the order of the exposition: Prometheus sorts the series of a query, which takes the
 * less the more they are sorted when they first come.
 */
async function repositoriesOf(registry: number) {
  const views = new Map<string, ReturnType<typeof repositoryView>>();
  for (let seed = registry; seed < repositories; seed += registries) {
    const view = repositoryView(seed);
    views.set(view.totals.repository, view);
  }
  const buckets = await sortIntoBuckets(views.keys(), bucketCount(views.size, 1), () => undefined);
  return buckets.flat().flatMap((name) => views.get(name) ?? []);
}

async function* fleet(): AsyncGenerator<WrittenSeries> {
  const exporter = { job: 'container-registry-exporter', instance: '10.4.0.17:10056' };
  yield { labels: { ...exporter, __name__: 'up' }, value: 1, times: last(50) };
  for (let at = 0; at < registries; at++) {
    const labels = { registry: `registry-${at}`, provider: providerOf(at) };
    yield* seriesOf(registryMetrics as readonly Row[], registryView(at, now), labels, last(50));
    for (const view of await repositoriesOf(at)) {
      const own = { ...labels, repository: view.totals.repository };
      yield* seriesOf(repositoryMetrics as readonly Row[], view, own, [now]);
    }
  }
}

async function fill(url: string): Promise<number> {
  let written = 0;
  const batch: WrittenSeries[] = [];
  for await (const series of fleet()) {
    batch.push(series);
    if (batch.length < 5000) continue;
    written += batch.length;
    await remoteWrite(url, batch.splice(0));
  }
  await remoteWrite(url, batch);
  return written + batch.length;
}

interface Evaluated {
  readonly name: string;
  /** In seconds, of the last evaluation. */
  readonly evaluationTime: number;
  readonly lastEvaluation: string;
  readonly rules: readonly {
    readonly name: string;
    readonly evaluationTime: number;
    readonly health: string;
    readonly lastError?: string;
  }[];
}

/** As a rule file has it. */
interface Group {
  readonly name: string;
  readonly rules: readonly { readonly expr: string }[];
}

/** Each group's evaluations until each has enough of them. */
async function evaluated(url: string): Promise<Map<string, Evaluated[]>> {
  const seen = new Map<string, Map<string, Evaluated>>();
  for (;;) {
    const answer = (await (await fetch(`${url}/api/v1/rules`)).json()) as { data: { groups: Evaluated[] } };
    for (const group of answer.data.groups) {
      const broken = group.rules.find(({ health }) => health === 'err');
      if (broken) throw new Error(`${group.name}: ${broken.name}: ${broken.lastError}`);
      if (group.lastEvaluation.startsWith('0001')) continue;
      const own = seen.get(group.name) ?? new Map<string, Evaluated>();
      seen.set(group.name, own.set(group.lastEvaluation, group));
    }
    const groups = [...seen.values()];
    if (groups.length === answer.data.groups.length && groups.every(({ size }) => size >= evaluations)) break;
    await sleep(1000);
  }
  return new Map([...seen].map(([name, own]) => [name, [...own.values()]]));
}

const dir = tempDir();
const config = join(dir.path, 'prometheus.yml');
function configure(rules: readonly string[]): void {
  writeFileSync(
    config,
    JSON.stringify({
      global: { evaluation_interval: `${interval}s` },
      rule_files: rules.map((name) => join(folder, name)),
    }),
  );
}

/** Gives the running Prometheus other rules. */
async function reload(rules: readonly string[]): Promise<void> {
  configure(rules);
  const answer = await fetch(`${url}/-/reload`, { method: 'POST' });
  if (!answer.ok) throw new Error(await answer.text());
}

/** Milliseconds of CPU that an expression takes; nothing else may be asked meanwhile. */
async function cpuOfExpression(expr: string): Promise<number> {
  const before = cpuOf(prometheus.process.pid ?? 0);
  // Counted: a rule writes no JSON.
  const query = new URLSearchParams({ query: `count(${expr})` });
  await (await fetch(`${url}/api/v1/query?${query}`)).arrayBuffer();
  return (cpuOf(prometheus.process.pid ?? 0) - before) * 1000;
}

/**
 * Milliseconds of CPU that the expressions of each group take, median of many askings in turns: a collection of garbage
 * takes longer than any of them, since it looks at the whole head, and falls on few.
 */
async function cpuOfGroups(): Promise<Map<string, number>> {
  const groups = files.flatMap((file) => parse(readFileSync(join(folder, file), 'utf8')).groups as Group[]);
  const runs = new Map<string, number[]>();
  for (let run = 0; run < askings; run++)
    for (const { name, rules } of groups) {
      let cpu = 0;
      for (const { expr } of rules) cpu += await cpuOfExpression(expr);
      runs.set(name, [...(runs.get(name) ?? []), cpu]);
    }
  return new Map([...runs].map(([name, cpu]) => [name, median(cpu)]));
}

configure([]);
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const prometheus = await startProgram(
  'prometheus',
  [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(dir.path, 'data')}`,
    '--web.enable-remote-write-receiver',
    '--web.enable-lifecycle',
    // The samples are written once.
    `--query.lookback-delta=${hour}s`,
    `--web.listen-address=127.0.0.1:${port}`,
  ],
  { waitFor: /Server is ready/ },
);
try {
  const began = Date.now();
  const series = await fill(url);
  console.log(
    `${registries} registries, ${repositories} repositories, ${3 * repositories} images: ${series} series that rules read, written in ${Math.round((Date.now() - began) / 1000)} s`,
  );
  await reload(files);
  const groups = await evaluated(url);
  const recorded = (await (
    await fetch(`${url}/api/v1/query?query=${encodeURIComponent('count({__name__=~"aws_ecr_.+"})')}`)
  ).json()) as { data: { result: { value: [number, string] }[] } };
  console.log(`recorded: ${recorded.data.result[0]?.value[1] ?? 0} series`);
  const resident = /^VmHWM:\s+(\d+)/m.exec(
    readFileSync(`/proc/${prometheus.process.pid}/status`, 'utf8'),
  )?.[1];
  console.log(`Prometheus: ${Math.round(Number(resident) / 1024)} MiB at its peak`);

  await reload([]);
  const cpu = await cpuOfGroups();
  const times = [...groups].map(([name, all]) => ({
    name,
    first: (all[0]?.evaluationTime ?? 0) * 1000,
    later: median(all.slice(1).map(({ evaluationTime }) => evaluationTime * 1000)),
    cpu: cpu.get(name) ?? Number.NaN,
  }));
  table('Groups of rules: the first evaluation, the median of later ones, the CPU of their expressions', [
    ['group', 'first', 'later', 'CPU'],
    ...times
      .toSorted((a, b) => b.cpu - a.cpu)
      .map(({ name, first, later, cpu }) => [name, ms(first), ms(later), ms(cpu)]),
  ]);
  // Other programs of the machine lengthen the time, and not the CPU.
  for (const { name, cpu } of times)
    target(`${repositories} repositories: the group ${name} takes ${ms(cpu)} of CPU ≤ 1 s`, cpu <= 1000);
} finally {
  await prometheus.stop();
  dir.remove();
}
conclude();
