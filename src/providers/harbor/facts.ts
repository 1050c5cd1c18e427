import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Caller, Harbor } from './client.ts';
import { optional } from './permissions.ts';
import { type Project, type ProjectSettings, readRobots } from './projects.ts';
import type { Replications } from './replication.ts';
import { createSystem } from './system.ts';
import { readJobQueues, readTasks } from './tasks.ts';

function projectFacts(
  projects: readonly Project[],
  settingsOf: ReadonlyMap<string, ProjectSettings>,
): NonNullable<RegistryFacts['projects']> {
  return projects.map(({ name, metadata, repo_count }) => {
    const members = settingsOf.get(name)?.members;
    return {
      project: name,
      ...(metadata && { public: metadata.public === 'true' }),
      ...(typeof repo_count === 'number' && { repositories: repo_count }),
      ...(members !== undefined && { members }),
    };
  });
}

/** What anybody may know. */
export function anonymousFacts(context: CollectContext, projects: readonly Project[]): RegistryFacts {
  for (const capability of ['storage', 'quotas', 'replication', 'credentials', 'tasks'] as const)
    context.absent(capability);
  return { projects: projectFacts(projects, new Map()) };
}

/** What only an account may ask of. */
export async function accountFacts(
  client: Harbor,
  context: CollectContext,
  known: {
    readonly caller: Caller;
    readonly listsAccounts: boolean;
    readonly projects: readonly Project[];
    readonly settingsOf: ReadonlyMap<string, ProjectSettings>;
    readonly replications: Replications | undefined;
  },
): Promise<RegistryFacts> {
  const system = createSystem(client, context);
  if (!known.listsAccounts) context.absent('credentials');
  const robots = known.listsAccounts
    ? optional(context, { capability: 'credentials', permission: 'robot:list (system)' }, () =>
        readRobots(client, {}),
      )
    : undefined;
  const [storageBytes, quotas, volume, endpoints, tasks, jobQueues, ofSystem] = await Promise.all([
    system.storageBytes(known.caller),
    system.quotas(),
    system.volume(),
    system.endpoints(),
    readTasks(client, context),
    readJobQueues(client, context),
    robots,
  ]);
  const ofProjects = [...known.settingsOf.values()].flatMap((settings) => settings.robots ?? []);
  return {
    ...(storageBytes !== undefined && { storageBytes }),
    quotas: [...(quotas ?? []), ...volume],
    credentials: [...(ofSystem ?? []), ...ofProjects].map(({ name, expiresAt }) => ({
      credential: name,
      expiresAt,
    })),
    ...(known.replications && { replications: known.replications.replications }),
    components: endpoints,
    projects: projectFacts(known.projects, known.settingsOf),
    tasks,
    ...(jobQueues && { jobQueues }),
  };
}
