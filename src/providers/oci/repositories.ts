import { CollectError } from '../../errors.ts';
import type { Observation } from '../../model.ts';
import type { Capability, CollectContext } from '../../provider.ts';
import type { Distribution } from './client.ts';
import { isName } from './names.ts';

interface Source {
  readonly client: Distribution;
  readonly context: CollectContext;
  /** Of the configuration. */
  readonly names: readonly string[] | undefined;
  readonly anonymous: boolean;
}

/** Repositories as they are found: asked for, configured, or page by page of the catalog. */
export async function* repositories(source: Source): AsyncGenerator<string> {
  const { context, names } = source;
  // An event may name what the configuration does not.
  const listed = context.only?.filter((name) => names?.includes(name) ?? true) ?? names;
  if (!listed) yield* catalog(source);
  else for (const name of listed) if (context.wants(name)) yield name;
}

/** The names of the catalog that the configuration asks for. */
async function* catalog({ client, context, anonymous }: Source): AsyncGenerator<string> {
  const impossible: string[] = [];
  let number = 0;
  try {
    for await (const page of client.catalog())
      for (const name of page) {
        number += 1;
        if (!isName(name)) impossible.push(name);
        else if (context.wants(name)) yield name;
      }
  } catch (error) {
    // Registries that check scopes answer 401 to good credentials, which are not what has to be mended.
    const { reason, status = 0 } = error instanceof CollectError ? error : {};
    if (error instanceof CollectError && (reason === 'forbidden' || refusals.has(status)))
      throw new CollectError(
        error.reason,
        `${error.message}; the registry does not let its catalog be listed: name the repositories under \`names\``,
        { cause: error, status: error.status },
      );
    throw error;
  }
  if (impossible.length > 0)
    context.tell(
      'impossible names of the catalog',
      { number: impossible.length, names: impossible.slice(0, 5).map((name) => name.slice(0, 140)) },
      'the catalog holds what can be no name of a repository: left out',
    );
  if (number === 0) doubtEmpty(context, anonymous);
  else if (!context.memory.get(hadNames)) context.memory.set(hadNames, true);
}

const refusals = new Set([400, 403, 404, 405, 406, 410, 501]);

const hadNames = 'the catalog had names';

/**
 * An empty catalog is also what somebody sees who may see nothing. One that always was empty is believed when the next
 * poll finds it empty too; of one that was not, the loop takes care.
 */
function doubtEmpty(context: CollectContext, anonymous: boolean): void {
  const empty = context.session.keep('oci: polls that found the catalog empty', () => ({ polls: 0 }));
  empty.polls += 1;
  if (empty.polls === 1 && !context.memory.get(hadNames)) context.absent('repositories');
  context.tell(
    'empty catalog',
    {},
    anonymous
      ? 'the catalog is empty: if the registry has repositories, anonymous may not see them: give credentials under auth, or names under `names`'
      : 'the catalog is empty: if the registry has repositories, the credentials do not let them be listed: give them the permission, or the names under `names`',
  );
}

/** Says which repositories of the configuration are not there. */
export interface Missing {
  seen(observation: Observation): void;
  /** After the last observation. */
  end(): void;
}

export function createMissing({ context, names }: Pick<Source, 'context' | 'names'>): Missing {
  const wanted = new Set(names);
  const missing: string[] = [];
  let others = 0;
  return {
    seen(observation) {
      if (observation.type !== 'repository-gone') {
        others += 1;
        return;
      }
      const { repository } = observation;
      if (!wanted.has(repository)) return;
      missing.push(repository);
      context.tell(
        `missing ${repository}`,
        { repository },
        'the registry does not have a repository that is named under `names`: check its name, and whether the credentials may see it',
      );
    },
    end() {
      if (missing.length === 0 || others > 0 || context.only) return;
      // None of them is there: that is no registry of no repositories.
      context.degraded(
        'repositories',
        new CollectError(
          'not_found',
          'the registry has none of the repositories that are named under `names`',
        ),
      );
      context.absent('repositories');
    },
  };
}

/** What a cache would have to ask its upstream for. */
const unreadOfCaches: readonly Capability[] = [
  'images',
  'sizes',
  'push_times',
  'findings',
  'signatures',
  'storage',
  'practices',
];

/**
 * Reads a pull-through cache: its catalog alone, which is of what it stores. The distribution registry as a proxy and
 * zot with `onDemand` ask their upstream for the list of tags, for what a tag names and for every manifest that they do
 * not have, and store what comes: the poll would be the one who pulls.
 */
export async function* readCache(source: Source): AsyncGenerator<Observation> {
  const { context, names } = source;
  for (const capability of unreadOfCaches) context.absent(capability);
  context.tell(
    'cache',
    {},
    'the registry is configured as a pull-through cache: its repositories are counted, and nothing else is read, since the cache would pull it from its upstream',
  );
  let done = 0;
  for await (const repository of catalog(source)) {
    if (names && !names.includes(repository)) continue;
    if (context.only && !context.only.includes(repository)) continue;
    yield { type: 'repository', repository, facts: { listsUntagged: false, unreadTags: 'all' } };
    yield { type: 'repository-complete', repository };
    done += 1;
    context.progress(done, done);
  }
}
