import pMap from 'p-map';
import { CollectError, reasonOf } from '../../errors.ts';
import type { Image, Kind, Observation, Practice, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { FindingsByDigest } from './findings.ts';
import {
  type Detail,
  detailOfManifest,
  detailOfReferences,
  type Listed,
  listed,
  OddManifest,
} from './manifests.ts';
import type { ManifestEntry, Registry } from './registry.ts';

/** What reading one repository needs; lives for one cycle. */
export interface Scope {
  readonly context: CollectContext;
  readonly registry: Registry;
  readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  readonly findings: FindingsByDigest | undefined;
}

/** What a manifest may be that could not be read. */
const attachedKinds: readonly Kind[] = ['signature', 'sbom', 'attestation', 'chart', 'other'];
/** How soon a manifest that could not be read is tried again: one that is odd never changes, an answer may. */
const day = 86_400;
const quarterHour = 900;
/** Failures that are those of one manifest, and say nothing of the registry. */
const ofOneManifest = new Set(['invalid_response', 'too_large', 'server_error']);

/** Why a manifest could not be read, as it is remembered. */
interface Unreadable {
  readonly why: string;
  readonly seconds: number;
}

type Draft = { -readonly [Field in keyof Image]: Image[Field] };

/** A manifest that the list does not tell all about. */
interface Unfinished {
  readonly draft: Draft;
  readonly references: ManifestEntry['references'];
}

/** What is found out of a repository while it is read. */
interface Reading {
  latest: boolean;
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

/** Adds what the list does not tell. @returns whether the manifest is still there */
async function finish(
  { draft, references }: Unfinished,
  details: ReturnType<typeof createDetails>,
  { unknownKinds }: Reading,
): Promise<boolean> {
  if (draft.kind === 'index') {
    const detail = references?.length ? detailOfReferences(references) : await details.ofIndex(draft.digest);
    if (detail === 'unreadable') unknownKinds.add('platform');
    else if (detail) Object.assign(draft, detail);
    return detail !== undefined;
  }
  const detail = await details.ofArtifact(draft.digest);
  if (detail === 'unreadable') for (const kind of attachedKinds) unknownKinds.add(kind);
  else Object.assign(draft, detail);
  return true;
}

function factsOf({ practices, findings }: Scope, { latest, unread, unknownKinds }: Reading): RepositoryFacts {
  return {
    practices: { ...practices, ...((latest || unread === 0) && { no_latest_tag: !latest }) },
    // Nor are their tags known.
    unreadTags: unread > 0 ? 'all' : undefined,
    findingsUnknown: findings?.incomplete || undefined,
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
  const reading: Reading = { latest: false, unread: 0, unknownKinds: new Set() };
  const onLeft = (count: number) => {
    reading.unread += count;
  };
  try {
    yield { type: 'repository', repository, facts: { listsUntagged: true } };
    for await (const page of registry.manifests(repository, onLeft)) {
      const unfinished: Unfinished[] = [];
      const images = page.map((entry) => {
        const known = listed(entry);
        const draft = toDraft(entry, known, findings);
        if (known.tags.includes('latest')) reading.latest = true;
        if (known.kind === undefined || known.kind === 'index')
          unfinished.push({ draft, references: entry.references });
        return draft;
      });
      const gone = new Set<Image>();
      await pMap(
        unfinished,
        async (one) => {
          if (!(await finish(one, details, reading))) gone.add(one.draft);
        },
        { concurrency: context.concurrency },
      );
      yield { type: 'images', repository, images: images.filter((image) => !gone.has(image)) };
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
    yield { type: 'repository-gone', repository };
    return;
  }
  yield { type: 'repository-complete', repository, facts: factsOf(scope, reading) };
}

/** What manifests are that the list does not tell all about; each is read once. */
function createDetails({ context, registry }: Scope, repository: string) {
  const { memory, signal } = context;

  const leftOut = (digest: string, why: string): 'unreadable' => {
    context.tell(
      `manifest ${repository} ${digest}`,
      { repository, digest, why },
      'a manifest cannot be read: what it is stays unknown, and it is tried again later',
    );
    return 'unreadable';
  };

  /** @param read tells nothing of what is not there */
  async function once(
    digest: string,
    read: () => Promise<Detail | undefined>,
  ): Promise<Detail | undefined | 'unreadable'> {
    const known = memory.get<Detail>(`manifest ${digest}`);
    if (known) return known.value;
    const key = `unreadable manifest ${repository} ${digest}`;
    const before = memory.get<Unreadable>(key);
    if (before && context.now() - before.storedAt < before.value.seconds)
      return leftOut(digest, before.value.why);
    try {
      const detail = await read();
      if (detail) memory.set(`manifest ${digest}`, detail);
      return detail;
    } catch (error) {
      signal.throwIfAborted();
      if (isNotFound(error)) return undefined;
      if (!ofOneManifest.has(reasonOf(error))) throw error;
      const why = (error as Error).message.slice(0, 300);
      memory.set(key, { why, seconds: error instanceof OddManifest ? day : quarterHour });
      return leftOut(digest, why);
    }
  }

  const document = async (digest: string): Promise<Detail> =>
    detailOfManifest(await registry.manifest(repository, digest));

  return {
    /** @returns undefined when it is gone */
    ofIndex: (digest: string) =>
      once(digest, async () => {
        const references = await registry.references(repository, digest);
        // The registry's own record is no pull, and needs no permission to pull; the manifest is read where it fails.
        return references ? detailOfReferences(references) : document(digest);
      }),
    async ofArtifact(digest: string): Promise<Detail | 'unreadable'> {
      try {
        return (await once(digest, () => document(digest))) ?? leftOut(digest, 'listed, and not there');
      } catch (error) {
        signal.throwIfAborted();
        context.degraded('signatures', explained(error, repository));
        return 'unreadable';
      }
    },
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
