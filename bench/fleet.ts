import { createHash } from 'node:crypto';
import { pushFailureReasons } from '../src/events/told.ts';
import type { ImagesInUse, PushCounts, RegistryView } from '../src/metrics/row.ts';
import { imagesInUse } from '../src/metrics.ts';
import type { ImageTotals, RepositoryTotals } from '../src/model.ts';

/**
 * A large fleet: 30 registries of all seven providers with so many repositories in all (the first argument, 100,000 by
 * default), and three times as many images in the bounded set. With `--ecr` all of them are ECR's, which is the worst
 * case of the rules that record names of ECR exporters.
 */
export const repositories = Number(process.argv[2] ?? 100_000);
export const registries = 30;
export const hour = 3600;
const providers = ['ecr', 'artifact_registry', 'acr', 'docker_hub', 'harbor', 'artifactory', 'oci'] as const;
export const providerOf = (registry: number): string =>
  process.argv.includes('--ecr') ? 'ecr' : (providers[registry % providers.length] ?? 'oci');
export const now = Math.floor(1_795_000_000 / hour) * hour;

const counts = (seed: number) => ({
  // One image of a hundred has critical findings, half of them high ones.
  CRITICAL: seed % 100 === 0 ? 1 + (seed % 7) : 0,
  HIGH: seed % 2 === 0 ? seed % 90 : 0,
  MEDIUM: seed % 200,
  LOW: seed % 300,
  NEGLIGIBLE: seed % 50,
  UNKNOWN: 0,
});

function imagesOf(seed: number): ImageTotals[] {
  return [0, 1, 2].map((age) => ({
    tag: `v1.${seed % 50}.${9 - age}`,
    digest: `sha256:${createHash('sha256').update(`${seed} ${age}`).digest('hex')}`,
    sizeBytes: seed * 1000,
    pushedAt: now - seed,
    scannedAt: now - seed,
    signed: seed % 5 > 0,
    inUse: seed % 4,
    findings: { counts: counts(seed + age), fixable: counts(seed + age) },
  }));
}

export const totalsOf = (seed: number): RepositoryTotals => ({
  repository: `team-${seed % 100}/service-${seed}`,
  tagged: 20 + (seed % 50),
  untagged: seed % 7,
  tags: 30,
  artifacts: { signature: 5, sbom: 2, attestation: 1 },
  sizeBytes: (1 + (seed % 1000)) * 2 ** 24,
  reclaimableBytes: seed * 1000,
  staleImages: seed % 20,
  lastPushAt: now - seed,
  lastPullAt: now - seed,
  pulls: seed * 10,
  findings: { counts: counts(seed), fixable: counts(seed) },
  vulnerableImages: counts(seed),
  // More than 30 days old in one repository of fifty.
  lastScanAt: now - (seed % 50 === 0 ? 31 : 1) * 24 * hour,
  scans: { complete: 20, pending: 0, failed: 0, unsupported: 0, none: 1 },
  signedImages: 15,
  practices: {
    scan_on_push: true,
    immutable_tags: seed % 2 === 0,
    retention_policy: true,
    private: true,
    customer_managed_key: seed % 3 === 0,
  },
  images: imagesOf(seed),
});

/** Of 10,000 series that begin at 0, those of a registry. */
const zeroRepositories = 10_000 / registries / (1 + pushFailureReasons.length);
/** What is counted of pushes: one repository of a hundred had a failed one. */
export const pushesOf = (seed: number): PushCounts => ({
  pushes: seed % 100,
  failures: {
    ...(Math.floor(seed / registries) < zeroRepositories &&
      Object.fromEntries(pushFailureReasons.map((reason) => [reason, 0]))),
    ...(seed % 100 === 0 && { denied: 1 }),
  },
});

/** Running images of each registry: the default of `inUse.maxImages`. */
const runningPerRegistry = 2000;
/** What runs of a repository: all of its three images, in the first repositories of its registry. */
export function inUseOf(seed: number): readonly ImagesInUse[] | undefined {
  if (Math.floor(seed / registries) * 3 >= runningPerRegistry) return undefined;
  const totals = totalsOf(seed);
  const images = totals.images.map((image, at) => ({
    ...image,
    runs: [image.digest],
    stale: seed % 50 === at,
    scanStatus: seed % 60 === at ? ('none' as const) : ('complete' as const),
  }));
  const use = {
    source: 'clusters',
    images: images.map(({ digest }, at) => ({ digest, containers: 1 + at, latest: 0 })),
    places: [1, 2, 3].map((containers) => ({
      cluster: `prod-${seed % 20}`,
      namespace: `team-${seed % 100}`,
      workload: `service-${seed}-${containers}`,
      containers,
    })),
  };
  return imagesInUse([use], { ...totals, images }, false);
}

export const registryView = (at: number, time: number): RegistryView => ({
  registry: `registry-${at}`,
  provider: providerOf(at),
  identity: { host: `host-${at}`, account: `${100_000_000_000 + at}`, region: 'eu-west-1' },
  up: at > 0,
  lastSuccessAt: time - 60,
  lastAttemptAt: time - 60,
  pollDurationSeconds: 30,
  pollIntervalSeconds: 300,
  staleAfterSeconds: 900,
  failedInARow: 0,
  unread: 0,
  polls: 100,
  failures: new Map(),
  capabilities: new Map([['findings', true]]),
  allPushes: { pushes: 100 * at, failures: { denied: at, quota: 0 } },
  repositoryCount: Math.round(repositories / registries),
  seriesDropped: new Map(),
});

/** All that is shown of one repository. */
export const repositoryView = (seed: number) => ({
  totals: totalsOf(seed),
  inUse: inUseOf(seed),
  pushCounts: pushesOf(seed),
});
