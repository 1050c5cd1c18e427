import { failureReasons } from '../../src/errors.ts';
import { sumOfPushes } from '../../src/loop/pushes.ts';
import { imagesInUse } from '../../src/metrics/in-use.ts';
import type { ImagesInUse, PushCounts, RegistryView } from '../../src/metrics/row.ts';
import type { ImageTotals, RegistryFacts, RepositoryTotals } from '../../src/model.ts';

/**
 * A fleet of made-up registries, over 26 hours in which all is well, one in which one registry is down, and one in
 * which the exporter is.
 */
export const hour = 3600;
const day = 24 * hour;
const GiB = 2 ** 30;

/** When each situation is looked at. A whole hour, on which every series has a sample. */
const healthy = Math.floor(1_795_000_000 / day) * day + 9 * hour;
export const situations = {
  healthy,
  registryDown: healthy + hour,
  exporterDead: healthy + 2 * hour,
} as const;
export type Situation = keyof typeof situations;
export const begin = healthy - 26 * hour;
/** Between two samples of what is looked at over time. */
export const scrapeInterval = 240;

export const down = 'harbor-eu';
export const registries = [
  { registry: 'ecr-us-east-1', provider: 'ecr', host: '123456789012.dkr.ecr.us-east-1.amazonaws.com' },
  { registry: 'ecr-eu-west-1', provider: 'ecr', host: '123456789012.dkr.ecr.eu-west-1.amazonaws.com' },
  { registry: down, provider: 'harbor', host: 'harbor.example.com' },
  { registry: 'hub', provider: 'docker_hub', host: 'registry-1.docker.io' },
  { registry: 'gar-europe', provider: 'artifact_registry', host: 'europe-docker.pkg.dev' },
  { registry: 'edge', provider: 'oci', host: 'registry.edge.example.com' },
] as const;
/** Configured an hour ago, and not yet polled. */
export const added = { registry: 'acr-new', provider: 'acr', host: 'new.azurecr.io' } as const;
export const repositoriesOf = 20;

const teams = ['checkout', 'search', 'platform', 'billing', 'mobile'];
const services = ['api', 'worker', 'web', 'proxy', 'batch', 'admin'];
export const repositoryName = (index: number): string =>
  `${teams[index % teams.length]}/${services[Math.floor(index / teams.length) % services.length]}`;
const digestOf = (text: string): string => {
  let hash = 7;
  for (const character of text) hash = (hash * 31 + character.charCodeAt(0)) % 2_147_483_647;
  return `sha256:${hash.toString(16).padStart(8, '0').repeat(8)}`;
};

/** Findings: many repositories have many high ones, few have critical ones, so that a wrong order hides the latter. */
function findingsOf(at: number, index: number): NonNullable<ImageTotals['findings']> | undefined {
  if (registries[at]?.provider === 'docker_hub') return undefined;
  const critical = index === 4 ? at + 1 : index === 11 && at === 0 ? 12 : 0;
  const high = 40 + ((index * 7 + at * 3) % 90);
  const counts = { CRITICAL: critical, HIGH: high, MEDIUM: 2 * high, LOW: high, NEGLIGIBLE: 3, UNKNOWN: 0 };
  if (registries[at]?.provider === 'artifact_registry') return { counts };
  if (registries[at]?.provider === 'harbor') return { counts, fixableTotal: high };
  return {
    counts,
    fixable: {
      CRITICAL: Math.ceil(critical / 2),
      HIGH: Math.floor(high / 3),
      MEDIUM: high,
      LOW: 0,
      NEGLIGIBLE: 0,
      UNKNOWN: 0,
    },
  };
}

function imagesOf(at: number, index: number, time: number): ImageTotals[] {
  const found = findingsOf(at, index);
  const { registry = '', provider = '' } = registries[at] ?? {};
  return [0, 1].map((age) => {
    const tag = `v1.${index}.${9 - age}`;
    return {
      tag,
      digest: digestOf(`${registry} ${index} ${tag}`),
      sizeBytes: (60 + index) * 2 ** 20,
      pushedAt: time - (1 + age) * day - index * hour,
      ...(found && { findings: found, scannedAt: time - (1 + index) * day }),
      ...(provider === 'ecr' && { inUse: index % 4 }),
      ...(provider !== 'docker_hub' && { signed: index % 5 !== 0 }),
    };
  });
}

