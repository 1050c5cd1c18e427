/**
 * How long a poll of one Harbor project of many repositories takes, and what it asks. The simulator answers as late as
 * Harbor 2.16 did: a page of the project's artifacts after 0.17 s and 0.59 s more and more as there are rows before it,
 * a list of one repository after 0.09 s. `SCALE=10` makes all of it ten times as fast.
 */
import { harbor } from '../src/providers/harbor.ts';
import { digestOf } from '../test/simulators/estate.ts';
import { startHarborSimulator } from '../test/simulators/harbor.ts';
import { createHarborWorld } from '../test/simulators/harbor-world.ts';
import { runLoop } from '../test/support/running-loop.ts';

const repositories = Number(process.env['REPOSITORIES'] ?? 4_000);
const artifacts = Number(process.env['ARTIFACTS'] ?? 50);
const scale = Number(process.env['SCALE'] ?? 1);
const timeout = process.env['TIMEOUT'] ?? '4m';
const now = Math.floor(Date.now() / 1000);

const image = (repository: number, number: number) => ({
  digest: digestOf(`${repository} ${number}`),
  kind: 'image' as const,
  tags: [`v${number}`],
  sizeBytes: 1_000_000,
  pushedAt: now - 1_000_000 + number,
  scan: { status: 'none' as const },
  archived: false,
  inUse: 0,
});
const estate = {
  repositories: new Map(
    Array.from({ length: repositories }, (_, repository) => {
      const name = `team/app-${String(repository).padStart(5, '0')}`;
      const images = Array.from({ length: artifacts }, (_, number) => image(repository, number));
      const held = new Map(images.map((one) => [one.digest, one]));
      return [name, { name, createdAt: now - 1_000_000, pulls: 7, images: held }];
    }),
  ),
  step: () => 'nothing',
};

/** How late Harbor answers with so many rows behind so many others, seconds. */
const late = (rowsBefore: number, rows: number): number =>
  0.01 + rows * 0.0016 + (rowsBefore * 0.42) / 200_000;
let waited = 0;
const simulator = await startHarborSimulator({
  world: createHarborWorld(estate, now),
  latency(operation, rowsBefore, rows) {
    if (operation !== 'artifacts') return 0;
    const seconds = late(rowsBefore, rows);
    waited += seconds;
    return (seconds * 1000) / scale;
  },
});
const running = await runLoop(
  harbor,
  {
    endpoint: simulator.url,
    auth: { username: 'robot$exporter', password: 'r0bot-S3cret-x' },
    timeout: scale === 1 ? timeout : '1h',
  },
  { keepLog: true },
);
const began = performance.now();
await running.poll();
const took = (performance.now() - began) / 1000;
const requests = [...simulator.requests.values()].reduce((sum, one) => sum + one, 0);
const read = (await running.lines('repository_tags')).length;
let together = 0;
for (let before = 0; before < repositories * artifacts; before += 100)
  together += late(before, Math.min(100, repositories * artifacts - before));
console.log(
  `${repositories} repositories of ${artifacts} artifacts: ${requests} requests, ${simulator.requests.get('artifacts')} of them lists of artifacts, which took Harbor ${waited.toFixed(0)} s, eight at once ${(waited / 8).toFixed(0)} s; up ${await running.value('up')}, ${read} repositories read, poll of ${(took * scale).toFixed(0)} s`,
);
console.log(
  `as one list, page after page: ${Math.ceil((repositories * artifacts) / 100)} pages, ${together.toFixed(0)} s`,
);
for (const { message } of running.loop.status().errors) console.log(message);
await running.stop();
await simulator.close();
