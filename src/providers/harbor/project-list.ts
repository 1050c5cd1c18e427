import type { Observation } from '../../model.ts';
import type { ArtifactReader } from './artifact-reader.ts';
import { type Artifact, isUnreadable, listedArtifact, type Unreadable } from './artifacts.ts';
import { projectPath } from './client.ts';
import { betterTogether, type Listed } from './listed.ts';
import type { Reading } from './reading.ts';

/** The order of an artifact list in which a repository is complete when the next one begins. */
const order = { sort: 'repository_name,id' };
/** So many artifacts are remembered, to tell one that moved to the next page from one that is out of order. */
const remembered = 1_000;

/** The list of the project cannot be used, or would take longer than one of each repository. */
export class NotTogether extends Error {}

type Element = Artifact | Unreadable;
/** Artifacts of one repository that follow each other. */
interface Group {
  readonly name: string;
  readonly artifacts: readonly Element[];
}

/**
 * All repositories of a project from one list; those that it does not show are empty or gone.
 * @param ended filled with the repositories that are complete
 * @throws NotTogether where the list is not in the order that was asked for, or too long
 */
export async function* readProject(
  reading: Reading,
  project: string,
  all: readonly Listed[],
  ended: Set<string>,
): AsyncGenerator<Observation> {
  const { harbor, query, pageSize, context } = reading;
  const names = new Map(all.flatMap(({ id, name }) => (id === undefined ? [] : [[id, name] as const])));
  const repositories = inOrder(reading, all, ended);
  const path = `${projectPath(project)}/artifacts`;
  const question = { operation: 'project_artifacts', path, query: { ...query, ...order } };
  let isFirst = true;
  for await (const { items, total } of harbor.pages(question, listedArtifact)) {
    // Platforms and what was pushed meanwhile may be many more than the repositories said.
    if (isFirst && total !== undefined && !betterTogether(all, total, { pageSize, ...context }))
      throw new NotTogether();
    isFirst = false;
    for (const group of grouped(items, names, project)) yield* repositories.take(group);
    repositories.forget();
  }
  yield* repositories.end();
}

/** Follows a list from repository to repository. */
function inOrder(reading: Reading, all: readonly Listed[], ended: Set<string>) {
  const wanted = new Map(all.map((listed) => [listed.name, listed]));
  const waiting = new Set(wanted.values());
  const recent = new Set<string>();
  let current: { readonly listed: Listed; readonly reader: ArtifactReader } | undefined;

  function* endCurrent(): Generator<Observation> {
    if (!current) return;
    ended.add(current.listed.name);
    yield reading.end(current.listed, current.reader);
    current = undefined;
  }

  return {
    *take({ name, artifacts }: Group): Generator<Observation> {
      const keys = artifacts.map((artifact) => keyOf(name, artifact));
      if (ended.has(name)) {
        // Artifacts that were seen before have moved, because the list changed while it was read.
        if (keys.every((key) => recent.has(key))) return;
        throw new NotTogether();
      }
      if (current?.listed.name !== name) yield* endCurrent();
      const listed = wanted.get(name);
      if (!listed) return;
      if (!current) {
        const { observation, reader } = reading.begin(listed);
        current = { listed, reader };
        waiting.delete(listed);
        yield observation;
      }
      const { reader } = current;
      yield {
        type: 'images',
        repository: name,
        images: artifacts.flatMap((artifact) => [...reader.read(artifact)]),
      };
      for (const key of keys) recent.add(key);
    },
    /** Forgets artifacts of earlier pages, the oldest first. */
    forget(): void {
      for (const key of recent) {
        if (recent.size <= remembered) return;
        recent.delete(key);
      }
    },
    async *end(): AsyncGenerator<Observation> {
      yield* endCurrent();
      for (const listed of waiting) {
        yield* reading.withoutArtifacts(listed);
        ended.add(listed.name);
      }
    },
  };
}

const keyOf = (repository: string, artifact: Element): string =>
  `${repository}@${isUnreadable(artifact) ? artifact.unreadable : artifact.digest}`;

/** The artifacts of a page by repository, in the order of the page. */
function grouped(items: readonly Element[], names: ReadonlyMap<number, string>, project: string): Group[] {
  const groups: { name: string; artifacts: Element[] }[] = [];
  for (const artifact of items) {
    const { repository_name, repository_id: id } = artifact;
    const name = repository_name || (id !== undefined && names.get(id));
    if (!name && id === undefined) throw new NotTogether();
    // A repository that was created after the repositories were listed has no name here: the next poll reads it.
    const key = name || `${project}/#${id}`;
    const last = groups.at(-1);
    if (last?.name === key) last.artifacts.push(artifact);
    else groups.push({ name: key, artifacts: [artifact] });
  }
  return groups;
}
