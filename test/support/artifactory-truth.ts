import type { ArtifactorySimulator } from '../simulators/artifactory.ts';
import { downloadsOf, keyOf } from '../simulators/artifactory-layout.ts';
import type { Estate } from '../simulators/estate.ts';
import { line, lines, repositoryTruth } from '../simulators/estate-truth.ts';

/** Families that {@link artifactoryTruth} covers. */
export const truthFamilies = [
  'repositories',
  'project_repositories',
  'repository_images',
  'repository_tags',
  'repository_artifacts',
  'repository_size_bytes',
  'repository_last_push_timestamp_seconds',
  'repository_last_pull_timestamp_seconds',
  'repository_pulls_total',
  'repository_findings',
  'repository_vulnerable_images',
  'repository_image_scans',
  'repository_signed_images',
  'image_size_bytes',
  'image_pushed_timestamp_seconds',
  'image_findings',
  'image_signed',
] as const;

const perRepository = 3;

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
      ...lines('repository_images', labels, 'state', { tagged: truth.tagged, untagged: truth.untagged }),
      ...line('repository_tags', labels, truth.tags),
      ...lines('repository_artifacts', labels, 'kind', truth.artifacts),
      ...line('repository_size_bytes', labels, truth.sizeBytes),
      ...line('repository_last_push_timestamp_seconds', labels, truth.lastPushAt),
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
    for (const image of truth.newest.slice(0, perRepository)) {
      const platforms = (image.platforms ?? [image.digest]).flatMap(
        (one) => repository.images.get(one) ?? [],
      );
      for (const tag of image.tags) {
        const named = { ...labels, tag, digest: image.digest };
        const counts = repositoryTruth({ ...repository, images: only(repository.images, image) }).findings;
        out.push(
          ...line(
            'image_size_bytes',
            named,
            platforms.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
          ),
          ...line('image_pushed_timestamp_seconds', named, image.pushedAt),
          ...lines('image_findings', named, 'severity', counts),
          ...line('image_signed', named, Number(signatures.has(image.digest))),
        );
      }
    }
  }
  return out;
}

/** The image with its platforms, alone. */
function only<T extends { readonly digest: string; readonly platforms?: readonly string[] }>(
  images: ReadonlyMap<string, T>,
  image: T,
): Map<string, T> {
  const kept = [image.digest, ...(image.platforms ?? [])];
  return new Map([...images].filter(([digest]) => kept.includes(digest)));
}
