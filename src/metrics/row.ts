import type { FailureReason } from '../errors.ts';
import type {
  PackedTotals,
  PackedUse,
  PlacedContainers,
  RegistryFacts,
  RegistryIdentity,
  RepositoryTotals,
  SeverityCounts,
} from '../model.ts';

/** What a registry has many of, each with series of its own. */
export const registryLists = [
  'credentials',
  'components',
  'replications',
  'tasks',
  'settings',
  'quotas',
  'violations',
  'jobQueues',
  'projects',
] as const satisfies readonly (keyof RegistryFacts)[];
export type RegistryList = (typeof registryLists)[number];
export type RegistryLists = Pick<RegistryFacts, RegistryList>;

/** How reading push events by asking goes. */
export interface EventSourceView {
  /** Whether the last reading worked. */
  readonly up: boolean;
  /** When the newest event happened, Unix seconds. */
  readonly lastEventAt?: number;
  /** How long after that it was read. */
  readonly lagSeconds?: number;
}

/** The images of one repository that run, as one source tells: what containers name, joined with what the registry shows. */
export interface ImagesInUse {
  readonly source: string;
  /** Digests that run, by whether the registry has them; `unclear` where that is not known. */
  readonly present: number;
  readonly missing: number;
  readonly unclear: number;
  /** Of those present, with findings of a severity; absent where no image that runs was scanned. */
  readonly vulnerable: SeverityCounts | undefined;
  readonly fixable: SeverityCounts | undefined;
  readonly unscanned: number | undefined;
  readonly unsigned: number | undefined;
  readonly stale: number | undefined;
  /** Images that run under the tag `latest`. */
  readonly latest: number;
  readonly oldestPushedAt: number | undefined;
  readonly images: readonly { readonly tag: string; readonly digest: string; readonly containers: number }[];
  readonly places: readonly PlacedContainers[];
}

/** Everything that is rendered of one registry besides its repositories. */
export interface RegistryView {
  readonly registry: string;
  readonly provider: string;
  readonly identity: RegistryIdentity;
  /** Absent before the first cycle ends. */
  readonly up?: boolean;
  readonly lastSuccessAt?: number;
  readonly lastAttemptAt?: number;
  readonly pollDurationSeconds?: number;
  /** Polls that failed since the last that did not. */
  readonly failedInARow?: number;
  /** Repositories, and groups of them, that the last poll could not read while it read others. */
  readonly unread?: number;
  readonly pollIntervalSeconds?: number;
  readonly staleAfterSeconds?: number;
  readonly polls: number;
  readonly failures: ReadonlyMap<FailureReason, number>;
  readonly capabilities: ReadonlyMap<string, boolean>;
  /** Absent when there is no data, or when it is older than `staleAfter`. */
  readonly facts?: RegistryFacts;
  /** Of `facts` the lists, without what would exceed `maxSeries`. */
  readonly lists?: RegistryLists;
  readonly repositoryCount?: number;
  /** Images of all repositories by the status of their scan. */
  readonly scans?: RepositoryTotals['scans'];
  readonly seriesDropped: ReadonlyMap<string, number>;
  /** Whether the last saving under `--storage.path` worked. */
  readonly saved?: boolean;
  /** Sources of push events that are asked, by name. */
  readonly eventSources?: ReadonlyMap<string, EventSourceView>;
  /** Pushes of all repositories; absent where nothing tells of any. */
  readonly allPushes?: ShownPushes | undefined;
  /** Pushes that polls found and no event told of; absent where no event has told of any push. */
  readonly missedEvents?: number | undefined;
  /** Images in use that are left out of what is exported of them; absent where nothing tells what runs. */
  readonly inUseDropped?: number | undefined;
}

/** Push events counted for one repository since the exporter's storage began. */
export interface PushCounts {
  readonly pushes: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** The same as it is shown: where no source tells of pushes that succeed, their number may be unknown. */
export interface ShownPushes {
  readonly pushes?: number | undefined;
  readonly failures: PushCounts['failures'];
}

/** Everything that is rendered of one repository. */
export interface RepositoryView {
  readonly totals?: RepositoryTotals;
  readonly pushCounts?: ShownPushes;
  /** Of each source of what runs. */
  readonly inUse?: readonly ImagesInUse[];
}

/** The same with its totals as text, as they are kept. */
export interface PackedView {
  readonly totals?: PackedTotals;
  readonly pushCounts?: ShownPushes | undefined;
  /** What runs of it, as text too. */
  readonly inUse?: PackedUse | undefined;
  /** A complete listing no longer has it, though images of it run. */
  readonly gone?: true;
  /** Its single images are left out: they would exceed `maxSeries`. */
  readonly withoutImages?: true;
}

/** Adds a sample; one whose value is unknown is not there. Label values in the row's order. */
export type Emit<Labels extends readonly string[]> = (
  value: number | undefined,
  ...labelValues: { [K in keyof Labels]: string }
) => void;

export type MetricType = 'gauge' | 'counter' | 'histogram';

/** What of a row documentation and checks need. */
export interface MetricRow {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  /** Labels besides those of the scope. */
  readonly labels: readonly string[];
  /** `process` rows are kept by prom-client and have exactly `labels`; the others have `registry`, `provider` first. */
  readonly scope: 'registry' | 'repository' | 'process';
  /** Of two samples of one series the lower value is kept, such as the earlier expiry; without it the first. */
  readonly keepsLowest?: true;
}

/** A row rendered from a registry's state. */
export interface RegistryMetric extends MetricRow {
  readonly scope: 'registry';
  readonly samples: (view: RegistryView, emit: Emit<readonly string[]>) => void;
}

/** A row rendered from a repository's totals; the label `repository` comes right after `provider`. */
export interface RepositoryMetric extends MetricRow {
  readonly scope: 'repository';
  /** Rows of single images are left out first when a registry exceeds its cap of series. */
  readonly perImage?: boolean;
  readonly samples: (view: RepositoryView, emit: Emit<readonly string[]>) => void;
}

/** Makes a row of a registry: the labels of its samples are checked. */
export const registryMetric = <const L extends readonly string[]>(
  row: Omit<RegistryMetric, 'scope' | 'samples' | 'labels'> & {
    labels: L;
    samples: (view: RegistryView, emit: Emit<L>) => void;
  },
): RegistryMetric => ({ ...row, scope: 'registry' }) as unknown as RegistryMetric;

/** Makes a row of a repository's totals; there are no samples where there are no totals. */
export const repositoryMetric = <const L extends readonly string[]>(
  row: Omit<RepositoryMetric, 'scope' | 'samples' | 'labels' | 'type'> & {
    type?: MetricType;
    labels: L;
    samples: (totals: RepositoryTotals, emit: Emit<L>) => void;
  },
): RepositoryMetric =>
  ({
    type: 'gauge',
    ...row,
    scope: 'repository',
    samples: (view: RepositoryView, emit: Emit<L>) => view.totals && row.samples(view.totals, emit),
  }) as unknown as RepositoryMetric;

/** Of every name: `registry_` is the distribution registry's own, `container_` is cAdvisor's. */
export const prefix = 'container_registry';
