import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound, readSideBySide } from '../../side-by-side.ts';
import {
  type Artifact,
  type ArtifactReader,
  artifact,
  artifactFlags,
  createArtifactReader,
  type Scanners,
} from './artifacts.ts';
import { type Harbor, projectPath, repositoryPath } from './client.ts';
import type { FindingsReader } from './findings.ts';
import { cheaperTogether, type Listed, type ToRead } from './listed.ts';
import { explained } from './permissions.ts';

export interface ReadRepositories {
  readonly harbor: Harbor;
  readonly context: CollectContext;
  readonly findings: FindingsReader;
  readonly scanners: Scanners;
  /** Whether platforms of multi-platform images are listed one by one. */
  readonly platforms: boolean;
  /** How many artifacts a page holds. */
  readonly pageSize: number;
  /** Whether Harbor lists the artifacts of a whole project: 2.12 and later. */
  readonly listsProjects: boolean;
  /** By project: the repositories to read, and how many artifacts all of the project hold. */
  readonly projects: ReadonlyMap<string, ToRead>;
  /** What is known besides the artifacts; practices but that of the tags. */
  facts(listed: Listed): RepositoryFacts;
}

/** An artifact list is in the order of repositories: then one is done when the next begins. */
const order = { sort: 'repository_name,id' };
/** So many artifacts are remembered to tell one that moved to the next page from one that is out of order. */
const remembered = 1_000;

