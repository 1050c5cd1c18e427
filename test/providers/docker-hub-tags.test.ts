import { describe, expect, test } from 'vitest';
import { digestOf } from '../simulators/estate.ts';
import { emptyEstate, hubs } from '../support/docker-hub-running.ts';

/** What tags, as Docker Hub answers them, become. */
const { start } = hubs();

const digest = digestOf;
const list = 'application/vnd.docker.distribution.manifest.list.v2+json';
const single = 'application/vnd.docker.distribution.manifest.v2+json';
const at = (day: number) => `2026-11-${String(day).padStart(2, '0')}T12:00:00.807746Z`;
const seconds = (day: number) => Date.parse(at(day)) / 1000;

const platform = (architecture: string, more: object = {}) => ({
  architecture,
  os: architecture === 'unknown' ? 'unknown' : 'linux',
  digest: digest(architecture),
  size: architecture === 'unknown' ? 2_000 : 1_000_000,
  status: 'active',
  last_pushed: at(1),
  last_pulled: at(9),
  ...more,
});
const tag = (name: string, more: object = {}) => ({
  name,
  digest: digest(name),
  media_type: single,
  content_type: 'image',
  full_size: 1_000_000,
  tag_status: 'active',
  tag_last_pushed: at(3),
  tag_last_pulled: null,
  images: [platform('amd64', { digest: digest(name) })],
  ...more,
});

/** What is exposed of a repository whose tags these are. */
async function exposed(tags: readonly unknown[], ...families: string[]) {
  const hub = await start({ estate: emptyEstate('app') });
  hub.simulator.tags.set('acme/app', tags);
  await hub.running.poll();
  expect(await hub.running.value('up'), hub.running.log()).toBe(1);
  const lines = await hub.running.lines(...families);
  return { ...hub, lines: lines.map((line) => line.replace('repository="acme/app"', '')) };
}
const counts = ['repository_images', 'repository_tags', 'repository_artifacts', 'repository_size_bytes'];

test('a tag of one platform is an image', async () => {
  const { lines } = await exposed(
    [tag('v1')],
    ...counts,
    'image_size_bytes',
    'image_pushed_timestamp_seconds',
  );
  expect(lines).toEqual([
    'repository_images{,state="tagged"} 1',
    'repository_tags{} 1',
    'repository_size_bytes{} 1000000',
    `image_size_bytes{,tag="v1",digest="${digest('v1')}"} 1000000`,
    `image_pushed_timestamp_seconds{,tag="v1",digest="${digest('v1')}"} ${seconds(3)}`,
  ]);
});

test('two tags of one digest are one image, as old as its newest push', async () => {
  const { lines } = await exposed(
    [tag('v1'), tag('prod', { digest: digest('v1'), tag_last_pushed: at(5), tag_last_pulled: at(6) })],
    ...counts,
    'repository_last_push_timestamp_seconds',
    'repository_last_pull_timestamp_seconds',
  );
  expect(lines).toEqual([
    'repository_images{,state="tagged"} 1',
    'repository_tags{} 2',
    'repository_size_bytes{} 1000000',
    `repository_last_push_timestamp_seconds{} ${seconds(5)}`,
    `repository_last_pull_timestamp_seconds{} ${seconds(9)}`,
  ]);
});

const index = (name: string, ...images: object[]) => tag(name, { media_type: list, images });

test('an index has its platforms, and what buildx attests is none of them', async () => {
  const { lines } = await exposed(
    [index('v1', platform('amd64'), platform('arm64'), platform('unknown'))],
    ...counts,
  );
  expect(lines).toEqual([
    'repository_images{,state="tagged"} 1',
    'repository_tags{} 1',
    'repository_artifacts{,kind="platform"} 2',
    'repository_artifacts{,kind="attestation"} 1',
    'repository_size_bytes{} 2000000',
  ]);
});

test('a platform that two indexes share counts once, and one with a tag of its own is an image', async () => {
  const { lines } = await exposed(
    [
      index('v1', platform('amd64'), platform('arm64')),
      index('v2', platform('amd64'), platform('riscv64')),
      tag('v2-amd64', { digest: digest('amd64') }),
    ],
    ...counts,
  );
  expect(lines).toEqual([
    'repository_images{,state="tagged"} 3',
    'repository_tags{} 3',
    'repository_artifacts{,kind="platform"} 2',
    'repository_size_bytes{} 3000000',
  ]);
});

test('an index that lists nothing yet has no size, and neither has its repository', async () => {
  const { lines } = await exposed([index('v1'), tag('v2')], ...counts);
  expect(lines).toEqual(['repository_images{,state="tagged"} 2', 'repository_tags{} 2']);
});

test('a tag that lists no image has no size, and neither has its repository', async () => {
  const { lines } = await exposed([tag('v1', { full_size: 0, images: [] }), tag('v2')], ...counts);
  expect(lines).toEqual(['repository_images{,state="tagged"} 2', 'repository_tags{} 2']);
});

test('a size that is not told is unknown, not 0', async () => {
  const untold = { size: null, digest: digest('v1') };
  const { lines } = await exposed(
    [tag('v1', { full_size: null, images: [platform('amd64', untold)] })],
    ...counts,
  );
  expect(lines).not.toContain('repository_size_bytes{} 0');
  expect(lines).toHaveLength(2);
});

