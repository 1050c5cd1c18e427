import type { RegistryFacts } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Caller, Harbor } from './client.ts';
import { optionalList } from './optional-parts.ts';
import { type ProjectSettings, projectFacts } from './projects.ts';
import { readQuotas, readVolume } from './quotas.ts';
import type { Replications } from './replication.ts';
import { readRobots } from './robots.ts';
import type { Shown } from './shown.ts';
import { readEndpoints, readStorageBytes } from './system.ts';
import { readJobQueues, readTasks } from './tasks.ts';

/** What anybody may know of the registry. */
export function anonymousFacts(context: CollectContext, { projects, projectsMissing }: Shown): RegistryFacts {
  for (const capability of ['storage', 'quotas', 'replication', 'credentials', 'tasks'] as const)
    context.absent(capability);
  return projectsMissing ? {} : { projects: projectFacts(projects, new Map()) };
}

/** What is told to accounts only. */
export async function accountFacts(
  harbor: Harbor,
  context: CollectContext,
  input: {
    readonly caller: Caller;
    readonly listsAccounts: boolean;
    readonly shown: Shown;
    readonly settingsOf: ReadonlyMap<string, ProjectSettings>;
    readonly replications: Replications | undefined;
  },
): Promise<RegistryFacts> {
  const { caller, listsAccounts, shown, settingsOf, replications } = input;
  if (!listsAccounts) context.absent('credentials');
  const robotsPart = {
    capability: 'credentials',
    permission: 'robot:list (system)',
    what: 'robot accounts',
  } as const;
  const [storageBytes, quotas, volume, components, tasks, jobQueues, robots] = await Promise.all([
    readStorageBytes(harbor, context, caller),
    readQuotas(harbor, context, shown.projects),
    readVolume(harbor, context),
    readEndpoints(harbor, context),
    readTasks(harbor, context),
    readJobQueues(harbor, context),
    listsAccounts ? optionalList(context, robotsPart, () => readRobots(harbor)) : undefined,
  ]);
  const ofProjects = [...settingsOf.values()].flatMap((settings) => settings.robots ?? []);
  return {
    storageBytes,
    quotas: [...quotas, ...volume],
    credentials: [...(robots?.items ?? []), ...ofProjects].map(({ name, expiresAt }) => ({
      credential: name,
      expiresAt,
    })),
    replications: replications?.replications,
    components,
    projects: shown.projectsMissing ? undefined : projectFacts(shown.projects, settingsOf),
    tasks,
    jobQueues,
  };
}
