import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { createExposition, renderSelf } from '../src/exposition.ts';
import type { PackedView } from '../src/metrics.ts';
import type { RegistryFacts, RepositoryTotals } from '../src/model.ts';
import { keptName } from '../src/names.ts';
import { createSelfMetrics } from '../src/self-metrics.ts';
import { packTotals } from '../src/totals.ts';
import { totalsOf, viewOf } from './support/app.ts';
import { parseExposition } from './support/exposition-text.ts';

/** Publishes, and reads the whole body: it has to be one that a strict parser reads. */
async function published(input: {
  readonly facts?: RegistryFacts;
  readonly repositories?: readonly (readonly [string, Partial<RepositoryTotals>])[];
}) {
  const { facts, repositories = [] } = input;
  const exposition = createExposition();
  const views = new Map<string, PackedView>(
    repositories.map(([name, more]) => [name, { totals: packTotals(totalsOf(name, more)) }]),
  );
  const { refused, series } = await exposition.publish('edge', {
    view: { ...viewOf('edge'), ...(facts && { facts, lists: facts }) },
    repositories: views,
  });
  const pieces: Buffer[] = [];
  for await (const piece of exposition.body('text', 'identity', '').buffers()) pieces.push(piece);
  const text = Buffer.concat(pieces).toString('utf8');
  expect(parseExposition(text)).toHaveLength(series);
  const lines = (family: string) => text.split('\n').filter((line) => line.startsWith(`${family}{`));
  return { text, lines, refused: Object.fromEntries(refused) };
}

describe('values', () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, null, '7', {}])(
    '%s is left out, counted and named, and everything else stays',
    async (value) => {
      const { lines, refused } = await published({
        repositories: [
          ['app', { sizeBytes: value as number, tags: 3 }],
          ['web', { sizeBytes: 5 }],
        ],
      });
      expect(lines('container_registry_repository_size_bytes')).toEqual([
        'container_registry_repository_size_bytes{registry="edge",provider="oci",repository="web"} 5',
      ]);
      expect(lines('container_registry_repository_tags')).toHaveLength(2);
      expect(refused).toEqual({
        invalid_value: {
          count: 1,
          example:
            'container_registry_repository_size_bytes{registry="edge",provider="oci",repository="app"}',
        },
      });
    },
  );

  test('a family of which every value is refused has no header either', async () => {
    const { text } = await published({ facts: { storageBytes: Number.NaN } });
    expect(text).not.toContain('storage_bytes');
  });
});

describe('a series that is there twice', () => {
  test('of credentials the first to expire is kept', async () => {
    const { lines, refused } = await published({
      facts: {
        credentials: [
          { credential: 'robot$ci', expiresAt: 2000 },
          { credential: 'robot$ci', expiresAt: 1000 },
          { credential: 'robot$ci', expiresAt: 3000 },
          { credential: 'robot$cd', expiresAt: 9000 },
        ],
      },
    });
    expect(lines('container_registry_credential_expiry_timestamp_seconds')).toEqual([
      'container_registry_credential_expiry_timestamp_seconds{registry="edge",provider="oci",credential="robot$ci"} 1000',
      'container_registry_credential_expiry_timestamp_seconds{registry="edge",provider="oci",credential="robot$cd"} 9000',
    ]);
    expect(refused).toMatchObject({ duplicate: { count: 2 } });
  });

  test('of anything else the first is kept', async () => {
    const { lines, refused } = await published({
      facts: {
        components: [
          { component: 'core', up: true },
          { component: 'core', up: false },
        ],
      },
      repositories: [
        [
          'app',
          {
            images: [
              { tag: 'v1', digest: 'sha256:1', sizeBytes: 5 },
              { tag: 'v1', digest: 'sha256:1', sizeBytes: 4 },
              { tag: 'v2', digest: 'sha256:1', sizeBytes: 3 },
            ],
          },
        ],
      ],
    });
    expect(lines('container_registry_component_up')).toEqual([
      'container_registry_component_up{registry="edge",provider="oci",component="core"} 1',
    ]);
    expect(lines('container_registry_image_size_bytes')).toEqual([
      'container_registry_image_size_bytes{registry="edge",provider="oci",repository="app",tag="v1",digest="sha256:1"} 5',
      'container_registry_image_size_bytes{registry="edge",provider="oci",repository="app",tag="v2",digest="sha256:1"} 3',
    ]);
    expect(refused).toMatchObject({ duplicate: { count: 2 } });
  });

  test('names that only differ in what UTF-8 cannot carry, or far beyond the cut, stay apart', async () => {
    const long = 'a'.repeat(5000);
    const names = ['x\ud800', 'x\udc00', 'x\ufffd', `${long}1`, `${long}2`];
    const { lines, refused } = await published({ repositories: names.map((name) => [name, {}]) });
    expect(lines('container_registry_repository_tags')).toHaveLength(5);
    expect(refused).toEqual({});
  });

  test('a repository that is named like the altered name of another hides neither', async () => {
    const odd = 'x\ud800';
    const { lines, refused } = await published({
      repositories: [
        [odd, { tags: 7 }],
        [keptName(odd), { tags: 8 }],
      ],
    });
    const [only, ...others] = lines('container_registry_repository_tags');
    expect(only).toMatch(/ 8$/);
    expect(others).toEqual([]);
    expect(refused).toEqual({ duplicate: { count: 1, example: 'the repository "x\\ud800"' } });
  });
});

