import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { type Amount, type Reading, type Subject, type Way, ways } from './collect/subject.ts';
import { conclude, median, mib, ms, ratio, table, target } from './report.ts';

/**
 * `npm run bench:collect` or `node bench/collect.ts [acr artifact-registry …] [--full] [--assert]`: what reading a registry costs the
 * exporter, against the same pages by undici and JSON.parse and against the vendor's SDK used plainly; and its memory
 * with few and with many images. `--full` reads ten million images instead of one.
 */
const all = ['acr', 'artifact-registry', 'ecr'];
const asked = all.filter((name) => process.argv.includes(name));
const full = process.argv.includes('--full');
const rounds = 5;

function start(args: readonly (string | number)[]): ChildProcess {
  return fork(join(import.meta.dirname, 'collect', 'child.ts'), args.map(String), {
    // The exporter's own setting (see Dockerfile).
    execArgv: ['--max-semi-space-size=4'],
  });
}

function answer<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code) => reject(new Error(`a child ended with ${code}`)));
  });
}

async function read(name: string, way: Way, amount: Amount, url: string, warm: boolean): Promise<Reading> {
  const { repositories, imagesPerRepository } = amount;
  const child = start([name, way, repositories, imagesPerRepository, url, ...(warm ? ['warm'] : [])]);
  return answer<Reading>(child);
}

/** Serves the amount while something is measured. */
async function serving<T>(name: string, amount: Amount, measure: (url: string) => Promise<T>): Promise<T> {
  const server = start([name, 'serve', amount.repositories, amount.imagesPerRepository]);
  try {
    return await measure(await answer<string>(server));
  } finally {
    server.kill();
  }
}

async function speed(name: string, { targets }: Subject): Promise<void> {
  const amount: Amount = { repositories: 16, imagesPerRepository: 5000 };
  const images = amount.repositories * amount.imagesPerRepository;
  const readings: Record<Way, Reading[]> = { exporter: [], bare: [], sdk: [] };
  await serving(name, amount, async (url) => {
    // In turns, so that noise is the same for all.
    for (let round = 0; round < rounds; round += 1)
      for (const way of ways) readings[way].push(await read(name, way, amount, url, true));
  });
  for (const [way, some] of Object.entries(readings))
    for (const reading of some)
      if (reading.images !== images) throw new Error(`${way} read ${reading.images} of ${images} images`);
  const wall = (way: Way) => median(readings[way].map(({ wallMs }) => wallMs));
  const cpu = (way: Way) => median(readings[way].map(({ cpuMs }) => cpuMs));
  const gap = (way: Way) => median(readings[way].map(({ longestGapMs }) => longestGapMs));
  const perSecond = (way: Way) => `${Math.round(images / wall(way))} k/s`;
  table(`${name}: ${images} images, pages of 1000, median of ${rounds}`, [
    ['', 'images', 'CPU per image', 'longest gap'],
    ...ways.map((way) => [
      way,
      perSecond(way),
      `${((cpu(way) / images) * 1000).toFixed(1)} µs`,
      ms(gap(way)),
    ]),
    ['  of bare', ratio(wall('bare') / wall('exporter')), ratio(cpu('bare') / cpu('exporter'))],
    ['  times the SDK', ratio(wall('sdk') / wall('exporter')), ratio(cpu('sdk') / cpu('exporter'))],
  ]);
  const ofBare = Math.min(wall('bare') / wall('exporter'), cpu('bare') / cpu('exporter'));
  target(`${name}: ${ratio(ofBare)} of bare ≥ ${targets.ofBare}`, ofBare >= targets.ofBare);
  if (targets.timesSdk !== undefined) {
    const times = Math.min(wall('sdk') / wall('exporter'), cpu('sdk') / cpu('exporter'));
    target(`${name}: ${ratio(times)} times the SDK ≥ ${targets.timesSdk}`, times >= targets.timesSdk);
  }
  if (targets.gapMs !== undefined)
    target(
      `${name}: longest gap ${ms(gap('exporter'))} ≤ ${targets.gapMs} ms`,
      gap('exporter') <= targets.gapMs,
    );
}

async function memory(name: string): Promise<void> {
  const peak = async (imagesPerRepository: number) => {
    const amount: Amount = { repositories: 1000, imagesPerRepository };
    return (await serving(name, amount, (url) => read(name, 'exporter', amount, url, false))).peakRss;
  };
  const many = full ? 10_000 : 1000;
  const [few, most] = [await peak(10), await peak(many)];
  table(`${name}: peak RSS with 1000 repositories`, [
    ['10 k images', mib(few)],
    [`${full ? 10 : 1} M images`, mib(most)],
    ['  difference', mib(most - few)],
  ]);
  target(
    `${name}: ${mib(most - few)} more for ${full ? 10 : 1} M images ≤ 200 MiB`,
    most - few <= 200 * 2 ** 20,
  );
}

for (const name of asked.length > 0 ? asked : all) {
  const { subject } = (await import(`./collect/${name}.ts`)) as { subject: Subject };
  await speed(name, subject);
  await memory(name);
}
conclude();
