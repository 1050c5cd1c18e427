import { CollectError } from '../../errors.ts';
import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Hub, maxWalks, type Walk } from './client.ts';
import type { ListedRepository } from './wire.ts';

/** The repositories of all namespaces, and what their listings say; filled while {@link Listing.names} is read. */
export interface Listing {
  /** Wanted ones, as `namespace/name`. @throws CollectError when no namespace can be listed */
  readonly names: AsyncIterable<string>;
  /** All, wanted or not. */
  readonly found: ReadonlyMap<string, ListedRepository>;
  /** Namespaces that were listed to their end. */
  readonly complete: ReadonlySet<string>;
  /** Why it is not known what lies below a prefix. */
  readonly failed: ReadonlyMap<string, unknown>;
  /** Told by whoever reads the repository: it has no tag, or was deleted since it was listed. */
  foundEmpty(repository: string): void;
  foundGone(repository: string): void;
  hasPrivate(namespace: string): boolean;
  /** Sums, as far as they are known. */
  facts(): RegistryFacts;
}

export function listNamespaces(
  hub: Hub,
  namespaces: readonly string[],
  context: Pick<CollectContext, 'only' | 'wants' | 'signal' | 'tell'>,
): Listing {
  const found = new Map<string, ListedRepository>();
  const complete = new Set<string>();
  const failed = new Map<string, unknown>();
  let unlisted = 0;
  const empty = new Set<string>();

  /** @throws CollectError `not_found` for a namespace that does not exist: it is no 0 */
  async function doubtNothing(namespace: string): Promise<void> {
    const exists = await hub.exists(namespace);
    const advice = 'check `namespaces`, and that the credentials may see it';
    if (exists === false)
      throw new CollectError('not_found', `Docker Hub has no user or organisation ${namespace}: ${advice}`);
    if (exists === undefined)
      context.tell(
        `namespace ${namespace}`,
        { namespace },
        `Docker Hub lists no repository of the namespace and does not tell whether it exists: ${advice}`,
      );
  }

  async function* namesOf(namespace: string): AsyncGenerator<string> {
    for (let walks = 1; ; walks += 1) {
      const walk: Walk = { moved: false, odd: 0 };
      const listed = new Set<string>();
      for await (const page of hub.repositories(namespace, walk))
        for (const entry of page) {
          const name = `${namespace}/${entry.name}`;
          const known = found.has(name);
          found.set(name, entry);
          listed.add(name);
          if (!known && context.wants(name)) yield name;
        }
      if (listed.size + walk.odd === 0) await doubtNothing(namespace);
      if (walk.moved && walks < maxWalks) continue;
      for (const name of found.keys())
        if (name.startsWith(`${namespace}/`) && !listed.has(name)) found.delete(name);
      if (walk.odd > 0) {
        // What has a name was read: what else there is lies below none.
        failed.set(
          `${namespace}//`,
          new CollectError(
            'invalid_response',
            `Docker Hub listed ${walk.odd} repositories of ${namespace} whose entry cannot be understood`,
          ),
        );
        return;
      }
      break;
    }
    complete.add(namespace);
  }

  async function* names(): AsyncGenerator<string> {
    if (context.only) {
      for (const name of context.only)
        if (context.wants(name) && namespaces.some((namespace) => name.startsWith(`${namespace}/`)))
          yield name;
      return;
    }
    for (const namespace of namespaces)
      try {
        yield* namesOf(namespace);
      } catch (error) {
        failed.set(`${namespace}/`, error);
        unlisted += 1;
        // The others may be fine; there is nothing to be read where all fail.
        if (context.signal.aborted || unlisted === namespaces.length) throw error;
      }
  }

  return {
    names: names(),
    found,
    complete,
    failed,
    foundEmpty: (repository) => void empty.add(repository),
    foundGone: (repository) => void found.delete(repository),
    hasPrivate: (namespace) =>
      [...found].some(([name, entry]) => name.startsWith(`${namespace}/`) && entry.is_private === true),
    facts() {
      if (complete.size < namespaces.length) return {};
      let storageBytes: number | undefined = 0;
      const counts = new Map(namespaces.map((namespace) => [namespace, 0]));
      for (const [name, { storage_size: size }] of found) {
        const namespace = name.slice(0, name.indexOf('/'));
        counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
        // A repository that nothing was pushed to has no size.
        const known: number | undefined = size ?? (empty.has(name) ? 0 : undefined);
        storageBytes = storageBytes === undefined || known === undefined ? undefined : storageBytes + known;
      }
      const projects = [...counts].map(([project, repositories]) => ({ project, repositories }));
      return { projects, storageBytes };
    },
  };
}
