import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { CollectError } from '../../src/errors.ts';
import { json } from '../../src/http.ts';
import { createCycleContext, createSession } from '../../src/loop/context.ts';
import { createTroubles } from '../../src/loop/troubles.ts';
import { list, text } from '../../src/wire.ts';
import { atEnd, site } from '../support/registry-site.ts';
import { recordingLog } from '../support/web.ts';

/** What a provider is lent for one cycle. */
function cycle(more: { readonly session?: ReturnType<typeof createSession>; readonly images?: object } = {}) {
  const { lines, log } = recordingLog();
  const ending = new AbortController();
  const notices: string[] = [];
  const observed: string[] = [];
  const progressed: string[] = [];
  const settings = {
    http: { maxConcurrent: 2, timeoutMs: 60_000, maxBytes: 10_000, retries: 0 },
    images: { perRepository: 7, matches: () => false },
    wants: (name: string) => name !== 'unwanted',
    include: ['team/*'],
  };
  const lent = createCycleContext({
    settings: settings as never,
    images: more.images as never,
    signal: ending.signal,
    only: ['app'],
    memory: {} as never,
    session: more.session ?? createSession(),
    log,
    troubles: createTroubles(log as never),
    notices: { tell: (key, _fields, message) => void notices.push(`${key}: ${message}`), end() {} },
    userAgent: 'test/1',
    observe: (operation, code) => void observed.push(`${operation} ${code}`),
    progress: (done, total) => void progressed.push(`${done} of ${total}`),
  });
  atEnd(lent.close);
  return { ...lent, lines, ending, notices, observed, progressed, settings };
}
const failure = (message = 'not allowed') => new CollectError('forbidden', message);

test('a session keeps what is made once, until it is forgotten', () => {
  const { keep, forget } = createSession();
  expect(keep('a', () => 1)).toBe(1);
  expect(keep('a', () => 2)).toBe(1);
  expect(keep('b', () => undefined)).toBeUndefined();
  expect(keep('b', () => 3 as number | undefined)).toBeUndefined();
  forget('a');
  expect(keep('a', () => 4)).toBe(4);
});

test('what the configuration says of the registry is passed on', () => {
  const { context, settings, progressed } = cycle();
  expect(context.wants('app')).toBe(true);
  expect(context.wants('unwanted')).toBe(false);
  expect(context).toMatchObject({
    include: ['team/*'],
    only: ['app'],
    concurrency: 2,
    images: { perRepository: 7 },
    connection: settings.http,
  });
  context.progress(1, 3);
  expect(progressed).toEqual(['1 of 3']);
  expect(Math.abs(context.now() - Date.now() / 1000)).toBeLessThan(60);
  expect(cycle({ images: { perRepository: 1 } }).context.images.perRepository).toBe(1);
});

describe('requests', () => {
  test('are counted, say who asks, and have the limits of the registry unless the provider says others', async () => {
    const agents: unknown[] = [];
    const found = await site((request, response) => {
      agents.push(request.headers['user-agent']);
      response.end('x'.repeat(5000));
    });
    const { context, observed } = cycle();
    await context.http().request({ url: found.url, operation: 'list', raw: true });
    expect([observed, agents]).toEqual([['list 200'], ['test/1']]);
    const strict = context.http({ judge: () => 'throttled' });
    const judged = strict.request({ url: found.url, operation: 'list', raw: true, method: 'POST' });
    await expect(judged).rejects.toMatchObject({ reason: 'throttled' });
    // What a provider leaves open stays as the configuration has it.
    const same = context.http({ insecureSkipVerify: undefined });
    expect((await same.request({ url: found.url, operation: 'list', raw: true })).status).toBe(200);
  });

  test('of all clients, and of calls, keep to one limit, which the next poll knows too', async () => {
    let refuse = true;
    const found = await site((_request, response) => response.writeHead(refuse ? 429 : 200).end());
    const host = new URL(found.url).host;
    const session = createSession();
    const first = cycle({ session });
    const throttled = first.context
      .http()
      .request({ url: found.url, operation: 'list' })
      .catch((error: unknown) => error);
    while (first.observed.length === 0) await sleep(1);
    expect(first.heldBack()).toMatchObject({ reason: 'throttled' });
    first.ending.abort(new Error('the poll ended'));
    expect(await throttled).toMatchObject({ reason: 'throttled' });
    // The next poll knows why, until something works.
    const second = cycle({ session });
    expect(second.heldBack()).toMatchObject({ reason: 'throttled' });
    refuse = false;
    await second.context.calls().call({ operation: 'List', host, attempt: async () => 'answered' });
    expect([second.heldBack(), second.observed]).toEqual([undefined, ['List 200']]);
    expect(cycle().heldBack()).toBeUndefined();
  });

  test('tell of what is odd in an answer', async () => {
    const found = await site((_request, response) => response.end('{"tags":["a",7]}'));
    const { context, notices } = cycle();
    const answer = await context.http().request({ url: found.url, operation: 'tags' });
    expect(json(answer, z.object({ tags: list('tags', text) }))).toEqual({ tags: ['a'] });
    expect(notices).toEqual([
      'odd tags tags[]: a part of an answer could not be understood and was left out',
    ]);
    context.tell('key', {}, 'message');
    expect(notices.at(-1)).toBe('key: message');
  });
});

describe('a capability', () => {
  test('that failed is told once, with its first error', () => {
    const { context, failing, lines } = cycle();
    const first = failure();
    context.degraded('findings', first);
    context.degraded('findings', failure('another'));
    expect([...failing]).toEqual([['findings', first]]);
    expect(lines).toEqual(['warn findings could not be read: unknown until it works again not allowed']);
  });

  test('that the registry does not have is known', () => {
    const { context, absent } = cycle();
    context.absent('findings');
    expect([...absent]).toEqual(['findings']);
  });
});

describe('the end of a cycle', () => {
  test('ends what is open; that is no failure of its own', async () => {
    const found = await site(() => {});
    const { context, close, failing } = cycle();
    const open = context.http().request({ url: found.url, operation: 'list' });
    const ended = expect(open).rejects.toMatchObject({ name: 'AbortError', message: 'the poll is over' });
    while (found.seen.length === 0) await sleep(1);
    close();
    await ended;
    expect(context.signal.aborted).toBe(true);
    context.degraded('findings', failure());
    expect(failing.size).toBe(0);
  });

  test('closes the connections', async () => {
    let closed = 0;
    const found = await site((request, response) => {
      request.socket.once('close', () => {
        closed += 1;
      });
      response.end();
    });
    const { context, close } = cycle();
    await context.http().request({ url: found.url, operation: 'list' });
    expect(closed).toBe(0);
    close();
    while (closed === 0) await sleep(1);
  });
});
