import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { hashSync } from 'bcryptjs';
import { afterAll, describe, expect, test } from 'vitest';
import { goDurationMs } from '../../src/server/rate-limit.ts';
import { createUserCheck } from '../../src/server/users.ts';
import { createTokenBucket } from '../../src/token-bucket.ts';
import { eventually, programs, tempDir } from '../support/programs.ts';
import { listenWith } from '../support/web.ts';

const folder = tempDir();
afterAll(() => folder.remove());

const basic = (user: string, password: string) => ({
  headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
});
const users = (entries: Record<string, string>) => JSON.stringify({ basic_auth_users: entries });
const statusOf = async (url: string, options?: RequestInit) => (await fetch(url, options)).status;

describe('basic authentication', () => {
  test('a known user gets in; all others are asked who they are', async () => {
    const server = await listenWith(
      folder.path,
      users({ alice: hashSync('pä:ss', 4), bob: hashSync('', 4) }),
    );
    expect(await statusOf(server.url, basic('alice', 'pä:ss'))).toBe(200);
    expect(await statusOf(server.url, basic('bob', ''))).toBe(200);
    for (const refused of [
      {},
      basic('alice', 'wrong'),
      basic('Alice', 'pä:ss'),
      basic('mallory', 'pä:ss'),
      basic('constructor', ''),
      { headers: { authorization: 'Bearer alice' } },
      { headers: { authorization: 'Basic !!!' } },
    ]) {
      const answer = await fetch(server.url, refused);
      expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Basic']);
      expect(await answer.text()).toBe('unauthorized\n');
    }
    await server.close();
  });

  test('configured headers are on every answer, a refusal too', async () => {
    const yaml = `${users({ alice: hashSync('a', 4) }).slice(0, -1)}, "http_server_config": {"headers": {"X-Frame-Options": "deny", "X-XSS-Protection": 1}}}`;
    const server = await listenWith(folder.path, yaml);
    for (const options of [{}, basic('alice', 'a')]) {
      const { headers } = await fetch(server.url, options);
      expect([headers.get('x-frame-options'), headers.get('x-xss-protection')]).toEqual(['deny', '1']);
    }
    await server.close();
  });

  test.skipIf(!programs('htpasswd'))('a hash that htpasswd -B made', async () => {
    const line = execFileSync('htpasswd', ['-nbBC', '5', 'carol', 'secret'], { encoding: 'utf8' }).trim();
    const [user = '', hash = ''] = line.split(':');
    expect(hash).toMatch(/^\$2y\$05\$/);
    const server = await listenWith(folder.path, users({ [user]: hash }));
    expect(await statusOf(server.url, basic('carol', 'secret'))).toBe(200);
    expect(await statusOf(server.url, basic('carol', 'secrets'))).toBe(401);
    await server.close();
  });

  test('a user who is added gets in, one who is taken out does not, and a wrong file lets nobody in', async () => {
    const alice = hashSync('a', 4);
    const server = await listenWith(folder.path, users({ alice }));
    expect(await statusOf(server.url, basic('alice', 'a'))).toBe(200);
    writeFileSync(server.file, users({ bob: hashSync('b', 4) }));
    await eventually(async () => expect(await statusOf(server.url, basic('bob', 'b'))).toBe(200));
    expect(await statusOf(server.url, basic('alice', 'a'))).toBe(401);
    writeFileSync(server.file, users({ bob: 'no hash' }));
    await eventually(async () => expect(await statusOf(server.url, basic('bob', 'b'))).toBe(500));
    expect(server.lines.at(-1)).toMatch(/error the web configuration is wrong.*bob: is no bcrypt hash/);
    const said = server.lines.length;
    writeFileSync(server.file, users({ alice }));
    await eventually(async () => expect(await statusOf(server.url, basic('alice', 'a'))).toBe(200));
    // The same mistake is told once, however often it was looked at.
    expect(server.lines.slice(said)).toEqual(['info the web configuration was read again']);
    await server.close();
  });
});

