import { crc32, gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { combineCrc } from '../src/exposition/crc.ts';
import { countSeries, createExposition, negotiate, renderSelf } from '../src/exposition.ts';
import type { PackedView, RegistryView } from '../src/metrics.ts';
import type { RepositoryTotals } from '../src/model.ts';
import { packTotals } from '../src/totals.ts';

const view: RegistryView = {
  registry: 'edge',
  provider: 'oci',
  identity: { host: 'registry.example.com' },
  polls: 0,
  failures: new Map(),
  capabilities: new Map(),
  seriesDropped: new Map(),
};

const totals = (repository: string, more: Partial<RepositoryTotals> = {}): RepositoryTotals => ({
  repository,
  tagged: 2,
  tags: 3,
  artifacts: {},
  practices: {},
  images: [],
  ...more,
});

const of = (...all: RepositoryTotals[]): Map<string, PackedView> =>
  new Map(all.map((one) => [one.repository, { totals: packTotals(one) }]));

async function text(
  exposition: ReturnType<typeof createExposition>,
  format: 'text' | 'openmetrics' = 'text',
) {
  const pieces: Buffer[] = [];
  for await (const piece of exposition.body(format, 'identity', '').buffers()) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

async function gzipped(exposition: ReturnType<typeof createExposition>): Promise<Buffer> {
  const body = exposition.body('text', 'gzip', 'own 1\n');
  const pieces: Buffer[] = [];
  for await (const piece of body.buffers()) pieces.push(piece);
  const whole = Buffer.concat(pieces);
  expect(whole.length).toBe(body.length);
  return whole;
}

const samplesOf = (exposed: string) =>
  exposed.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

describe('samples', () => {
  test('a repository with what is known of it, and nothing of what is not', async () => {
    const exposition = createExposition();
    await exposition.publish('edge', {
      view,
      repositories: of(
        totals('team/app', { sizeBytes: 1234, findings: { counts: { CRITICAL: 2, HIGH: 0 } } }),
      ),
    });
    expect(
      (await text(exposition))
        .split('\n')
        .filter((line) => /^container_registry_repository|^container_registry_info/.test(line)),
    ).toEqual([
      'container_registry_info{registry="edge",provider="oci",host="registry.example.com",account="",region=""} 1',
      'container_registry_repository_images{registry="edge",provider="oci",repository="team/app",state="tagged"} 2',
      'container_registry_repository_tags{registry="edge",provider="oci",repository="team/app"} 3',
      'container_registry_repository_size_bytes{registry="edge",provider="oci",repository="team/app"} 1234',
      'container_registry_repository_findings{registry="edge",provider="oci",repository="team/app",severity="CRITICAL"} 2',
      'container_registry_repository_findings{registry="edge",provider="oci",repository="team/app",severity="HIGH"} 0',
    ]);
  });

  test('a family without a sample has no header either', async () => {
    const exposition = createExposition();
    await exposition.publish('edge', { view, repositories: of() });
    expect(await text(exposition)).not.toContain('container_registry_repository_images');
  });

  test('before the first poll ends there is no up, but there is info and each failure counter', async () => {
    const exposition = createExposition();
    await exposition.publish('edge', { view, repositories: of() });
    const exposed = await text(exposition);
    expect(exposed).toContain('container_registry_info{');
    expect(exposed).not.toContain('container_registry_up');
    expect(exposed).toContain(
      'container_registry_poll_failures_total{registry="edge",provider="oci",reason="throttled"} 0',
    );
  });

  test('names from registries are escaped, and an over-long one is cut', async () => {
    const exposition = createExposition();
    const long = 'a'.repeat(2000);
    await exposition.publish('edge', {
      view,
      repositories: of(totals('quote"back\\slash\nline'), totals('lone\ud800'), totals(long)),
    });
    const exposed = await text(exposition);
    expect(exposed).toContain('repository="quote\\"back\\\\slash\\nline"');
    expect(exposed).toMatch(/repository="lone\ufffd~[0-9a-f]{8}"/);
    expect(exposed).toMatch(/repository="a{1015}~[0-9a-f]{8}"/);
  });

  test('any name comes back from the text as it went in', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), { minLength: 1 }),
        async (names) => {
          const exposition = createExposition();
          await exposition.publish('edge', {
            view,
            repositories: of(...names.map((name) => totals(name))),
          });
          const read = [
            ...(await text(exposition)).matchAll(
              /^container_registry_repository_tags\{.*repository="((?:[^"\\]|\\.)*)"\} 3$/gmu,
            ),
          ].map(([, escaped = '']) =>
            escaped.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character)),
          );
          expect(read.sort()).toEqual([...names].sort());
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('formats', () => {
  test('OpenMetrics names a counter without _total in its header and ends with EOF', async () => {
    const exposition = createExposition();
    await exposition.publish('edge', { view: { ...view, polls: 7 }, repositories: of() });
    const exposed = await text(exposition, 'openmetrics');
    expect(exposed).toContain(
      '# TYPE container_registry_polls counter\ncontainer_registry_polls_total{registry="edge",provider="oci"} 7\n',
    );
    expect(exposed.endsWith('# EOF\n')).toBe(true);
  });

  test.each([
    [undefined, undefined, 'text', 'identity'],
    ['text/plain', 'gzip', 'text', 'gzip'],
    [
      'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1',
      'gzip, deflate',
      'openmetrics',
      'gzip',
    ],
    ['application/openmetrics-text;version=0.0.1', '*', 'text', 'gzip'],
    ['application/openmetrics-text;q=0.2,text/plain;q=0.9', 'gzip;q=0, *', 'text', 'identity'],
  ] as const)(
    'Accept %s with Accept-Encoding %s gives %s, %s',
    (accept, acceptEncoding, format, encoding) => {
      expect(negotiate(accept, acceptEncoding)).toEqual({ format, encoding });
    },
  );

  test('own metrics are rendered in both formats from what prom-client holds', () => {
    const counter = {
      name: 'x_total',
      help: 'X "quoted"',
      type: 'counter',
      aggregator: 'sum',
      values: [{ labels: { a: 'b"c' }, value: 1 }],
    } as never;
    expect(renderSelf([counter], 'openmetrics').text).toBe(
      '# HELP x X \\"quoted\\"\n# TYPE x counter\nx_total{a="b\\"c"} 1\n',
    );
    expect(renderSelf([counter], 'text').text).toBe(
      '# HELP x_total X "quoted"\n# TYPE x_total counter\nx_total{a="b\\"c"} 1\n',
    );
  });
});

