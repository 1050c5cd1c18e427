import pMap from 'p-map';
import { z } from 'zod';
import { json } from '../../http.ts';
import type { Practice } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, list, optional, text } from '../../wire.ts';
import { type Api, needing } from './api.ts';
import type { Target } from './layout.ts';

/** What is known of the settings of a JFrog repository; each of its images follows them. */
export interface Settings {
  practicesOf(target: Target): Partial<Record<Practice, boolean>>;
  /** Whether Xray is set to index it; undefined where that is unknown. */
  indexed(target: Target): boolean | undefined;
}

/** https://jfrog.com/help/r/jfrog-rest-apis/get-all-repository-configurations: lists by class of repository. */
const configurations = z.record(
  z.string(),
  list(
    'configurations',
    z.object({
      key: text,
      xrayIndex: optional('xrayIndex', z.boolean()),
      maxUniqueTags: optional('maxUniqueTags', count),
    }),
  ),
);

type Configuration = z.infer<typeof configurations>[string][number];

async function readConfigurations(api: Api): Promise<Map<string, Configuration>> {
  const response = await api.request({
    path: 'artifactory/api/repositories/configurations',
    query: { packageType: 'docker,oci,helmoci' },
    operation: 'configurations',
    // An edition without a licence tells no settings: then they are unknown, and nothing fails.
    accept: [400, 404, 405],
  });
  if (response.status !== 200) return new Map();
  return new Map(
    Object.values(json(response, configurations))
      .flat()
      .map((one) => [one.key, one]),
  );
}

/**
 * Keys that anybody may read; undefined where that could not be told. One request where anonymous access is off, one
 * per repository where it is on.
 */
async function readOpenKeys(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<ReadonlySet<string> | undefined> {
  const shut = [401, 403, 404];
  const probe = async (path: string) => {
    const response = await api.request({ path, operation: 'anonymous', anonymous: true, accept: shut });
    // Behind a proxy with a sign-in page everybody gets a page.
    if (response.status === 200) json(response, z.unknown());
    return response.status;
  };
  if ((await probe('artifactory/api/repositories')) !== 200) return new Set();
  const open = await pMap(
    targets,
    async ({ key, storage }) =>
      (await probe(`artifactory/api/storage/${encodeURIComponent(storage)}`)) === 200 ? [key] : [],
    { concurrency: context.concurrency },
  );
  return new Set(open.flat());
}

export async function readSettings(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<Settings> {
  const [configured, open] = await Promise.allSettled([
    readConfigurations(api),
    readOpenKeys(api, context, targets),
  ]);
  context.signal.throwIfAborted();
  for (const part of [configured, open])
    if (part.status === 'rejected')
      context.degraded(
        'practices',
        needing(
          "an administrator's token (scope applied-permissions/admin), or Manage on the repositories",
          part.reason,
        ),
      );
  const configurationOf = ({ key }: Target): Configuration | undefined =>
    configured.status === 'fulfilled' ? configured.value.get(key) : undefined;
  const openKeys = open.status === 'fulfilled' ? open.value : undefined;
  return {
    indexed: (target) => configurationOf(target)?.xrayIndex ?? undefined,
    practicesOf(target) {
      const known = configurationOf(target);
      return {
        ...(typeof known?.xrayIndex === 'boolean' && { scan_on_push: known.xrayIndex }),
        // Without this limit a cleanup policy may still do it, which is not seen here.
        ...((known?.maxUniqueTags ?? 0) > 0 && { retention_policy: true }),
        ...(openKeys && { no_anonymous_pull: !openKeys.has(target.key) }),
      };
    },
  };
}
