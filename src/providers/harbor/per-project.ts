import type { CollectContext } from '../../provider.ts';

/** How many projects one poll asks again at most. */
const projectsPerPoll = 200;

/** Projects of which something that is remembered is older than an interval, the oldest first. */
export const oldest = <Project>(
  { memory, now }: Pick<CollectContext, 'memory' | 'now'>,
  projects: readonly Project[],
  intervalSeconds: number,
  keyOf: (project: Project) => string,
  isDue: (key: string) => boolean = () => false,
): Project[] =>
  projects
    .map((project) => ({ project, key: keyOf(project) }))
    .map(({ project, key }) => ({ project, at: isDue(key) ? 0 : (memory.get(key)?.storedAt ?? 0) }))
    .filter(({ at }) => now() - at >= intervalSeconds)
    .toSorted((a, b) => a.at - b.at)
    .slice(0, projectsPerPoll)
    .map(({ project }) => project);
