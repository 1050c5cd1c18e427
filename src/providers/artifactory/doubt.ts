import { CollectError } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import type { Api } from './api.ts';
import type { Target } from './layout.ts';
import { listRepositories } from './targets.ts';

/**
 * Whether the repository was deleted. 400 is how Artifactory says that there is none of that name, but also how its
 * editions without a licence refuse the question ("available only in Artifactory Pro"): the list of all repositories,
 * which every edition gives, has to agree.
 */
async function isDeleted(api: Api, { key }: Target): Promise<boolean> {
  const path = `artifactory/api/repositories/${encodeURIComponent(key)}`;
  const { status } = await api.request({ path, operation: 'repository', accept: [400, 403, 404] });
  if (status !== 400 && status !== 404) return false;
  const { items, left } = await listRepositories(api);
  return left === 0 && !items.some((listed) => listed.key === key);
}

/**
 * An answer without items is also what a lost permission looks like: it is believed when the repository is really gone,
 * or when the next poll says so too.
 * @throws CollectError when it is not believed yet
 */
export async function doubtNothing(
  scope: { readonly api: Api; readonly context: CollectContext; readonly gone: Set<string> },
  target: Target,
  count: number,
): Promise<void> {
  const { context, gone } = scope;
  const key = `listed ${target.key}`;
  const before = context.memory.get<number>(key)?.value ?? 0;
  if (count !== before) context.memory.set(key, count);
  if (count > 0 || before === 0) return;
  if (await isDeleted(scope.api, target)) return void gone.add(target.key);
  throw new CollectError(
    'invalid_response',
    `Artifactory lists no image of ${target.key} all of a sudden, where there were ${before} manifests: believed when the next poll says so too`,
  );
}
