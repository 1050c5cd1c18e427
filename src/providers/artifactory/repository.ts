import { CollectError } from '../../errors.ts';
import type { Image, Kind, Observation, Practice } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Api, needing } from './api.ts';
import type { Aql } from './aql.ts';
import type { Contents } from './contents.ts';
import { type Entry, entriesOf, factsOf, imageTagsOf, type Sorted, sortEntries } from './images.ts';
import { listManifests, type Manifest, type Target } from './layout.ts';
import { readSizes } from './sizes.ts';
import { listRepositories } from './targets.ts';
import type { Xray } from './xray.ts';

/** What reading one JFrog repository needs; lives for one cycle. */
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

/** Kinds of which it is not known how many there are while documents remain to be read. */
const openKinds: readonly Kind[] = ['platform', 'signature', 'sbom', 'attestation', 'other'];
/** Indexes, indexes within them, and what no index lists: each is known only when the one before was read. */
const rounds = 4;

interface ImageRepository {
  readonly repository: string;
  readonly entries: ReadonlyMap<string, Entry>;
  sorted: Sorted;
}

/**
 * Whether the repository was deleted. 400 is how Artifactory says that there is none of that name, but also how its
 * editions without a licence refuse the question ("available only in Artifactory Pro"): the list of all repositories,
 * which every edition gives, has to agree.
 */
async function isDeleted({ api }: Scope, target: Target): Promise<boolean> {
  const response = await api.request({
    path: `artifactory/api/repositories/${encodeURIComponent(target.key)}`,
    operation: 'repository',
    accept: [400, 403, 404],
  });
  if (response.status !== 400 && response.status !== 404) return false;
  const { items, left } = await listRepositories(api);
  return left === 0 && !items.some(({ key }) => key === target.key);
}

/**
 * An answer without items is also what a lost permission looks like: it is believed when the repository is really gone,
 * or when the next poll says so too.
 * @throws CollectError when it is not believed yet
 */
async function doubtNothing(scope: Scope, target: Target, found: number): Promise<void> {
  const { context, gone } = scope;
  const key = `listed ${target.key}`;
  const before = context.memory.get<number>(key)?.value ?? 0;
  if (found !== before) context.memory.set(key, found);
  if (found > 0 || before === 0) return;
  if (await isDeleted(scope, target)) return void gone.add(target.key);
  throw new CollectError(
    'invalid_response',
    `Artifactory lists no image of ${target.key} all of a sudden, where there were ${before} manifests: believed when the next poll says so too`,
  );
}

/** Reads the documents that are needed to tell images from what is attached to them. */
async function sortAll(
  scope: Scope,
  target: Target,
  repositories: readonly ImageRepository[],
): Promise<void> {
  let failure: unknown;
  for (let round = 0; round < rounds; round += 1) {
    const unread = repositories.flatMap((one) => {
      one.sorted = sortEntries(one.entries, scope.contents, target.packageType);
      return one.sorted.unread;
    });
    if (unread.length === 0 || failure !== undefined) break;
    failure = await scope.contents.read(target, unread);
    if (unread.every(({ digest }) => !scope.contents.of(digest))) break;
  }
  if (failure !== undefined)
    scope.context.degraded('signatures', needing(`the permission Read on ${target.key}`, failure));
}

const isSized = (kind: Kind | undefined): boolean => kind === 'image' || kind === 'platform';

async function sizesOf(
  scope: Scope,
  target: Target,
  repositories: readonly ImageRepository[],
): Promise<ReadonlyMap<string, number>> {
  const { aql, context, contents } = scope;
  const manifests = repositories.flatMap(({ entries, sorted }) =>
    [...entries.values()].flatMap((entry) =>
      isSized(sorted.rows.get(entry.digest)?.kind) ? entry.manifests : [],
    ),
  );
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
  scans: Awaited<ReturnType<Xray['scansOf']>>,
): Image[] {
  const known = sorted.whole;
  return [...sorted.rows].flatMap(([digest, { kind, platforms, vague }]) => {
    const entry = entries.get(digest);
    if (!entry) return [];
    const tags = imageTagsOf(entry);
    const sizeBytes = vague ? undefined : sizes.get(digest);
    const isImage = kind === 'image' || kind === 'index';
    const signed = sorted.signed.has(digest) || (known ? false : undefined);
    return {
      digest,
      kind,
      ...(tags.length > 0 && { tags }),
      ...(platforms && { platforms }),
      sizeBytes,
      ...(!vague && factsOf(entry)),
      ...(isImage && signed !== undefined && { signed }),
      ...((isImage || kind === 'platform') && scans?.of.get(digest)),
    };
  });
}

