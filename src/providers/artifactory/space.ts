import { z } from 'zod';
import { json } from '../../http.ts';
import type { Quota, RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, expected, list, optional, text } from '../../wire.ts';
import { type Api, needing } from './api.ts';
import type { Target } from './layout.ts';
import { bytesOf } from './sizes.ts';

const size = optional('size', z.union([z.string(), z.number()]));
/** https://jfrog.com/help/r/jfrog-rest-apis/get-storage-summary-info */
const storageInfo = z.object({
  binariesSummary: z.object({ binariesSize: size }),
  fileStoreSummary: expected(
    'fileStoreSummary',
    z.object({ storageType: optional('storageType', text), totalSpace: size, usedSpace: size }),
  ),
  repositoriesSummaryList: optional(
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
  const [used, limit] = [bytesOf(store.usedSpace), bytesOf(store.totalSpace)];
  if (used !== undefined && limit) return [{ quota: 'storage', used, limit }];
  // What has no bound says so in a word.
  if (![store.usedSpace, store.totalSpace].some((said) => /N\/A|infinite/i.test(String(said))))
    tell(
      'file store',
      { usedSpace: store.usedSpace, totalSpace: store.totalSpace },
      'Artifactory tells no usable size of its file store: the quota storage is unknown',
    );
  return [];
}

/**
 * The storage summary, which an administrator may read and Artifactory computes once an hour; it is not told to compute
 * it anew. Only for administrators: then pages of the search are complete too.
 */
export async function readStorage(
  api: Api,
  context: CollectContext,
): Promise<((targets: readonly Target[]) => Pick<RegistryFacts, 'storageBytes' | 'quotas'>) | undefined> {
  let info: z.infer<typeof storageInfo>;
  try {
    info = json(
      await api.request({ path: 'artifactory/api/storageinfo', operation: 'storage' }),
      storageInfo,
    );
  } catch (error) {
    context.signal.throwIfAborted();
    const named = needing("an administrator's token (scope applied-permissions/admin)", error);
    context.degraded('storage', named);
    context.degraded('quotas', named);
    return undefined;
  }
  const storageBytes = bytesOf(info.binariesSummary.binariesSize);
  return (targets) => {
    const ofRepository = new Map(info.repositoriesSummaryList?.map((one) => [one.repoKey, one]));
    const quotas = targets.flatMap(({ key, storage }): Quota[] => {
      const row = ofRepository.get(storage) ?? ofRepository.get(key);
      const bytes = row && (row.usedSpaceInBytes ?? bytesOf(row.usedSpace));
      return bytes === undefined ? [] : [{ quota: 'storage', project: key, used: bytes }];
    });
    return {
      storageBytes,
      quotas: [...fileStore(info.fileStoreSummary, context), ...quotas],
    };
  };
}
