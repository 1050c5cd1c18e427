import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Caller, Harbor } from './client.ts';
import { optionalList } from './permissions.ts';
import { isPublic, type Project, type ProjectSettings } from './projects.ts';
import type { Replications } from './replication.ts';
import { readRobots } from './robots.ts';
import { createSystem } from './system.ts';
import { readJobQueues, readTasks } from './tasks.ts';

function projectFacts(
  projects: readonly Project[],
  settingsOf: ReadonlyMap<string, ProjectSettings>,
): NonNullable<RegistryFacts['projects']> {
  return projects.map((one) => {
    const { name, repo_count } = one;
    const members = settingsOf.get(name)?.members;
    const open = isPublic(one);
    return {
      project: name,
      public: open,
      repositories: repo_count,
      members,
    };
  });
}

/** What anybody may know. */
export function anonymousFacts(
  context: CollectContext,
  projects: readonly Project[] | undefined,
): RegistryFacts {
  for (const capability of ['storage', 'quotas', 'replication', 'credentials', 'tasks'] as const)
    context.absent(capability);
  return projects ? { projects: projectFacts(projects, new Map()) } : {};
}

/** What only an account may ask of. */
export async function accountFacts(
  client: Harbor,
  context: CollectContext,
  known: {
    readonly caller: Caller;
    readonly listsAccounts: boolean;
    readonly projects: readonly Project[];
    /** Not all projects could be read: how many there are is unknown. */
    readonly projectsMissing: boolean;
    readonly settingsOf: ReadonlyMap<string, ProjectSettings>;
    readonly replications: Replications | undefined;
  },
): Promise<RegistryFacts> {
  const system = createSystem(client, context);
  if (!known.listsAccounts) context.absent('credentials');
  const robots = known.listsAccounts
    ? optionalList(
        context,
        { capability: 'credentials', permission: 'robot:list (system)', what: 'robot accounts' },
        () => readRobots(client),
      )
    : undefined;
  const [storageBytes, quotas, volume, endpoints, tasks, jobQueues, ofSystem] = await Promise.all([
    system.storageBytes(known.caller),
    system.quotas(known.projects),
    system.volume(),
    system.endpoints(),
    readTasks(client, context),
    readJobQueues(client, context),
    robots,
  ]);
  const ofProjects = [...known.settingsOf.values()].flatMap((settings) => settings.robots ?? []);
  return {
    storageBytes,
    quotas: [...(quotas ?? []), ...volume],
    credentials: [...(ofSystem?.items ?? []), ...ofProjects].map(({ name, expiresAt }) => ({
      credential: name,
      expiresAt,
    })),
    ...(known.replications && { replications: known.replications.replications }),
    components: endpoints,
    ...(!known.projectsMissing && { projects: projectFacts(known.projects, known.settingsOf) }),
    tasks,
    ...(jobQueues && { jobQueues }),
  };
}
