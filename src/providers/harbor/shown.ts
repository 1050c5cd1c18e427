import type { CollectContext } from '../../provider.ts';
import { isNotFound } from '../../side-by-side.ts';
import { type Harbor, projectPath } from './client.ts';
import { type Listed, repository, toListed } from './listed.ts';
import { incomplete } from './optional-parts.ts';
import { isPublic, type Project, project } from './projects.ts';

/** Everything that Harbor shows to the account. */
export interface Shown {
  readonly projects: readonly Project[];
  /** Not all of them could be read: how many there are is unknown. */
  readonly projectsMissing: boolean;
  readonly repositories: readonly Listed[];
  /** How many repositories could not be read; their names are unknown. */
  readonly missing: number;
}

/** Reads which projects and repositories there are. */
export async function readShown(harbor: Harbor, context: CollectContext): Promise<Shown> {
  const query = { sort: 'name' };
  const projects = await harbor.all(
    { operation: 'projects', path: '/projects', query },
    project,
    ({ name }) => name,
  );
  const { items, missing } = context.only
    ? { items: await pushedTo(harbor, context, context.only), missing: 0 }
    : await harbor.all(
        { operation: 'repositories', path: '/repositories', query },
        repository,
        ({ name }) => name,
      );
  const repositories = items.map(toListed);
  const names = new Set(projects.items.map(({ name }) => name));
  const projectsMissing =
    projects.missing > 0 ||
    projects.items.some((project) => isPublic(project) === undefined) ||
    repositories.some((repository) => !names.has(repository.project));
  if (projectsMissing) context.degraded('projects', incomplete('projects', Math.max(1, projects.missing)));
  return { projects: projects.items, projectsMissing, repositories, missing };
}

type Named = { readonly name: string };

/** After push events: the repositories that were pushed to and are there. */
async function pushedTo(harbor: Harbor, context: CollectContext, names: readonly string[]): Promise<Named[]> {
  const repositories: Named[] = [];
  for (const name of names.filter((name) => context.wants(name)))
    try {
      const there = await findRepository(harbor, toListed({ name }));
      if (there) repositories.push(there);
    } catch {
      context.signal.throwIfAborted();
      // Reading its artifacts will say what is wrong with it; the others are looked at all the same.
      repositories.push({ name });
    }
  return repositories;
}

/**
 * A repository, or undefined when Harbor has none of that name. It is looked for in its project's list: reading it by
 * its name needs one more permission, which nobody has without an account, not even in a public project.
 */
export async function findRepository(harbor: Harbor, listed: Listed): Promise<Named | undefined> {
  const { name } = listed;
  const path = `${projectPath(listed.project)}/repositories`;
  const question = { operation: 'repository', path, query: { q: `name=${name}` } };
  try {
    const { items, missing } = await harbor.all(question, repository, (row) => row.name);
    return items.find((row) => row.name === name) ?? (missing > 0 ? { name } : undefined);
  } catch (error) {
    if (isNotFound(error) && (await projectIsGone(harbor, listed.project))) return undefined;
    throw error;
  }
}

/**
 * Whether Harbor does not show a project any more. Of one that is gone it says 404 to an administrator, as a proxy may
 * say of everything; to others it looks like one that is forbidden.
 */
export async function projectIsGone(harbor: Harbor, name: string): Promise<boolean> {
  // Not `q`, which takes a name that is a number for a number.
  const question = { operation: 'projects', path: '/projects', query: { name } };
  try {
    const { items, missing } = await harbor.all(question, project, (row) => row.name);
    return missing === 0 && !items.some((row) => row.name === name);
  } catch {
    return false;
  }
}

/** Whether the configuration may take repositories of a project. */
export const mayHold = (context: Pick<CollectContext, 'wants'>, project: string): boolean =>
  context.wants(`${project}/any`);