export function totalsOf(at: number, index: number, time: number): RepositoryTotals {
  const provider = registries[at]?.provider;
  const grown = Math.floor((time - begin) / hour);
  const found = findingsOf(at, index);
  const images = imagesOf(at, index, time);
  const sizeBytes =
    ((5 + ((index * 13) % 40)) * GiB + grown * index * 20 * 2 ** 20) * (index === 7 ? 4 : 1) * (1 + at);
  return {
    repository: repositoryName(index),
    tagged: 40 + index + grown + 10 * at,
    untagged: index,
    tags: 55 + index + grown,
    artifacts: { signature: 20, sbom: 10, attestation: index % 3 },
    sizeBytes,
    ...(provider === 'ecr' && { archived: 3, archivedBytes: GiB }),
    reclaimableBytes: Math.round(sizeBytes / 4),
    staleImages: 10 + index,
    lastPushAt: time - index * hour,
    ...(provider !== 'oci' && {
      lastPullAt: time - index * 4 * hour,
      pulls: 1000 + grown * 60 * (index + 1),
    }),
    ...(provider === 'docker_hub' && { stars: index }),
    ...(found && {
      findings: found,
      vulnerableImages: {
        CRITICAL: (found.counts.CRITICAL ?? 0) > 0 ? 3 : 0,
        HIGH: 12,
        MEDIUM: 20,
        LOW: 22,
        NEGLIGIBLE: 1,
        UNKNOWN: 0,
      },
      scans: {
        complete: 38,
        pending: index % 2,
        failed: index === 9 ? 2 : 0,
        unsupported: 1,
        none: index % 3,
      },
    }),
    ...(found && { lastScanAt: time - (1 + index) * day }),
    signedImages: index === 19 ? 0 : 30 + index,
    practices: {
      scan_on_push: index % 3 !== 0,
      immutable_tags: index % 2 === 0,
      retention_policy: true,
      private: true,
    },
    images,
  };
}

const harborFacts = (time: number, grown: number): RegistryFacts => ({
  version: 'v2.13.1',
  settings: [
    { setting: 'read_only', on: false },
    { setting: 'robot_tokens_expire', on: true },
  ],
  quotas: [
    { quota: 'storage', project: 'checkout', used: 370 * GiB + grown * GiB * 0.4, limit: 400 * GiB },
    { quota: 'storage', project: 'search', used: 120 * GiB, limit: 400 * GiB },
    { quota: 'volume', used: 900 * GiB + grown * GiB, limit: 2048 * GiB },
  ],
  credentials: [
    { credential: 'robot$ci', expiresAt: healthy + 5 * day },
    { credential: 'robot$deploy', expiresAt: healthy + 200 * day },
  ],
  replications: [
    {
      destination: 'dr-site',
      up: false,
      pendingImages: 12,
      failedImages: 4,
      succeededImages: 210,
      stoppedImages: 0,
      lastSuccessAt: time - 3 * day,
    },
    {
      destination: 'edge',
      up: true,
      pendingImages: 0,
      failedImages: 0,
      succeededImages: 80,
      stoppedImages: 1,
      lastSuccessAt: time - 2 * hour,
    },
  ],
  components: ['core', 'database', 'jobservice', 'registry', 'trivy'].map((component) => ({
    component,
    up: true,
  })),
  projects: teams.map((team, index) => ({
    project: team,
    public: index === 2,
    repositories: 6,
    members: 4 + index,
  })),
  tasks: [
    {
      task: 'garbage_collection',
      up: true,
      lastSuccessAt: time - 20 * hour,
      items: { succeeded: 3120, failed: 0 },
    },
    { task: 'scan_all', up: false, lastSuccessAt: time - 9 * day, items: { succeeded: 2020, failed: 14 } },
  ],
  jobQueues: [
    { queue: 'IMAGE_SCAN', size: 48, latencySeconds: 900, running: 4, paused: false },
    { queue: 'REPLICATION', size: 12, latencySeconds: 8 * hour, running: 0, paused: true },
  ],
  violations: [
    { watch: 'production', severity: 'CRITICAL', count: 6 },
    { watch: 'production', severity: 'HIGH', count: 40 },
  ],
});

function factsOf(provider: string, time: number, grown: number): RegistryFacts {
  if (provider === 'harbor') return { storageBytes: 640 * GiB + grown * GiB, ...harborFacts(time, grown) };
  if (provider === 'docker_hub')
    return {
      storageBytes: 80 * GiB,
      pullLimit: 200,
      pullRemaining: 180 - (grown % 24) * 6,
      pullLimitWindowSeconds: 6 * hour,
      pullLimitSource: '198.51.100.7',
    };
  if (provider === 'ecr')
    return {
      quotas: [
        { quota: 'repositories', used: repositoriesOf, limit: 100_000 },
        { quota: 'images_per_repository', used: 17_200 + grown * 20, limit: 20_000 },
      ],
    };
  return { storageBytes: 300 * GiB + grown * 2 ** 28 };
}

const capabilitiesOf = (provider: string): ReadonlyMap<string, boolean> =>
  new Map([
    ['sizes', true],
    ...(provider === 'docker_hub' ? [] : [['findings', true] as const]),
    // Something fails also on a good day: the board has to show it.
    ['signatures', provider !== 'artifact_registry'],
  ]);