describe('label values', () => {
  test.each([
    ['control characters stay', 'a\0b\x1bc\rd\te', 'repository="a\0b\x1bc\rd\te"'],
    ['an empty one is no label', '', 'repository=""'],
    ['1,024 characters stay', 'a'.repeat(1024), `repository="${'a'.repeat(1024)}"`],
  ])('%s', async (_, name, expected) => {
    const { lines } = await published({ repositories: [[name, {}]] });
    expect(lines('container_registry_repository_tags')[0]).toContain(expected);
  });

  test('a longer one is cut to 1,024 characters and never within a character', async () => {
    const { lines } = await published({ repositories: [['😀'.repeat(1000), {}]] });
    const [, value = ''] =
      /repository="([^"]*)"/.exec(lines('container_registry_repository_tags')[0] ?? '') ?? [];
    expect(value).toMatch(/^(😀){507}\ufffd~[0-9a-f]{8}$/u);
    expect(value.length).toBe(1024);
  });
});

test("the exporter's own metrics are held to the same: no value that is no number, no series twice", async () => {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({ name: 'lag_seconds', help: 'Lag.', registers }).set(Number.NaN);
  const counter = new Counter({ name: 'calls_total', help: 'Calls.', labelNames: ['operation'], registers });
  counter.inc({ operation: 'x\ud800' }, 1);
  counter.inc({ operation: 'fine' }, 2);
  new Histogram({
    name: 'took_seconds',
    help: 'Took.',
    registers,
    buckets: [1],
    labelNames: ['operation'],
  }).observe({ operation: 'fine' }, 0.5);
  const all = await registry.getMetricsAsJSON();
  // prom-client joins what a program registers; two values of one series can still come from several programs.
  const [, calls] = all;
  if (calls) calls.values.push({ labels: { operation: 'fine' }, value: 9 });
  const { text, refused } = renderSelf(all, 'text');
  expect(text).toBe(`# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{operation="${keptName('x\ud800')}"} 1
calls_total{operation="fine"} 2
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{le="1",operation="fine"} 1
took_seconds_bucket{le="+Inf",operation="fine"} 1
took_seconds_sum{operation="fine"} 0.5
took_seconds_count{operation="fine"} 1
`);
  parseExposition(text);
  expect(Object.fromEntries(refused)).toEqual({
    invalid_value: { count: 1, example: 'lag_seconds' },
    duplicate: { count: 1, example: 'calls_total{operation="fine"}' },
  });
});

test('what prom-client shows of a delay that was never measured is left out', async () => {
  const self = createSelfMetrics({ version: '1.0.0', revision: 'abc' });
  let names: string[];
  // As soon as nothing was measured between two of these.
  do names = (await self.gather()).map(({ name }) => name);
  while (names.includes('nodejs_eventloop_lag_mean_seconds'));
  expect(names.filter((name) => /eventloop_lag_/.test(name))).toEqual(['nodejs_eventloop_lag_seconds']);
  expect(names).toContain('process_resident_memory_bytes');
});

test('a publish that breaks does not block those that come after it', async () => {
  const exposition = createExposition();
  const broken = new Map([['app', { totals: '{' as never }]]);
  await expect(exposition.publish('edge', { view: viewOf('edge'), repositories: broken })).rejects.toThrow();
  const { series } = await exposition.publish('edge', { view: viewOf('edge'), repositories: new Map() });
  expect(series).toBeGreaterThan(0);
});
