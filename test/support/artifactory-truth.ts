import type { ArtifactorySimulator } from '../simulators/artifactory.ts';
import { downloadsOf, keyOf } from '../simulators/artifactory-layout.ts';
import type { Estate, EstateImage, EstateRepository } from '../simulators/estate.ts';
import {
  contentFamilies,
  contentLines,
  imageFamilies,
  imageLines,
  line,
  lines,
  partsOf,
  repositoryTruth,
} from '../simulators/estate-truth.ts';

/** Families that {@link artifactoryTruth} covers. */
export const truthFamilies = [
  ...contentFamilies,
  ...imageFamilies,
  'project_repositories',
  'repository_last_pull_timestamp_seconds',
  'repository_pulls_total',
  'repository_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'repository_signed_images',
  'image_findings',
  'image_signed',
] as const;

/** The samples that a platform has to lead to, as `RunningLoop.lines` gives them. */
export function artifactoryTruth(estate: Estate, simulator: ArtifactorySimulator): string[] {
  // An image without a manifest is an empty folder: there is none.
  const held = [...estate.repositories.values()].filter(({ images }) => images.size > 0).map(simulator.truth);
  const out = [`repositories{} ${held.length}`];
  for (const { key, type, packageType } of simulator.keys) {
    if (type === 'VIRTUAL' || packageType === 'Maven') continue;
    const count = held.filter(({ name }) => keyOf(name) === key).length;
    out.push(...line('project_repositories', { project: key }, count));
  }
  for (const repository of held) {
    const labels = { repository: repository.name };
    const truth = repositoryTruth(repository);
    const all = [...repository.images.values()];
    const anyScan = truth.tagged + truth.untagged > 0;
    out.push(
      ...contentLines(labels, truth),
      ...line('repository_last_pull_timestamp_seconds', labels, truth.lastPullAt),
      ...line(
        'repository_pulls_total',
        labels,
        all
          .filter(({ kind }) => kind === 'image' || kind === 'platform')
          .reduce((sum, image) => sum + downloadsOf(image), 0),
      ),
      ...lines('repository_findings', labels, 'severity', truth.findings),
      ...lines('repository_vulnerable_images', labels, 'severity', truth.vulnerable),
      ...(anyScan ? lines('repository_image_scans', labels, 'status', truth.scans) : []),
      ...line('repository_signed_images', labels, truth.signed),
    );
    const signatures = new Set(
      all.filter(({ kind }) => kind === 'signature').map(({ subject }) => subject as string),
    );
    out.push(
      ...imageLines(labels, repository, truth, (own, image) => [
        ...lines('image_findings', own, 'severity', findingsOf(repository, image)),
        ...line('image_signed', own, Number(signatures.has(image.digest))),
      ]),
    );
  }
  return out;
}

/** Of the image with its platforms, alone. */
function findingsOf(repository: EstateRepository, image: EstateImage) {
  const alone = [image, ...partsOf(repository, image)].map((one) => [one.digest, one] as const);
  return repositoryTruth({ ...repository, images: new Map(alone) }).findings;
}