/** The scans of all repositories together. */
const scansOf = (at: number): RegistryView['scans'] => {
  const sums: Record<string, number> = {};
  for (let index = 0; index < repositoriesOf; index += 1)
    for (const [status, count] of Object.entries(totalsOf(at, index, healthy).scans ?? {}))
      sums[status] = (sums[status] ?? 0) + count;
  return Object.keys(sums).length > 0 ? sums : undefined;
};

export function registryView(at: number, time: number): RegistryView {
  const { registry, provider, host } = registries[at] ?? added;
  const isDown = registry === down && time > healthy;
  /** Its poll hangs. */
  const isLate = provider === 'docker_hub' && time > healthy;
  const grown = Math.floor((time - begin) / hour);
  const polls = 1000 + Math.floor((time - begin) / 300);
  const failed = isDown ? Math.floor((time - healthy) / 300) : 0;
  const facts = factsOf(provider, isDown ? healthy : time, grown);
  return {
    registry,
    provider,
    identity: { host, ...(provider === 'ecr' && { account: '123456789012', region: registry.slice(4) }) },
    up: !isDown,
    lastSuccessAt: isDown || isLate ? healthy - 60 : time - 60 - at * 20,
    lastAttemptAt: time - 45,
    pollDurationSeconds: 4 + at * 7,
    pollIntervalSeconds: 300,
    staleAfterSeconds: 4 * hour,
    failedInARow: failed,
    unread: 0,
    polls,
    failures: new Map(
      failureReasons.map((reason) => [
        reason,
        reason === 'auth' ? failed : reason === 'partial' && at === 1 ? Math.floor(polls / 12) : 0,
      ]),
    ),
    capabilities: capabilitiesOf(provider),
    facts,
    lists: facts,
    repositoryCount: repositoriesOf,
    scans: scansOf(at),
    seriesDropped: new Map(at === 0 ? [['image_cap', 1200]] : []),
    inUseDropped: 0,
    ...((provider === 'harbor' || provider === 'oci') && {
      missedEvents: provider === 'oci' ? Math.floor(grown / 6) : 0,
    }),
    eventSources: new Map(at === 0 ? [['sqs', { up: true, lastEventAt: time - 300, lagSeconds: 4 }]] : []),
    allPushes: allPushesOf(at, time),
    saved: true,
  };
}

/** Pushes of all repositories of a registry. */
function allPushesOf(at: number, time: number): PushCounts | undefined {
  let all: PushCounts | undefined;
  for (let index = 0; index < repositoriesOf; index += 1) {
    const pushes = pushesOf(at, index, time);
    if (pushes) all = sumOfPushes(all, pushes);
  }
  // What their sources can tell begins at 0.
  return all && { ...all, failures: { quota: 0, denied: 0, ...all.failures } };
}

/** What runs of one repository, as a source tells: of every other one, in one or two clusters. */
export function inUseOf(at: number, index: number, time: number): readonly ImagesInUse[] | undefined {
  const { provider } = registries[at] ?? added;
  if (provider === 'docker_hub' || index % 2 === 1) return undefined;
  const totals = totalsOf(at, index, time);
  const [newest, older] = totals.images;
  const known = totals.images.map((image) => ({
    ...image,
    runs: [image.digest],
    stale: index === 8 && image === older,
    ...(provider !== 'oci' && { scanStatus: index === 6 ? ('none' as const) : ('complete' as const) }),
  }));
  const gone = digestOf(`gone ${at} ${index}`);
  const place = { namespace: teams[index % teams.length] ?? '', workload: `app-${index}` };
  const use = {
    source: 'clusters',
    images: [
      { digest: newest?.digest ?? '', containers: 4 + index, latest: index === 2 ? 1 : 0 },
      { digest: older?.digest ?? '', containers: 2, latest: 0 },
      ...(index === 10 && at === 1 ? [{ digest: gone, containers: 3, latest: 0 }] : []),
    ],
    places: [
      { ...place, cluster: 'prod-eu', containers: 4 + index },
      { ...place, cluster: 'prod-us', containers: 2 },
    ],
  };
  return imagesInUse([use], { ...totals, images: known, running: { missing: [gone], unclear: [] } }, false);
}

/** Pushes of one repository: some fail. */
export const pushesOf = (at: number, index: number, time: number): PushCounts | undefined => {
  const { provider } = registries[at] ?? added;
  if (provider !== 'harbor' && provider !== 'oci') return undefined;
  const hours = (time - begin) / hour;
  // More by day than by night.
  const pushes = Math.floor(
    (hours + 2 * Math.sin((hours / 12) * Math.PI)) * (index + 1) * (provider === 'oci' ? 0.5 : 1),
  );
  // The first failure of its kind: the series begins with it.
  if (provider === 'oci' && index === 5 && time >= healthy - 20 * 60)
    return { pushes, failures: { denied: 1 } };
  return {
    pushes,
    failures: index === 3 ? { quota: Math.floor(hours / 3) } : {},
  };
};
