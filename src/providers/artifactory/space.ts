import { z } from 'zod';
import type { Quota, RegistryFacts } from '../../model.ts';
import { readPart, tellOfWord } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { count, expected, list, optional, text } from '../../wire.ts';
import { type Api, administrator } from './api.ts';
import type { Target } from './layout.ts';
import { bytesOf } from './written-sizes.ts';

const size = optional('size', z.union([z.string(), z.number()]));
/** https://jfrog.com/help/r/jfrog-rest-apis/get-storage-summary-info */
const storageInfo = z.object({
  binariesSummary: z.object({ binariesSize: size }),
  fileStoreSummary: expected(
    'fileStoreSummary',
    z.object({ storageType: optional('storageType', text), totalSpace: size, usedSpace: size }),
  ),
  repositoriesSummaryList: expected(
    'repositoriesSummaryList',
    list(
      'repositoriesSummaryList',
      z.object({ repoKey: text, usedSpace: size, usedSpaceInBytes: optional('usedSpaceInBytes', count) }),
    ),
  ),
});

/**
 * The space of the file store, where it lies on a disk of its own. A store on S3 or another service, or one that is
 * sharded, has no such bound: there Artifactory tells zeros, `N/A`, or the disk of its cache.
 * https://jfrog.com/help/r/jfrog-installation-setup-documentation/filestore-configuration
 */
function fileStore(
  store: z.infer<typeof storageInfo>['fileStoreSummary'],
  { tell }: Pick<CollectContext, 'tell'>,
): Quota[] {
  if (!store || (store.storageType && !/^file-?system$/i.test(store.storageType))) return [];
  const { usedSpace, totalSpace } = store;
  const [used, limit] = [bytesOf(usedSpace), bytesOf(totalSpace)];
  if (used !== undefined && limit) return [{ quota: 'storage', used, limit }];
  // What has no bound says so in a word.
  if (![usedSpace, totalSpace].some((written) => /N\/A|infinite/i.test(String(written))))
    tell(
      'file store',
      { usedSpace, totalSpace },
      'Artifactory tells no usable size of its file store: the quota storage is unknown',
    );
  return [];
}

/** @param isWithoutRows whether the summary has no row of any repository: a 0 then is that of one not computed yet */
function storedBytes(
  { binariesSummary: { binariesSize } }: z.infer<typeof storageInfo>,
  isWithoutRows: boolean,
  context: CollectContext,
): number | undefined {
  const bytes = bytesOf(binariesSize);
  if (bytes === undefined) tellOfWord(context, 'a size of all binaries', binariesSize);
  if (bytes !== 0 || !isWithoutRows) return bytes;
  context.tell(
    'storage summary',
    {},
    'the storage summary of Artifactory is empty, although there are repositories: it may not be computed yet, and the size of all binaries is unknown',
  );
  return undefined;
}

/**
 * The storage summary, which Artifactory computes once an hour; it is not asked to compute it anew. Only administrators
 * may read it: that tells too that pages of the search are complete.
 */
export async function readStorage(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Pick<RegistryFacts, 'storageBytes' | 'quotas'> | undefined> {
  const part = { capability: ['storage', 'quotas'], permission: administrator } as const;
  const info = await readPart(context, part, () =>
    api.read({ path: 'artifactory/api/storageinfo', operation: 'storage' }, storageInfo),
  );
  if (!info) return undefined;
  const rows = new Map(info.repositoriesSummaryList?.map((row) => [row.repoKey, row]));
  const quotas = targets.flatMap(({ key, storage }): Quota[] => {
    const row = rows.get(storage) ?? rows.get(key);
    // Since it was computed the repository may have been made.
    if (!row) return [];
    const used = row.usedSpaceInBytes ?? bytesOf(row.usedSpace);
    if (used === undefined) tellOfWord(context, `a size of the repository ${key}`, row.usedSpace);
    return used === undefined ? [] : [{ quota: 'storage', project: key, used }];
  });
  return {
    storageBytes: storedBytes(info, targets.length > 0 && quotas.length === 0, context),
    quotas: [...fileStore(info.fileStoreSummary, context), ...quotas],
  };
}
