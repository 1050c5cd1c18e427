/**
 * The domain: what a registry is made of, and what is known of it. This file imports nothing.
 *
 * One rule holds for every field: **a fact that was not read is `undefined`, never 0 or false.** Times are
 * Unix seconds, sizes are bytes.
 */

/** Severities of findings, most severe first. Vendors' words are mapped onto these in the provider. */
export const severities = ['CRITICAL', 'HIGH', 'MEDIUM', 'LOW', 'NEGLIGIBLE', 'UNKNOWN'] as const;
export type Severity = (typeof severities)[number];

/** Counts by severity; a severity that the source does not count is absent, one that it counted as none is 0. */
export type SeverityCounts = Readonly<Partial<Record<Severity, number>>>;

/** Vulnerability findings of one image. */
export interface Findings {
  readonly counts: SeverityCounts;
  /** Of `counts`, how many have a fixed version; absent where the source does not say. */
  readonly fixable?: SeverityCounts;
  /** How many have a fixed version, where the source gives one number for all severities. */
  readonly fixableTotal?: number;
}

/**
 * What a manifest is. Only `image` and `index` count as images. A `platform` is an untagged image that an index
 * lists: it is part of that index, and not "untagged waste".
 */
export const kinds = [
  'image',
  'index',
  'platform',
  'signature',
  'sbom',
  'attestation',
  'chart',
  'other',
] as const;
export type Kind = (typeof kinds)[number];

/** State of the registry's own scan of an image. `none`: the registry says that it was never scanned. */
export const scanStatuses = ['complete', 'pending', 'failed', 'unsupported', 'none'] as const;
export type ScanStatus = (typeof scanStatuses)[number];

/** Yes/no facts about a repository's settings; each follows a practice that a team wants followed. */
export const practices = [
  'scan_on_push',
  'immutable_tags',
  'retention_policy',
  'private',
  'no_anonymous_pull',
  'no_wildcard_principal',
  'replicated',
  'no_latest_tag',
  'customer_managed_key',
  'no_admin_account',
  'no_secret_in_config',
] as const;
export type Practice = (typeof practices)[number];

/** One manifest as a provider saw it. Its identity is the digest. */
export interface Image {
  readonly digest: string;
  /** As far as the provider can tell; an `image` that an index of the same repository lists becomes `platform`. */
  readonly kind: Kind;
  readonly tags?: readonly string[];
  /** Stored (compressed) bytes: the manifest itself, its config and its layers. Ignored for an index. */
  readonly sizeBytes?: number;
  /** Of an index, with all of its platforms, as the registry states it; counts where none of them is listed by itself. */
  readonly sizeWithPlatforms?: number;
  readonly pushedAt?: number;
  readonly pulledAt?: number;
  readonly scannedAt?: number;
  readonly scanStatus?: ScanStatus;
  readonly findings?: Findings;
  readonly signed?: boolean;
  /** Running tasks and pods that use the image, where the registry's scanner knows. */
  readonly inUse?: number;
  /** Of an index: the digests of its platform manifests. */
  readonly platforms?: readonly string[];
  /** Of an index: the digests of the attestations that it lists, as buildx pushes them; no images, whatever they look like. */
  readonly attestations?: readonly string[];
  /** Of a signature: the digest of what it signs. */
  readonly subject?: string;
  /** Moved to the registry's archive storage: it cannot be pulled as it is, and counts apart from the others. */
  readonly archived?: boolean;
}

