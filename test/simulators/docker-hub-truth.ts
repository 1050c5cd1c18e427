import type { DockerHubSimulator } from './docker-hub.ts';
import { extrasOf, hubName, visible } from './docker-hub-estate.ts';
import type { EstateRepository } from './estate.ts';
import {
  contentFamilies,
  contentLines,
  imageFamilies,
  imageLines,
  line,
  lines,
  repositoryTruth,
} from './estate-truth.ts';

/** Families that {@link dockerHubTruth} covers. */
export const truthFamilies = [
  ...contentFamilies,
  ...imageFamilies,
  'storage_bytes',
  'project_repositories',
  'pull_limit',
  'pull_remaining',
  'pull_limit_window_seconds',
  'repository_last_pull_timestamp_seconds',
  'repository_pulls_total',
  'repository_stars',
  'repository_signed_images',
  'repository_practice',
  'image_signed',
] as const;

function repositoryLines(namespace: string, whole: EstateRepository): string[] {
  const repository = visible(whole);
  const truth = repositoryTruth(repository);
  const { isPrivate, stars, immutableTags } = extrasOf(whole);
  const label = { repository: `${namespace}/${hubName(whole.name)}` };
  const images = [...repository.images.values()];
  const isSigned = (digest: string) =>
    images.some(({ kind, subject }) => kind === 'signature' && subject === digest);
  return [
    ...contentLines(label, truth, {}),
    ...line('repository_last_pull_timestamp_seconds', label, truth.lastPullAt),
    ...line('repository_pulls_total', label, whole.pulls),
    ...line('repository_stars', label, stars),
    // Who has no signature by cosign may be signed all the same.
    ...line('repository_signed_images', label, truth.signed === truth.tagged ? truth.signed : undefined),
    ...lines('repository_practice', label, 'practice', {
      immutable_tags: Number(immutableTags),
      private: Number(isPrivate),
      no_anonymous_pull: Number(isPrivate),
      no_latest_tag: Number(!images.some(({ tags }) => tags.includes('latest'))),
    }),
    ...imageLines(label, repository, truth, (own, { digest }) =>
      line('image_signed', own, isSigned(digest) ? 1 : undefined),
    ),
  ];
}

/** The samples that an estate on Docker Hub has to lead to, as `RunningLoop.lines` gives them. */
export function dockerHubTruth({ estate, namespace, pulls }: DockerHubSimulator): string[] {
  const all = [...estate.repositories.values()];
  const { source } = pulls;
  return [
    ...line('repositories', {}, all.length),
    ...line(
      'storage_bytes',
      {},
      all.reduce((sum, one) => sum + extrasOf(one).storageBytes, 0),
    ),
    ...line('project_repositories', { project: namespace }, all.length),
    ...line('pull_limit', { source }, pulls.limit),
    ...line('pull_remaining', { source }, pulls.remaining),
    ...line('pull_limit_window_seconds', { source }, pulls.windowSeconds),
    ...all.flatMap((repository) => repositoryLines(namespace, repository)),
  ];
}