/** Reads the artifacts of all repositories, by project where that costs fewer requests. */
export async function* readRepositories(input: ReadRepositories): AsyncGenerator<Observation> {
  const { harbor, context, platforms } = input;
  let done = 0;
  let total = 0;
  for (const { wanted } of input.projects.values()) total += wanted.length;
  const query = { ...artifactFlags, ...(platforms && { q: 'base=*' }) };

  const begin = (listed: Listed): Observation => ({
    type: 'repository',
    repository: listed.name,
    facts: { listsUntagged: true, ...input.facts(listed) },
  });
  const end = (listed: Listed, reader: ArtifactReader): Observation => {
    done += 1;
    context.progress(Math.min(done, total), total);
    const { practices } = input.facts(listed);
    const facts = { practices: { ...practices, no_latest_tag: !reader.hasLatestTag() } };
    return { type: 'repository-complete', repository: listed.name, facts };
  };
  const newReader = () => createArtifactReader(input.findings, input.scanners);

  /** Whether Harbor still has the repository: it lists the artifacts of one that is gone as none, and not as 404. */
  async function exists(listed: Listed): Promise<boolean> {
    try {
      const path = repositoryPath(listed.project, listed.path);
      await harbor.get({ operation: 'repository', path }, z.object({ name: z.string() }));
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      if (isForbidden(error)) return true;
      throw error;
    }
  }

  /** To somebody who is no administrator, a project that is gone looks like one that is forbidden. */
  async function projectIsGone(project: string): Promise<boolean> {
    const asked = { operation: 'projects', path: '/projects', query: { q: `name=${project}` } };
    try {
      const found = await harbor.all(asked, z.object({ name: z.string() }), ({ name }) => name);
      return !found.some(({ name }) => name === project);
    } catch {
      return false;
    }
  }

  async function* readOne(listed: Listed): AsyncGenerator<Observation> {
    yield begin(listed);
    const reader = newReader();
    let some = false;
    const path = `${repositoryPath(listed.project, listed.path)}/artifacts`;
    try {
      for await (const { items } of harbor.pages(
        { operation: 'artifacts', path, query: { ...query, sort: 'id' } },
        artifact,
      )) {
        if (items.length > 0) some = true;
        yield {
          type: 'images',
          repository: listed.name,
          images: items.flatMap((one) => [...reader.read(one)]),
        };
      }
      if (!some && !(await exists(listed))) {
        yield { type: 'repository-gone', repository: listed.name };
        return;
      }
    } catch (error) {
      if (!isNotFound(error) && !(isForbidden(error) && (await projectIsGone(listed.project))))
        throw explained(error, listArtifacts);
      yield { type: 'repository-gone', repository: listed.name };
      return;
    }
    yield end(listed, reader);
  }

  /** All repositories of a project from one list; those that it says nothing of are empty or gone. */
  async function* readProject(project: string, all: readonly Listed[]): AsyncGenerator<Observation> {
    const wanted = new Map(all.map((listed) => [listed.name, listed]));
    const nameOfId = new Map(all.flatMap(({ id, name }) => (id === undefined ? [] : [[id, name] as const])));
    const waiting = new Set(wanted.keys());
    const ended = new Set<string>();
    const recent = new Set<string>();
    let current: { readonly listed: Listed; readonly reader: ArtifactReader } | undefined;
    for await (const { items } of harbor.pages(
      {
        operation: 'project_artifacts',
        path: `${projectPath(project)}/artifacts`,
        query: { ...query, ...order },
      },
      artifact,
    )) {
      for (const [name, artifacts] of grouped(items, nameOfId, project)) {
        if (ended.has(name)) {
          // Seen before, since the list moved while it was read; anything else is not in the order that was asked for.
          if (artifacts.every(({ digest }) => recent.has(`${name}@${digest}`))) continue;
          throw new OutOfOrder();
        }
        const listed = wanted.get(name);
        if (current && current.listed.name !== name) {
          ended.add(current.listed.name);
          yield end(current.listed, current.reader);
          current = undefined;
        }
        if (!listed) continue;
        if (!current) {
          current = { listed, reader: newReader() };
          waiting.delete(name);
          yield begin(listed);
        }
        const { reader } = current;
        yield { type: 'images', repository: name, images: artifacts.flatMap((one) => [...reader.read(one)]) };
        for (const { digest } of artifacts) recent.add(`${name}@${digest}`);
      }
      for (const key of recent) {
        if (recent.size <= remembered) break;
        recent.delete(key);
      }
    }
    if (current) yield end(current.listed, current.reader);
    for (const name of waiting) {
      const listed = wanted.get(name) as Listed;
      if (!(await exists(listed))) {
        yield { type: 'repository-gone', repository: name };
        continue;
      }
      yield begin(listed);
      yield end(listed, newReader());
    }
  }

  /** As {@link readProject}, and what is left to do where that does not work. */
  async function* readTogether(project: string, all: readonly Listed[]): AsyncGenerator<Observation> {
    try {
      yield* readProject(project, all);
      return;
    } catch (error) {
      context.signal.throwIfAborted();
      const gone = isForbidden(error) && (await projectIsGone(project));
      if (gone) for (const { name } of all) yield { type: 'repository-gone', repository: name };
      // A project that is gone says 404 to an administrator, as a Harbor before 2.12 does to everybody.
      else if (!(error instanceof OutOfOrder) && !isNotFound(error))
        yield { type: 'group-failed', prefix: `${project}/`, error: explained(error, listArtifacts) };
      if (!(error instanceof OutOfOrder) && !isNotFound(error)) return;
    }
    for (const listed of all)
      try {
        yield* readOne(listed);
      } catch (error) {
        context.signal.throwIfAborted();
        yield { type: 'repository-failed', repository: listed.name, error };
      }
  }

  const units = new Map<string, () => AsyncGenerator<Observation>>();
  for (const [project, { wanted, artifacts }] of input.projects)
    if (input.listsProjects && cheaperTogether(wanted, artifacts, input.pageSize))
      units.set(`${project}/`, () => readTogether(project, wanted));
    else for (const listed of wanted) units.set(listed.name, () => readOne(listed));
  yield* readSideBySide({ ...context, progress: () => {} }, units.keys(), async function* (key) {
    yield* units.get(key)?.() ?? [];
  });
}

const listArtifacts = 'artifact:list (project)';

class OutOfOrder extends Error {}

const isForbidden = (error: unknown): boolean =>
  error instanceof CollectError && error.reason === 'forbidden';

/** The artifacts of a page by repository, in the order of the page. */
function grouped(
  items: readonly Artifact[],
  nameOfId: ReadonlyMap<number, string>,
  project: string,
): [string, Artifact[]][] {
  const groups: [string, Artifact[]][] = [];
  for (const one of items) {
    const name = one.repository_name ?? nameOfId.get(one.repository_id ?? Number.NaN);
    // A repository that was created after the repositories were listed has no name here: the next poll reads it.
    const key = name ?? `${project}/#${one.repository_id}`;
    const last = groups.at(-1);
    if (last?.[0] === key) last[1].push(one);
    else groups.push([key, [one]]);
  }
  return groups;
}
