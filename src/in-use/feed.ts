import type { ReferenceRule } from '../model.ts';
import type { Place } from './tally.ts';

/** The images of one repository that run, as one source tells; as it is kept and compared. */
export interface SourceUse {
  readonly source: string;
  /** Containers by digest, in the order of digests. */
  readonly images: readonly {
    readonly digest: string;
    readonly containers: number;
    readonly latest: number;
  }[];
  /** Where they run, the most containers first; bounded, the rest under empty names. */
  readonly places: readonly Place[];
}

/** What runs of one repository, of all sources whose answers are fresh; JSON of `SourceUse[]`, so that equal ones are equal. */
export type PackedUse = string & { readonly packed: 'use' };

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
  /** Changes whenever `lists` may answer otherwise. */
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
