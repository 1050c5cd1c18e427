import picomatch from 'picomatch';
import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import { meaningOf, needing } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { countedList, text } from '../../wire.ts';
import type { Api } from './api.ts';
import type { Target } from './layout.ts';

/** https://jfrog.com/help/r/jfrog-rest-apis/get-repositories */
const repositoryList = countedList('repositories', z.object({ key: text, type: text, packageType: text }));
type Listing = z.infer<typeof repositoryList>;
type Listed = Listing['items'][number];

const classes: Readonly<Record<string, Target['type'] | 'none'>> = {
  local: 'local',
  remote: 'remote',
  federated: 'federated',
  // Shows what others hold: counting it would count that twice.
  virtual: 'none',
};
const packageTypes: readonly string[] = ['docker', 'oci', 'helmoci'] satisfies Target['packageType'][];

/**
 * All repositories that the credentials may see, and how many more could not be understood.
 * @throws CollectError when they cannot be listed
 */
export async function listRepositories(api: Api): Promise<Listing> {
  try {
    const question = { path: 'artifactory/api/repositories', operation: 'repositories' };
    return (await api.read(question, repositoryList)) as Listing;
  } catch (error) {
    throw needing('a user that may read the repositories', error);
  }
}

/** What a repository of Artifactory is for us; undefined where it holds no images of its own. */
function targetOf({ key, type, packageType }: Listed, context: CollectContext): Target | undefined {
  const packages = packageType.toLowerCase();
  if (!packageTypes.includes(packages)) return undefined;
  const kind = meaningOf(context, 'a kind of repository', classes, type, 'it is not read');
  if (kind === undefined || kind === 'none') return undefined;
  const storage = kind === 'remote' ? `${key}-cache` : key;
  return { key, storage, type: kind, packageType: packages as Target['packageType'] };
}

/**
 * The repositories to read.
 * @throws CollectError `not_found` where none of those that the configuration names is there
 */
export async function listTargets(
  api: Api,
  input: {
    readonly keys?: readonly string[] | undefined;
    readonly types?: readonly Target['type'][] | undefined;
    /** Told how many repositories could not be understood. */
    leftOut(repositories: number): void;
  },
  context: CollectContext,
): Promise<Target[]> {
  const { items, left } = await listRepositories(api);
  if (left > 0) input.leftOut(left);
  const wanted: readonly Target['type'][] = input.types ?? ['local', 'remote', 'federated'];
  const targets = items.flatMap((listed) => {
    const target = targetOf(listed, context);
    return target && wanted.includes(target.type) ? [target] : [];
  });
  if (targets.length === 0)
    context.tell(
      'no repository',
      { listed: items.length },
      'Artifactory shows this account no repository of images: does it have the permission Read on them?',
    );
  if (!input.keys) return targets;
  const missing = input.keys.filter((pattern) => !targets.some(({ key }) => picomatch.isMatch(key, pattern)));
  const advice = 'check `keys` and `types`, and that the credentials may read them';
  if (missing.length === input.keys.length)
    throw new CollectError(
      'not_found',
      `Artifactory shows no repository of images named ${missing.join(', ')}: ${advice}`,
    );
  for (const pattern of missing)
    context.tell(
      `key ${pattern}`,
      { key: pattern },
      `Artifactory shows no repository of images of this name: ${advice}`,
    );
  return targets.filter(({ key }) => input.keys?.some((pattern) => picomatch.isMatch(key, pattern)));
}