/** Whether something that may be a part of an image has a later time than all that is one. */
function isVagueNewest({ entries, sorted }: ImageRepository, time: 'pushedAt' | 'pulledAt'): boolean {
  const newest = (isVague: boolean): number =>
    [...sorted.rows].reduce((latest, [digest, { vague = false }]) => {
      const entry = entries.get(digest);
      return vague === isVague && entry ? Math.max(latest, factsOf(entry)[time] ?? 0) : latest;
    }, 0);
  return newest(true) > newest(false);
}

/** Whether the downloads of everything that may be an image could be read. */
const isPullKnown = ({ entries }: ImageRepository): boolean =>
  [...entries.values()].every(({ manifests }) => manifests.every(({ stats }) => stats !== undefined));

/** Pulls of images: of a multi-platform one the pull of its platform counts, and not that of its index besides. */
function pullsOf({ entries, sorted }: ImageRepository): number | undefined {
  // What may be an image may have been pulled.
  if (!sorted.whole) return undefined;
  let pulls = 0;
  for (const { digest, manifests } of entries.values()) {
    if (!isSized(sorted.rows.get(digest)?.kind)) continue;
    for (const { stats } of manifests) {
      if (!stats) return undefined;
      pulls += stats.downloads;
    }
  }
  return pulls;
}

/**
 * All images of one JFrog repository: each `IMAGE` in it is a repository of its own, `KEY/IMAGE`.
 * @param only of these images
 * @throws CollectError when the manifests cannot be listed
 */
export async function* readTarget(
  scope: Scope,
  target: Target,
  only: readonly string[] | undefined,
): AsyncGenerator<Observation> {
  const { context, aql } = scope;
  /** Images of which not all manifests are known; undefined among them stands for any. */
  const incomplete = new Set<string | undefined>();
  const manifests = await listManifests(aql, target, {
    ...(only && { only }),
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
  if (!only) await doubtNothing(scope, target, manifests.length);

  const byImage = new Map<string, Manifest[]>();
  for (const manifest of manifests) {
    const name = `${target.key}/${manifest.image}`;
    if (!context.wants(name) || (only && !only.includes(manifest.image))) continue;
    const list = byImage.get(name) ?? [];
    byImage.set(name, list);
    list.push(manifest);
  }
  const none: Sorted = { rows: new Map(), signed: new Set(), unread: [], whole: true };
  const repositories = [...byImage].map(
    ([repository, list]): ImageRepository => ({ repository, entries: entriesOf(list), sorted: none }),
  );
  await sortAll(scope, target, repositories);
  const sizes = await sizesOf(scope, target, repositories);
  const scanned = repositories.flatMap(({ entries, sorted }) =>
    [...entries.values()].flatMap((entry) => {
      const kind = sorted.rows.get(entry.digest)?.kind;
      return kind === 'index' || isSized(kind) ? entry.manifests : [];
    }),
  );
  const scans = await scope.xray?.scansOf(target, scanned);
  const practices = await scope.practicesOf(target);

  for (const one of repositories) {
    const { repository, entries, sorted } = one;
    const pulls = pullsOf(one);
    const { whole } = sorted;
    const tags = [...entries.values()].flatMap(imageTagsOf);
    const isIncomplete = incomplete.has(undefined) || incomplete.has(repository.slice(target.key.length + 1));
    const unscanned = [...entries.keys()].some((digest) => scans?.unknown.has(digest));
    yield {
      type: 'repository',
      repository,
      facts: {
        practices: {
          ...practices,
          ...((tags.includes('latest') || !isIncomplete) && { no_latest_tag: !tags.includes('latest') }),
        },
        listsUntagged: whole,
        pulls,
        ...(!whole && { unknownKinds: openKinds }),
        ...((!whole || unscanned) && { findingsUnknown: true }),
        ...(isIncomplete && { unreadTags: 'all' }),
        ...(isVagueNewest(one, 'pushedAt') && { newestUnknown: true }),
        ...((isVagueNewest(one, 'pulledAt') || !isPullKnown(one)) && { lastPullUnknown: true }),
      },
    };
    yield { type: 'images', repository, images: toImages(one, sizes, scans) };
    yield { type: 'repository-complete', repository };
  }
  for (const image of only ?? [])
    if (!byImage.has(`${target.key}/${image}`))
      yield { type: 'repository-gone', repository: `${target.key}/${image}` };
}
