import { type ScanStatus, type Severity, severities } from '../../src/model.ts';
import type { EcrSimulator } from './ecr.ts';
import { settingsOf } from './ecr-actions.ts';
import { inUseOf } from './ecr-wire.ts';
import type { EstateImage, EstateRepository } from './estate.ts';
import {
  boundedImages,
  contentFamilies,
  contentLines,
  imageFamilies,
  imageLines,
  line,
  lines,
  partsOf,
  repositoryTruth,
} from './estate-truth.ts';

/** What has to be exposed of a simulated ECR, counted from its population alone. */
export const truthFamilies: readonly string[] = [
  ...contentFamilies,
  ...imageFamilies,
  'quota_used',
  'quota_limit',
  'repository_archived_size_bytes',
  'repository_last_pull_timestamp_seconds',
  'repository_findings',
  'repository_fixable_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'repository_signed_images',
  'repository_practice',
  'image_findings',
  'image_fixable_findings',
  'image_scanned_timestamp_seconds',
  'image_signed',
  'image_in_use',
];

type Counts = Partial<Record<Severity, number>>;

interface Seen {
  readonly status: ScanStatus | undefined;
  readonly at: number | undefined;
  readonly counts: Counts | undefined;
  readonly fixable: Counts | undefined;
}

const nothing: Seen = { status: undefined, at: undefined, counts: undefined, fixable: undefined };

/** What the exporter can know of the scan of one manifest. */
function seenOf({ mode, threeSeverities }: EcrSimulator, image: EstateImage, bounded: boolean): Seen {
  const { scan } = image;
  if (mode === 'native' && !bounded) return nothing;
  const known: Seen = { status: scan.status, at: scan.at, counts: scan.counts, fixable: undefined };
  if (mode !== 'enhanced' || !scan.counts) return known;
  const { CRITICAL, HIGH, MEDIUM, LOW, NEGLIGIBLE, UNKNOWN } = scan.counts;
  // Where there are no others, all of them are known.
  const others = LOW + NEGLIGIBLE + UNKNOWN > 0;
  if (!bounded) return threeSeverities && others ? { ...known, counts: { CRITICAL, HIGH, MEDIUM } } : known;
  return { ...known, fixable: scan.fixable };
}

const worst: readonly ScanStatus[] = ['failed', 'pending', 'none', 'unsupported', 'complete'];

function maximum(all: readonly (Counts | undefined)[]): Counts | undefined {
  const known = all.filter((counts) => counts !== undefined);
  if (known.length === 0) return undefined;
  const result: Counts = {};
  for (const severity of severities) {
    const values = known.flatMap((counts) => counts[severity] ?? []);
    if (values.length > 0) result[severity] = Math.max(...values);
  }
  return result;
}

/** An image as one sees it, an index by its platforms. */
function effective(
  simulator: EcrSimulator,
  repository: EstateRepository,
  image: EstateImage,
  boundedParts: Set<string>,
) {
  const parts = partsOf(repository, image);
  const seen = parts.map((part) => seenOf(simulator, part, boundedParts.has(part.digest)));
  const times = seen.flatMap(({ at }) => at ?? []);
  return {
    counts: maximum(seen.map(({ counts }) => counts)),
    fixable: maximum(seen.map(({ fixable }) => fixable)),
    status: seen.some(({ status }) => status === undefined)
      ? undefined
      : worst.find((one) => seen.some(({ status }) => status === one)),
    at: times.length > 0 ? Math.max(...times) : undefined,
    inUse: parts.filter(isCovered).reduce((sum, part) => sum + inUseOf(repository, part), 0),
    /** Whether Inspector covers a part of it. */
    covered: parts.some((part) => isCovered(part)),
  };
}

/** Inspector lists every image but one kind of those that were never scanned, see the simulator. */
const isCovered = (image: EstateImage): boolean =>
  image.scan.status !== 'none' || Number.parseInt(image.digest.slice(7, 13), 16) % 4 !== 0;

