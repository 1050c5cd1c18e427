import { describe, expect, test } from 'vitest';
import { redirectOf, withoutCredentials } from '../../src/http/redirect.ts';

/** Where an answer leads. */
function lead(
  status: number,
  location: string | undefined,
  more: { readonly from?: string; readonly method?: string; readonly before?: number } = {},
) {
  const { from = 'https://registry.example.com/v2/a?token=s3cret', method = 'GET', before = 0 } = more;
  const header = (name: string) => (name === 'location' ? location : undefined);
  return redirectOf({ status, url: new URL(from), header }, method, before)?.href;
}

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])('with %i is followed', (status) => {
    expect(lead(status, 'https://store.example.com/blob')).toBe('https://store.example.com/blob');
  });

  test.each([200, 201, 300, 304, 401])('is none with %i, though it names a place', (status) => {
    expect(lead(status, 'https://store.example.com/blob')).toBeUndefined();
  });

  test('is none without a place', () => {
    expect(lead(302, undefined)).toBeUndefined();
  });

  test('is not followed after a POST, whose body was for the first address', () => {
    expect(lead(307, '/b', { method: 'POST' })).toBeUndefined();
    expect(lead(307, '/b', { method: 'HEAD' })).toBe('https://registry.example.com/b');
  });

  test('may be relative to what was asked', () => {
    expect(lead(302, 'b')).toBe('https://registry.example.com/v2/b');
  });

  test('may lead from http to https and to http, but from https to https only', () => {
    const from = 'http://registry:5000/v2/a';
    expect(lead(302, 'https://registry:5000/b', { from })).toBe('https://registry:5000/b');
    expect(lead(302, 'http://other/b', { from })).toBe('http://other/b');
    expect(() => lead(302, 'http://registry.example.com/b')).toThrow(
      'https://registry.example.com/v2/a redirects to http:, which is not followed',
    );
    expect(() => lead(302, 'ftp://other/b', { from })).toThrow('redirects to ftp:, which is not followed');
  });

  test('is followed five times; a sixth is one without end', () => {
    expect(lead(302, '/b', { before: 4 })).toBe('https://registry.example.com/b');
    for (const place of ['/b', 'https://'])
      expect(() => lead(302, place, { before: place === '/b' ? 5 : 0 })).toThrow(
        expect.objectContaining({
          reason: 'invalid_response',
          message: 'https://registry.example.com/v2/a redirects without end or nowhere',
        }),
      );
  });
});

test('to another origin no header goes that shows who asks, however it is written', () => {
  expect(
    withoutCredentials({
      Authorization: 'Basic x',
      COOKIE: 'sid=1',
      'proxy-authorization': 'Basic y',
      accept: 'a/b',
    }),
  ).toEqual({ accept: 'a/b' });
});
