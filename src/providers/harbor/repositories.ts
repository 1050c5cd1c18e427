import { CollectError } from '../../errors.ts';
import type { Observation } from '../../model.ts';
import { needing } from '../../parts.ts';
import { isNotFound, readSideBySide } from '../../side-by-side.ts';
import { ArtifactReader } from './artifact-reader.ts';
import { artifactFlags, listedArtifact } from './artifacts.ts';
import { type Harbor, repositoryPath } from './client.ts';
import { betterTogether, type Listed } from './listed.ts';
import { NotTogether, readProject } from './project-list.ts';
import type { Reading, ReadRepositories } from './reading.ts';
import { findRepository, projectIsGone } from './shown.ts';

const listArtifacts = 'artifact:list (project)';

const isForbidden = (error: unknown): boolean =>
  error instanceof CollectError && error.reason === 'forbidden';

/** Failures that single repositories would meet too: Harbor as a whole does not answer, or not to this account. */
const concernsAll = new Set(['auth', 'forbidden', 'dns', 'connect', 'tls', 'throttled']);
/** After so many repositories of a project that fail one after the other, the rest is not asked for. */
const enoughFailures = 5;

/** Reads the artifacts of all repositories, by project where that is better. */
export async function* readRepositories(input: ReadRepositories): AsyncGenerator<Observation> {
  const { context, pageSize, listsProjects } = input;
  const reading = createReading(input);
  /** Repositories of projects that could not be read together. */
  const left = new Map<string, Listed>();
  const units = new Map<string, () => AsyncGenerator<Observation>>();
  for (const [name, { wanted, artifacts }] of input.projects)
    if (listsProjects && betterTogether(wanted, artifacts, { pageSize, concurrency: context.concurrency }))
      units.set(name, () => readTogether(reading, name, wanted, left));
    else for (const listed of wanted) units.set(listed.name, () => readOne(reading, listed));
  const quiet = { ...context, progress: () => {} };
  yield* readSideBySide(quiet, [...units.keys()], async function* (key) {
    yield* units.get(key)?.() ?? [];
  });
  const failures = new Map<string, { count: number; error: unknown }>();
  yield* readSideBySide(quiet, [...left.keys()], async function* (name) {
    const listed = left.get(name) as Listed;
    const failure = failures.get(listed.project);
    if (failure && failure.count >= enoughFailures) throw failure.error;
    try {
      yield* readOne(reading, listed);
      failures.delete(listed.project);
    } catch (error) {
      failures.set(listed.project, { count: (failure?.count ?? 0) + 1, error });
      throw error;
    }
  });
}

function createReading(input: ReadRepositories): Reading {
  const { harbor, context, platforms } = input;
  let done = 0;
  let total = 0;
  for (const { wanted } of input.projects.values()) total += wanted.length;
  context.progress(0, total);
  const begin: Reading['begin'] = (listed) => ({
    observation: {
      type: 'repository',
      repository: listed.name,
      facts: { listsUntagged: true, ...input.facts(listed) },
    },
    reader: new ArtifactReader(context, input.scannerOf(listed.project)),
  });
  const end: Reading['end'] = (listed, reader) => {
    done += 1;
    context.progress(Math.min(done, total), total);
    const { practices, ...facts } = reader.end(listed.name);
    return {
      type: 'repository-complete',
      repository: listed.name,
      facts: { ...facts, practices: { ...input.facts(listed).practices, ...practices } },
    };
  };
  return {
    ...input,
    query: { ...artifactFlags, ...(platforms && { q: 'base=*' }) },
    begin,
    end,
    async *withoutArtifacts(listed) {
      if (!(await exists(harbor, listed))) return yield { type: 'repository-gone', repository: listed.name };
      const { observation, reader } = begin(listed);
      yield observation;
      yield end(listed, reader);
    },
  };
}

/** Whether Harbor still has the repository. One whose list is forbidden exists. */
async function exists(harbor: Harbor, listed: Listed): Promise<boolean> {
  try {
    return (await findRepository(harbor, listed)) !== undefined;
  } catch (error) {
    if (isForbidden(error)) return true;
    throw error;
  }
}

/** One repository from a list of its own. */
async function* readOne(reading: Reading, listed: Listed): AsyncGenerator<Observation> {
  const { harbor, query, context } = reading;
  const { observation, reader } = reading.begin(listed);
  const path = `${repositoryPath(listed.project, listed.path)}/artifacts`;
  const question = { operation: 'artifacts', path, query: { ...query, sort: 'id' } };
  let isEmpty = true;
  yield observation;
  try {
    for await (const { items } of harbor.pages(question, listedArtifact)) {
      isEmpty &&= items.length === 0;
      const images = items.flatMap((artifact) => [...reader.read(artifact)]);
      yield { type: 'images', repository: listed.name, images };
    }
  } catch (error) {
    context.signal.throwIfAborted();
    // A 404 may be a proxy's: a repository that is still listed is not gone.
    const isGone = isNotFound(error)
      ? !(await exists(harbor, listed))
      : isForbidden(error) && (await projectIsGone(harbor, listed.project));
    if (!isGone) throw needing(listArtifacts, error);
    return yield { type: 'repository-gone', repository: listed.name };
  }
  // Of a repository that is gone Harbor lists no artifacts.
  if (isEmpty && !(await exists(harbor, listed)))
    return yield { type: 'repository-gone', repository: listed.name };
  yield reading.end(listed, reader);
}

/** All repositories of a project from one list. Where that fails, those that are not complete are left for others. */
async function* readTogether(
  reading: Reading,
  project: string,
  wanted: readonly Listed[],
  left: Map<string, Listed>,
): AsyncGenerator<Observation> {
  const ended = new Set<string>();
  try {
    yield* readProject(reading, project, wanted, ended);
  } catch (error) {
    reading.context.signal.throwIfAborted();
    if (isForbidden(error) && (await projectIsGone(reading.harbor, project)))
      for (const { name } of wanted) yield { type: 'repository-gone', repository: name };
    else if (error instanceof CollectError && concernsAll.has(error.reason))
      yield { type: 'group-failed', prefix: `${project}/`, error: needing(listArtifacts, error) };
    else keepForLater(error, wanted, ended, left);
  }
}

/**
 * What is read again from lists of its own: 404 means that the project is gone, or a Harbor before 2.12; and one artifact
 * may break the pages of all.
 */
function keepForLater(
  error: unknown,
  wanted: readonly Listed[],
  ended: ReadonlySet<string>,
  left: Map<string, Listed>,
): void {
  const isWrongOrder = error instanceof NotTogether;
  for (const listed of wanted) if (isWrongOrder || !ended.has(listed.name)) left.set(listed.name, listed);
}
