import type { PackedUse, ReferenceRule } from '../model.ts';

/** What runs of one registry. */
export interface RegistryUse {
  /** By repository. */
  readonly repositories: ReadonlyMap<
    string,
    { readonly packed: PackedUse; readonly digests: ReadonlySet<string> }
  >;
  /** Images that are left out, since there are more than `maxImages`. */
  readonly dropped: number;
}

/** A registry, as the join sees it. */
export interface JoinedRegistry {
  readonly name: string;
  /** How its images are named, as far as that is known by now. */
  rules(): readonly ReferenceRule[];
  wants(repository: string): boolean;
  /** Whether a listing has shown the repository, or had shown it while its images ran. */
  lists(repository: string): boolean;
  /** Another one whenever `lists` may answer otherwise; undefined before the first. */
  listing(): unknown;
  /** Called when what runs may have changed. */
  changed(): void;
}

/** Tells loops what runs of their registries. */
export interface InUseFeed {
  /** @returns what ends it */
  join(registry: JoinedRegistry): {
    /** What runs now, the same object while nothing changed; undefined while no source has an answer that counts. */
    current(): RegistryUse | undefined;
    leave(): void;
  };
}
