import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import type { ReadEvents } from '../../src/events/push-event.ts';
import { oci } from '../../src/providers/oci.ts';
import { holding, scripted, until } from '../loop/scripted.ts';
import { startOciSimulator } from '../simulators/oci.ts';
import { createStore } from '../simulators/oci-store.ts';
import { image, layer } from '../support/oci-image.ts';
import { letTimePass, runLoop } from '../support/running-loop.ts';

/** What a loop makes of events, with its storage and with a registry. */
const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of open.splice(0).reverse()) await close();
});
const pushed = (id: string, repository = 'app'): ReadEvents => [{ id, type: 'pushed', repository }];

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'events-'));
  open.push(() => rm(path, { recursive: true, force: true }));
  return path;
}

test('after a restart counts go on, and what is sent again is known by its id', async () => {
  const storagePath = await folder();
  const first = await runLoop(scripted(holding('app')).provider, {}, { storagePath });
  await first.poll();
  await first.loop.receive('harbor', pushed('1')).saved;
  await first.loop.receive('harbor', pushed('waits', 'new')).saved;
  await first.stop();

  const second = await runLoop(scripted(holding('app', 'new')).provider, {}, { storagePath });
  open.push(second.stop);
  await second.loop.receive('harbor', pushed('1')).saved;
  await second.loop.receive('harbor', pushed('2')).saved;
  await second.poll();
  expect(await second.lines('pushes_total')).toEqual([
    'pushes_total{repository="app"} 2',
    'pushes_total{repository="new"} 1',
  ]);
});

test('an event without an id that comes again after a restart is taken for the same', async () => {
  const storagePath = await folder();
  const event: ReadEvents = [{ id: 'content', byContent: true, type: 'pushed', repository: 'app' }];
  const first = await runLoop(scripted(holding('app')).provider, {}, { storagePath });
  await first.poll();
  for (let turn = 0; turn < 3; turn += 1) await first.loop.receive('harbor', event).saved;
  await first.stop();
  const second = await runLoop(scripted(holding('app')).provider, {}, { storagePath });
  open.push(second.stop);
  await second.loop.receive('harbor', event).saved;
  expect(await second.lines('pushes_total')).toEqual(['pushes_total{repository="app"} 3']);
});

test('a loop that stops counts nothing more: what comes then is sent again', async () => {
  const loop = await runLoop(scripted(holding('app')).provider, {});
  await loop.stop();
  await expect(loop.loop.receive('harbor', pushed('1')).saved).rejects.toThrow('stops');
});

test('with another target under the same name neither counts nor identities are taken over', async () => {
  const storagePath = await folder();
  const first = await runLoop(scripted(holding('app')).provider, {}, { storagePath });
  await first.poll();
  await first.loop.receive('harbor', pushed('1')).saved;
  await first.stop();
  const second = await runLoop(scripted(holding('app')).provider, {}, { storagePath, target: 'another' });
  open.push(second.stop);
  await second.loop.receive('harbor', pushed('1')).saved;
  await second.poll();
  expect(await second.lines('pushes_total')).toEqual(['pushes_total{repository="app"} 1']);
});

test('a token file that holds no token shows as a failing capability, with what to do', async () => {
  const loop = await runLoop(oci, {
    endpoint: 'http://127.0.0.1:1',
    names: ['app'],
    events: { tokenFile: '/dev/null' },
  });
  open.push(loop.stop);
  await loop.poll();
  expect(await loop.lines('capability_up')).toContain('capability_up{capability="events"} 0');
  expect(loop.log()).toContain(
    'the secret file /dev/null is no regular file: check the path (setting events.tokenFile)',
  );
});

test('an event does not widen what the configuration names', async () => {
  const store = createStore();
  for (const name of ['app', 'other'])
    store.put(name, image({ layers: [layer(name)], created: 1_750_000_000 }), 'v1');
  const simulator = await startOciSimulator({ store });
  open.push(simulator.close);
  const loop = await runLoop(oci, { endpoint: simulator.url, names: ['app'] });
  open.push(loop.stop);
  await loop.poll();
  for (const name of ['app', 'other']) void loop.loop.receive('distribution', pushed(name, name)).saved;
  await until(async () => (await loop.lines('pushes_total')).length > 0);
  letTimePass(2 * 60_000);
  await loop.poll();
  expect(await loop.lines('pushes_total', 'repository_tags')).toEqual([
    'repository_tags{repository="app"} 1',
    'pushes_total{repository=""} 1',
    'pushes_total{repository="app"} 1',
  ]);
});