test('a size of 0 is not told, and neither is what an empty text says', async () => {
  const untold = { size: 0, os: '', architecture: '', digest: digest('v1') };
  const { lines, warnings } = await exposed(
    [tag('v1', { full_size: 0, media_type: '', images: [platform('amd64', untold)] }), tag('v2')],
    ...counts,
  );
  expect(lines).toEqual(['repository_images{,state="tagged"} 2', 'repository_tags{} 2']);
  expect(warnings()).toEqual([]);
});

test('images that nobody used for a month are there all the same, whatever the word for it', async () => {
  const { lines, warnings } = await exposed(
    ['active', 'inactive', 'stale', 'hibernating'].map((status) =>
      tag(status, { tag_status: status, images: [platform('amd64', { status, digest: digest(status) })] }),
    ),
    ...counts,
  );
  expect(lines).toContain('repository_images{,state="tagged"} 4');
  expect(warnings()).toEqual([]);
});

test('what is in the reference only: no digest, no media type, one image or several', async () => {
  const bare = (name: string, ...images: object[]) => ({
    name,
    full_size: 5,
    images,
    tag_last_pushed: at(2),
  });
  const { lines } = await exposed(
    [
      bare('v1', platform('amd64')),
      bare('v2', platform('arm64'), platform('riscv64')),
      bare('v2-again', platform('riscv64'), platform('arm64')),
    ],
    ...counts,
  );
  expect(lines).toEqual([
    'repository_images{,state="tagged"} 2',
    'repository_tags{} 3',
    'repository_artifacts{,kind="platform"} 2',
    'repository_size_bytes{} 3000000',
  ]);
});

test('images of old that have no digest anywhere are counted, under no digest', async () => {
  const old = { digest: null, media_type: null, content_type: null };
  const { lines } = await exposed(
    [1, 2].map((number) => tag(`old-${number}`, { ...old, images: [platform('amd64', { digest: null })] })),
    ...counts,
    'image_size_bytes',
  );
  expect(lines.slice(0, 3)).toEqual([
    'repository_images{,state="tagged"} 2',
    'repository_tags{} 2',
    'repository_size_bytes{} 2000000',
  ]);
  expect(lines[3]).toMatch(/digest="unknown:[0-9a-f]{16}"/);
});

describe('what is no image', () => {
  const hex = (name: string) => digest(name).replace(':', '-');
  const attached = (suffix: string) =>
    tag(`${hex('v1')}${suffix}`, { content_type: 'unrecognized', digest: digest(`x${suffix}`) });

  test("cosign's signatures, attestations and SBOMs are told by their tags, which are no versions", async () => {
    const { lines } = await exposed(
      [tag('v1'), tag('v2'), attached('.sig'), attached('.att'), attached('.sbom'), attached('')],
      ...counts,
      'image_signed',
      'repository_signed_images',
    );
    expect(lines).toEqual([
      'repository_images{,state="tagged"} 2',
      'repository_tags{} 2',
      'repository_artifacts{,kind="signature"} 1',
      'repository_artifacts{,kind="sbom"} 1',
      'repository_artifacts{,kind="attestation"} 1',
      'repository_artifacts{,kind="other"} 1',
      'repository_size_bytes{} 2000000',
      // Of v2 it is not known: it may be signed in a way that the listing does not show.
      `image_signed{,tag="v1",digest="${digest('v1')}"} 1`,
    ]);
  });

  test('but a tag that is its own digest names an image', async () => {
    const own = digest('own').replace(':', '-');
    const { lines } = await exposed([tag(own, { digest: digest('own') })], ...counts);
    expect(lines).toContain('repository_images{,state="tagged"} 1');
  });

  test('charts, plugins and caches; a kind that is not known here is told once and counts as other', async () => {
    const kinds = ['helm', 'plugin', 'unrecognized', 'hologram', 'hologram'];
    const { lines, running, warnings } = await exposed(
      kinds.map((content_type, number) => tag(`t${number}`, { content_type, images: [] })),
      ...counts,
    );
    expect(lines).toEqual([
      'repository_images{,state="tagged"} 0',
      'repository_tags{} 5',
      'repository_artifacts{,kind="chart"} 1',
      'repository_artifacts{,kind="other"} 4',
      'repository_size_bytes{} 0',
    ]);
    await running.poll();
    expect(warnings().filter((line) => line.includes('hologram'))).toHaveLength(1);
  });
});

test('times that are no times are unknown: null, and the year 1 of what was never pulled', async () => {
  const never = '0001-01-01T00:00:00Z';
  const { lines } = await exposed(
    [
      tag('v1', {
        tag_last_pushed: null,
        tag_last_pulled: never,
        images: [platform('amd64', { digest: digest('v1'), last_pushed: null, last_pulled: never })],
      }),
    ],
    'repository_last_push_timestamp_seconds',
    'repository_last_pull_timestamp_seconds',
  );
  expect(lines).toEqual([]);
});

test('a tag `latest` breaks a practice', async () => {
  const { lines } = await exposed([tag('latest')], 'repository_practice');
  expect(lines).toContain('repository_practice{,practice="no_latest_tag"} 0');
});
