import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { countOwnSeries, createExposition, type Exposition } from '../src/exposition.ts';
import type { PackedView } from '../src/metrics.ts';
import type { ImageTotals, RepositoryTotals } from '../src/model.ts';
import { packTotals } from '../src/totals.ts';
import { totalsOf, viewOf } from './support/app.ts';

/** What is published, and the whole body of a scrape. */

const of = (...repositories: (readonly [string, Partial<RepositoryTotals>])[]): Map<string, PackedView> =>
  new Map(repositories.map(([name, more]) => [name, { totals: packTotals(totalsOf(name, more)) }]));

async function scraped(exposition: Exposition, own = '', format: 'text' | 'openmetrics' = 'text') {
  const read = async (encoding: 'identity' | 'gzip') => {
    const body = exposition.body(format, encoding, own);
    const pieces: Buffer[] = [];
    for await (const piece of body.buffers()) pieces.push(piece);
    const whole = Buffer.concat(pieces);
    expect(whole.length).toBe(body.length);
    return { headers: body.headers, whole };
  };
  const [plain, packed] = [await read('identity'), await read('gzip')];
  expect(gunzipSync(packed.whole).equals(plain.whole)).toBe(true);
  return { text: plain.whole.toString('utf8'), headers: [plain.headers, packed.headers] };
}

