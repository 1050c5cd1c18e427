import pMap from 'p-map';
import { z } from 'zod';
import { elementsOf, json } from '../../http.ts';
import type { Practice } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, dictionary, expected, optional, text } from '../../wire.ts';
import { type Api, needing } from './api.ts';
import type { Target } from './layout.ts';

/** What is known of the settings of a JFrog repository; each of its images follows them. */
export interface Settings {
  practicesOf(target: Target): Partial<Record<Practice, boolean>>;
  /** Whether Xray is set to index it; undefined where that is unknown. */
  indexed(target: Target): boolean | undefined;
}

/** https://jfrog.com/help/r/jfrog-rest-apis/get-all-repository-configurations: lists by class of repository. */
const listsByClass = dictionary('configurations', z.array(z.unknown()));
const configuration = z.object({
  key: text,
  xrayIndex: expected('xrayIndex', z.boolean()),
  maxUniqueTags: optional('maxUniqueTags', count),
});
type Configuration = z.infer<typeof configuration>;

/** Configurations by key; undefined where the edition tells none. */
async function readConfigurations(api: Api): Promise<Map<string, Configuration> | undefined> {
  const response = await api.request({
    path: 'artifactory/api/repositories/configurations',
    query: { packageType: 'docker,oci,helmoci' },
    operation: 'configurations',
    accept: [400, 404, 405],
  });
  if (response.status !== 200) return undefined;
  const byKey = new Map<string, Configuration>();
  for (const values of json(response, listsByClass).values())
    for (const one of (await elementsOf(response, 'configurations', configuration, values)).items)
      byKey.set(one.key, one);
  return byKey;
}

/** Says of which repositories no settings were told. */
function tellOfMissing(
  { tell }: Pick<CollectContext, 'tell'>,
  targets: readonly Target[],
  configured: ReadonlyMap<string, Configuration> | undefined,
): void {
  const [first, ...more] = targets.filter(({ key }) => !configured?.has(key));
  if (!first) return;
  tell(
    'no settings',
    { key: first.key, more: more.length },
    configured
      ? 'Artifactory lists repositories whose settings it leaves out: scan_on_push and retention_policy of their images are unknown. Does the account have the permission Manage on them?'
      : 'this edition of Artifactory does not tell the settings of repositories: scan_on_push and retention_policy are unknown',
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
  if (configured.status === 'fulfilled') tellOfMissing(context, targets, configured.value);
  const configurationOf = ({ key }: Target): Configuration | undefined =>
    configured.status === 'fulfilled' ? configured.value?.get(key) : undefined;
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
