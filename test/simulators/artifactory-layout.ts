import { createHash } from 'node:crypto';
import type { Item } from './artifactory-aql.ts';
import { digestOf, type Estate, type EstateImage, type EstateRepository } from './estate.ts';

/** A repository of the simulated JFrog platform. */
export interface SimulatedKey {
  readonly key: string;
  readonly type: 'LOCAL' | 'REMOTE' | 'FEDERATED' | 'VIRTUAL' | (string & {});
  readonly packageType: 'Docker' | 'OCI' | 'HelmOCI' | 'Maven' | (string & {});
  readonly xrayIndex: boolean;
  readonly maxUniqueTags: number;
}

/** `checkout/tools/cli` is the image `tools/cli` in the repository `checkout`. */
export const keyOf = (name: string): string => name.split('/')[0] as string;

/** A number that a text always has. */
export const numberOf = (text: string, below: number): number =>
  createHash('sha256').update(text).digest().readUInt32BE(0) % below;

/** Teams have repositories of different kinds; what a cache holds looks like what was pushed. */
export function keysOf(estate: Estate): SimulatedKey[] {
  const keys = [...new Set([...estate.repositories.keys()].map(keyOf))].map((key): SimulatedKey => {
    const chance = numberOf(key, 10);
    return {
      key,
      type: chance < 6 ? 'LOCAL' : chance < 8 ? 'REMOTE' : 'FEDERATED',
      packageType: numberOf(`${key} package`, 4) === 0 ? 'OCI' : 'Docker',
      xrayIndex: true,
      maxUniqueTags: numberOf(`${key} tags`, 2) * 20,
    };
  });
  return [
    ...keys,
    // Shows what the others hold; and one that holds no images.
    { key: 'docker', type: 'VIRTUAL', packageType: 'Docker', xrayIndex: false, maxUniqueTags: 0 },
    { key: 'libs-release', type: 'LOCAL', packageType: 'Maven', xrayIndex: true, maxUniqueTags: 0 },
  ];
}

export const storageOf = ({ key, type }: SimulatedKey): string => (type === 'REMOTE' ? `${key}-cache` : key);

interface Document {
  readonly digest: string;
  readonly bytes: Buffer;
  readonly blobs: readonly { readonly digest: string; readonly size: number }[];
}

const types = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
};
const artifactTypes: Readonly<Record<string, { readonly artifact: string; readonly layer: string }>> = {
  signature: {
    artifact: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    layer: 'application/vnd.dev.cosign.simplesigning.v1+json',
  },
  sbom: { artifact: 'application/spdx+json', layer: 'application/spdx+json' },
  attestation: {
    artifact: 'application/vnd.in-toto+json',
    layer: 'application/vnd.in-toto+json',
  },
  chart: {
    artifact: 'application/vnd.cncf.helm.config.v1+json',
    layer: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
  },
};

const descriptor = (mediaType: string, digest: string, size: number, more: object = {}) => ({
  mediaType,
  digest,
  size,
  ...more,
});

/** The documents behind an estate's images: their digests are those of real manifests. */
export function createDocuments(): (repository: EstateRepository, image: EstateImage) => Document {
  const made = new Map<string, Document>();

  function build(repository: EstateRepository, image: EstateImage): Document {
    if (image.platforms) {
      const manifests = image.platforms.map((digest) => {
        const platform = repository.images.get(digest);
        const document = platform && of(repository, platform);
        return descriptor(types.manifest, document?.digest ?? digest, document?.bytes.length ?? 500, {
          platform: { os: 'linux', architecture: platform?.architecture ?? 'amd64' },
        });
      });
      return finish(
        { schemaVersion: 2, mediaType: types.index, manifests, annotations: { of: image.digest } },
        [],
      );
    }
    const kind = artifactTypes[image.kind];
    const subject = image.subject === undefined ? undefined : repository.images.get(image.subject);
    const config = { digest: digestOf(`config ${image.digest}`), size: 300 };
    const half = Math.floor(image.sizeBytes / 2);
    const layers = [
      { digest: digestOf(`layer 1 ${image.digest}`), size: half },
      { digest: digestOf(`layer 2 ${image.digest}`), size: image.sizeBytes - half },
    ];
    const target = subject && of(repository, subject);
    return finish(
      {
        schemaVersion: 2,
        mediaType: types.manifest,
        ...(kind && { artifactType: kind.artifact }),
        config: descriptor(kind ? types.empty : types.config, config.digest, config.size),
        layers: layers.map((one) => descriptor(kind?.layer ?? types.layer, one.digest, one.size)),
        ...(target && {
          subject: descriptor(types.manifest, target.digest, target.bytes.length),
        }),
      },
      [config, ...layers],
    );
  }
  function finish(document: object, blobs: Document['blobs']): Document {
    const bytes = Buffer.from(JSON.stringify(document));
    return { digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, bytes, blobs };
  }
  function of(repository: EstateRepository, image: EstateImage): Document {
    const known = made.get(image.digest) ?? build(repository, image);
    made.set(image.digest, known);
    return known;
  }
  return of;
}

