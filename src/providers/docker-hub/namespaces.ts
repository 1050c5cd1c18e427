import { CollectError } from '../../errors.ts';
import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { type Hub, maxWalks, newWalk, type Walk } from './client.ts';
import type { ListedRepository } from './wire.ts';

const advice = 'check `namespaces`, and that the credentials may see it';

/** The repositories of all namespaces, and what their listings say; filled while {@link names} is read. */
export class Listing {
  readonly #hub: Hub;
  readonly #namespaces: readonly string[];
  readonly #context: Pick<CollectContext, 'only' | 'wants' | 'signal' | 'tell'>;
  /** All repositories that were listed, wanted or not, by `namespace/name`. */
  readonly repositories = new Map<string, ListedRepository>();
  /** Namespaces that were listed to their end. */
  readonly complete = new Set<string>();
  /** Why it is unknown what lies below a prefix. */
  readonly failed = new Map<string, unknown>();
  /** Repositories without a tag; filled by whoever reads them. */
  readonly empty = new Set<string>();

  constructor(
    hub: Hub,
    namespaces: readonly string[],
    context: Pick<CollectContext, 'only' | 'wants' | 'signal' | 'tell'>,
  ) {
    this.#hub = hub;
    this.#namespaces = [...new Set(namespaces)];
    this.#context = context;
  }

  /** Wanted repositories, as `namespace/name`. @throws CollectError when no namespace can be listed */
  async *names(): AsyncGenerator<string> {
    const { only, wants, signal } = this.#context;
    const isOurs = (name: string) => this.#namespaces.some((namespace) => name.startsWith(`${namespace}/`));
    if (only) return yield* only.filter((name) => wants(name) && isOurs(name));
    let unlisted = 0;
    for (const namespace of this.#namespaces)
      try {
        yield* this.#namesOf(namespace);
      } catch (error) {
        this.failed.set(`${namespace}/`, error);
        unlisted += 1;
        // The others may be fine; where all fail there is nothing to read.
        if (signal.aborted || unlisted === this.#namespaces.length) throw error;
      }
  }

  async *#namesOf(namespace: string): AsyncGenerator<string> {
    for (let walks = 1; ; walks += 1) {
      const walk = newWalk();
      const listed = yield* this.#walk(namespace, walk);
      if (listed.size + walk.odd + walk.missing === 0) await this.#doubtNothing(namespace);
      if ((walk.moved || walk.missing > 0) && walks < maxWalks) continue;
      for (const name of this.#below(namespace)) if (!listed.has(name)) this.repositories.delete(name);
      if (walk.odd + walk.missing === 0) this.complete.add(namespace);
      // Repositories whose entry has a name were read: the others are below none.
      else this.failed.set(`${namespace}//`, notAll(namespace, walk));
      return;
    }
  }

  /** Yields names that are wanted and new. @returns all names */
  async *#walk(namespace: string, walk: Walk): AsyncGenerator<string, ReadonlySet<string>> {
    const listed = new Set<string>();
    for await (const page of this.#hub.repositories(namespace, walk))
      for (const entry of page) {
        const name = `${namespace}/${entry.name}`;
        const isNew = !this.repositories.has(name);
        this.repositories.set(name, entry);
        listed.add(name);
        if (isNew && this.#context.wants(name)) yield name;
      }
    return listed;
  }

  /** @throws CollectError `not_found` for a namespace that does not exist: it is no 0 */
  async #doubtNothing(namespace: string): Promise<void> {
    const exists = await this.#hub.exists(namespace);
    if (exists === false)
      throw new CollectError('not_found', `Docker Hub has no user or organisation ${namespace}: ${advice}`);
    if (exists === undefined)
      this.#context.tell(
        `namespace ${namespace}`,
        { namespace },
        `Docker Hub lists no repository of the namespace and does not tell whether it exists: ${advice}`,
      );
  }

  #below = (namespace: string): string[] =>
    [...this.repositories.keys()].filter((name) => name.startsWith(`${namespace}/`));

  hasPrivate = (namespace: string): boolean =>
    this.#below(namespace).some((name) => this.repositories.get(name)?.is_private === true);

  /** Sums over all namespaces, as far as they are known. */
  facts(): RegistryFacts {
    if (this.complete.size < this.#namespaces.length) return {};
    // A repository that nothing was pushed to has no size.
    const sizes = [...this.repositories].map(
      ([name, { storage_size: size }]) => size ?? (this.empty.has(name) ? 0 : undefined),
    );
    const isKnown = (size: number | undefined) => size !== undefined;
    return {
      projects: this.#namespaces.map((project) => ({ project, repositories: this.#below(project).length })),
      storageBytes: sizes.every(isKnown) ? sizes.reduce((sum, size) => sum + size, 0) : undefined,
    };
  }
}

const notAll = (namespace: string, { odd, missing }: Walk): CollectError =>
  new CollectError(
    'invalid_response',
    odd > 0
      ? `Docker Hub listed ${odd} repositories of ${namespace} whose entry cannot be understood`
      : `Docker Hub counts ${missing} more repositories of ${namespace} than it lists`,
  );
