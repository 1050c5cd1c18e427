import { CollectError } from '../../errors.ts';
import type { Observation } from '../../model.ts';
import { isPattern } from '../../named.ts';
import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import { type Harbor, projectPath } from './client.ts';
import { incomplete } from './optional-parts.ts';
import type { Project } from './projects.ts';
import { mayHold, type Shown } from './shown.ts';

/** What is not as it should be with the projects and repositories that Harbor shows. */
export async function* doubts(
  harbor: Harbor,
  context: CollectContext,
  shown: Shown,
): AsyncGenerator<Observation> {
  const { projects, repositories, missing } = shown;
  if (missing > 0) yield { type: 'group-failed', prefix: '', error: incomplete('repositories', missing) };
  yield* configuredInVain(context, shown);
  yield* withoutTheirRepositories(harbor, context, shown);
  yield* vanished(context, projects);
  if (harbor.authenticates && projects.length === 0)
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
function* configuredInVain(context: CollectContext, { projects }: Shown): Generator<Observation> {
  const shown = new Set(projects.map(({ name }) => name));
  const configured = new Set((context.include ?? []).map((pattern) => pattern.split('/')[0] ?? ''));
  for (const name of configured) {
    if (name === '' || isPattern(name) || shown.has(name)) continue;
    const message = `Harbor shows no project ${name}, which repositories.include names: there is none, or the account may not see it`;
    yield { type: 'group-failed', prefix: `${name}/`, error: new CollectError('not_found', message) };
  }
}

/**
 * Projects that say that they have repositories, of which the list of all repositories has none. For a moment Harbor
 * answered as it does without an account: so it does when its user directory does not answer.
 */
async function* withoutTheirRepositories(
  harbor: Harbor,
  context: CollectContext,
  { projects, repositories }: Shown,
): AsyncGenerator<Observation> {
  const seen = new Set(repositories.map((repository) => repository.project));
  for (const { name, repo_count } of projects) {
    if (!repo_count || seen.has(name) || !mayHold(context, name)) continue;
    const error = await hiddenRepositories(harbor, context, name);
    if (error) yield { type: 'group-failed', prefix: `${name}/`, error };
  }
}

/** The error that a project has repositories after all, or that it cannot be asked; undefined where it has none. */
async function hiddenRepositories(harbor: Harbor, context: CollectContext, project: string) {
  const path = `${projectPath(project)}/repositories`;
  try {
    const count = await harbor.count({ operation: 'project_repositories', path });
    if (!count) return undefined;
    return new CollectError(
      'invalid_response',
      `the project ${project} has ${count} repositories, of which the list of all repositories has none`,
    );
  } catch (error) {
    context.signal.throwIfAborted();
    return isNotFound(error) ? undefined : error;
  }
}

/** Projects that the last poll saw and that are not shown any more: they were deleted, or the account lost them. */
function* vanished(context: CollectContext, projects: readonly Project[]): Generator<Observation> {
  const key = 'projects that were seen';
  const before = context.memory.get<readonly string[]>(key)?.value ?? [];
  const now = projects.map(({ name }) => name).toSorted();
  const shown = new Set(now);
  for (const name of before) if (!shown.has(name)) yield { type: 'group-empty', prefix: `${name}/` };
  if (before.length !== now.length || before.some((name) => !shown.has(name))) context.memory.set(key, now);
}
