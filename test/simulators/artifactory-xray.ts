import type { ScanStatus, Severity } from '../../src/model.ts';
import { type createDocuments, keyOf, numberOf, type SimulatedKey, storageOf } from './artifactory-layout.ts';
import type { Estate, EstateImage } from './estate.ts';

/** What Xray knows of one manifest. */
export interface ScannedFile {
  readonly repo: string;
  /** `image/tag/manifest.json` */
  readonly path: string;
  readonly sha256: string;
  readonly image: EstateImage;
}

/** Every manifest of images and platforms in the repositories that Xray indexes. */
export function filesOf(
  estate: Estate,
  keys: readonly SimulatedKey[],
  documents: ReturnType<typeof createDocuments>,
): ScannedFile[] {
  return [...estate.repositories.values()].flatMap((repository) => {
    const key = keys.find((one) => one.key === keyOf(repository.name));
    if (!key?.xrayIndex) return [];
    const name = repository.name.slice(key.key.length + 1);
    return [...repository.images.values()].flatMap((image) => {
      if (image.kind !== 'image' && image.kind !== 'platform') return [];
      const { digest } = documents(repository, image);
      const untagged = key.type === 'REMOTE' ? digest.replace(':', '__') : digest;
      const folders = image.tags.length > 0 ? image.tags : [untagged];
      return folders.map((folder) => ({
        repo: storageOf(key),
        path: `${name}/${folder}/manifest.json`,
        sha256: digest.slice(7),
        image,
      }));
    });
  });
}

const words: Readonly<Record<Severity, string>> = {
  CRITICAL: 'critical',
  HIGH: 'high',
  MEDIUM: 'medium',
  LOW: 'low',
  NEGLIGIBLE: 'information',
  // Told by the total only.
  UNKNOWN: '',
};

/** A row of the list of scans: severities without issues are left out, the total is always there. */
export function rowOf({ repo, path, image }: ScannedFile): object {
  const counts = image.scan.counts as Readonly<Record<Severity, number>>;
  const issues = Object.fromEntries(
    (Object.keys(words) as Severity[]).flatMap((severity) =>
      words[severity] && counts[severity] > 0 ? [[words[severity], counts[severity]]] : [],
    ),
  );
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const [, name = '', tag = ''] = /^(.*)\/([^/]+)\/manifest\.json$/.exec(path) ?? [];
  return {
    name: `${name}:${tag}`,
    repo_path: `/${path}`,
    package_id: `docker://${name}`,
    version: tag,
    sec_issues: { ...issues, total },
    size: '1.13 MB',
    violations: 0,
    created: '2026-11-01T12:06:00+03:00',
    deployed_by: 'admin',
    repo_full_path: `${repo}/${path}`,
  };
}

/** Some Xray words stand for one status of ours: each is used. */
export function statusOf(image: EstateImage): string {
  const spellings: Readonly<Record<ScanStatus, readonly string[]>> = {
    complete: ['DONE', 'PARTIAL'],
    pending: ['PENDING', 'SCANNING'],
    failed: ['FAILED'],
    unsupported: ['NOT_SUPPORTED'],
    none: ['NOT_SCANNED'],
  };
  const all = spellings[image.scan.status];
  return all[numberOf(image.digest, all.length)] as string;
}

/** One entry of the artifact summary, each finding an issue of its own. */
export function summaryOf({ repo, path, sha256, image }: ScannedFile): object {
  const titles: Readonly<Record<Severity, string>> = {
    CRITICAL: 'Critical',
    HIGH: 'High',
    MEDIUM: 'Medium',
    LOW: 'Low',
    NEGLIGIBLE: 'Information',
    UNKNOWN: 'Unknown',
  };
  const { counts, fixable } = image.scan;
  return {
    general: { path: `default/${repo}/${path}`, pkg_type: 'Docker', sha256, component_id: path },
    issues: Object.entries(counts ?? {}).flatMap(([severity, count]) =>
      Array.from({ length: count }, (_, at) => ({
        issue_id: `XRAY-${severity}-${at}`,
        issue_type: 'security',
        severity: titles[severity as Severity],
        summary: 'A weakness',
        components: [
          {
            component_id: 'openssl:1.0',
            fixed_versions: at < (fixable?.[severity as Severity] ?? 0) ? ['[1.1]'] : [],
          },
        ],
      })),
    ),
    licenses: [],
  };
}

export interface SimulatedViolation {
  readonly watch: string;
  readonly severity: 'Critical' | 'High' | 'Medium' | 'Low' | 'Information' | 'Unknown';
}
/** In the order of the documentation: a least severity asks for itself and those before it. */
export const violationOrder = ['Critical', 'High', 'Medium', 'Low', 'Information', 'Unknown'] as const;
