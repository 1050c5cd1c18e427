import type { Image, Kind, Observation, Practice } from '../../model.ts';
import { needing } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import type { Api } from './api.ts';
import type { Aql } from './aql.ts';
import type { Contents } from './contents.ts';
import { doubtNothing } from './doubt.ts';
import { type Entry, entriesOf, imageTagsOf, type Sorted, sortEntries, timesOf } from './images.ts';
import { listManifests, type Manifest, type Target } from './layout.ts';
import { readSizes } from './sizes.ts';
import type { Xray } from './xray.ts';
import type { Scans } from './xray-summary.ts';

/** What reading one JFrog repository needs; lives for one poll. */
export interface Scope {
  readonly context: CollectContext;
  readonly api: Api;
  readonly aql: Aql;
  readonly contents: Contents;
  readonly xray: Xray | undefined;
  /** Keys of repositories that were deleted since they were listed. */
  readonly gone: Set<string>;
  practicesOf(target: Target): Promise<Partial<Record<Practice, boolean>>>;
}

/** Kinds of which it is unknown how many there are while documents remain to be read. */
const openKinds: readonly Kind[] = ['platform', 'signature', 'sbom', 'attestation', 'other'];
/** Indexes, indexes within them, and what no index lists: each is known only when the one before was read. */
const rounds = 4;

/** One image of a JFrog repository: for us a repository of its own. */
interface ImageRepository {
  readonly repository: string;
  readonly entries: ReadonlyMap<string, Entry>;
  sorted: Sorted;
}

/** Reads the documents that are needed to tell images from what is attached to them. */
async function sortAll(
  { contents, context }: Scope,
  target: Target,
  repositories: readonly ImageRepository[],
): Promise<void> {
  let failure: unknown;
  for (let round = 0; round < rounds; round += 1) {
    const unread = repositories.flatMap((repository) => {
      repository.sorted = sortEntries(repository.entries, contents, target.packageType);
      return repository.sorted.unread;
    });
    if (unread.length === 0) break;
    // What cannot be read, such as an image that Xray blocks, must not keep the others from being read.
    failure = await contents.read(target, unread);
    if (unread.every(({ digest }) => !contents.of(digest))) break;
  }
  if (failure !== undefined)
    context.degraded('signatures', needing(`the permission Read on ${target.key}`, failure));
}

const isSized = (kind: Kind | undefined): boolean => kind === 'image' || kind === 'platform';
const isScanned = (kind: Kind | undefined): boolean => kind === 'index' || isSized(kind);

/** Manifests of some kinds. */
const manifestsOf = (
  repositories: readonly ImageRepository[],
  isWanted: (kind: Kind | undefined) => boolean,
): Manifest[] =>
  repositories.flatMap(({ entries, sorted }) =>
    [...entries.values()].flatMap(({ digest, manifests }) =>
      isWanted(sorted.rows.get(digest)?.kind) ? manifests : [],
    ),
  );

async function sizesOf(
  { aql, context, contents }: Scope,
  target: Target,
  manifests: readonly Manifest[],
): Promise<ReadonlyMap<string, number>> {
  try {
    const sizes = await readSizes({ aql, memory: context.memory, contents, target, manifests });
    const missing = manifests.filter(({ digest }) => !sizes.has(digest));
    const failure = await contents.read(target, missing);
    if (failure !== undefined) context.degraded('sizes', failure);
    for (const { digest } of missing) {
      const size = contents.of(digest)?.size;
      if (size !== undefined) sizes.set(digest, size);
    }
    return sizes;
  } catch (error) {
    context.signal.throwIfAborted();
    context.degraded('sizes', error);
    return new Map();
  }
}

function toImages(
  { entries, sorted }: ImageRepository,
  sizes: ReadonlyMap<string, number>,
  scans: Scans | undefined,
): Image[] {
  return [...sorted.rows].flatMap(([digest, { kind, platforms, vague }]): Image[] => {
    const entry = entries.get(digest);
    if (!entry) return [];
    const tags = imageTagsOf(entry);
    const isImage = kind === 'image' || kind === 'index';
    const signed = sorted.signed.has(digest) || (sorted.whole ? false : undefined);
    return [
      {
        digest,
        kind,
        tags: tags.length > 0 ? tags : undefined,
        platforms,
        sizeBytes: vague ? undefined : sizes.get(digest),
        ...(!vague && timesOf(entry)),
        signed: isImage ? signed : undefined,
        ...(isScanned(kind) && scans?.of.get(digest)),
      },
    ];
  });
}

/** Whether something that may be a part of an image has a later time than all that is none. */
function isVagueNewest({ entries, sorted }: ImageRepository, time: 'pushedAt' | 'pulledAt'): boolean {
  const newest = { vague: 0, sure: 0 };
  for (const [digest, { vague }] of sorted.rows) {
    const entry = entries.get(digest);
    const which = vague ? 'vague' : 'sure';
    if (entry) newest[which] = Math.max(newest[which], timesOf(entry)[time] ?? 0);
  }
  return newest.vague > newest.sure;
}

