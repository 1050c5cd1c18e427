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
}

/** Repositories as they are found: asked for, configured, or page by page of the catalog. */
export async function* repositories(source: Source): AsyncGenerator<string> {
  const { context, names } = source;
  // An event may name what the configuration does not.
  const listed = context.only?.filter((name) => names?.includes(name) ?? true) ?? names;
  if (!listed) yield* catalog(source);
  else for (const name of listed) if (context.wants(name)) yield name;
}

/** Statuses of registries that do not let their catalog be listed. */
const refusals = new Set([400, 403, 404, 405, 406, 410, 501]);

/** A failure to list the catalog, with what to do where it is a refusal. */
function explained(error: unknown): unknown {
  if (!(error instanceof CollectError)) return error;
  const { reason, status } = error;
  // Registries that check scopes answer 401 to good credentials, which are not what has to be mended.
  if (reason !== 'forbidden' && !refusals.has(status ?? 0)) return error;
  return new CollectError(
    reason,
    `${error.message}; the registry does not let its catalog be listed: name the repositories under \`names\``,
    { cause: error, status },
  );
}

/** The names of the catalog that the configuration asks for. */
async function* catalog({ client, context }: Source): AsyncGenerator<string> {
  const impossible: string[] = [];
  try {
    for await (const page of client.catalog()) {
      impossible.push(...page.filter((name) => !isName(name)));
      yield* page.filter((name) => isName(name) && context.wants(name));
    }
  } catch (error) {
    throw explained(error);
  }
  if (impossible.length > 0)
    context.tell(
      'impossible names of the catalog',
      { number: impossible.length, names: impossible.slice(0, 5).map((name) => name.slice(0, 140)) },
      'the catalog holds what can be no name of a repository: left out',
    );
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
