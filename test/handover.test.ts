import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { formerOwners } from '../src/daemon/handover.ts';
import { shardOf } from '../src/daemon/shards.ts';
import { createAskPeer } from '../src/server/peers.ts';
import { createStateRoute } from '../src/server/state.ts';
import { imageOf, listed, scripted, until } from './loop/scripted.ts';
import { startApp } from './support/app.ts';
import { startDaemon } from './support/running-daemon.ts';
import { recordingLog } from './support/web.ts';

/** State that follows a registry to another shard, over real sockets. */

const token = 'a-token-of-enough-length';
/** One that moves when a second shard comes. */
const registry =
  Array.from({ length: 20 }, (_, at) => `team-${at}`).find((name) => shardOf(name, 2) === 1) ?? '';
const configOf = (shards: number) =>
  `shards: ${shards}\nregistries:\n  - { name: ${registry}, type: scripted, schedule: 24h, events: { token: ${token} } }\n`;
/** How often the registry was asked for what never changes. */
let askedForConfig = 0;
const { provider } = scripted(function* ({ memory }) {
  if (!memory.get('config')) {
    askedForConfig += 1;
    memory.set('config', 'what never changes');
  }
  yield* listed('app', imageOf('v1'));
});

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'handover-'));
  open.push(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A shard; its state can be asked for at `url`. */
async function startShard(shard: number, shards: number, peers: string | undefined) {
  const storagePath = await folder();
  const { log, lines: asked } = recordingLog();
  const running = await startDaemon({ scripted: provider }, configOf(shards), {
    shard,
    storagePath,
    ...(peers !== undefined && { askPeer: createAskPeer(peers, log as never) }),
  });
  open.push(running.stop);
  const app = await startApp({ state: createStateRoute(running.daemon.savedState) });
  open.push(app.close);
  const counter = async (name: string) =>
    Number(new RegExp(`^container_registry_${name}\\{.*\\} (\\d+)$`, 'm').exec(await running.text())?.[1]);
  return { ...running, ...{ storagePath, asked, counter, url: app.url } };
}

/** Something that answers in the place of another shard. */
async function startStranger(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/{shard}`;
}

/** Tells a shard of pushes. */
async function send(
  { daemon }: Awaited<ReturnType<typeof startShard>>,
  ids: readonly string[],
): Promise<void> {
  const target = daemon.eventTarget(registry);
  if (!target || !('loop' in target)) throw new Error('the registry does not run');
  const pushes = ids.map((id) => ({ id, type: 'pushed' as const, repository: 'app' }));
  await target.loop.receive('test', pushes).saved;
}

const polled = (shard: Awaited<ReturnType<typeof startShard>>) =>
  until(async () => (await shard.counter('polls_total')) > 0);

test('a registry is polled by the old shard until it lets go, then by the new one from where it was', async () => {
  const old = await startShard(0, 1, undefined);
  await polled(old);
  askedForConfig = 1;
  await send(
    old,
    [0, 1, 2, 3, 4, 5, 6].map((at) => `event ${at}`),
  );
  await until(async () => (await old.counter('pushes_total')) === 7);

  const next = await startShard(1, 2, `${old.url}/{shard}`);
  expect(next.daemon.loops()).toEqual([]);
  // Push events that reach it are to be sent again.
  expect(next.daemon.starting()).toBe(true);
  await old.reload(configOf(2));
  expect(await old.text()).toBe('');
  await until(async () => (await next.counter('polls_total')) === 2);
  expect(await next.counter('pushes_total')).toBe(7);
  expect(next.daemon.starting()).toBe(false);
  expect(next.lines).toContain('info went on from the state that another shard saved');

  // An event that is sent again over the move counts once.
  await send(next, ['event 6', 'event 7']);
  await until(async () => (await next.counter('pushes_total')) > 7);
  expect(await next.counter('pushes_total')).toBe(8);
  // What never changes is asked for once.
  expect(askedForConfig).toBe(1);

  // Its own state is the newest from now on.
  await next.stop();
  expect(readdirSync(join(next.storagePath, 'from-other-shards'))).toEqual([]);
}, 60_000);

test('who may ask is who may send push events; what is polled here is given to nobody', async () => {
  const shard = await startShard(0, 1, undefined);
  await polled(shard);
  const ask = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${shard.url}/-/state/${path}`, { headers }).then(({ status }) => status);
  const authorization = `Bearer ${token}`;
  expect(await ask(`${registry}/counters`, { authorization })).toBe(409);
  await shard.reload(configOf(2));
  expect(await ask(`${registry}/counters`, { authorization })).toBe(200);
  expect(await ask(`${registry}/snapshot`, { authorization })).toBe(200);
  expect(await ask(`${registry}/counters`)).toBe(401);
  expect(await ask(`${registry}/counters`, { authorization: 'Bearer another' })).toBe(401);
  expect(await ask(`${registry}/memory.ndjson`, { authorization })).toBe(404);
  expect(await ask('unknown/counters', { authorization })).toBe(404);
  expect(await ask('..%2F..%2Fetc%2Fpasswd/counters', { authorization })).toBe(404);
});

