import type { EstateRepository } from '../simulators/estate.ts';
import {
  contentFamilies,
  contentLines,
  line,
  lines,
  partsOf,
  type RepositoryTruth,
  repositoryTruth,
} from '../simulators/estate-truth.ts';
import { asStored } from '../simulators/harbor-wire.ts';
import type { HarborWorld } from '../simulators/harbor-world.ts';

/** Families that {@link harborTruth} covers. */
export const harborFamilies = [
  ...contentFamilies,
  'repository_last_pull_timestamp_seconds',
  'repository_pulls_total',
  'repository_findings',
  'repository_fixable_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'repository_signed_images',
  'quota_used',
  'quota_limit',
  'projects',
] as const;

const sum = (counts: Readonly<Record<string, number>> | undefined): number | undefined =>
  counts && Object.values(counts).reduce((total, one) => total + one, 0);

/** What is attached to an image and is neither a signature nor an SBOM is `subject.accessory`, whatever it is. */
function asHarborKnows(repository: EstateRepository): EstateRepository {
  const images = [...asStored(repository).images].map(
    ([digest, image]) =>
      [
        digest,
        image.kind === 'attestation' && image.subject !== undefined
          ? { ...image, kind: 'other' as const }
          : image,
      ] as const,
  );
  return { ...repository, images: new Map(images) };
}

/** Of an index the most that one of its platforms has. */
function fixableOf({ newest: [first] }: RepositoryTruth, repository: EstateRepository): number | undefined {
  const scanned = first ? partsOf(repository, first) : [];
  const totals = scanned.flatMap(({ scan }) => sum(scan.fixable) ?? []);
  return totals.length > 0 ? Math.max(...totals) : undefined;
}

function repositoryLines(given: EstateRepository): string[] {
  const repository = asHarborKnows(given);
  const truth = repositoryTruth(repository);
  const labels = { repository: repository.name };
  const some = truth.tagged + truth.untagged > 0;
  return [
    ...contentLines(labels, truth),
    ...line('repository_last_pull_timestamp_seconds', labels, truth.lastPullAt),
    ...line('repository_pulls_total', labels, repository.pulls),
    ...lines('repository_findings', labels, 'severity', truth.findings),
    ...(truth.findings
      ? line('repository_fixable_findings', { ...labels, severity: '' }, fixableOf(truth, repository))
      : []),
    ...lines('repository_vulnerable_images', labels, 'severity', truth.vulnerable),
    ...(some ? lines('repository_image_scans', labels, 'status', truth.scans) : []),
    ...line('repository_signed_images', labels, truth.signed),
  ];
}

/** The samples that a world has to lead to, as `RunningLoop.lines` gives them. */
export function harborTruth({ estate, projects, volume }: HarborWorld): string[] {
  const all = [...estate.repositories.values()];
  return [
    ...line('repositories', {}, all.length),
    ...all.flatMap(repositoryLines),
    ...projects.flatMap(({ name: project, hard, used }) => [
      ...line('quota_used', { quota: 'storage', project }, used),
      ...line('quota_limit', { quota: 'storage', project }, hard < 0 ? undefined : hard),
    ]),
    ...line('quota_used', { quota: 'volume', project: '' }, volume.total - volume.free),
    ...line('quota_limit', { quota: 'volume', project: '' }, volume.total),
    ...line('projects', { visibility: 'public' }, projects.filter((one) => one.public).length),
    ...line('projects', { visibility: 'private' }, projects.filter((one) => !one.public).length),
  ];
}