describe('what a password costs', () => {
  /** A hash that takes days to check. */
  const endless = hashSync('x', 4).replace('$04$', '$31$');

  test('an unknown user costs a fixed time, whatever the cost of the hashes', async () => {
    const check = createUserCheck();
    expect(await check.check(new Map([['alice', endless]]), 'mallory', 'x')).toBe(false);
    await check.close();
  });

  test('a hash that takes too long is refused with words, and holds up no other user', async () => {
    const check = createUserCheck();
    const all = new Map([
      ['alice', endless],
      ['bob', hashSync('right', 4)],
    ]);
    const answers = await Promise.allSettled([
      check.check(all, 'alice', 'x'),
      check.check(all, 'bob', 'right'),
    ]);
    expect(answers).toMatchObject([
      { reason: { message: 'the check of the password takes too long: lower the cost of its hash' } },
      { value: true },
    ]);
    await check.close();
  });

  test('a password that was right costs nothing again, though many wrong ones came between', async () => {
    const check = createUserCheck();
    const all = new Map([['alice', hashSync('right', 7)]]);
    expect(await check.check(all, 'alice', 'right')).toBe(true);
    for (let turn = 0; turn < 150; turn += 1) await check.check(all, 'alice', `wrong ${turn}`);
    await check.close();
    // The thread that computes is gone: only what is remembered can be answered.
    expect(await check.check(all, 'alice', 'right')).toBe(true);
  });

  test('the same question asked by many at once is computed once', async () => {
    const check = createUserCheck();
    const all = new Map([['alice', hashSync('right', 8)]]);
    const answers = await Promise.all(Array.from({ length: 200 }, () => check.check(all, 'alice', 'right')));
    expect(answers.every(Boolean)).toBe(true);
    await check.close();
  });

  test('a burst of guesses is refused, and leaves places for the others', async () => {
    const check = createUserCheck();
    const all = new Map([
      ['alice', hashSync('right', 8)],
      ['bob', hashSync('right', 8)],
    ]);
    const guesses = Array.from({ length: 100 }, (_, turn) => check.check(all, 'alice', `wrong ${turn}`));
    const bob = check.check(all, 'bob', 'right');
    const refused = (await Promise.allSettled(guesses)).filter(({ status }) => status === 'rejected');
    expect([refused.length, await bob]).toEqual([92, true]);
    const strangers = await Promise.allSettled(
      Array.from({ length: 100 }, (_, turn) => check.check(all, `stranger ${turn}`, 'x', `10.0.0.${turn}`)),
    );
    expect(strangers.filter(({ status }) => status === 'rejected')).toHaveLength(36);
    await check.close();
  });

  test('guesses of one address at many users leave places for the others, who do not wait for all of them', async () => {
    const check = createUserCheck();
    const all = new Map([['bob', hashSync('right', 4)]]);
    const ended: string[] = [];
    const strangers = Array.from({ length: 40 }, async (_, turn) => {
      await check.check(all, `stranger ${turn}`, 'x', '10.0.0.1');
      ended.push('stranger');
    });
    const refused = Promise.allSettled(strangers).then((answers) =>
      answers.filter(({ status }) => status === 'rejected'),
    );
    expect(await check.check(all, 'bob', 'right', '10.0.0.2')).toBe(true);
    // The one that was being checked already.
    expect(ended).toEqual(['stranger']);
    await check.close();
    expect(await refused).toHaveLength(39);
  });
});

describe('rate_limit', () => {
  test('a burst passes, the next request gets 429, and the interval gives one back', async () => {
    const server = await listenWith(folder.path, 'rate_limit: { interval: 2s, burst: 3 }');
    const statuses = [];
    for (let turn = 0; turn < 5; turn += 1) statuses.push(await statusOf(server.url));
    expect(statuses).toEqual([200, 200, 200, 429, 429]);
    await eventually(async () => expect(await statusOf(server.url)).toBe(200));
    await server.close();
  });

  test('the bucket never holds more than its burst', () => {
    const allowed = createTokenBucket({ intervalMs: 1000, burst: 2 });
    expect([0, 0, 0, 1000, 1000, 90_000, 90_000, 90_000].map(allowed)).toEqual([
      true,
      true,
      false,
      true,
      false,
      true,
      true,
      false,
    ]);
    expect(createTokenBucket({ intervalMs: 1000, burst: 0 })(0)).toBe(false);
  });

  test.each([
    ['1s', 1000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['500us', 0.5],
    ['.5ms', 0.5],
    ['0', 0],
    ['5', undefined],
    ['', undefined],
    ['1d', undefined],
    ['1 s', undefined],
  ])('%j is %s ms', (text, expected) => {
    expect(goDurationMs(text)).toBe(expected);
  });
});