const signed = (...lines: readonly object[]): string => {
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  return `${text}${JSON.stringify({ sha256: createHash('sha256').update(text).digest('hex') })}\n`;
};
const counters = { polls: 900, failures: {}, pushes: {}, requests: [], events: [] };

test.each<[what: string, answer: RequestListener]>([
  ['no such file', (_, response) => void response.writeHead(404).end()],
  ['an error', (_, response) => void response.writeHead(500).end('x'.repeat(100_000))],
  ['another address', (_, response) => void response.writeHead(302, { location: '/elsewhere' }).end()],
  ['a page', (_, response) => void response.end('<html>')],
  ['nothing', (_, response) => void response.end()],
  [
    'half of it',
    (_, response) =>
      void response.writeHead(200, { 'content-length': 5000 }).write('{', () => response.destroy()),
  ],
  [
    'the state of another registry',
    (_, response) => void response.end(signed({ version: 2, target: 'another' }, counters)),
  ],
  [
    'more than there can be',
    (_, response) => {
      let isOpen = true;
      response.once('close', () => (isOpen = false));
      const piece = Buffer.alloc(2 ** 20);
      const send = (): void => void (isOpen && response.write(piece, () => setImmediate(send)));
      send();
    },
  ],
])(
  '%s of a shard is not taken over: the registry is polled from the beginning',
  async (_, answer) => {
    const shard = await startShard(1, 2, await startStranger(answer));
    await polled(shard);
    expect(await shard.counter('polls_total')).toBe(1);
    expect(readdirSync(shard.storagePath).filter((name) => name.includes('.damaged'))).toEqual([]);
    expect([...shard.lines, ...shard.asked].filter((line) => line.startsWith('error'))).toEqual([]);
  },
  60_000,
);

test('what lies here and was saved a moment ago is not asked for', async () => {
  let requests = 0;
  const stranger = await startStranger((_, response) => {
    requests += 1;
    response.writeHead(404).end();
  });
  const shard = await startShard(1, 2, stranger);
  await polled(shard);
  expect(requests).toBe(1);
  await shard.reload(configOf(2).replace('24h', '12h'));
  await until(async () => (await shard.counter('polls_total')) === 2);
  expect(requests).toBe(1);
});

test('asked are the shards that polled a registry when there were fewer, the latest first', () => {
  for (const name of ['a', 'edge', 'prod']) {
    const before = [1, 2, 3, 4].map((count) => shardOf(name, count));
    const owners = formerOwners(name, 5, shardOf(name, 5));
    expect(owners).toEqual([...new Set(before.reverse())].filter((shard) => shard !== shardOf(name, 5)));
  }
  expect(formerOwners('edge', 1, 0)).toEqual([]);
});
