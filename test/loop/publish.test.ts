import { expect, test } from 'vitest';
import { createExposition } from '../../src/exposition.ts';
import { createPublisher } from '../../src/loop/publish.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import type { Views } from '../../src/loop/views.ts';
import type { RegistryView } from '../../src/metrics.ts';
import { recordingLog } from '../support/web.ts';

const view = (polls: number): RegistryView => ({
  registry: 'edge',
  provider: 'test',
  identity: {},
  polls,
  failures: new Map(),
  capabilities: new Map(),
  seriesDropped: new Map(),
});

test('publishes that overlap keep their order: the state of the later one is shown, however long the first took', async () => {
  const exposition = createExposition();
  const { log } = recordingLog();
  const begun: number[] = [];
  let letFirstGoOn = () => {};
  const first = new Promise<void>((resolve) => {
    letFirstGoOn = resolve;
  });
  let polls = 0;
  const views: Views = {
    ofRegistry: () => view(polls),
    async chooseRepositories() {
      const now = polls;
      begun.push(now);
      if (now === 1) await first;
      const repositories = new Map([[`of-poll-${now}`, { pushCounts: { pushes: now, failures: {} } }]]);
      return {
        repositories,
        dropped: { image_cap: 0, repository_cap: 0, registry_cap: 0 },
        oldest: undefined,
      };
    },
    hasData: () => false,
  };
  const publisher = createPublisher({
    registry: 'edge',
    staleAfterMs: 60_000,
    views,
    exposition,
    troubles: createTroubles(log),
    log,
    now: () => 0,
  });
  polls = 1;
  const slow = publisher.publish();
  await Promise.resolve();
  polls = 2;
  const quick = publisher.publish();
  expect(begun).toEqual([1]);
  letFirstGoOn();
  await Promise.all([slow, quick]);
  expect(begun).toEqual([1, 2]);
  let text = '';
  for await (const piece of exposition.body('text', 'identity', '').buffers()) text += piece.toString();
  expect(text).toContain(
    'container_registry_pushes_total{registry="edge",provider="test",repository="of-poll-2"} 2',
  );
  expect(text).not.toContain('of-poll-1');
});