function practicesOf(simulator: EcrSimulator, name: string): Record<string, number> {
  const { imageTagMutability, encryptionType, scanOnPush } = settingsOf(name);
  const byRule = simulator.scanRules.some((rule) => name.includes(rule));
  const scans = simulator.mode === 'enhanced' ? byRule : byRule || scanOnPush;
  return {
    scan_on_push: Number(scans),
    immutable_tags: Number(imageTagMutability === 'IMMUTABLE'),
    customer_managed_key: Number(encryptionType !== 'AES256'),
  };
}

function repositoryLines(simulator: EcrSimulator, repository: EstateRepository): string[] {
  const truth = repositoryTruth(repository);
  const labels = { repository: repository.name };
  const all = [...repository.images.values()];
  const bounded = boundedImages(truth);
  const boundedParts = new Set(bounded.flatMap(({ digest, platforms }) => platforms ?? [digest]));
  const images = all.filter(({ kind, archived }) => !archived && (kind === 'image' || kind === 'index'));
  const of = (image: EstateImage) => effective(simulator, repository, image, boundedParts);

  const scans: Record<ScanStatus, number> = { complete: 0, pending: 0, failed: 0, unsupported: 0, none: 0 };
  for (const image of images) {
    const { status } = of(image);
    if (status) scans[status] += 1;
  }
  const known = images.flatMap((image) => of(image).counts ?? []);
  const vulnerable: Counts = {};
  for (const severity of severities)
    if (known.length > 0 && known.every((counts) => counts[severity] !== undefined))
      vulnerable[severity] = known.filter((counts) => (counts[severity] ?? 0) > 0).length;
  const archivedIndex = all.some(({ kind, archived }) => archived && kind === 'index');
  const [newest] = bounded;
  const first = newest && of(newest);
  const signed = new Set(
    all.flatMap(({ kind, subject }) => (kind === 'signature' && subject ? [subject] : [])),
  );

  return [
    ...contentLines(labels, truth, {
      untagged: truth.untagged,
      // What is archived cannot be read: which of them an archived index lists is unknown.
      ...(truth.archived > 0 && !archivedIndex && { archived: truth.archived }),
    }),
    ...(truth.archived > 0 ? line('repository_archived_size_bytes', labels, truth.archivedBytes) : []),
    ...line('repository_last_pull_timestamp_seconds', labels, truth.lastPullAt),
    ...lines('repository_findings', labels, 'severity', first?.counts),
    ...lines('repository_fixable_findings', labels, 'severity', first?.fixable),
    ...lines('repository_vulnerable_images', labels, 'severity', vulnerable),
    ...(Object.values(scans).some((count) => count > 0)
      ? lines('repository_image_scans', labels, 'status', scans)
      : []),
    ...line('repository_signed_images', labels, truth.signed),
    ...lines('repository_practice', labels, 'practice', practicesOf(simulator, repository.name)),
    ...imageLines(labels, repository, truth, (own, image) => {
      const { counts, fixable, at, inUse, covered } = of(image);
      return [
        ...lines('image_findings', own, 'severity', counts),
        ...lines('image_fixable_findings', own, 'severity', fixable),
        ...line('image_scanned_timestamp_seconds', own, at),
        ...line('image_signed', own, Number(signed.has(image.digest))),
        ...(simulator.mode === 'enhanced' && covered
          ? line('image_in_use', { ...own, source: 'scanner' }, inUse)
          : []),
      ];
    }),
  ];
}

export function ecrTruth(simulator: EcrSimulator): string[] {
  const repositories = [...simulator.estate.repositories.values()];
  const fullest = Math.max(0, ...repositories.map(({ images }) => images.size));
  const quota = (family: string, name: string, value: number | undefined) =>
    line(family, { quota: name, project: '' }, value);
  return [
    ...line('repositories', {}, repositories.length),
    ...quota('quota_used', 'repositories', repositories.length),
    ...quota('quota_used', 'images_per_repository', fullest),
    ...quota('quota_limit', 'repositories', simulator.quotas.get('L-CFEB8E8D')),
    ...quota('quota_limit', 'images_per_repository', simulator.quotas.get('L-03A36CE1')),
    ...repositories.flatMap((repository) => repositoryLines(simulator, repository)),
  ];
}
