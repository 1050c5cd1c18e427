import type {
  Findings,
  Kind,
  Practice,
  RegistryFacts,
  RegistryIdentity,
  ScanStatus,
  ToldNumbers,
} from './model/facts.ts';

/**
 * The domain: what a provider sees of a registry, and what is published of it.
 *
 * One rule holds for every field: **a fact that was not read is `undefined`, never 0 or false.** Times are
 * Unix seconds, sizes are bytes.
 */
export * from './model/facts.ts';

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
  /** Found only because it runs, where untagged manifests are not listed: it counts in no number of the repository. */
  readonly unlisted?: boolean;
  /** Moved to the registry's archive storage: it cannot be pulled as it is, and counts apart from the others. */
  readonly archived?: boolean;
}

/** What is known of one repository besides its images. */
export interface RepositoryFacts extends ToldNumbers {
  readonly practices?: Readonly<Partial<Record<Practice, boolean>>>;
  /** Whether the listing shows untagged manifests at all; where it does not, their number is unknown. */
  readonly listsUntagged?: boolean;
  /**
   * An index may list platforms that were never stored here, as in a cache that fetches what is pulled: those that are
   * absent take no room. Without this, an absent platform makes the size unknown.
   */
  readonly partialIndexes?: boolean;
  /** What is not stored here is fetched from elsewhere when it is pulled: no image that runs is missing. */
  readonly fetchesMissing?: boolean;
  /** Of the digests that run, those that were asked for and are not there; where untagged manifests are not listed. */
  readonly absent?: readonly string[];
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
}

/** How images of a registry are named: what their names begin with, and what stands there in its repositories' names. */
export interface ReferenceRule {
  /** A host, or a host and the beginning of a path, without a slash at its end. */
  readonly from: string;
  /** What the repository's name begins with instead; without a slash at its end, `''` for nothing. */
  readonly to: string;
}

/** Where a container runs; each is empty where the source does not say. */
export interface WorkloadPlace {
  readonly cluster: string;
  readonly namespace: string;
  /** What made the container, such as the name of a Deployment. */
  readonly workload: string;
}

/** The containers of one place. */
export interface PlacedContainers extends WorkloadPlace {
  readonly containers: number;
}

/** The images of one repository that run, as one source tells. */
export interface SourceUse {
  readonly source: string;
  /** Containers by digest, in the order of digests; of them those that run it under the tag `latest`. */
  readonly images: readonly {
    readonly digest: string;
    readonly containers: number;
    readonly latest: number;
  }[];
  /** Where they run, the most containers first; bounded, the rest under empty names. */
  readonly places: readonly PlacedContainers[];
}

/** What runs of one repository, of all sources that count; JSON of `SourceUse[]`, so that equal ones are equal texts. */
export type PackedUse = string & { readonly packed: 'use' };

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
