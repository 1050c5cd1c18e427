import { z } from 'zod';
import { json } from '../../http.ts';
import type { Quota, RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Api, needing } from './api.ts';
import type { Target } from './layout.ts';
import { bytesOf } from './sizes.ts';

const text = z.union([z.string(), z.number()]).nullish();
/** https://jfrog.com/help/r/jfrog-rest-apis/get-storage-summary-info */
const storageInfo = z.object({
  binariesSummary: z.object({ binariesSize: text }),
  fileStoreSummary: z.object({ totalSpace: text, usedSpace: text }).nullish(),
  repositoriesSummaryList: z
    .array(
      z.object({
        repoKey: z.string(),
        repoType: z.string().nullish(),
        usedSpace: text,
        usedSpaceInBytes: z.coerce.number().nullish(),
      }),
    )
    .nullish(),
});

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
    const used = bytesOf(info.fileStoreSummary?.usedSpace);
    const limit = bytesOf(info.fileStoreSummary?.totalSpace);
    const ofRepository = new Map(info.repositoriesSummaryList?.map((one) => [one.repoKey, one]));
    const quotas: Quota[] = targets.flatMap(({ key, storage }) => {
      const row = ofRepository.get(storage) ?? ofRepository.get(key);
      const bytes = row && (row.usedSpaceInBytes ?? bytesOf(row.usedSpace));
      return typeof bytes === 'number' && !Number.isNaN(bytes)
        ? [{ quota: 'storage', project: key, used: bytes }]
        : [];
    });
    if (used !== undefined || limit !== undefined)
      quotas.unshift({
        quota: 'storage',
        ...(used !== undefined && { used }),
        ...(limit !== undefined && { limit }),
      });
    return { ...(storageBytes !== undefined && { storageBytes }), quotas };
  };
}
