import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { listed } from '../../src/providers/acr/manifests.ts';
import type { WireManifest } from '../simulators/acr-estate.ts';
import { azureFixture, down, told } from '../support/azure.ts';

const { start } = azureFixture();
const digestOf = (bytes: Buffer | string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const repository = 'checkout/api';
const docker = 'application/vnd.docker.distribution.manifest.v2+json';
const oci = 'application/vnd.oci.image.manifest.v1+json';
const index = 'application/vnd.oci.image.index.v1+json';
const ociConfig = 'application/vnd.oci.image.config.v1+json';

type Extra = { readonly entry: WireManifest; readonly bytes?: Buffer };

function entry(name: string, more: object): WireManifest {
  return {
    digest: digestOf(name),
    imageSize: 1000,
    createdTime: '2026-11-20T10:00:00.1234567Z',
    lastUpdateTime: '2026-11-20T10:00:00.1234567Z',
    ...more,
  };
}
const image = (name: string, more: object = {}): WireManifest =>
  entry(name, { architecture: 'amd64', os: 'linux', mediaType: oci, configMediaType: ociConfig, ...more });

/** A manifest that is read, with the digest of its bytes. */
function read(document: object, more: object): Extra {
  const bytes = Buffer.from(JSON.stringify(document));
  return { bytes, entry: { ...entry('', more), digest: digestOf(bytes) } };
}

/** What is exposed of a repository that holds these manifests only. */
async function exposed(extra: readonly Extra[], registry: object = {}) {
  const started = await start({
    seed: 1,
    repositories: 1,
    registry: { extra: new Map([[repository, extra]]), ...registry },
  });
  started.azure.estate.repositories.get(repository)?.images.clear();
  await started.running.poll();
  const lines = await started.running.lines(
    'repository_images',
    'repository_tags',
    'repository_artifacts',
    'repository_size_bytes',
    'repository_signed_images',
  );
  return {
    ...started,
    lines: lines.map((line) => line.replace(`repository="${repository}"`, '').replace('{,', '{')),
  };
}

test('an entry that cannot be understood makes what counts all images unknown, and no smaller', async () => {
  const { lines, running } = await exposed([
    { entry: image('good', { tags: ['v1'] }) },
    { entry: { ...image('odd', { tags: ['v2'] }), digest: 'none' } },
  ]);
  expect(lines).toEqual([]);
  expect(running.log()).toContain('a part of an answer could not be understood and was left out');
  expect(await running.lines('image_size_bytes')).toHaveLength(1);
});

test('what cannot be a tag is none, and is told', async () => {
  const { lines, running } = await exposed([
    { entry: image('odd', { tags: ['v2', 'no tag', '', null] as never }) },
    { entry: image('good', { tags: ['v1'] }) },
  ]);
  expect(lines).toContain('repository_tags{} 2');
  expect(await running.lines('image_size_bytes')).toHaveLength(2);
  expect(running.log()).toMatch(/level=warn.*at="tags\[\]" problem="no tag \(and 2 more\)"/);
});

test.each(['list', 'record', 'bytes'] as const)(
  'the platforms of an index are found in its %s, and read once',
  async (references) => {
    const parts = [image('amd64'), image('arm64', { architecture: 'arm64' })];
    const document = {
      schemaVersion: 2,
      mediaType: index,
      manifests: parts.map(({ digest }) => ({
        mediaType: oci,
        digest,
        size: 500,
        platform: { os: 'linux', architecture: 'amd64' },
      })),
    };
    const known = parts.map(({ digest }) => ({ digest, architecture: 'amd64', os: 'linux' }));
    const made = read(document, {
      mediaType: index,
      tags: ['v1'],
      ...(references === 'list' && { references: known }),
    });
    const record = references === 'record' ? { recorded: { ...made.entry, references: known } } : {};
    const { lines, azure, running } = await exposed([
      { ...made, ...record },
      ...parts.map((one) => ({ entry: one })),
    ]);
    expect(lines).toEqual([
      'repository_images{state="tagged"} 1',
      'repository_images{state="untagged"} 0',
      'repository_tags{} 1',
      'repository_artifacts{kind="platform"} 2',
      'repository_size_bytes{} 2000',
      'repository_signed_images{} 0',
    ]);
    const asked = ['manifest_properties', 'manifest'].map(
      (operation) => azure.registry.requests.get(operation) ?? 0,
    );
    expect(asked).toEqual({ list: [0, 0], record: [1, 0], bytes: [1, 1] }[references]);
    await running.poll();
    expect(
      ['manifest_properties', 'manifest'].map((operation) => azure.registry.requests.get(operation) ?? 0),
    ).toEqual(asked);
  },
);

test('what buildkit attests is listed by the index as a platform of an unknown system, and is no platform', async () => {
  const platform = image('amd64');
  const attestation = image('attested', { architecture: 'unknown', os: 'unknown', imageSize: 77 });
  const { lines } = await exposed([
    {
      entry: entry('index', {
        mediaType: index,
        tags: ['v1'],
        references: [
          { digest: platform.digest, architecture: 'amd64', os: 'linux' },
          { digest: attestation.digest, architecture: 'unknown', os: 'unknown' },
        ],
      }),
    },
    { entry: platform },
    { entry: attestation },
  ]);
  expect(lines).toEqual([
    'repository_images{state="tagged"} 1',
    'repository_images{state="untagged"} 0',
    'repository_tags{} 1',
    'repository_artifacts{kind="platform"} 1',
    'repository_artifacts{kind="attestation"} 1',
    'repository_size_bytes{} 1000',
    'repository_signed_images{} 0',
  ]);
});

test('a platform that was never pushed here leaves the size unknown', async () => {
  const { lines } = await exposed([
    {
      entry: entry('index', {
        mediaType: index,
        tags: ['v1'],
        references: [{ digest: digestOf('elsewhere'), architecture: 'amd64', os: 'linux' }],
      }),
    },
  ]);
  expect(lines.some((line) => line.startsWith('repository_size_bytes'))).toBe(false);
});

test('a manifest of no type that cannot be read may be an image: how many there are is unknown', async () => {
  const { lines } = await exposed([
    { entry: image('plain', { tags: ['v1'] }) },
    { entry: entry('untyped', { mediaType: 7, tags: ['v2'] }) },
  ]);
  expect(lines).toEqual([]);
});

test('an image without a time leaves unknown which is the newest, and is told of', async () => {
  const { running } = await exposed([
    { entry: image('new', { createdTime: '0001-01-01T00:00:00Z', tags: ['v2'] }) },
    { entry: image('old', { tags: ['v1'] }) },
  ]);
  expect(await running.lines('repository_last_push_timestamp_seconds')).toEqual([]);
  expect(await running.value('repository_tags')).toBe(2);
  expect(told(running, 'which is the newest is unknown')).toHaveLength(1);
});

test('a size of 0, as the registry has it for a moment after the push, is unknown', async () => {
  const { lines } = await exposed([{ entry: image('new', { imageSize: 0, tags: ['v1'] }) }]);
  expect(lines).toEqual([
    'repository_images{state="tagged"} 1',
    'repository_images{state="untagged"} 0',
    'repository_tags{} 1',
    'repository_signed_images{} 0',
  ]);
});

test('a signature is what it says itself, and signs what it refers to', async () => {
  const signed = image('signed', { tags: ['v1'] });
  const plain = image('plain', { tags: ['v2'] });
  const notation = read(
    {
      schemaVersion: 2,
      mediaType: oci,
      config: { mediaType: 'application/vnd.cncf.notary.signature', digest: digestOf('{}'), size: 2 },
      layers: [],
      subject: { mediaType: docker, digest: signed.digest, size: 500 },
    },
    { mediaType: oci, configMediaType: 'application/vnd.cncf.notary.signature', imageSize: 85 },
  );
  const { lines, azure } = await exposed([{ entry: signed }, { entry: plain }, notation]);
  expect(lines).toContain('repository_signed_images{} 1');
  expect(lines).toContain('repository_artifacts{kind="signature"} 1');
  expect(azure.registry.requests.get('manifest')).toBe(1);
});

test('an artifact that is no manifest anyone knows is something else, and no signature', async () => {
  const odd = read(
    { mediaType: oci, something: 'else' },
    { mediaType: oci, configMediaType: 'application/x-odd' },
  );
  const { lines, running } = await exposed([{ entry: image('plain', { tags: ['v1'] }) }, odd]);
  expect(lines).toContain('repository_artifacts{kind="other"} 1');
  expect(lines).toContain('repository_signed_images{} 0');
  expect(await down(running)).toEqual([]);
});

test('bytes that do not have the digest that was asked for are not believed: what they are is unknown', async () => {
  const bytes = Buffer.from(JSON.stringify({ mediaType: oci, config: { mediaType: ociConfig } }));
  const { lines, azure, running } = await exposed([
    { entry: image('plain', { tags: ['v1'] }) },
    { entry: entry('another', { mediaType: oci, configMediaType: 'application/x-odd' }), bytes },
  ]);
  await running.poll();
  expect(lines).toContain('repository_images{state="tagged"} 1');
  expect(lines.some((line) => line.startsWith('repository_signed_images'))).toBe(false);
  expect(await down(running)).toEqual([]);
  expect(told(running, 'the manifest could not be read')).toHaveLength(1);
  await running.poll();
  // Tried once more, and then left alone for some polls.
  expect(azure.registry.requests.get('manifest')).toBe(2);
});

test('indexes that are listed and not there fail no repository, however many they are', async () => {
  const indexes = Array.from({ length: 12 }, (_, at) => ({
    entry: entry(`index ${at}`, { mediaType: index }),
  }));
  const { lines, running } = await exposed([{ entry: image('good', { tags: ['v1'] }) }, ...indexes]);
  expect(lines).toContain('repository_images{state="tagged"} 1');
  expect(lines.some((line) => line.startsWith('repository_size_bytes'))).toBe(false);
  await running.poll();
  expect(await running.value('up')).toBe(1);
});

const hex = 'ab'.repeat(32);
test.each([
  [
    'an image',
    { mediaType: docker, configMediaType: 'application/vnd.docker.container.image.v1+json' },
    'image',
  ],
  [
    'an image without the type of its configuration',
    { mediaType: docker, architecture: 'amd64', os: 'linux' },
    'image',
  ],
  ['an index', { mediaType: index }, 'index'],
  ['a chart', { mediaType: oci, configMediaType: 'application/vnd.cncf.helm.config.v1+json' }, 'chart'],
  ['an SBOM', { mediaType: oci, artifactType: 'application/spdx+json' }, 'sbom'],
  ['an attestation', { mediaType: oci, artifactType: 'application/vnd.in-toto+json' }, 'attestation'],
  ['something else', { mediaType: oci, artifactType: 'application/x-model' }, 'other'],
  [
    'schema 1',
    {
      mediaType: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
      architecture: 'amd64',
      os: 'linux',
    },
    'other',
  ],
  [
    'a signature of cosign',
    { mediaType: oci, configMediaType: ociConfig, tags: [`sha256-${hex}.sig`] },
    'signature',
  ],
  [
    'an attestation of cosign',
    { mediaType: oci, configMediaType: ociConfig, tags: [`sha256-${hex}.att`] },
    'attestation',
  ],
  ['a list of referrers under a tag', { mediaType: index, tags: [`sha256-${'0'.repeat(64)}`] }, 'other'],
  ['an index whose tag is its own digest', { mediaType: index, tags: [`sha256-${hex}`] }, 'index'],
  [
    'a signature of Notary Project, to be read',
    { mediaType: oci, configMediaType: 'application/vnd.cncf.notary.signature' },
    undefined,
  ],
  [
    'an artifact with an empty configuration, to be read',
    { mediaType: oci, configMediaType: 'application/vnd.oci.empty.v1+json' },
    undefined,
  ],
  [
    'an ORAS artifact, to be read',
    { mediaType: 'application/vnd.cncf.oras.artifact.manifest.v1+json' },
    undefined,
  ],
])('%s in the list of manifests', (_title, more, kind) => {
  expect(listed({ digest: `sha256:${hex}`, createdTime: 1_795_168_800, ...more }).kind).toBe(kind);
});
