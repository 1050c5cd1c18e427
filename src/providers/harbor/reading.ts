import type { Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { ArtifactReader } from './artifact-reader.ts';
import type { Scanner } from './artifacts.ts';
import type { Harbor } from './client.ts';
import type { Listed, ToRead } from './listed.ts';

/** What is needed to read all repositories. */
export interface ReadRepositories {
  readonly harbor: Harbor;
  readonly context: CollectContext;
  scannerOf(project: string): Scanner;
  /** Whether platforms of multi-platform images are listed one by one. */
  readonly platforms: boolean;
  /** How many artifacts a page has. */
  readonly pageSize: number;
  /** Whether Harbor lists the artifacts of a whole project: 2.12 and later. */
  readonly listsProjects: boolean;
  /** By project: the repositories to read. */
  readonly projects: ReadonlyMap<string, ToRead>;
  /** What is known of a repository besides its artifacts. */
  facts(listed: Listed): RepositoryFacts;
}

/** How a repository is read, whichever list its artifacts come from. */
export interface Reading extends ReadRepositories {
  /** What every list of artifacts is asked with. */
  readonly query: Readonly<Record<string, string>>;
  begin(listed: Listed): { readonly observation: Observation; readonly reader: ArtifactReader };
  end(listed: Listed, reader: ArtifactReader): Observation;
  /** A repository without artifacts: Harbor answers the same for one that is gone. */
  withoutArtifacts(listed: Listed): AsyncIterable<Observation>;
}
