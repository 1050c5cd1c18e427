import type { Observation } from '../../model.ts';
import {
  type Artifact,
  type ArtifactReader,
  listed as artifact,
  isUnreadable,
  type Unreadable,
} from './artifacts.ts';
import { projectPath } from './client.ts';
import { betterTogether, type Listed } from './listed.ts';
import type { Reading } from './repositories.ts';

/** An artifact list is in the order of repositories: then one is done when the next begins. */
const order = { sort: 'repository_name,id' };
/** So many artifacts are remembered to tell one that moved to the next page from one that is out of order. */
const remembered = 1_000;

/** The list of the project cannot be used, or would take longer than one of each repository. */
export class NotTogether extends Error {}

/**
 * All repositories of a project from one list; those that it says nothing of are empty or gone.
 * @param ended filled with the repositories that are read to their end
 * @throws NotTogether where the list is not in the order that was asked for, or too long
 */
export async function* readProject(
  reading: Reading,
  project: string,
  all: readonly Listed[],
  ended: Set<string>,
): AsyncGenerator<Observation> {
  const { harbor, query, pageSize, context } = reading;
  const wanted = new Map(all.map((listed) => [listed.name, listed]));
  const nameOfId = new Map(all.flatMap(({ id, name }) => (id === undefined ? [] : [[id, name] as const])));
  const waiting = new Set(wanted.keys());
  const recent = new Set<string>();
  let current: { readonly listed: Listed; readonly reader: ArtifactReader } | undefined;
  let isFirst = true;
  for await (const { items, total } of harbor.pages(
    {
      operation: 'project_artifacts',
      path: `${projectPath(project)}/artifacts`,
      query: { ...query, ...order },
    },
    artifact,
  )) {
    // Platforms and what was pushed meanwhile may be many more than the repositories said.
    if (isFirst && total !== undefined && !betterTogether(all, total, { pageSize, ...context }))
      throw new NotTogether();
    isFirst = false;
    for (const [name, artifacts] of grouped(items, nameOfId, project)) {
      if (ended.has(name)) {
        // Seen before, since the list moved while it was read; anything else is not in the order that was asked for.
        if (artifacts.every((one) => recent.has(keyOf(name, one)))) continue;
        throw new NotTogether();
      }
      const listed = wanted.get(name);
      if (current && current.listed.name !== name) {
        ended.add(current.listed.name);
        yield reading.end(current.listed, current.reader);
        current = undefined;
      }
      if (!listed) continue;
      if (!current) {
        const { observation, reader } = reading.begin(listed);
        current = { listed, reader };
        waiting.delete(name);
        yield observation;
      }
      const { reader } = current;
      yield { type: 'images', repository: name, images: artifacts.flatMap((one) => [...reader.read(one)]) };
      for (const one of artifacts) recent.add(keyOf(name, one));
    }
    for (const key of recent) {
      if (recent.size <= remembered) break;
      recent.delete(key);
    }
  }
  if (current) {
    ended.add(current.listed.name);
    yield reading.end(current.listed, current.reader);
  }
  for (const name of waiting) {
    const listed = wanted.get(name) as Listed;
    if (await reading.exists(listed)) {
      const { observation, reader } = reading.begin(listed);
      yield observation;
      yield reading.end(listed, reader);
    } else yield { type: 'repository-gone', repository: name };
    ended.add(name);
  }
}

const keyOf = (repository: string, one: Artifact | Unreadable): string =>
  `${repository}@${isUnreadable(one) ? one.unreadable : one.digest}`;

/** The artifacts of a page by repository, in the order of the page. */
function grouped(
  items: readonly (Artifact | Unreadable)[],
  nameOfId: ReadonlyMap<number, string>,
  project: string,
): [string, (Artifact | Unreadable)[]][] {
  const groups: [string, (Artifact | Unreadable)[]][] = [];
  for (const one of items) {
    const name = one.repository_name || nameOfId.get(one.repository_id ?? Number.NaN);
    if (name === undefined && one.repository_id === undefined) throw new NotTogether();
    // A repository that was created after the repositories were listed has no name here: the next poll reads it.
    const key = name ?? `${project}/#${one.repository_id}`;
    const last = groups.at(-1);
    if (last?.[0] === key) last[1].push(one);
    else groups.push([key, [one]]);
  }
  return groups;
}
