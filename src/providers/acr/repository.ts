import pMap from 'p-map';
import { CollectError } from '../../errors.ts';
import type { Failing } from '../../failing.ts';
import type { Image, Kind, Observation, Practice, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { FindingsByDigest } from './findings.ts';
import { type Detail, detailOfManifest, detailOfReferences, type Listed, listed } from './manifests.ts';
import type { ManifestEntry, Registry } from './registry.ts';

/** What reading one repository needs; lives for one cycle. */
export interface Scope {
  readonly context: CollectContext;
  readonly registry: Registry;
  readonly failing: Failing;
  readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  readonly findings: FindingsByDigest | undefined;
}

/** What a manifest may be that could not be read. */
const attachedKinds: readonly Kind[] = ['signature', 'sbom', 'attestation', 'chart', 'other'];
/** What an index may list that could not be read. */
const ofIndexes: readonly Kind[] = ['platform', 'attestation'];
type Draft = { -readonly [Field in keyof Image]: Image[Field] };

/** A manifest that the list does not tell all about. */
interface Unfinished {
  readonly draft: Draft;
  readonly references: ManifestEntry['references'];
  /** Not even the type of the manifest is known. */
  readonly isUntyped: boolean;
}

/** What is found out of a repository while it is read. */
interface Reading {
  latest: boolean;
  /** An image has no time: which is the newest is then unknown. */
  undated: boolean;
  /** Manifests that cannot be understood. */
  unread: number;
  readonly unknownKinds: Set<Kind>;
}

/** An image as the list tells it. */
function toDraft(
  entry: ManifestEntry,
  { kind, tags, subject }: Listed,
  findings: FindingsByDigest | undefined,
): Draft {
  const { digest, createdTime, imageSize } = entry;
  const scan = findings?.scans.get(digest);
  return {
    digest,
    kind: kind ?? 'other',
    tags,
    subject,
    // Sizes are counted some time after the push: until then it is 0.
    sizeBytes: imageSize || undefined,
    pushedAt: createdTime === undefined ? undefined : Math.floor(createdTime),
    ...(scan && { scanStatus: 'complete' as const, ...scan }),
  };
}

/** Adds what the list does not tell. */
async function finish(
  { draft, references, isUntyped }: Unfinished,
  details: ReturnType<typeof createDetails>,
  reading: Reading,
): Promise<void> {
  const isIndex = draft.kind === 'index';
  const detail = references?.length
    ? detailOfReferences(references)
    : await (isIndex ? details.ofIndex(draft.digest) : details.ofArtifact(draft.digest));
  if (detail) Object.assign(draft, detail);
  else for (const kind of isIndex ? ofIndexes : attachedKinds) reading.unknownKinds.add(kind);
  // It may be an image as well.
  if (!detail && isUntyped) reading.unread += 1;
}

function factsOf(
  { practices, findings }: Scope,
  { latest, undated, unread, unknownKinds }: Reading,
): RepositoryFacts {
  return {
    practices: { ...practices, ...((latest || unread === 0) && { no_latest_tag: !latest }) },
    // Nor are their tags known.
    unreadTags: unread > 0 ? 'all' : undefined,
    newestUnknown: undated || undefined,
    // Of an index that was not read, it is unknown which platforms' findings are its own.
    findingsUnknown: findings?.incomplete || unknownKinds.has('platform') || undefined,
    listsSignatures: !unknownKinds.has('signature') || undefined,
    unknownKinds: unknownKinds.size > 0 ? [...unknownKinds] : undefined,
  };
}

/**
 * Reads one repository page by page: its manifests, and of those that the list does not tell all about, the manifest
 * itself, once per digest.
 */
export async function* readRepository(scope: Scope, repository: string): AsyncGenerator<Observation> {
  const { context, registry, findings } = scope;
  const details = createDetails(scope, repository);
  const reading: Reading = { latest: false, undated: false, unread: 0, unknownKinds: new Set() };
  const onLeft = (count: number) => {
    reading.unread += count;
  };
  try {
    yield { type: 'repository', repository, facts: { listsUntagged: true } };
    for await (const page of registry.manifests(repository, onLeft)) {
      const unfinished: Unfinished[] = [];
      const images = page.map((entry) => {
        const content = listed(entry);
        const draft = toDraft(entry, content, findings);
        if (content.tags.includes('latest')) reading.latest = true;
        if (draft.pushedAt === undefined && content.kind !== 'other') reading.undated = true;
        if (content.kind === undefined || content.kind === 'index')
          unfinished.push({
            draft,
            references: entry.references,
            isUntyped: entry.mediaType === undefined,
          });
        return draft;
      });
      await pMap(unfinished, (draft) => finish(draft, details, reading), {
        concurrency: context.concurrency,
      });
      yield { type: 'images', repository, images };
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
    yield { type: 'repository-gone', repository };
    return;
  }
  if (reading.undated)
    context.tell(
      `undated ${repository}`,
      { repository },
      'the registry does not tell when an image was created: which is the newest is unknown',
    );
  yield { type: 'repository-complete', repository, facts: factsOf(scope, reading) };
}

/** What manifests are that the list does not tell all about; each is read once. */
function createDetails({ context, registry, failing }: Scope, repository: string) {
  const { memory, signal } = context;
  const attempts = failing.of(repository);

  /** @returns undefined for what cannot be read, which is told */
  async function once(digest: string, read: () => Promise<Detail>): Promise<Detail | undefined> {
    const remembered = memory.get<Detail>(`manifest ${digest}`);
    if (remembered) return remembered.value;
    const thing = {
      kind: 'manifest',
      name: digest,
      effect: 'what it is stays unknown',
      quiet: true,
      detail: true,
    };
    const attempt = await attempts.attempt(thing, async () => {
      try {
        const detail = await read();
        memory.set(`manifest ${digest}`, detail);
        return detail;
      } catch (error) {
        // That one is not there does not make its repository gone.
        throw isNotFound(error) ? new CollectError('invalid_response', 'listed, and not there') : error;
      }
    });
    if ('value' in attempt) return attempt.value;
    if (attempt.error.reason === 'forbidden') throw attempt.error;
    attempts.tell(thing, attempt.error);
    return undefined;
  }

  const document = async (digest: string): Promise<Detail> =>
    detailOfManifest(await registry.manifest(repository, digest));

  return {
    ofIndex: (digest: string) =>
      once(digest, async () => {
        const references = await registry.references(repository, digest);
        // The registry's own record is no pull, and needs no permission to pull; the manifest is read where it fails.
        return references ? detailOfReferences(references) : document(digest);
      }),
    ofArtifact: (digest: string) =>
      once(digest, () => document(digest)).catch((error: unknown) => {
        signal.throwIfAborted();
        context.degraded('signatures', explained(error, repository));
        return undefined;
      }),
  };
}

function explained(error: unknown, repository: string): unknown {
  if (!(error instanceof CollectError) || (error.reason !== 'forbidden' && error.reason !== 'auth'))
    return error;
  return new CollectError(
    'forbidden',
    `manifests of ${repository} cannot be read, so that what is signed is unknown: assign the role AcrPull (or "Container Registry Repository Reader" where the registry's permissions are by repository): ${error.message}`,
    { cause: error },
  );
}
