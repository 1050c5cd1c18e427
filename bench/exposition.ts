import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, scrape, startChild } from './child.ts';
import { comparePrometheus } from './prometheus.ts';
import { conclude, median, mib, ms, quantile, ratio, table, target } from './report.ts';

/**
 * `npm run bench -- [10k] [100k] [500k] [1M] [5M] [--full] [--prometheus] [--assert]`: scrapes of the exporter against
 * prom-client's `register.metrics()` and one-shot gzip over the same series, in turns, each server in its own process.
 * A p99 of few scrapes is the slowest of them.
 */
const sizes = { '10k': 10_000, '100k': 100_000, '500k': 500_000, '1M': 1_000_000, '5M': 5_000_000 } as const;
type Size = keyof typeof sizes;
const names = Object.keys(sizes) as Size[];
const asked = process.argv.includes('--full') ? names : names.filter((name) => process.argv.includes(name));
const chosen = asked.length > 0 ? asked : (['10k', '100k'] as const);

interface Scrapes {
  readonly wall: number[];
  readonly cpu: number[];
  bytes: number;
}

async function scrapes(child: Child, encoding: 'gzip' | 'identity', into: Scrapes): Promise<void> {
  await child.measure();
  const { ms: wall, bytes } = await scrape(child.port, encoding);
  const { cpuMs } = await child.measure();
  into.wall.push(wall);
  into.cpu.push(cpuMs);
  into.bytes = bytes;
}

/** The longest gap of the event loop while something happens. */
async function gapDuring(child: Child, work: () => Promise<unknown>): Promise<number> {
  await child.measure();
  await work();
  return (await child.measure()).longestGapMs;
}

/** 20 clients that scrape for some seconds, two of them at 200 kB/s. */
async function crowd(child: Child, seconds: number): Promise<void> {
  const end = AbortSignal.timeout(seconds * 1000);
  const eager = async () => {
    while (!end.aborted) await scrape(child.port, 'gzip');
  };
  const slow = () => scrape(child.port, 'gzip', { slow: { bytesPerSecond: 200_000, signal: end } });
  await Promise.all([...Array.from({ length: 18 }, eager), slow(), slow()]);
}

/** What publishing costs, and how long it holds the event loop. */
async function publishing(size: Size, ours: Child): Promise<void> {
  const idle = await gapDuring(ours, () => sleep(5000));
  const all: { ms: number }[] = [ours.first];
  const alone = await gapDuring(ours, async () => all.push(await ours.act('all'), await ours.act('all')));
  const one: { ms: number }[] = [];
  for (let turn = 0; turn < 9; turn += 1) one.push(await ours.act('one'));
  const crowded = await gapDuring(ours, () => crowd(ours, 5));
  const both = await gapDuring(ours, () => Promise.all([crowd(ours, 5), ours.act('all')]));
  const oneMs = median(one.map((publish) => publish.ms));
  const allMs = median(all.map((publish) => publish.ms));
  table(`${size} series: publishing, and the longest gap of the event loop`, [
    ['render all', ms(allMs)],
    ['render after a change of one repository', ms(oneMs), ratio(oneMs / allMs)],
    ['gap, idle', ms(idle)],
    ['gap, publishing', ms(alone)],
    ['gap, 20 clients', ms(crowded)],
    ['gap, both', ms(both)],
    ['peak RSS after all that', mib((await ours.measure()).peakRss)],
  ]);
  const allowed = Math.max(20, 2 * idle);
  for (const [when, gap] of [
    ['while publishing', alone],
    ['with 20 clients', crowded],
    ['with both', both],
  ] as const)
    target(`${size}: longest gap ${when} ${ms(gap)} ≤ ${ms(allowed)}`, gap <= allowed);
}

/** Scrapes of both, in turns. The baseline at 5 M series cannot be built: its text is longer than a string can be. */
async function scraping(size: Size, ours: Child): Promise<void> {
  const series = sizes[size];
  const found = (): Scrapes => ({ wall: [], cpu: [], bytes: 0 });
  const measured = { gzip: [found(), found()], identity: [found(), found()] } as const;
  const theirs = size === '5M' ? undefined : await startChild('prom-client', String(series));
  const rounds = series >= 500_000 ? 6 : 20;
  let peaks: readonly (number | undefined)[] = [];
  for (const encoding of ['gzip', 'identity'] as const) {
    // Before anybody asks for plain text, which is kept then: Prometheus asks for gzip.
    if (encoding === 'identity') peaks = [(await ours.measure()).peakRss, (await theirs?.measure())?.peakRss];
    // The first plain scrape unpacks; from the next publish on, plain text is ready.
    await scrape(ours.port, encoding);
    await ours.act('one');
    await scrape(ours.port, encoding);
    for (let round = 0; round < rounds; round += 1) {
      for (let turn = 0; turn < 4; turn += 1) await scrapes(ours, encoding, measured[encoding][0]);
      if (theirs) await scrapes(theirs, encoding, measured[encoding][1]);
    }
  }
  const rows = [['', 'bytes', 'median', 'p99', 'server CPU', 'scrapes']];
  for (const encoding of ['gzip', 'identity'] as const) {
    const [mine, base] = measured[encoding];
    const row = (name: string, one: Scrapes) => [
      `${name}, ${encoding}`,
      mib(one.bytes),
      ms(median(one.wall)),
      ms(quantile(one.wall, 0.99)),
      ms(median(one.cpu)),
      String(one.wall.length),
    ];
    rows.push(row('ours', mine));
    if (!theirs) continue;
    const wall = quantile(mine.wall, 0.99) / quantile(base.wall, 0.99);
    const cpu = median(mine.cpu) / median(base.cpu);
    rows.push(row('prom-client', base));
    rows.push(['  ratio', '', ratio(median(mine.wall) / median(base.wall)), ratio(wall), ratio(cpu)]);
    const limit = encoding === 'gzip' ? 100 : 50;
    if (series >= 500_000)
      target(
        `${size}: a scrape (${encoding}) takes ≤ 1/${limit}: p99 ${ratio(wall)}, CPU ${ratio(cpu)}`,
        wall <= 1 / limit && cpu <= 1 / limit,
      );
  }
  const accept = 'application/openmetrics-text;version=1.0.0';
  const open: number[] = [];
  for (let turn = 0; turn < 10; turn += 1) open.push((await scrape(ours.port, 'gzip', { accept })).ms);
  rows.push([
    'ours, OpenMetrics, gzip',
    '',
    ms(median(open)),
    ms(quantile(open, 0.99)),
    '',
    String(open.length),
  ]);
  table(`${size} series: one scrape`, rows);
  const [mine = 0, base] = peaks;
  table(`${size} series: peak RSS, gzip scraped`, [
    ['ours', mib(mine)],
    ...(base
      ? [
          ['prom-client', mib(base)],
          ['  ratio', ratio(mine / base)],
        ]
      : []),
  ]);
  if (size === '1M' && base) target(`1M: peak RSS ${ratio(mine / base)} ≤ 1/5`, mine / base <= 1 / 5);
  theirs?.stop();
}

async function compare(size: Size): Promise<void> {
  const ours = await startChild('ours', String(sizes[size]));
  await scraping(size, ours);
  ours.stop();
  const fresh = await startChild('ours', String(sizes[size]));
  await publishing(size, fresh);
  if (process.argv.includes('--prometheus') && size !== '5M') await comparePrometheus(size, fresh);
  fresh.stop();
}

for (const size of chosen) await compare(size);
conclude();
