import type { InUseFeed, RegistryUse } from '../in-use/feed.ts';
import { canonicalHost } from '../in-use/reference.ts';
import type { ReferenceRule, RegistryIdentity } from '../model.ts';
import type { Memory, Provider } from '../provider.ts';
import { unpackTotals } from '../totals.ts';
import type { RegistrySettings } from './settings.ts';
import type { Snapshots } from './snapshots.ts';

/** What runs of one registry. */
export interface RegistryInUse {
  /** Undefined while nothing tells. */
  current(): RegistryUse | undefined;
  /** The digests of a repository that run. */
  running(repository: string): ReadonlySet<string>;
  /**
   * Begins to be told.
   * @param changed called when what runs changed
   * @param look looks at a repository again, of which an image runs that was not looked for
   */
  start(changed: () => void, look: (repository: string) => void): void;
  stop(): void;
}

interface Input {
  readonly feed: InUseFeed | undefined;
  readonly settings: Pick<RegistrySettings, 'name' | 'wants' | 'hosts' | 'options'>;
  readonly provider: Pick<Provider, 'identity' | 'references'>;
  readonly memory: Memory;
  readonly snapshots: Pick<Snapshots, 'current' | 'has'>;
}

const none: ReadonlySet<string> = new Set();

/** How the registry's images are named. */
function rulesOf({ settings, provider, snapshots }: Input): readonly ReferenceRule[] {
  const identity: RegistryIdentity = {
    ...provider.identity(settings.options),
    ...snapshots.current()?.identity,
  };
  const { host } = identity;
  const own =
    provider.references?.(settings.options, identity) ?? (host === undefined ? [] : [{ from: host, to: '' }]);
  return [...own, ...(settings.hosts ?? [])].map(({ from, to }) => {
    const [first = '', ...path] = from.split('/');
    return { from: [canonicalHost(first), ...path].join('/'), to };
  });
}

/** Which digests were looked for when a repository was listed last. */
function createJudged(snapshots: Input['snapshots']) {
  const looked = new Map<string, { readonly totals: string; readonly digests: ReadonlySet<string> }>();
  return (repository: string): ReadonlySet<string> => {
    const totals = snapshots.current()?.repositories.get(repository)?.totals;
    if (totals === undefined) return none;
    const before = looked.get(repository);
    if (before?.totals === totals) return before.digests;
    const { images, running } = unpackTotals(totals);
    const digests = new Set([
      ...images.flatMap(({ runs = [] }) => runs),
      ...(running?.missing ?? []),
      ...(running?.unclear ?? []),
    ]);
    looked.set(repository, { totals, digests });
    return digests;
  };
}

export function createRegistryInUse(input: Input): RegistryInUse {
  const { feed, settings, memory, snapshots } = input;
  const judged = createJudged(snapshots);
  /** What was asked to be looked at, so that a repository that fails is not looked at for ever. */
  const asked = new Map<string, string>();
  let tell = () => {};
  const joined = feed?.join({
    name: settings.name,
    rules: () => rulesOf(input),
    wants: settings.wants,
    lists(repository) {
      const key = `listed while running ${repository}`;
      if (!snapshots.has(repository)) return memory.get(key) !== undefined;
      if (memory.get(key) === undefined) memory.set(key, true);
      return true;
    },
    listing: snapshots.current,
    changed: () => tell(),
  });
  let last: RegistryUse | undefined;

  function lookAtNew(use: RegistryUse, look: (repository: string) => void): void {
    for (const [repository, { packed, digests }] of use.repositories) {
      if (!snapshots.has(repository) || asked.get(repository) === packed) continue;
      const seen = judged(repository);
      if ([...digests].every((digest) => seen.has(digest))) continue;
      asked.set(repository, packed);
      look(repository);
    }
    for (const repository of asked.keys()) if (!use.repositories.has(repository)) asked.delete(repository);
  }

  const current = () => joined?.current();
  return {
    current,
    running: (repository) => current()?.repositories.get(repository)?.digests ?? none,
    start(changed, look) {
      tell = () => {
        const use = current();
        if (use === last) return;
        last = use;
        if (use) lookAtNew(use, look);
        changed();
      };
    },
    stop: () => joined?.leave(),
  };
}
