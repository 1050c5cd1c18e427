import { type Kind, type ScanStatus, type Severity, severities } from '../../src/model.ts';
import type { EstateImage, EstateRepository } from './estate.ts';

/**
 * What has to be exposed of a repository, counted in the plainest way. A vendor that does not show something leaves
 * the line out; one that shows it differently gives its own images.
 */
export interface RepositoryTruth {
  readonly tagged: number;
  readonly untagged: number;
  readonly archived: number;
  readonly tags: number;
  readonly artifacts: Readonly<Partial<Record<Kind, number>>>;
  readonly sizeBytes: number;
  readonly archivedBytes: number;
  readonly lastPushAt: number | undefined;
  readonly lastPullAt: number | undefined;
  /** Of the newest tagged image; undefined when it was not scanned completely. */
  readonly findings: Readonly<Partial<Record<Severity, number>>> | undefined;
  readonly fixable: Readonly<Partial<Record<Severity, number>>> | undefined;
  /** Undefined while no image was scanned completely. */
  readonly vulnerable: Readonly<Partial<Record<Severity, number>>> | undefined;
  readonly scans: Readonly<Record<ScanStatus, number>>;
  readonly signed: number;
  /** Tagged images, newest first; by digest where two were pushed in the same second. */
  readonly newest: readonly EstateImage[];
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
const latest = (times: readonly (number | undefined)[]): number | undefined => {
  const known = times.filter((time) => time !== undefined);
  return known.length > 0 ? Math.max(...known) : undefined;
};
const worst: readonly ScanStatus[] = ['failed', 'pending', 'none', 'unsupported', 'complete'];

export function repositoryTruth(repository: EstateRepository): RepositoryTruth {
  const all = [...repository.images.values()];
  const active = all.filter(({ archived }) => !archived);
  const isImage = ({ kind }: EstateImage) => kind === 'image' || kind === 'index';
  // What is attached to an image is pushed and pulled by those who sign and verify.
  const isPrimary = ({ kind }: EstateImage) => !['signature', 'sbom', 'attestation'].includes(kind);
  const isSized = ({ kind }: EstateImage) => kind === 'image' || kind === 'platform';
  const images = active.filter(isImage);
  const tagged = images
    .filter(({ tags }) => tags.length > 0)
    .sort((a, b) => b.pushedAt - a.pushedAt || (a.digest < b.digest ? -1 : 1));
  const scanned = (image: EstateImage): EstateImage[] =>
    image.platforms ? image.platforms.flatMap((digest) => repository.images.get(digest) ?? []) : [image];
  const maximum = (image: EstateImage, which: 'counts' | 'fixable') => {
    const known = scanned(image).flatMap(({ scan }) => scan[which] ?? []);
    if (known.length === 0) return undefined;
    return Object.fromEntries(
      severities.map((severity) => [severity, Math.max(...known.map((counts) => counts[severity]))]),
    ) as Record<Severity, number>;
  };
  const artifacts: Partial<Record<Kind, number>> = {};
  for (const image of active.filter((one) => !isImage(one)))
    artifacts[image.kind] = (artifacts[image.kind] ?? 0) + 1;
  const scans: Record<ScanStatus, number> = { complete: 0, pending: 0, failed: 0, unsupported: 0, none: 0 };
  for (const image of images) {
    const status = worst.find((one) => scanned(image).some(({ scan }) => scan.status === one));
    if (status) scans[status] += 1;
  }
  const known = images.map((image) => maximum(image, 'counts')).filter((counts) => counts !== undefined);
  const [first] = tagged;
  return {
    tagged: tagged.length,
    untagged: images.length - tagged.length,
    archived: all.filter((image) => image.archived && isImage(image)).length,
    tags: sum(all.map(({ tags }) => tags.length)),
    artifacts,
    sizeBytes: sum(active.filter(isSized).map(({ sizeBytes }) => sizeBytes)),
    archivedBytes: sum(all.filter((one) => one.archived && isSized(one)).map(({ sizeBytes }) => sizeBytes)),
    lastPushAt: latest(all.filter(isPrimary).map(({ pushedAt }) => pushedAt)),
    lastPullAt: latest(all.filter(isPrimary).map(({ pulledAt }) => pulledAt)),
    findings: first && maximum(first, 'counts'),
    fixable: first && maximum(first, 'fixable'),
    vulnerable:
      known.length === 0
        ? undefined
        : (Object.fromEntries(
            severities.map((severity) => [severity, known.filter((counts) => counts[severity] > 0).length]),
          ) as Record<Severity, number>),
    scans,
    signed: images.filter((image) =>
      active.some(({ kind, subject }) => kind === 'signature' && subject === image.digest),
    ).length,
    newest: tagged,
  };
}

/** A sample as `RunningLoop.lines` gives it; none for what is unknown. */
export function line(
  family: string,
  labels: Readonly<Record<string, string>>,
  value: number | undefined,
): string[] {
  if (value === undefined) return [];
  const text = Object.entries(labels).map(([name, label]) => `${name}="${label}"`);
  return [`${family}{${text.join(',')}} ${value}`];
}

/** Samples of a family with one more label, such as `severity`, from a record. */
export const lines = (
  family: string,
  labels: Readonly<Record<string, string>>,
  label: string,
  values: Readonly<Partial<Record<string, number>>> | undefined,
): string[] =>
  Object.entries(values ?? {}).flatMap(([key, value]) => line(family, { ...labels, [label]: key }, value));

/** Families of {@link contentLines} and of the registry's own count: what every vendor tells. */
export const contentFamilies = [
  'repositories',
  'repository_images',
  'repository_tags',
  'repository_artifacts',
  'repository_size_bytes',
  'repository_last_push_timestamp_seconds',
] as const;

/** What every vendor tells of a repository's contents; `untagged` and `archived` where it lists such images. */
export const contentLines = (
  labels: Readonly<Record<string, string>>,
  truth: RepositoryTruth,
  states: { readonly untagged?: number; readonly archived?: number } = { untagged: truth.untagged },
): string[] => [
  ...lines('repository_images', labels, 'state', { tagged: truth.tagged, ...states }),
  ...line('repository_tags', labels, truth.tags),
  ...lines('repository_artifacts', labels, 'kind', truth.artifacts),
  ...line('repository_size_bytes', labels, truth.sizeBytes),
  ...line('repository_last_push_timestamp_seconds', labels, truth.lastPushAt),
];

/** Families of {@link imageLines}. */
export const imageFamilies = ['image_size_bytes', 'image_pushed_timestamp_seconds'] as const;

/** So many of the newest images are exported one by one, unless the configuration says otherwise. */
const perRepository = 3;

/** The manifests that an image is made of: the platforms of an index, or the image itself. */
export const partsOf = ({ images }: EstateRepository, image: EstateImage): EstateImage[] =>
  image.platforms ? image.platforms.flatMap((digest) => images.get(digest) ?? []) : [image];

/** The images that are exported one by one. */
export const boundedImages = ({ newest }: RepositoryTruth): readonly EstateImage[] =>
  newest.slice(0, perRepository);

/** What every vendor tells of the images that are exported one by one, and what `more` adds to it, tag by tag. */
export const imageLines = (
  labels: Readonly<Record<string, string>>,
  repository: EstateRepository,
  truth: RepositoryTruth,
  more: (own: Readonly<Record<string, string>>, image: EstateImage) => readonly string[],
): string[] =>
  boundedImages(truth).flatMap((image) =>
    image.tags.flatMap((tag) => {
      const own = { ...labels, tag, digest: image.digest };
      const sizeBytes = sum(partsOf(repository, image).map((part) => part.sizeBytes));
      return [
        ...line('image_size_bytes', own, sizeBytes),
        ...line('image_pushed_timestamp_seconds', own, image.pushedAt),
        ...more(own, image),
      ];
    }),
  );
