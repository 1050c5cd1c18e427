import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EventTarget, EventTargetElsewhere } from '../../src/daemon.ts';
import { plainSecret } from '../../src/secret.ts';
import { createEventReceiver } from '../../src/server/events.ts';
import { createForward } from '../../src/server/forward.ts';
import { startApp } from '../support/app.ts';
import { recordingLog } from '../support/web.ts';

/** Push events that arrive at one shard and belong to another, over real sockets. */

const secret = 'a-token-of-enough-length';
const token = plainSecret(secret);
const push = { events: [{ id: '1', action: 'push', target: { repository: 'app', tag: 'v1' } }] };

let seen: string[];
let logged: readonly string[];
let open: { close(): Promise<unknown> }[];

const counting: EventTarget = {
  token,
  loop: {
    receive(source, events) {
      seen.push(`${source}: ${events.length}`);
      return { saved: Promise.resolve(), lost: () => seen.push('lost') };
    },
    refused: (outcome) => void seen.push(outcome),
  },
};

async function startShard(target: EventTarget | EventTargetElsewhere, peers: string | undefined) {
  const { log, lines } = recordingLog();
  logged = lines;
  const events = createEventReceiver({
    log: log as never,
    target: (name) => (name === 'team/edge' ? target : undefined),
    forward: createForward(peers, log as never),
    starting: () => false,
  });
  const app = await startApp({ events });
  open.push(app);
  return app;
}

const post = (
  app: { readonly url: string },
  headers: Record<string, string> = {},
  body: NonNullable<RequestInit['body']> = JSON.stringify(push),
) =>
  fetch(`${app.url}/events/team%2Fedge`, {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
    body,
  });

beforeEach(() => {
  seen = [];
  open = [];
});
afterEach(async () => {
  for (const app of open) await app.close();
});

test('they are counted by the shard that polls the registry, packed or not', async () => {
  const owner = await startShard(counting, undefined);
  const other = await startShard({ shard: 1, token }, `${owner.url}/?shard={shard}`);
  expect((await post(other)).status).toBe(202);
  const packed = await post(other, { 'content-encoding': 'gzip' }, gzipSync(JSON.stringify(push)));
  expect(packed.status).toBe(202);
  expect(seen).toEqual(['distribution: 1', 'distribution: 1']);
});

test('the owner’s refusal reaches the sender; a sender without the token reaches nobody', async () => {
  const owner = await startShard(counting, undefined);
  const other = await startShard({ shard: 1, token }, `${owner.url}/?shard={shard}`);
  expect((await post(other, {}, '{"hello": 1}')).status).toBe(400);
  expect(seen).toEqual(['invalid']);
  expect((await post(other, { authorization: 'Bearer something-else' })).status).toBe(401);
  expect(seen).toEqual(['invalid']);
});

test('Event Grid is answered by the shard that it asks', async () => {
  const other = await startShard({ shard: 1, token }, 'http://127.0.0.1:1/{shard}');
  const question = {
    eventType: 'Microsoft.EventGrid.SubscriptionValidationEvent',
    data: { validationCode: 'code' },
  };
  const answer = await post(other, {}, JSON.stringify([question]));
  expect([answer.status, await answer.json()]).toEqual([200, { validationResponse: 'code' }]);
});

test('shards that do not agree on the owner do not send them in a circle', async () => {
  const confused = await startShard({ shard: 0, token }, 'http://127.0.0.1:1/{shard}');
  const other = await startShard({ shard: 1, token }, `${confused.url}/?shard={shard}`);
  const answer = await post(other);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
});

test('shards that do not know each other say where events belong, once', async () => {
  const alone = await startShard({ shard: 2, token }, undefined);
  for (const _ of [1, 2]) {
    const answer = await post(alone);
    expect([answer.status, await answer.text()]).toEqual([
      421,
      'shard 2 polls this registry: send its events there\n',
    ]);
  }
  expect(logged.filter((line) => line.startsWith('warn '))).toHaveLength(1);
});

test('a shard that is down makes the sender send again', async () => {
  const alone = await startShard({ shard: 2, token }, 'http://127.0.0.1:1/{shard}');
  const answer = await post(alone);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '5']);
  expect(logged.join('\n')).toContain('could not be handed to the shard that polls the registry');
});
