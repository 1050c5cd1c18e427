import pMap from 'p-map';
import { CollectError } from '../../errors.ts';
import { pastSeconds } from '../../images/manifest.ts';
import type { Image, Observation, Practice } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import type { FindingsByDigest } from './findings.ts';
import { type Detail, detailOfManifest, detailOfReferences, listed } from './manifests.ts';
import type { ManifestEntry, Registry } from './registry.ts';

/** What reading one repository needs; lives for one cycle. */
export interface Scope {
  readonly context: CollectContext;
  readonly registry: Registry;
  readonly practices: Readonly<Partial<Record<Practice, boolean>>>;
  readonly findings: FindingsByDigest | undefined;
}

type Draft = { -readonly [Field in keyof Image]: Image[Field] };

/** A manifest that the list does not tell all about. */
interface Unfinished {
  readonly draft: Draft;
  readonly references: ManifestEntry['references'];
}

/**
 * Reads one repository page by page: its manifests, and of those that the list does not tell all about, the manifest
 * itself, once per digest.
 */
export async function* readRepository(scope: Scope, repository: string): AsyncGenerator<Observation> {
  const { context, registry, findings } = scope;
  const details = createDetails(scope, repository);
  let latest = false;
  let unreadable = 0;

  function toDraft(entry: ManifestEntry, unfinished: Unfinished[]): Draft {
    const { digest } = entry;
    const { kind, tags, subject } = listed(entry);
    const pushedAt = pastSeconds(entry.createdTime);
    const draft: Draft = { digest, kind: kind ?? 'other', tags };
    // Sizes are counted some time after the push: until then it is 0.
    if (entry.imageSize) draft.sizeBytes = entry.imageSize;
    if (pushedAt !== undefined) draft.pushedAt = pushedAt;
    if (subject !== undefined) draft.subject = subject;
    const scan = findings?.get(digest);
    if (scan) {
      draft.scanStatus = 'complete';
      draft.findings = scan.findings;
      if (scan.scannedAt !== undefined) draft.scannedAt = scan.scannedAt;
    }
    if (tags.includes('latest')) latest = true;
    if (kind === undefined || kind === 'index') unfinished.push({ draft, references: entry.references });
    return draft;
  }

  /** @returns whether it is still there */
  async function finish({ draft, references }: Unfinished): Promise<boolean> {
    if (draft.kind === 'index') {
      const detail = references?.length
        ? detailOfReferences(references)
        : await details.ofIndex(draft.digest);
      if (detail) Object.assign(draft, detail);
      return detail !== undefined;
    }
    const detail = await details.ofArtifact(draft.digest);
    if (detail === 'unreadable') unreadable += 1;
    else if (detail) Object.assign(draft, detail);
    return true;
  }

  try {
    yield { type: 'repository', repository, facts: { listsUntagged: true } };
    for await (const page of registry.manifests(repository)) {
      const unfinished: Unfinished[] = [];
      const images = page.map((entry) => toDraft(entry, unfinished));
      const gone = new Set<Image>();
      await pMap(
        unfinished,
        async (one) => {
          if (!(await finish(one))) gone.add(one.draft);
        },
        { concurrency: context.concurrency },
      );
      yield {
        type: 'images',
        repository,
        images: gone.size > 0 ? images.filter((image) => !gone.has(image)) : images,
      };
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
    yield { type: 'repository-gone', repository };
    return;
  }
  yield {
    type: 'repository-complete',
    repository,
    facts: {
      practices: { ...scope.practices, no_latest_tag: !latest },
      ...(unreadable === 0
        ? { listsSignatures: true }
        : { unknownKinds: ['signature', 'sbom', 'attestation', 'chart', 'other'] }),
    },
  };
}

function createDetails({ context, registry }: Scope, repository: string) {
  const { memory, signal } = context;
  const remembered = (digest: string): Detail | undefined => memory.get<Detail>(`manifest ${digest}`)?.value;
  const remember = (digest: string, detail: Detail): Detail => {
    memory.set(`manifest ${digest}`, detail);
    return detail;
  };
  /** By digest. @returns undefined when it is gone */
  async function read(digest: string): Promise<Detail | undefined> {
    try {
      return remember(digest, detailOfManifest(await registry.manifest(repository, digest)));
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
  return {
    async ofIndex(digest: string): Promise<Detail | undefined> {
      const known = remembered(digest);
      if (known) return known;
      try {
        const references = await registry.references(repository, digest);
        // The registry's own record is no pull, and needs no permission to pull; the manifest is read where it fails.
        return references ? remember(digest, detailOfReferences(references)) : await read(digest);
      } catch (error) {
        if (isNotFound(error)) return undefined;
        throw error;
      }
    },
    async ofArtifact(digest: string): Promise<Detail | undefined | 'unreadable'> {
      const known = remembered(digest);
      if (known) return known;
      try {
        return await read(digest);
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
