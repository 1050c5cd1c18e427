import type { ImageTotals, RepositoryTotals, Severity, SeverityCounts, SourceUse } from '../model.ts';
import { severities } from '../model.ts';
import { type ImagesInUse, prefix, type RepositoryMetric, type RepositoryView } from './row.ts';

/** An image that runs, with all the tags that it is shown under. */
interface Present {
  readonly image: ImageTotals;
  readonly tags: readonly string[];
  containers: number;
}

/** The images that digests of containers lead to. */
function byRunningDigest({ images }: Pick<RepositoryTotals, 'images'>) {
  const byImage = new Map<string, { image: ImageTotals; tags: string[] }>();
  for (const image of images) {
    if (!image.runs) continue;
    const entry = byImage.get(image.digest);
    if (entry) entry.tags.push(image.tag);
    else byImage.set(image.digest, { image, tags: [image.tag] });
  }
  const byDigest = new Map<string, { readonly image: ImageTotals; readonly tags: readonly string[] }>();
  for (const entry of byImage.values())
    for (const digest of entry.image.runs ?? []) byDigest.set(digest, entry);
  return byDigest;
}

/** How many images satisfy a condition; undefined where it is known of none. */
function countKnown(
  images: readonly Present[],
  of: (image: ImageTotals) => boolean | undefined,
): number | undefined {
  let count: number | undefined;
  for (const { image } of images) {
    const is = of(image);
    if (is !== undefined) count = (count ?? 0) + Number(is);
  }
  return count;
}

function bySeverity(
  images: readonly Present[],
  counts: (image: ImageTotals) => SeverityCounts | undefined,
): SeverityCounts | undefined {
  const numbers: Partial<Record<Severity, number>> = {};
  for (const severity of severities) {
    const number = countKnown(images, (image) => {
      const count = counts(image)?.[severity];
      return count === undefined ? undefined : count > 0;
    });
    if (number !== undefined) numbers[severity] = number;
  }
  return Object.keys(numbers).length > 0 ? numbers : undefined;
}

const isUnscanned = ({ scanStatus }: ImageTotals): boolean | undefined =>
  scanStatus === undefined || scanStatus === 'unsupported' ? undefined : scanStatus !== 'complete';

/** The oldest known time; undefined where none is known. */
function oldestOf(images: readonly Present[]): number | undefined {
  let oldest: number | undefined;
  for (const { image } of images)
    if (image.pushedAt !== undefined && (oldest === undefined || image.pushedAt < oldest))
      oldest = image.pushedAt;
  return oldest;
}

/**
 * Joins what runs of a repository with what the registry shows of it.
 * @param totals undefined where there are none that are fresh
 * @param isGone whether a complete listing no longer has the repository
 */
export function imagesInUse(
  uses: readonly SourceUse[],
  totals: RepositoryTotals | undefined,
  isGone: boolean,
): readonly ImagesInUse[] {
  const byDigest = byRunningDigest(totals ?? { images: [] });
  const absent = new Set(totals?.running?.missing);
  return uses.map(({ source, images, places }) => {
    const present = new Map<string, Present>();
    let [missing, unclear, latest] = [0, 0, 0];
    for (const { digest, containers, latest: ofLatest } of images) {
      const shown = byDigest.get(digest);
      if (ofLatest > 0) latest += 1;
      if (!shown) {
        if (isGone || absent.has(digest)) missing += 1;
        else unclear += 1;
        continue;
      }
      const before = present.get(shown.image.digest);
      present.set(shown.image.digest, { ...shown, containers: (before?.containers ?? 0) + containers });
    }
    const all = [...present.values()];
    return {
      ...{ source, missing, unclear, latest, places },
      present: all.length,
      vulnerable: bySeverity(all, ({ findings }) => findings?.counts),
      fixable: bySeverity(all, ({ findings }) => findings?.fixable),
      unscanned: countKnown(all, isUnscanned),
      unsigned: countKnown(all, ({ signed }) => (signed === undefined ? undefined : !signed)),
      stale: countKnown(all, ({ stale }) => stale),
      oldestPushedAt: oldestOf(all),
      images: all.flatMap(({ image, tags, containers }) =>
        tags.map((tag) => ({ tag, digest: image.digest, containers })),
      ),
    };
  });
}

type Emit = Parameters<RepositoryMetric['samples']>[1];

/** A row about the images of a repository that run; the label `source` comes first. */
const row = (
  name: string,
  help: string,
  labels: readonly string[],
  samples: (use: ImagesInUse, emit: (value: number | undefined, ...labels: string[]) => void) => void,
): RepositoryMetric => ({
  name: `${prefix}_repository_in_use_${name}`,
  help,
  type: 'gauge',
  scope: 'repository',
  labels: ['source', ...labels],
  samples({ inUse }: RepositoryView, emit: Emit) {
    for (const use of inUse ?? []) samples(use, (value, ...values) => emit(value, use.source, ...values));
  },
});

const emitCounts = (
  counts: SeverityCounts | undefined,
  emit: (value: number | undefined, label: string) => void,
) => {
  for (const severity of severities) emit(counts?.[severity], severity);
};

/** Rows of what runs, in the order of exposition. */
export const inUseMetrics: readonly RepositoryMetric[] = [
  row(
    'images',
    'Images of the repository that run, by whether the registry has them: `present`, `missing` (a complete listing does not show them, so that the next node which pulls them fails) or `unknown`.',
    ['state'],
    ({ present, missing, unclear }, emit) => {
      emit(present, 'present');
      emit(missing, 'missing');
      emit(unclear, 'unknown');
    },
  ),
  row(
    'vulnerable_images',
    'Images that run and have at least one finding of the severity.',
    ['severity'],
    ({ vulnerable }, emit) => emitCounts(vulnerable, emit),
  ),
  row(
    'fixable_images',
    'Images that run and have at least one finding of the severity that has a fixed version.',
    ['severity'],
    ({ fixable }, emit) => emitCounts(fixable, emit),
  ),
  row(
    'unscanned_images',
    "Images that run and whose scan by the registry did not complete; absent where the registry's scanner tells of none of them.",
    [],
    ({ unscanned }, emit) => emit(unscanned),
  ),
  row(
    'unsigned_images',
    'Images that run and have no signature; absent where that is known of none of them.',
    [],
    ({ unsigned }, emit) => emit(unsigned),
  ),
  row(
    'stale_images',
    'Images that run and that the configured retention expectation would remove.',
    [],
    ({ stale }, emit) => emit(stale),
  ),
  row(
    'latest_tag_images',
    'Images that run under the tag `latest`, named or meant.',
    [],
    ({ latest }, emit) => emit(latest),
  ),
  row(
    'oldest_push_timestamp_seconds',
    'When the oldest image that runs was pushed; its creation time where the registry has no push times.',
    [],
    ({ oldestPushedAt }, emit) => emit(oldestPushedAt),
  ),
  row(
    'containers',
    'Containers that run images of the repository, by cluster, namespace and workload, as far as the source tells of them; those beyond the 20 largest places together under empty names.',
    ['workload_cluster', 'workload_namespace', 'workload'],
    ({ places }, emit) => {
      for (const { cluster, namespace, workload, containers } of places)
        emit(containers, cluster, namespace, workload);
    },
  ),
];