/** Whether the downloads of everything that may be an image could be read. */
const arePullsKnown = ({ entries }: ImageRepository): boolean =>
  [...entries.values()].every(({ manifests }) => manifests.every(({ stats }) => stats !== undefined));

/** Whether it is known of everything that may be an image when it was pushed. */
const arePushesKnown = ({ entries }: ImageRepository): boolean =>
  [...entries.values()].every((entry) => timesOf(entry).pushedAt !== undefined);

/** Pulls of images: of a multi-platform one the pull of its platform counts, and not that of its index besides. */
function pullsOf(repository: ImageRepository): number | undefined {
  // What may be an image may have been pulled.
  if (!repository.sorted.whole) return undefined;
  const counts = manifestsOf([repository], isSized).map(({ stats }) => stats?.downloads);
  return counts.every((count) => count !== undefined)
    ? counts.reduce((sum, count) => sum + count, 0)
    : undefined;
}

/** Reads the manifests by image, as `KEY/IMAGE`; `incomplete` gets the images of which some have no digest. */
async function listImages(
  { context, aql }: Scope,
  target: Target,
  only: readonly string[] | undefined,
  incomplete: Set<string | undefined>,
) {
  const manifests = await listManifests(aql, target, {
    only,
    failed(capability, error) {
      context.signal.throwIfAborted();
      context.degraded(capability, error);
    },
    nameless(image) {
      incomplete.add(image);
      context.tell(
        `nameless ${target.key} ${image}`,
        { key: target.key, image },
        'Artifactory lists a manifest without a digest or a name: the counts of the image are unknown',
      );
    },
  });
  const wanted = manifests.filter(
    ({ image }) => context.wants(`${target.key}/${image}`) && (!only || only.includes(image)),
  );
  return { count: manifests.length, byImage: Map.groupBy(wanted, ({ image }) => image) };
}

/** What of one image is read beside its manifests. */
interface Surroundings {
  readonly sizes: ReadonlyMap<string, number>;
  readonly scans: Scans | undefined;
  readonly practices: Partial<Record<Practice, boolean>>;
  /** Some of its manifests have no digest. */
  readonly isIncomplete: boolean;
  /** It keeps what was pulled through it. */
  readonly isRemote: boolean;
}

function* observations(source: ImageRepository, around: Surroundings): Generator<Observation> {
  const { repository, entries, sorted } = source;
  const { sizes, scans, practices, isIncomplete, isRemote } = around;
  const { whole } = sorted;
  const hasLatest = [...entries.values()].some((entry) => imageTagsOf(entry).includes('latest'));
  const isUnscanned = [...entries.keys()].some((digest) => scans?.unknown.has(digest));
  yield {
    type: 'repository',
    repository,
    facts: {
      practices: { ...practices, no_latest_tag: hasLatest || !isIncomplete ? !hasLatest : undefined },
      listsUntagged: whole,
      fetchesMissing: isRemote,
      pulls: isIncomplete ? undefined : pullsOf(source),
      unknownKinds: whole ? undefined : openKinds,
      findingsUnknown: !whole || isUnscanned,
      unreadTags: isIncomplete ? 'all' : undefined,
      newestUnknown: isVagueNewest(source, 'pushedAt') || !arePushesKnown(source),
      lastPullUnknown: isIncomplete || isVagueNewest(source, 'pulledAt') || !arePullsKnown(source),
    },
  };
  yield { type: 'images', repository, images: toImages(source, sizes, scans) };
  yield { type: 'repository-complete', repository };
}

/**
 * All images of one JFrog repository.
 * @param only of these images
 * @throws CollectError when the manifests cannot be listed
 */
export async function* readTarget(
  scope: Scope,
  target: Target,
  only: readonly string[] | undefined,
): AsyncGenerator<Observation> {
  /** Images of which not all manifests are known; undefined among them stands for any. */
  const incomplete = new Set<string | undefined>();
  const { count, byImage } = await listImages(scope, target, only, incomplete);
  if (!only) await doubtNothing(scope, target, count);
  const none: Sorted = { rows: new Map(), signed: new Set(), unread: [], whole: true };
  const repositories = [...byImage].map(([image, manifests]) => ({
    image,
    repository: `${target.key}/${image}`,
    entries: entriesOf(manifests),
    sorted: none,
  }));
  if (!repositories.every(arePushesKnown))
    scope.context.tell(
      `no times ${target.key}`,
      { key: target.key },
      'Artifactory lists manifests without a time that can be understood: which image is the newest is unknown',
    );
  await sortAll(scope, target, repositories);
  const sizes = await sizesOf(scope, target, manifestsOf(repositories, isSized));
  const scans = await scope.xray?.scansOf(target, manifestsOf(repositories, isScanned));
  const practices = await scope.practicesOf(target);
  for (const repository of repositories) {
    const isIncomplete = incomplete.has(undefined) || incomplete.has(repository.image);
    yield* observations(repository, {
      sizes,
      scans,
      practices,
      isIncomplete,
      isRemote: target.type === 'remote',
    });
  }
  for (const image of only ?? [])
    if (!byImage.has(image)) yield { type: 'repository-gone', repository: `${target.key}/${image}` };
}
