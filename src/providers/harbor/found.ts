import { CollectError } from '../../errors.ts';
import type { Observation } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import { type Harbor, projectPath } from './client.ts';
import { type Listed, repository, toListed } from './listed.ts';
import type { Found } from './lists.ts';
import { incomplete } from './permissions.ts';
import { isPublic, type Project, project } from './projects.ts';

/** Everything that the account is shown. */
export interface Shown {
  readonly projects: readonly Project[];
  /** Not all of them could be read: how many there are is unknown. */
  readonly projectsMissing: boolean;
  readonly repositories: readonly Listed[];
  /** How many repositories could not be read; their names are not known. */
  readonly missing: number;
}

/** Reads which projects and repositories there are. */
export async function readShown(client: Harbor, context: CollectContext): Promise<Shown> {
  const projects = await client.all(
    { operation: 'projects', path: '/projects', query: { sort: 'name' } },
    project,
    ({ name }) => name,
  );
  const { items, missing } = context.only
    ? await readThese(client, context, context.only)
    : await client.all(
        { operation: 'repositories', path: '/repositories', query: { sort: 'name' } },
        repository,
        ({ name }) => name,
      );
  const repositories = items.map(toListed);
  const there = new Set(projects.items.map(({ name }) => name));
  const projectsMissing =
    projects.missing > 0 ||
    projects.items.some((one) => isPublic(one) === undefined) ||
    repositories.some((one) => !there.has(one.project));
  if (projectsMissing) context.degraded('projects', incomplete('projects', Math.max(1, projects.missing)));
  return { projects: projects.items, projectsMissing, repositories, missing };
}

/** After push events: the repositories that were pushed to, and are there. */
async function readThese(
  client: Harbor,
  context: CollectContext,
  names: readonly string[],
): Promise<Found<{ readonly name: string }>> {
  const items: { readonly name: string }[] = [];
  for (const name of names) {
    if (!context.wants(name)) continue;
    try {
      const found = await findRepository(client, toListed({ name }));
      if (found) items.push(found);
    } catch {
      context.signal.throwIfAborted();
      // What is wrong with it will be told when its artifacts are read; the others are looked at all the same.
      items.push({ name });
    }
  }
  return { items, missing: 0 };
}

/**
 * A repository, or undefined when Harbor has none of that name. It is looked for in its project's list: to read it by
 * its name takes a permission more, which nobody has without an account, not even in a public project.
 */
export async function findRepository(
  client: Harbor,
  { name, project: of }: Listed,
): Promise<{ readonly name: string } | undefined> {
  const path = `${projectPath(of)}/repositories`;
  const asked = { operation: 'repository', path, query: { q: `name=${name}` } };
  try {
    const { items, missing } = await client.all(asked, repository, (one) => one.name);
    return items.find((one) => one.name === name) ?? (missing > 0 ? { name } : undefined);
  } catch (error) {
    if (isNotFound(error) && (await projectIsGone(client, of))) return undefined;
    throw error;
  }
}

/**
 * Whether Harbor does not show a project any more. One that is gone says 404 to an administrator, as what lies in
 * between may say of everything; to others it looks like one that is forbidden.
 */
export async function projectIsGone(client: Harbor, name: string): Promise<boolean> {
  // Not `q`: a name that is a number would be looked for as one.
  const asked = { operation: 'projects', path: '/projects', query: { name } };
  try {
    const { items, missing } = await client.all(asked, project, (one) => one.name);
    return missing === 0 && !items.some((one) => one.name === name);
  } catch {
    return false;
  }
}

/** Patterns that could name several projects. */
const isPattern = /[*?[\]{}()!+@|\\]/;

/** What is not as it should be with the projects and repositories that were found. */
export async function* doubts(
  client: Harbor,
  context: CollectContext,
  shown: Shown,
): AsyncGenerator<Observation> {
  const { projects, repositories, missing } = shown;
  if (missing > 0) yield { type: 'group-failed', prefix: '', error: incomplete('repositories', missing) };
  yield* namedInVain(context, shown);
  yield* hidden(client, context, shown);
  yield* vanished(context, projects);
  if (client.authenticates && projects.length === 0)
    context.tell(
      'no project',
      {},
      'Harbor shows this account no project: does it have the permission project:list?',
    );
  else if (repositories.length > 0 && !repositories.some(({ name }) => context.wants(name)))
    context.tell(
      'nothing wanted',
      { repositories: repositories.length },
      'repositories.include and repositories.exclude take none of the repositories that Harbor shows',
    );
}

/** Projects that the configuration names and Harbor does not show. */
function* namedInVain(context: CollectContext, { projects }: Shown): Generator<Observation> {
  const there = new Set(projects.map(({ name }) => name));
  const named = (context.include ?? []).map((pattern) => pattern.split('/')[0] ?? '');
  for (const name of new Set(named)) {
    if (name === '' || isPattern.test(name) || there.has(name)) continue;
    const message = `Harbor shows no project ${name}, which repositories.include names: there is none, or the account may not see it`;
    yield { type: 'group-failed', prefix: `${name}/`, error: new CollectError('not_found', message) };
  }
}

/**
 * A project that says that it has repositories, of which the list of all repositories has none: for a moment Harbor
 * took the account for nobody, as it does when its user directory does not answer.
 */
async function* hidden(
  client: Harbor,
  context: CollectContext,
  { projects, repositories }: Shown,
): AsyncGenerator<Observation> {
  const seen = new Set(repositories.map((one) => one.project));
  for (const { name, repo_count } of projects) {
    if (!repo_count || seen.has(name) || !mayHold(context, name)) continue;
    let error: unknown;
    try {
      const path = `${projectPath(name)}/repositories`;
      const left = await client.count({ operation: 'project_repositories', path });
      if (!left) continue;
      error = new CollectError(
        'invalid_response',
        `the project ${name} has ${left} repositories, of which the list of all repositories has none`,
      );
    } catch (failure) {
      context.signal.throwIfAborted();
      if (isNotFound(failure)) continue;
      error = failure;
    }
    yield { type: 'group-failed', prefix: `${name}/`, error };
  }
}

/** Projects that the last poll saw and that are not there any more: deleted, or the account lost them. */
function* vanished(context: CollectContext, projects: readonly Project[]): Generator<Observation> {
  const key = 'projects that were seen';
  const before = context.memory.get<readonly string[]>(key)?.value ?? [];
  const now = projects.map(({ name }) => name).toSorted();
  const there = new Set(now);
  for (const name of before) if (!there.has(name)) yield { type: 'group-empty', prefix: `${name}/` };
  if (before.length !== now.length || before.some((name) => !there.has(name))) context.memory.set(key, now);
}

/** Whether the configuration may take repositories of a project. */
export const mayHold = (context: Pick<CollectContext, 'wants'>, project: string): boolean =>
  context.wants(`${project}/any`);