/** What is known of one repository besides its images. */
export interface RepositoryFacts {
  readonly practices?: Readonly<Partial<Record<Practice, boolean>>>;
  /** Pulls since the repository exists, where the registry counts them. */
  readonly pulls?: number;
  /** Whether the listing shows untagged manifests at all; where it does not, their number is unknown. */
  readonly listsUntagged?: boolean;
  /**
   * An index may list platforms that were never stored here, as in a cache that fetches what is pulled: those that are
   * absent take no room. Without this, an absent platform makes the size unknown.
   */
  readonly partialIndexes?: boolean;
  /** Whether every signature is among the manifests: an image that none of them is about is not signed. */
  readonly listsSignatures?: boolean;
  /**
   * Kinds of artifacts of which not all could be found in this cycle: how many there are is unknown. Where platforms
   * cannot be told from untagged images, the number of those is unknown too.
   */
  readonly unknownKinds?: readonly Kind[];
  /**
   * Tags of which could not be read what they name: what counts or sums all images is then unknown. `all`: neither tags
   * nor images were read.
   */
  readonly unreadTags?: number | 'all';
  /** The time of an image could not be read: which of them is the newest is unknown. */
  readonly newestUnknown?: boolean;
  /** When an image was pulled last could not be read: so is when the newest pull was. */
  readonly lastPullUnknown?: boolean;
  /**
   * The findings or the scan statuses of some images could not be read: how many images have which is then unknown, and
   * no smaller number takes its place.
   */
  readonly findingsUnknown?: boolean;
  /** Newest pull of anything in the repository, where it is known for the repository only. */
  readonly pulledAt?: number;
  /** Newest push, where it is known for the repository only. */
  readonly pushedAt?: number;
  /** Stars that people gave it. */
  readonly stars?: number;
}

/** A limit of the registry and how much of it is used. */
export interface Quota {
  readonly quota: string;
  readonly used?: number;
  /** Absent: unlimited or unknown. */
  readonly limit?: number;
  /** The project that it is for; absent for the whole registry. */
  readonly project?: string;
}

/** A place that images are replicated to. */
export interface Replication {
  readonly destination: string;
  readonly up?: boolean;
  readonly pendingImages?: number;
  readonly failedImages?: number;
  /** Of the last run, where the registry replicates in runs. */
  readonly succeededImages?: number;
  readonly stoppedImages?: number;
  /** End of the last replication that worked. */
  readonly lastSuccessAt?: number;
}

/** A project, organisation or namespace that repositories are grouped by. */
export interface Project {
  readonly project: string;
  readonly public?: boolean;
  readonly repositories?: number;
  readonly members?: number;
}

/** A job that the registry runs by itself, such as its garbage collection; as its last run ended. */
export interface Task {
  readonly task: string;
  readonly up?: boolean;
  readonly lastSuccessAt?: number;
  /** What the last run worked on, by what became of it. */
  readonly items?: Readonly<Partial<Record<TaskResult, number>>>;
}

/** What becomes of something that a task works on. */
export const taskResults = ['succeeded', 'failed', 'stopped', 'running', 'pending'] as const;
export type TaskResult = (typeof taskResults)[number];

/** A queue of the registry's own jobs. */
export interface JobQueue {
  readonly queue: string;
  readonly size?: number;
  /** How long the oldest job has waited. */
  readonly latencySeconds?: number;
  /** Jobs of the queue that are being worked on. */
  readonly running?: number;
  readonly paused?: boolean;
}

/** What is known of the registry as a whole. */
export interface RegistryFacts {
  /** Of the registry's software. */
  readonly version?: string;
  /** Settings of the registry as a whole that are on or off, such as `read_only`. */
  readonly settings?: readonly { readonly setting: string; readonly on: boolean }[];
  /** As the registry itself accounts it: deduplicated, billed. */
  readonly storageBytes?: number;
  readonly quotas?: readonly Quota[];
  /** Pulls that are allowed within the window. */
  readonly pullLimit?: number;
  readonly pullRemaining?: number;
  readonly pullLimitWindowSeconds?: number;
  /** Whom the registry counts the pulls for: an address or an account. */
  readonly pullLimitSource?: string;
  readonly credentials?: readonly { readonly credential: string; readonly expiresAt: number }[];
  readonly replications?: readonly Replication[];
  /** Health of the registry's parts: its database, its scanner. */
  readonly components?: readonly { readonly component: string; readonly up: boolean }[];
  readonly projects?: readonly Project[];
  readonly tasks?: readonly Task[];
  readonly jobQueues?: readonly JobQueue[];
  /** Violations of the policies that somebody watches, by severity. */
  readonly violations?: readonly {
    readonly watch: string;
    readonly severity: Severity;
    readonly count: number;
  }[];
}

