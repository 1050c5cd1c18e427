import { describe, expect, test } from 'vitest';
import { explained, explanation, failedStatus } from '../../src/http/failure.ts';

const url = new URL('https://robot:hunter2@registry.example.com/v2/a?token=s3cret');
const answer = (status: number, body = '', headers: Readonly<Record<string, string>> = {}) => ({
  status,
  url,
  body: Buffer.from(body),
  header: (name: string) => headers[name],
});
const said = (body: unknown) =>
  explanation(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

describe('the reason of an answer that is an error', () => {
  test.each([
    [400, 'invalid_response'],
    [401, 'auth'],
    [403, 'forbidden'],
    [404, 'not_found'],
    [429, 'throttled'],
    [499, 'invalid_response'],
    [500, 'server_error'],
    [503, 'server_error'],
  ])('is told by its status: %i', (status, reason) => {
    expect(failedStatus(answer(status), 'GET')).toMatchObject({ reason, status });
  });

  test('is what the vendor means, where that is known', () => {
    expect(failedStatus(answer(400), 'GET', 'throttled').reason).toBe('throttled');
  });

  test.each([
    [401, ': check the credentials'],
    [403, ': the credentials lack a permission, or there have to be some'],
    [404, ''],
  ])('comes with what to do about it: %i', (status, hint) => {
    expect(failedStatus(answer(status, '{"message":"no"}'), 'HEAD').message).toBe(
      `HEAD https://registry.example.com/v2/a answered ${status} (no)${hint}`,
    );
  });

  test('repeats nothing of a stranger', () => {
    expect(failedStatus({ ...answer(500, 'AKIA-secret'), stranger: true }, 'GET').message).toBe(
      'GET https://registry.example.com/v2/a answered 500',
    );
  });
});

describe('how long an answer asks to wait', () => {
  const waits = (headers: Readonly<Record<string, string>>, retryAfterMs?: number) =>
    failedStatus(
      answer(429, '', headers),
      'GET',
      retryAfterMs === undefined ? 'throttled' : { reason: 'throttled', retryAfterMs },
    ).retryAfterMs;

  test('is what Retry-After says, unless the vendor says it in another way', () => {
    expect(waits({ 'retry-after': '2' })).toBe(2000);
    expect(waits({ 'retry-after': '2' }, 300)).toBe(300);
    expect(waits({}, 300)).toBe(300);
    expect(waits({})).toBeUndefined();
  });

  test('may be a fraction of a second, with spaces around it', () => {
    expect(waits({ 'retry-after': ' 0.5 ' })).toBe(500);
  });

  test.each(['', '-5', '5 s', '1e3', 'x5'])('is not known from "%s" as a number of seconds', (value) => {
    const ms = waits({ 'retry-after': value });
    // Some of these are dates to JavaScript: of times that are over.
    expect(ms ?? 0).toBe(0);
  });
});

describe('what the server said', () => {
  test.each<[string, unknown, string]>([
    ['the first error of a list', { errors: [{ code: 'A', message: 'b' }, { code: 'C' }] }, ' (A b)'],
    ['a code without a message', { errors: [{ code: 'DENIED' }] }, ' (DENIED)'],
    ['a message without a code', { errors: [{ message: 'no' }] }, ' (no)'],
    ['one error with a code', { error: { code: 403, message: 'no' } }, ' (403 no)'],
    ['its status before its code', { error: { status: 'S', code: 403, message: 'no' } }, ' (S no)'],
    ['a message alone', { message: 'no' }, ' (no)'],
    ['a message beside an error that is null', { error: null, message: 'no' }, ' (no)'],
    ['a message beside an error that is a number', { error: 7, message: 'no' }, ' (no)'],
    ['a list without errors, as it is', { errors: [] }, ' ({"errors":[]})'],
    ['JSON of another kind, as it is', { a: 1 }, ' ({"a":1})'],
    ['text, as it is', 'no such host', ' (no such host)'],
    ['a page for people, by its kind', '\n <!doctype html><html>…', ' (an HTML page)'],
    ['text with a tag in it, as it is', 'a <b>bold</b> word', ' (a <b>bold</b> word)'],
    ['nothing', '', ''],
    ['spaces', ' \n ', ''],
  ])('%s', (_title, body, expected) => {
    expect(said(body)).toBe(expected);
  });

  test('is one short line without control characters, and none that turn the text around', () => {
    expect(said('a\r\n\u001b[31mb\u202ec\u2066d\u0085e')).toBe(' (a [31mb c d e)');
    expect(said('x'.repeat(500))).toBe(` (${'x'.repeat(200)})`);
    expect(said({ message: ` ${'y'.repeat(5000)}` })).toBe(` (${'y'.repeat(200)})`);
  });

  test.each([
    ['Authorization: Basic cm9ib3Q6aHVudGVyMg==', ' (Authorization: Basic …)'],
    ['header "bearer  abcdefgh1" is bad', ' (header "bearer …" is bad)'],
    ['Bearer abcdefgh1, Basic 12345678', ' (Bearer …, Basic …)'],
    // Words are not secrets.
    ['basic authentication is off', ' (basic authentication is off)'],
    ['Basic abc1', ' (Basic abc1)'],
    ['nobasic abcdefgh1', ' (nobasic abcdefgh1)'],
  ])('is shown without credentials: %s', (body, expected) => {
    expect(said(body)).toBe(expected);
  });
});

describe('what the network said', () => {
  test.each([
    'SSL routines:ssl3_get_record:wrong version number',
    'packet length too long',
    'record layer failure',
  ])('of a server without TLS, is told as that: %s', (message) => {
    expect(explained('tls', new Error(message))).toBe(
      'what answers there does not speak TLS: use http:// if that is meant',
    );
    expect(explained('connect', new Error(message))).toBe(message);
  });

  test('of a certificate, comes with the setting that would trust it', () => {
    const message =
      'unable to verify the first certificate; if the root CA is installed locally, try running Node.js with --use-system-ca';
    expect(explained('tls', new Error(message))).toBe(
      'unable to verify the first certificate: give the certificate of its authority as tls.caFile, if it is to be trusted',
    );
  });

  test('is the reason where there are no words', () => {
    expect(explained('connect', new Error(''))).toBe('connect');
    expect(explained('dns', new Error('getaddrinfo ENOTFOUND'))).toBe('getaddrinfo ENOTFOUND');
  });
});
