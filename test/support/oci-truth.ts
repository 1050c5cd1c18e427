import { truthOf } from '../simulators/oci-population.ts';
import type { Store } from '../simulators/oci-store.ts';

/** Families that {@link ociTruth} covers. */
export const truthFamilies = [
  'repositories',
  'repository_images',
  'repository_tags',
  'repository_artifacts',
  'repository_size_bytes',
  'repository_signed_images',
  'repository_findings',
] as const;

/** The samples that a store has to lead to, as `RunningLoop.lines` gives them. */
export function ociTruth(store: Store): string[] {
  return [
    `repositories{} ${store.repositories.size}`,
    ...[...store.repositories.keys()].flatMap((repository) => {
      const truth = truthOf(store, repository);
      const label = `repository="${repository}"`;
      return [
        `repository_images{${label},state="tagged"} ${truth.tagged}`,
        `repository_tags{${label}} ${truth.tags}`,
        `repository_size_bytes{${label}} ${truth.sizeBytes}`,
        `repository_signed_images{${label}} ${truth.signedImages}`,
        ...Object.entries(truth.artifacts).map(
          ([kind, count]) => `repository_artifacts{${label},kind="${kind}"} ${count}`,
        ),
        ...Object.entries(truth.findings ?? {}).map(
          ([severity, count]) => `repository_findings{${label},severity="${severity}"} ${count}`,
        ),
      ];
    }),
  ];
}