type Documents = ReturnType<typeof createDocuments>;

/** The same repository with the digests and sizes that the documents have: what is true of it. */
export function translated(repository: EstateRepository, documents: Documents): EstateRepository {
  const digest = (old: string): string => {
    const image = repository.images.get(old);
    return image ? documents(repository, image).digest : old;
  };
  const images = [...repository.images.values()].map((image): EstateImage => {
    const document = documents(repository, image);
    const blobs = document.blobs.reduce((sum, { size }) => sum + size, 0);
    return {
      ...image,
      digest: document.digest,
      sizeBytes: document.bytes.length + blobs,
      ...(image.platforms && { platforms: image.platforms.map(digest) }),
      ...(image.subject !== undefined && { subject: digest(image.subject) }),
    };
  });
  return { ...repository, images: new Map(images.map((image) => [image.digest, image])) };
}

/** Downloads of a manifest: whatever was pulled at all was pulled a few times. */
export const downloadsOf = ({ pulledAt }: EstateImage): number =>
  pulledAt === undefined ? 0 : 1 + (pulledAt % 50);

/** Folders of an image: one per tag; below its digest what has no tag; cosign's tags for every other attachment. */
function foldersOf(
  image: EstateImage,
  subject: string | undefined,
  isCache: boolean,
  digest: string,
): string[] {
  const suffix = { signature: 'sig', sbom: 'sbom', attestation: 'att' }[image.kind as string];
  if (suffix && subject !== undefined && numberOf(image.digest, 2) === 0)
    return [`${subject.replace(':', '-')}.${suffix}`];
  if (image.tags.length > 0) return [...image.tags];
  return [isCache ? digest.replace(':', '__') : digest];
}

export interface Shelf {
  readonly items: readonly Item[];
  /** Contents of manifests by `repo/path/name`. */
  readonly contents: ReadonlyMap<string, Buffer>;
}

/** Everything that lies in one repository. */
export function shelve(estate: Estate, key: SimulatedKey, documents: Documents): Shelf {
  const items: Item[] = [];
  const contents = new Map<string, Buffer>();
  const repo = storageOf(key);
  for (const repository of estate.repositories.values()) {
    if (keyOf(repository.name) !== key.key) continue;
    const name = repository.name.slice(key.key.length + 1);
    const isTaken = new Set<string>();
    for (const image of repository.images.values()) {
      const { digest, bytes, blobs } = documents(repository, image);
      const subject = image.subject === undefined ? undefined : repository.images.get(image.subject);
      const about = subject && documents(repository, subject).digest;
      const file = image.platforms ? 'list.manifest.json' : 'manifest.json';
      let folders = foldersOf(image, about, key.type === 'REMOTE', digest);
      // Only one signature has the tag of its subject.
      if (folders.some((folder) => isTaken.has(folder))) folders = [digest];
      for (const folder of folders) isTaken.add(folder);
      for (const [place, folder] of folders.entries()) {
        const path = `${name}/${folder}`;
        const modified = new Date(image.pushedAt * 1000).toISOString();
        const created = new Date((image.pushedAt - 5) * 1000).toISOString();
        contents.set(`${repo}/${path}/${file}`, bytes);
        items.push({
          repo,
          path,
          name: file,
          size: bytes.length,
          // Items of long ago have their digest in a property only.
          ...(numberOf(path, 5) > 0 && { sha256: digest.slice(7) }),
          created,
          modified,
          properties: { 'docker.manifest.digest': digest, 'docker.repoName': name },
          ...(image.pulledAt !== undefined &&
            place === 0 && {
              stats: {
                downloads: downloadsOf(image),
                downloaded: new Date(image.pulledAt * 1000).toISOString(),
              },
            }),
        });
        for (const blob of blobs)
          items.push({
            repo,
            path,
            name: blob.digest.replace(':', '__'),
            size: blob.size,
            sha256: blob.digest.slice(7),
            created,
            modified,
          });
      }
      // Left behind by docker's uploads; no image.
      if (blobs[0])
        items.push({
          repo,
          path: `${name}/_uploads`,
          name: `${blobs[0].digest.slice(7, 27)}`,
          size: 7,
          created: '2026-01-01T00:00:00.000Z',
          modified: '2026-01-01T00:00:00.000Z',
        });
    }
    items.push({
      repo,
      path: '.jfrog',
      name: 'repository.catalog',
      size: 100,
      created: '2026-01-01T00:00:00.000Z',
      modified: '2026-01-01T00:00:00.000Z',
    });
  }
  return { items, contents };
}
