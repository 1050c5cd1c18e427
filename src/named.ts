import { CollectError } from './errors.ts';
import type { Observation } from './model.ts';
import type { CollectContext } from './provider.ts';

/** Names that the configuration spells out, and the setting that does. */
export interface Named {
  readonly setting: string;
  readonly names: readonly string[];
}

const special = /[*?[\]{}()!+@|\\]/;
/** Whether a text could match several names. */
export const isPattern = (text: string): boolean => special.test(text);

/** The repositories that `repositories.include` names without a pattern. */
export const namedByInclude = ({ include = [] }: Pick<CollectContext, 'include'>): Named => ({
  setting: 'repositories.include',
  names: include.filter((name) => !isPattern(name)),
});

/** Takes the names out that an observation shows. @returns whether it shows a repository, or that some may be hidden */
function takeShown(missing: Set<string>, observation: Observation): boolean {
  if (observation.type === 'group-failed') {
    for (const name of missing) if (name.startsWith(observation.prefix)) missing.delete(name);
    return true;
  }
  if (!('repository' in observation) || observation.type === 'repository-gone') return false;
  missing.delete(observation.repository);
  return true;
}

/**
 * Passes observations on, and says which repositories the configuration names that are not among them. Where there is
 * none at all, the number of repositories is unknown: a registry that is asked for some is not one without any.
 */
export async function* sayMissing(
  context: Pick<CollectContext, 'only' | 'wants' | 'tell' | 'degraded' | 'absent'>,
  { setting, names }: Named,
  observations: AsyncIterable<Observation>,
): AsyncGenerator<Observation> {
  const missing = new Set(context.only ? [] : names.filter((name) => context.wants(name)));
  let showsAny = false;
  for await (const observation of observations) {
    if (takeShown(missing, observation)) showsAny = true;
    yield observation;
  }
  for (const repository of missing)
    context.tell(
      `missing ${repository}`,
      { repository },
      `the registry does not have a repository that \`${setting}\` names: check its name, and whether the credentials may see it`,
    );
  if (missing.size === 0 || showsAny) return;
  const nothing = `the registry has none of the repositories that \`${setting}\` names`;
  context.degraded('repositories', new CollectError('not_found', nothing));
  context.absent('repositories');
}