const withoutHelp = (text: string): string => text.replace(/^# HELP .*\n/gm, '');

describe('three registries, in the order of their names, each family once', () => {
  async function published() {
    const exposition = createExposition();
    const view = { ...viewOf('west'), polls: 0 };
    await exposition.publish('west', { view, repositories: of(['web', { pulls: 7, tagged: undefined }]) });
    await exposition.publish('east', {
      view: viewOf('east'),
      repositories: of(
        ['b', { tags: undefined }],
        ['c', { tagged: undefined }],
        ['a', { tagged: undefined }],
      ),
    });
    await exposition.publish('north', { view: { ...view, registry: 'north' }, repositories: new Map() });
    return exposition;
  }
  const own = '# TYPE own gauge\nown 1\n';

  test('as text', async () => {
    const { text, headers } = await scraped(await published(), own);
    expect(
      withoutHelp(text).replace(/^.*_poll_failures_total.*\n/gm, ''),
    ).toBe(`# TYPE container_registry_info gauge
container_registry_info{registry="east",provider="oci",host="",account="",region=""} 1
container_registry_info{registry="north",provider="oci",host="",account="",region=""} 1
container_registry_info{registry="west",provider="oci",host="",account="",region=""} 1
# TYPE container_registry_polls_total counter
container_registry_polls_total{registry="east",provider="oci"} 1
container_registry_polls_total{registry="north",provider="oci"} 0
container_registry_polls_total{registry="west",provider="oci"} 0
# TYPE container_registry_repository_images gauge
container_registry_repository_images{registry="east",provider="oci",repository="b",state="tagged"} 1
# TYPE container_registry_repository_tags gauge
container_registry_repository_tags{registry="east",provider="oci",repository="a"} 1
container_registry_repository_tags{registry="east",provider="oci",repository="c"} 1
container_registry_repository_tags{registry="west",provider="oci",repository="web"} 1
# TYPE container_registry_repository_pulls_total counter
container_registry_repository_pulls_total{registry="west",provider="oci",repository="web"} 7
# TYPE own gauge
own 1
`);
    const type = {
      'Content-Type': 'text/plain; version=0.0.4; charset=utf-8',
      Vary: 'Accept, Accept-Encoding',
    };
    expect(headers).toEqual([type, { ...type, 'Content-Encoding': 'gzip' }]);
  });

  test('as OpenMetrics', async () => {
    const { text, headers } = await scraped(await published(), own, 'openmetrics');
    expect(text).toMatch(
      /^# HELP container_registry_info .*\.\n# TYPE container_registry_info gauge\ncontainer_registry_info\{/,
    );
    expect(withoutHelp(text)).toContain(
      '# TYPE container_registry_repository_pulls counter\ncontainer_registry_repository_pulls_total{registry="west",provider="oci",repository="web"} 7\n# TYPE own gauge\nown 1\n# EOF\n',
    );
    const type = {
      'Content-Type': 'application/openmetrics-text; version=1.0.0; charset=utf-8',
      Vary: 'Accept, Accept-Encoding',
    };
    expect(headers).toEqual([type, { ...type, 'Content-Encoding': 'gzip' }]);
  });

  test('without any there is nothing, and an end', async () => {
    expect((await scraped(createExposition())).text).toBe('');
    expect((await scraped(createExposition(), '', 'openmetrics')).text).toBe('# EOF\n');
  });

  test('health that changes between polls is shown at once, and nothing else changes', async () => {
    const exposition = await published();
    const before = (await scraped(exposition)).text;
    exposition.updateView('east', { ...viewOf('east'), polls: 2 });
    exposition.updateView('unknown', { ...viewOf('unknown'), polls: 9 });
    expect((await scraped(exposition)).text).toBe(
      before.replace(/(polls_total{registry="east",provider="oci"}) 1/, '$1 2'),
    );
  });
});

/** Publishes one set of repositories after the other; @returns how many buckets the last one rendered. */
async function publishedInTurn(...all: ReadonlyMap<string, PackedView>[]) {
  const exposition = createExposition();
  let renderedBuckets = 0;
  for (const repositories of all)
    ({ renderedBuckets } = await exposition.publish('edge', { view: viewOf('edge'), repositories }));
  return { renderedBuckets, text: (await scraped(exposition)).text };
}

/** Three containers run an image of the repository. */
const inUse = JSON.stringify([
  { source: 'hosts', images: [{ digest: 'x', containers: 3, latest: 0 }], places: [] },
]) as NonNullable<PackedView['inUse']>;

describe('a publish shows what it would show without the one before', () => {
  const named = (count: number, name: string) =>
    of(...Array.from({ length: count }, (_, index) => [`${name}-${index}`, {}] as const));
  const one = of(['app', { tags: 1 }]).get('app') as PackedView;
  const image = { tag: 'v1', digest: 'sha256:1', sizeBytes: 5 };
  const pictured = of(['app', { images: [image] }]).get('app') as PackedView;

  test.each<[string, ReadonlyMap<string, PackedView>, ReadonlyMap<string, PackedView>, number]>([
    ['other repositories, as many', named(3, 'a'), named(3, 'b'), 1],
    ['one more', named(3, 'a'), named(4, 'a'), 1],
    ['one less', named(3, 'a'), named(2, 'a'), 1],
    ['ten times as many', named(200, 'a'), named(2000, 'a'), 16],
    ['a hundredth', named(2000, 'a'), named(20, 'a'), 1],
    ['as many as fit into one bucket', named(1, 'a'), named(128, 'a'), 1],
    ['one more than fit', named(128, 'a'), named(129, 'a'), 2],
    ['few enough for one bucket less', named(129, 'a'), named(31, 'a'), 1],
    ['not few enough', named(129, 'a'), named(32, 'a'), 2],
    ['the same', named(200, 'a'), named(200, 'a'), 0],
    ['other totals', new Map([['app', one]]), of(['app', { tags: 2 }]), 1],
    [
      'a push',
      new Map([['app', one]]),
      new Map([['app', { ...one, pushCounts: { pushes: 4, failures: { denied: 1 } } }]]),
      1,
    ],
    ['what runs of it', new Map([['app', one]]), new Map([['app', { ...one, inUse }]]), 1],
    [
      'that it is gone though it runs',
      new Map([['app', { inUse }]]),
      new Map([['app', { inUse, gone: true as const }]]),
      1,
    ],
    [
      'without its images',
      new Map([['app', pictured]]),
      new Map([['app', { ...pictured, withoutImages: true as const }]]),
      1,
    ],
  ])('%s', async (_title, before, after, rendered) => {
    const alone = await publishedInTurn(after);
    const { text, renderedBuckets } = await publishedInTurn(before, after);
    // How many buckets there are depends on what was there before, and the order of the lines on them.
    expect(text.split('\n').sort()).toEqual(alone.text.split('\n').sort());
    expect(renderedBuckets).toBe(rendered);
    if (rendered > 0) expect((await publishedInTurn(before)).text).not.toBe(text);
  });
});

test('what runs of a repository that was not read is unknown; of one that is gone it is missing', async () => {
  const lines = async (view: PackedView) =>
    (await publishedInTurn(new Map([['app', view]]))).text
      .split('\n')
      .filter((line) => line.startsWith('container_registry_repository_in_use_images{'))
      .map((line) => line.replace(/^.*(state=".*")\}/, '$1'));
  expect(await lines({ inUse })).toEqual(['state="present" 0', 'state="missing" 0', 'state="unknown" 1']);
  expect(await lines({ inUse, gone: true })).toEqual([
    'state="present" 0',
    'state="missing" 1',
    'state="unknown" 0',
  ]);
});

