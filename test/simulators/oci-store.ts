import type { Content } from '../support/oci-image.ts';

/** What a registry holds: manifests and blobs by digest, tags by name. */
export interface StoredRepository {
  readonly manifests: Map<string, Content>;
  readonly tags: Map<string, string>;
}

export interface Store {
  readonly repositories: Map<string, StoredRepository>;
  /** Stores content and what it consists of; a tag moves to it. */
  put(repository: string, content: Content, tag?: string): void;
  deleteTag(repository: string, tag: string): void;
  deleteRepository(repository: string): void;
  /** Manifests attached to a digest. */
  referrers(repository: string, digest: string): Content[];
}

export function createStore(): Store {
  const repositories = new Map<string, StoredRepository>();
  const of = (name: string): StoredRepository => {
    const found = repositories.get(name) ?? { manifests: new Map(), tags: new Map() };
    repositories.set(name, found);
    return found;
  };
  const putOne = (repository: StoredRepository, content: Content): void => {
    for (const child of content.children) putOne(repository, child);
    repository.manifests.set(content.digest, content);
  };
  return {
    repositories,
    put(name, content, tag) {
      const repository = of(name);
      putOne(repository, content);
      if (tag !== undefined) repository.tags.set(tag, content.digest);
    },
    deleteTag: (name, tag) => void of(name).tags.delete(tag),
    deleteRepository: (name) => void repositories.delete(name),
    referrers: (name, digest) =>
      [...(repositories.get(name)?.manifests.values() ?? [])].filter(({ subject }) => subject === digest),
  };
}
