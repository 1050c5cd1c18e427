import pMap from 'p-map';
import { z } from 'zod';
import { elementsOf, json } from '../../http.ts';
import type { Practice } from '../../model.ts';
import { readPart } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { count, dictionary, expected, optional, text } from '../../wire.ts';
import { type Api, administrator } from './api.ts';
import type { Target } from './layout.ts';

/** https://jfrog.com/help/r/jfrog-rest-apis/get-all-repository-configurations: lists by class of repository. */
const listsByClass = dictionary('configurations', z.array(z.unknown()));
const configuration = z.object({
  key: text,
  xrayIndex: expected('xrayIndex', z.boolean()),
  maxUniqueTags: optional('maxUniqueTags', count),
});
/**
 * Repositories that images are pushed to have a limit of tags, which is 0 without one:
 * https://github.com/jfrog/terraform-provider-artifactory/blob/master/docs/resources/local_oci_repository.md
 */
const pushed = configuration.extend({ maxUniqueTags: expected('maxUniqueTags', count) });
const pushedClasses: ReadonlySet<string> = new Set(['LOCAL', 'FEDERATED']);
type Configurations = ReadonlyMap<string, z.infer<typeof configuration>>;

/** How editions answer that do not tell configurations. Another status without a body tells nothing of the edition. */
const untold = [400, 404, 405];

/** Configurations by key; `none` where the edition tells none. */
async function readConfigurations(api: Api): Promise<Configurations | 'none'> {
  const response = await api.request({
    path: 'artifactory/api/repositories/configurations',
    query: { packageType: 'docker,oci,helmoci' },
    operation: 'configurations',
    accept: untold,
  });
  if (untold.includes(response.status)) return 'none';
  const byKey = new Map<string, z.infer<typeof configuration>>();
  for (const [name, values] of json(response, listsByClass)) {
    const schema = pushedClasses.has(name) ? pushed : configuration;
    for (const settings of (await elementsOf(response, 'configurations', schema, values)).items)
      byKey.set(settings.key, settings);
  }
  return byKey;
}

/** Reports of which repositories no settings were told. */
function tellOfMissing(
  { tell }: Pick<CollectContext, 'tell'>,
  targets: readonly Target[],
  configurations: Configurations | 'none',
): void {
  const missing = targets.filter(({ key }) => configurations === 'none' || !configurations.has(key));
  const [first] = missing;
  if (!first) return;
  tell(
    'no settings',
    { key: first.key, more: missing.length - 1 },
    configurations === 'none'
      ? 'this edition of Artifactory does not tell the settings of repositories: scan_on_push and retention_policy are unknown'
      : 'Artifactory lists repositories whose settings it leaves out: scan_on_push and retention_policy of their images are unknown. Does the account have the permission Manage on them?',
  );
}

/** Keys that anybody may read. One request where anonymous access is off, one per repository where it is on. */
async function readOpenKeys(
  api: Api,
  { concurrency }: CollectContext,
  targets: readonly Target[],
): Promise<ReadonlySet<string>> {
  const isOpen = async (path: string): Promise<boolean> => {
    const asked = { path, operation: 'anonymous', anonymous: true, accept: [401, 403, 404] };
    // It has to be JSON: behind a proxy with a sign-in page everybody gets a page.
    return (await api.read(asked, z.unknown())) !== undefined;
  };
  if (!(await isOpen('artifactory/api/repositories'))) return new Set();
  const open = await pMap(
    targets,
    async ({ key, storage }) =>
      (await isOpen(`artifactory/api/storage/${encodeURIComponent(storage)}`)) ? [key] : [],
    { concurrency },
  );
  return new Set(open.flat());
}

/** The practices that the settings of a JFrog repository decide; each of its images follows them. */
export async function readSettings(
  api: Api,
  context: CollectContext,
  targets: readonly Target[],
): Promise<(target: Target) => Partial<Record<Practice, boolean>>> {
  const permission = `${administrator}, or Manage on the repositories`;
  const read = <T>(work: () => Promise<T>) =>
    readPart(context, { capability: 'practices', permission }, work);
  const [configurations, open] = await Promise.all([
    read(() => readConfigurations(api)),
    read(() => readOpenKeys(api, context, targets)),
  ]);
  if (configurations) tellOfMissing(context, targets, configurations);
  return ({ key }) => {
    const settings = configurations === 'none' ? undefined : configurations?.get(key);
    return {
      scan_on_push: settings?.xrayIndex,
      // Without this limit a cleanup policy may still remove images, which is not seen here.
      retention_policy: settings?.maxUniqueTags ? true : undefined,
      no_anonymous_pull: open && !open.has(key),
    };
  };
}
