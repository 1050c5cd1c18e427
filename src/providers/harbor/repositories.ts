import { CollectError } from '../../errors.ts';
import type { Observation, RepositoryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound, readSideBySide } from '../../side-by-side.ts';
import {
  type ArtifactReader,
  listed as artifact,
  artifactFlags,
  createArtifactReader,
  type Scanner,
} from './artifacts.ts';
import { type Harbor, repositoryPath } from './client.ts';
import type { FindingsReader } from './findings.ts';
import { findRepository, projectIsGone } from './found.ts';
import { betterTogether, type Listed, type ToRead } from './listed.ts';
import { explained } from './permissions.ts';
import { NotTogether, readProject } from './project-list.ts';

export interface ReadRepositories {
  readonly harbor: Harbor;
  readonly context: CollectContext;
  readonly findings: FindingsReader;
  scannerOf(project: string): Scanner;
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

/** How a repository is read, whichever list its artifacts come from. */
export interface Reading extends ReadRepositories {
  /** What every list of artifacts is asked with. */
  readonly query: Readonly<Record<string, string>>;
  begin(listed: Listed): { readonly observation: Observation; readonly reader: ArtifactReader };
  end(listed: Listed, reader: ArtifactReader): Observation;
  /** Whether Harbor still has the repository: it lists the artifacts of one that is gone as none, and not as 404. */
  exists(listed: Listed): Promise<boolean>;
}

const listArtifacts = 'artifact:list (project)';

const isForbidden = (error: unknown): boolean =>
  error instanceof CollectError && error.reason === 'forbidden';

/** A list that says nothing of the repositories one by one: Harbor as a whole does not answer, or not this account. */
const concernsAll = new Set(['auth', 'forbidden', 'dns', 'connect', 'tls', 'throttled']);
/** So many repositories of a project that fail one after the other, and the others are not asked for. */
const enoughFailures = 5;

/** Reads the artifacts of all repositories, by project where that is better. */
export async function* readRepositories(input: ReadRepositories): AsyncGenerator<Observation> {
  const { context, pageSize } = input;
  const { concurrency } = context;
  const reading = createReading(input);
  /** Left over by projects that could not be read together. */
  const left: Listed[] = [];
  const units = new Map<string, () => AsyncGenerator<Observation>>();
  for (const [name, { wanted, artifacts }] of input.projects)
    if (input.listsProjects && betterTogether(wanted, artifacts, { pageSize, concurrency }))
      units.set(name, () => readTogether(reading, name, wanted, left));
    else for (const listed of wanted) units.set(listed.name, () => readOne(reading, listed));
  const aside = { ...context, progress: () => {} };
  yield* readSideBySide(aside, [...units.keys()], (key) => units.get(key)?.() ?? nothing());
  const apart = new Map(left.map((listed) => [listed.name, listed]));
  const failures = new Map<string, { count: number; error: unknown }>();
  yield* readSideBySide(aside, [...apart.keys()], async function* (name) {
    const listed = apart.get(name) as Listed;
    const failed = failures.get(listed.project);
    if (failed && failed.count >= enoughFailures) throw failed.error;
    try {
      yield* readOne(reading, listed);
      failures.delete(listed.project);
    } catch (error) {
      failures.set(listed.project, { count: (failures.get(listed.project)?.count ?? 0) + 1, error });
      throw error;
    }
  });
}

async function* nothing(): AsyncGenerator<Observation> {}

function createReading(input: ReadRepositories): Reading {
  const { harbor, context, platforms } = input;
  let done = 0;
  let total = 0;
  for (const { wanted } of input.projects.values()) total += wanted.length;
  context.progress(0, total);
  return {
    ...input,
    query: { ...artifactFlags, ...(platforms && { q: 'base=*' }) },
    begin: (listed) => ({
      observation: {
        type: 'repository',
        repository: listed.name,
        facts: { listsUntagged: true, ...input.facts(listed) },
      },
      reader: createArtifactReader(input.findings, input.scannerOf(listed.project)),
    }),
    end(listed, reader) {
      done += 1;
      context.progress(Math.min(done, total), total);
      const { practices } = input.facts(listed);
      const facts = reader.facts();
      const odd = reader.odd();
      if (odd.length > 0)
        context.tell(
          `artifacts of ${listed.name}`,
          { repository: listed.name, odd },
          'parts of what Harbor says of artifacts could not be understood: what depends on them is unknown',
        );
      return {
        type: 'repository-complete',
        repository: listed.name,
        facts: { ...facts, practices: { ...practices, ...facts.practices } },
      };
    },
    async exists(listed) {
      try {
        return (await findRepository(harbor, listed)) !== undefined;
      } catch (error) {
        if (isForbidden(error)) return true;
        throw error;
      }
    },
  };
}

/** One repository from a list of its own. */
async function* readOne(reading: Reading, listed: Listed): AsyncGenerator<Observation> {
  const { harbor, query } = reading;
  const { observation, reader } = reading.begin(listed);
  yield observation;
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
    if (!some && !(await reading.exists(listed))) {
      yield { type: 'repository-gone', repository: listed.name };
      return;
    }
  } catch (error) {
    reading.context.signal.throwIfAborted();
    // Of a repository that is not there Harbor lists nothing; of a project that is not, it says so. What a proxy says is
    // no word of Harbor's: a repository that is still listed is not gone.
    const isGone = isNotFound(error)
      ? !(await reading.exists(listed))
      : isForbidden(error) && (await projectIsGone(harbor, listed.project));
    if (!isGone) throw explained(error, listArtifacts);
    yield { type: 'repository-gone', repository: listed.name };
    return;
  }
  yield reading.end(listed, reader);
}

/** All repositories of a project from one list; those of which it says nothing good are left for lists of their own. */
async function* readTogether(
  reading: Reading,
  name: string,
  wanted: readonly Listed[],
  left: Listed[],
): AsyncGenerator<Observation> {
  const ended = new Set<string>();
  try {
    yield* readProject(reading, name, wanted, ended);
  } catch (error) {
    reading.context.signal.throwIfAborted();
    if (error instanceof NotTogether) left.push(...wanted);
    else if (isForbidden(error) && (await projectIsGone(reading.harbor, name)))
      for (const one of wanted) yield { type: 'repository-gone', repository: one.name };
    else if (error instanceof CollectError && !concernsAll.has(error.reason))
      // A project that is gone says 404 to an administrator, as a Harbor before 2.12 does to everybody; and one
      // artifact may break the pages of all.
      left.push(...wanted.filter((one) => !ended.has(one.name)));
    else yield { type: 'group-failed', prefix: `${name}/`, error: explained(error, listArtifacts) };
  }
}