test('a place that comes twice is shown once: the first', async () => {
  const place = { cluster: 'c', namespace: 'n', workload: 'w' };
  const twice = JSON.stringify([
    { source: 'hosts', images: [], places: [3, 4].map((containers) => ({ ...place, containers })) },
  ]) as NonNullable<PackedView['inUse']>;
  const exposition = createExposition();
  const repositories = new Map([['app', { inUse: twice }]]);
  const { refused } = await exposition.publish('edge', { view: viewOf('edge'), repositories });
  expect(
    (await scraped(exposition)).text.match(/^container_registry_repository_in_use_containers\{.*$/gm),
  ).toEqual([
    'container_registry_repository_in_use_containers{registry="edge",provider="oci",repository="app",source="hosts",workload_cluster="c",workload_namespace="n",workload="w"} 3',
  ]);
  expect(refused.get('duplicate')?.count).toBe(1);
});

test('of two publishes at once the later one is shown', async () => {
  const exposition = createExposition();
  const many = of(...Array.from({ length: 1000 }, (_, index) => [`old-${index}`, {}] as const));
  const view = viewOf('edge');
  await Promise.all([
    exposition.publish('edge', { view, repositories: many }),
    exposition.publish('edge', { view, repositories: of(['new', {}]) }),
  ]);
  const { text } = await scraped(exposition);
  expect([text.includes('"new"'), text.includes('"old-')]).toEqual([true, false]);
});

test('of ten images one that is there twice is refused', async () => {
  const images: ImageTotals[] = Array.from({ length: 9 }, (_, index) => ({ tag: `v${index}`, digest: 'd' }));
  const shown = images.map((image) => ({ ...image, sizeBytes: 1 }));
  const refusedOf = async (...all: ImageTotals[]) =>
    (
      await createExposition().publish('edge', {
        view: viewOf('edge'),
        repositories: of(['app', { images: all }]),
      })
    ).refused;
  expect(await refusedOf(...shown)).toEqual(new Map());
  expect(await refusedOf(...shown, { tag: 'v3', digest: 'd', sizeBytes: 2 })).toEqual(
    new Map([['duplicate', { count: 1, example: 'an image of "app"' }]]),
  );
});

test('a text of more than 64 KiB, of letters of three bytes', async () => {
  const own = `# ${'€'.repeat(70_000)}\n`;
  expect((await scraped(createExposition(), own)).text).toBe(own);
});

test('the series of a registry itself are counted as they are written', async () => {
  const view = viewOf('edge');
  const { series } = await createExposition().publish('edge', { view, repositories: new Map() });
  expect(countOwnSeries(view)).toBe(series);
});
