import { describe, expect, test } from 'vitest';
import { platformOf } from '../../src/providers/artifactory/api.ts';
import { chunksByPath } from '../../src/providers/artifactory/aql.ts';
import { expiryOf, ownToken } from '../../src/providers/artifactory/credentials.ts';
import { placeOf } from '../../src/providers/artifactory/layout.ts';
import { bytesOf } from '../../src/providers/artifactory/written-sizes.ts';
import { findingsOf } from '../../src/providers/artifactory/xray-list.ts';
import { plainSecret } from '../../src/secret.ts';
import { secondsOf } from '../../src/times.ts';

/** What JFrog writes, and what it means. */
const hex = 'a'.repeat(64);

test.each([
  ['https://example.jfrog.io', 'https://example.jfrog.io'],
  ['https://example.jfrog.io/artifactory', 'https://example.jfrog.io'],
  ['https://example.jfrog.io/artifactory/', 'https://example.jfrog.io'],
  ['https://example.com:8443/jfrog/artifactory', 'https://example.com:8443/jfrog'],
  ['http://artifactory:8082/', 'http://artifactory:8082'],
])('the platform of %s is %s', (endpoint, platform) => {
  expect(platformOf(new URL(endpoint))).toBe(platform);
});

test.each([
  ['3.48 GB', 3_736_621_548],
  ['59.77 GB', 64_177_548_820],
  ['32.22 GB (15.77%)', 34_595_961_569],
  ['1,024 bytes', 1024],
  ['34.46 MB', 36_133_929],
  ['2,003.5 TB', 2_202_871_546_249_216],
  ['1,204 GB', 1_292_785_156_096],
  ['3,48 GB', 3_736_621_548],
  ['1.204,50 MB', 1_263_009_792],
  ['1 204,5 MB', 1_263_009_792],
  ["1'204.5 MB", 1_263_009_792],
  ['1.024 bytes', 1024],
  ['1,234,567 bytes', 1_234_567],
  ['0 bytes (N/A)', undefined],
  ['9999999999 PB', undefined],
  [-1, undefined],
  [1e308, undefined],
  ['0 bytes', 0],
  ['512', 512],
  [4096, 4096],
  ['Infinite', undefined],
  ['12 parsecs', undefined],
  ['3.48', undefined],
  ['', undefined],
  [undefined, undefined],
])('a size of %j is %j bytes', (text, bytes) => {
  expect(bytesOf(text)).toBe(bytes);
});

test.each([
  ['Jan 5, 2027', '2027-01-05T00:00:00Z'],
  ['Jul XX, 2027', '2027-07-01T00:00:00Z'],
  ['2027-01-05T10:00:00.000+02:00', '2027-01-05T08:00:00Z'],
  ['Sat May 01 2027 10:00:00 GMT +02:00 (UTC)', '2027-05-01T08:00:00Z'],
  ['2027-05-01T10:00:00.000Z', '2027-05-01T10:00:00Z'],
])('%s ends at %s', (text, time) => {
  expect(expiryOf(text)).toBe(Date.parse(time) / 1000);
});

test.each(['05.01.2027', '05/01/2027', '31/12/2026', '5 janv. 2027', 'Trial'])(
  '%j is not guessed at: which number is the month is unknown',
  (text) => expect(expiryOf(text)).toBeUndefined(),
);

test.each(['', 'N/A', 'N/R', 'never', undefined, null])('%j ends at a time that nobody knows', (text) => {
  expect(expiryOf(text)).toBeUndefined();
});

test.each([
  ['app/1.0', { image: 'app', tag: '1.0' }],
  ['team/tools/cli/latest', { image: 'team/tools/cli', tag: 'latest' }],
  [`app/sha256:${hex}`, { image: 'app', digest: `sha256:${hex}` }],
  [`library/app/sha256__${hex}`, { image: 'library/app', digest: `sha256:${hex}` }],
  [`app/sha256-${hex}.sig`, { image: 'app', tag: `sha256-${hex}.sig` }],
  ['app/_uploads/1.0', undefined],
  ['app', undefined],
  ['.', undefined],
])('the folder %s holds %j', (path, place) => {
  expect(placeOf(path)).toEqual(place);
});

describe('findings of a row of scans', () => {
  test.each([
    ['severities that are left out have none', { high: 2, low: 8, medium: 3, total: 13 }, [0, 2, 3, 8, 0, 0]],
    ['what the total knows more is of unknown severity', { critical: 1, total: 4 }, [1, 0, 0, 0, 0, 3]],
    ['nothing at all, said so', { total: 0 }, [0, 0, 0, 0, 0, 0]],
    ['without a total, what is there', { critical: 2 }, [2, 0, 0, 0, 0, 0]],
  ])('%s', (_title, row, [CRITICAL, HIGH, MEDIUM, LOW, NEGLIGIBLE, UNKNOWN]) => {
    expect(findingsOf(row)).toEqual({ counts: { CRITICAL, HIGH, MEDIUM, LOW, NEGLIGIBLE, UNKNOWN } });
  });
  test.each([undefined, null, {}])('%j says nothing', (row) => expect(findingsOf(row)).toBeUndefined());
});

test('a search for many folders is cut where the query would be too long', () => {
  const paths = Array.from({ length: 500 }, (_, at) => `team/${'service'.repeat(3)}/${at}`);
  const chunks = chunksByPath({ repo: 'docker' }, paths).map((one) => JSON.stringify(one));
  expect(chunks.length).toBeGreaterThan(1);
  for (const chunk of chunks) expect(chunk.length).toBeLessThan(5900);
  const named = chunks.flatMap((chunk) => [...chunk.matchAll(/"path":"([^"]+)"/g)].map(([, path]) => path));
  expect(named).toEqual(paths);
});

test.each(['2026-11-23T10:10:10.000Z', '2026-11-23T12:10:10.000+02:00'])('the time %s', (time) => {
  expect(secondsOf(time)).toBe(1_795_428_610);
});

test("the exporter's own token says when it expires, where it is one that says so", async () => {
  const payload = Buffer.from(JSON.stringify({ sub: 'jfac@01/users/exporter', exp: 1_800_000_000 }));
  const jwt = `${'a'.repeat(9)}.${payload.toString('base64url')}.${'b'.repeat(9)}`;
  const credential = { credential: 'exporter', expiresAt: 1_800_000_000 };
  expect(await ownToken({ token: plainSecret(jwt) })).toEqual(credential);
  expect(await ownToken({ username: 'exporter', password: plainSecret(jwt) })).toEqual(credential);
  for (const opaque of ['cmVmdGtuOjAxOg', 'a.b.c', '', 'x.y'])
    expect(await ownToken({ token: plainSecret(opaque) })).toBeUndefined();
  expect(await ownToken(undefined)).toBeUndefined();
});