test('a help of two lines with a backslash; only a counter loses its _total', () => {
  const metric = (name: string, type: string) =>
    ({ name, help: 'A \\ "b"\nc', type, aggregator: 'sum', values: [{ labels: {}, value: 1 }] }) as never;
  const all = [metric('total_x_total', 'counter'), metric('y_total', 'gauge')];
  expect(renderSelf(all, 'openmetrics').text).toBe(
    '# HELP total_x A \\\\ \\"b\\"\\nc\n# TYPE total_x counter\ntotal_x_total 1\n' +
      '# HELP y_total A \\\\ \\"b\\"\\nc\n# TYPE y_total gauge\ny_total 1\n',
  );
  expect(renderSelf(all.slice(1), 'text').text).toBe(
    '# HELP y_total A \\\\ "b"\\nc\n# TYPE y_total gauge\ny_total 1\n',
  );
});

describe('gzip', () => {
  test('a body of many chunks is one gzip member that unpacks to the plain body', async () => {
    const exposition = createExposition();
    const names = Array.from({ length: 3000 }, (_, index) => `team-${index % 7}/app-${index}`);
    await exposition.publish('edge', {
      view,
      repositories: of(...names.map((name) => totals(name))),
    });
    const unpacked = gunzipSync(await gzipped(exposition)).toString('utf8');
    expect(unpacked).toBe(`${await text(exposition)}own 1\n`);
    expect(samplesOf(unpacked).filter((line) => line.includes('_repository_tags{'))).toHaveLength(3000);
  });

  test('the CRC of a concatenation follows from those of its parts', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array({ maxLength: 5000 }), (a, b) => {
        expect(combineCrc(crc32(a), crc32(b), b.length)).toBe(crc32(Buffer.concat([a, b])));
      }),
    );
  });
});

describe('publishing', () => {
  const many = (count: number) => Array.from({ length: count }, (_, index) => totals(`app-${index}`));

  test('a change of one repository renders one bucket again', async () => {
    const exposition = createExposition();
    const all = many(2000);
    const first = await exposition.publish('edge', { view, repositories: of(...all) });
    expect(first.renderedBuckets).toBe(16);
    const again = await exposition.publish('edge', { view, repositories: of(...all) });
    expect(again.renderedBuckets).toBe(0);
    all[77] = totals('app-77', { tags: 99 });
    const changed = await exposition.publish('edge', { view, repositories: of(...all) });
    expect(changed.renderedBuckets).toBe(1);
    expect(await text(exposition)).toContain(
      'container_registry_repository_tags{registry="edge",provider="oci",repository="app-77"} 99',
    );
  });

  test('a scrape while a publish renders sees the whole old data', async () => {
    const exposition = createExposition();
    await exposition.publish('edge', { view, repositories: of(totals('old')) });
    const publishing = exposition.publish('edge', { view, repositories: of(...many(5000)) });
    expect(
      samplesOf(await text(exposition)).filter((line) => line.includes('_repository_tags')),
    ).toHaveLength(1);
    await publishing;
    expect(
      samplesOf(await text(exposition)).filter((line) => line.includes('_repository_tags')),
    ).toHaveLength(5000);
  });

  test('a repository that is gone, and a registry that is removed, leave no series', async () => {
    const exposition = createExposition();
    await exposition.publish('edge', { view, repositories: of(totals('a'), totals('b')) });
    await exposition.publish('edge', { view, repositories: of(totals('b')) });
    expect(await text(exposition)).not.toContain('repository="a"');
    exposition.remove('edge');
    expect(await text(exposition)).toBe('');
  });

  test('series of single images can be counted apart and left out', async () => {
    const one = totals('a', { images: [{ tag: 'v1', digest: 'sha256:1', sizeBytes: 5, signed: false }] });
    expect(countSeries({ totals: one })).toEqual({ repository: 2, image: 2 });
    const exposition = createExposition();
    const withoutImages = new Map([['a', { totals: packTotals(one), withoutImages: true } as const]]);
    await exposition.publish('edge', { view, repositories: withoutImages });
    expect(await text(exposition)).not.toContain('container_registry_image_');
    await exposition.publish('edge', { view, repositories: of(one) });
    expect(await text(exposition)).toContain(
      'container_registry_image_signed{registry="edge",provider="oci",repository="a",tag="v1",digest="sha256:1"} 0',
    );
  });
});