/** Where a registry is; labels of `container_registry_info`. */
export interface RegistryIdentity {
  readonly host?: string;
  readonly account?: string;
  readonly region?: string;
}

/**
 * What a provider streams. For every repository: `repository` first, any number of `images`, then one of
 * `repository-complete` (all images were listed), `repository-gone` (a definite "not found") or
 * `repository-failed`. Repositories may interleave. Where one listing holds many repositories, such as all packages of
 * a place, `group-failed` says that it broke: every repository below the prefix that did not end before keeps its last
 * values; `group-empty` says that it was complete and showed none, which is believed when it is so twice.
 */
export type Observation =
  | { readonly type: 'identity'; readonly identity: RegistryIdentity }
  | { readonly type: 'registry'; readonly facts: RegistryFacts }
  | { readonly type: 'repository'; readonly repository: string; readonly facts?: RepositoryFacts }
  | { readonly type: 'images'; readonly repository: string; readonly images: readonly Image[] }
  /** With facts that are known at the end only; they are added to those of the beginning. */
  | { readonly type: 'repository-complete'; readonly repository: string; readonly facts?: RepositoryFacts }
  | { readonly type: 'repository-gone'; readonly repository: string }
  | { readonly type: 'repository-failed'; readonly repository: string; readonly error: unknown }
  | { readonly type: 'group-failed'; readonly prefix: string; readonly error: unknown }
  | { readonly type: 'group-empty'; readonly prefix: string };

/** One image that is exported by itself: a member of the bounded set. One entry per digest and tag. */
export interface ImageTotals {
  readonly tag: string;
  readonly digest: string;
  readonly sizeBytes?: number;
  readonly pushedAt?: number;
  readonly scannedAt?: number;
  readonly signed?: boolean;
  readonly inUse?: number;
  readonly findings?: Findings;
}

/** Everything that is exported of one repository; no image is kept besides the bounded set. Frozen. */
export interface RepositoryTotals {
  readonly repository: string;
  /** Absent where not all images could be read. */
  readonly tagged?: number;
  /** Absent where the registry does not list untagged manifests. */
  readonly untagged?: number;
  /** Images in archive storage, which none of the other numbers include; absent where the registry has none such. */
  readonly archived?: number;
  readonly archivedBytes?: number;
  /** Absent where they were not read. */
  readonly tags?: number;
  /** Artifacts that are not images, by kind. */
  readonly artifacts: Readonly<Partial<Record<Kind, number>>>;
  /** Absent as soon as one image's size is unknown. */
  readonly sizeBytes?: number;
  readonly reclaimableBytes?: number;
  readonly staleImages?: number;
  readonly lastPushAt?: number;
  readonly lastPullAt?: number;
  readonly pulls?: number;
  readonly stars?: number;
  /** Of the newest tagged image. */
  readonly findings?: Findings;
  /** Images with at least one finding of the severity; absent while no image has been scanned. */
  readonly vulnerableImages?: SeverityCounts;
  readonly scans?: Readonly<Partial<Record<ScanStatus, number>>>;
  /** Absent unless it is known of every image. */
  readonly signedImages?: number;
  readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  readonly images: readonly ImageTotals[];
}

/** A {@link RepositoryTotals} as text; see `totals.ts`. */
export type PackedTotals = string & { readonly packed: 'totals' };

/** A repository in a published snapshot. */
export interface RepositoryEntry {
  readonly totals: PackedTotals;
  /** When this repository was last listed completely, Unix seconds. */
  readonly observedAt: number;
}

/** One registry as of its last good cycle; frozen when published. */
export interface RegistrySnapshot {
  readonly identity: RegistryIdentity;
  readonly facts: RegistryFacts;
  /** When `facts` last came from a cycle that read every repository, Unix seconds. */
  readonly factsAt?: number;
  /** Repositories that a complete listing named; absent before the first complete one. */
  readonly repositoryCount?: number;
  readonly repositories: ReadonlyMap<string, RepositoryEntry>;
  /** End of the last successful cycle, Unix seconds; absent while each ran out of time. */
  readonly observedAt?: number;
  /** The last cycle ran out of time: the next begins with what it did not come to. */
  readonly cut?: boolean;
}
