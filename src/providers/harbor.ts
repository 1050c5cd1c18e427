import { z } from 'zod';
import { CollectError } from '../errors.ts';
import type { RegistryFacts, RepositoryFacts } from '../model.ts';
import { auth, duration, endpointUrl } from '../options.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import { pushMetricsSettings, registryMetricsSources } from '../registry-metrics.ts';
import { isNotFound } from '../side-by-side.ts';
import { auditLogSource } from './harbor/audit-log.ts';
import { type Caller, createHarbor, type Harbor, projectPath } from './harbor/client.ts';
import { doubts } from './harbor/doubts.ts';
import { accountFacts, anonymousFacts } from './harbor/facts.ts';
import type { Listed, ToRead } from './harbor/listed.ts';
import { readProjectSettings } from './harbor/project-settings.ts';
import { type Project, type ProjectSettings, practicesOf } from './harbor/projects.ts';
import { type Replications, readReplications } from './harbor/replication.ts';
import { readRepositories } from './harbor/repositories.ts';
import { readScanners } from './harbor/scanners.ts';
import { mayHold, readShown, type Shown } from './harbor/shown.ts';
import { isSince, readComponents, readInfo } from './harbor/system.ts';

const options = z.strictObject({
  pushEvents: z
    .strictObject({
      metrics: pushMetricsSettings.metrics.optional(),
      auditLog: z
        .boolean()
        .describe(
          'Count pushes by the audit log, where no webhook may be set; the account needs the permission audit-log:list of the system',
        )
        .optional(),
      interval: duration
        .describe('How often they are asked (default 30s for metrics, 1m for the audit log)')
        .optional(),
    })
    .describe('Push events that are read by asking, with no port to open')
    .optional(),
  endpoint: endpointUrl.describe('Address of Harbor, such as https://harbor.example.com'),
  auth: auth.describe('A user or robot account; without it what is public is read').optional(),
  pageSize: z
    .int()
    .min(1)
    .max(100)
    .describe('Entries of a page; fewer where a page takes Harbor too long (default 100)')
    .optional(),
  platforms: z
    .boolean()
    .describe('Whether the platforms of multi-platform images are listed one by one (default true)')
    .optional(),
  settingsInterval: duration
    .describe("How often a project's rules, members and robot accounts are read (default 10m)")
    .optional(),
});

/** What is wrong with `pushEvents`. */
function mistakesOf({ pushEvents, auth: own }: z.infer<typeof options>, receives: boolean) {
  if (!pushEvents) return [];
  const { metrics, auditLog } = pushEvents;
  const path = ['pushEvents', 'auditLog'];
  if (!metrics && !auditLog)
    return [{ path: ['pushEvents'], message: 'names neither metrics nor auditLog: nothing would be read' }];
  if (auditLog && !own) return [{ path, message: 'needs an account: the audit log is shown to nobody else' }];
  if (auditLog && receives)
    return [
      { path, message: 'is given besides events, and both tell of the same pushes: keep one of the two' },
    ];
  return [];
}

/** Harbor 2.8 and later. What it is asked is in `api/v2.0/swagger.yaml` of https://github.com/goharbor/harbor */
export const harbor = defineProvider<typeof options>({
  type: 'harbor',
  label: 'harbor',
  options,
  capabilities: {
    repositories: 'All that the account may see; without one, those of public projects.',
    images: 'Artifacts, tagged or not, with the platforms of multi-platform images.',
    sizes: "Harbor's own size of each artifact: its manifest, config and layers.",
    push_times: 'Of each artifact.',
    pull_times: 'Of each artifact, and the number of pulls of each repository.',
    findings: "Counts of the project's scanner; how many are fixable is one number for all severities.",
    signatures: 'Cosign and Notation signatures and SBOMs that Harbor knows as accessories.',
    storage: 'Total storage, which Harbor tells system administrators only and no robot account.',
    quotas: 'Storage by project, and the volume that Harbor lies on.',
    practices:
      'Visibility, scan on push, retention and immutability rules, replication, `latest` tags; `no_admin_account` where the built-in admin is used to read.',
    replication: 'The last runs of each enabled policy, and the health of the registries that they reach.',
    credentials: 'Expiry of robot accounts, of the system and of each project.',
    projects: 'Visibility, repositories and members of each project.',
    health: 'Components, scanners, version and settings.',
    tasks: 'Garbage collection, scan-all, and the queues of the job service.',
    events:
      'Webhooks of each project, of failed pushes those that exceed a quota; pushes from the audit log, and all failed ones from its own metrics (`pushEvents`).',
  },
  eventSources: (settings) => [
    ...registryMetricsSources(settings),
    ...(settings.pushEvents?.auditLog ? [auditLogSource({ ...settings, ...settings.pushEvents })] : []),
  ],
  check: mistakesOf,
  identity: ({ endpoint }) => ({ host: endpoint.host }),
  async *collect(settings, context) {
    const { pageSize = 100, platforms = true, settingsInterval = 600_000, endpoint, auth } = settings;
    const { session } = context;
    const harbor = createHarbor({ http: context.http(), session, endpoint, auth, pageSize });
    const surroundings = await readSurroundings(harbor, context, settingsInterval / 1000);
    const { shown, since212 } = surroundings;
    if (!context.only) yield { type: 'registry', facts: await registryFacts(harbor, context, surroundings) };
    const listed = new Set(shown.repositories.map(({ name }) => name));
    for (const name of context.only ?? [])
      if (context.wants(name) && !listed.has(name)) yield { type: 'repository-gone', repository: name };
    if (!context.only) yield* doubts(harbor, context, shown);
    const toRead = byProject(shown.repositories, context);
    yield* readRepositories({
      harbor,
      context,
      scannerOf: surroundings.scannerOf,
      platforms,
      pageSize,
      listsProjects: !context.only && (await listsProjects(harbor, since212, toRead)),
      projects: toRead,
      facts: repositoryFacts(surroundings),
    });
    // With credentials that expired meanwhile Harbor would have shown what is public, without an error.
    if (harbor.authenticates) await harbor.whoAmI();
  },
});

/** A user's password takes Harbor some 0.2 s of CPU each time, a robot account's secret next to nothing. */
function tellOfRobots(context: CollectContext): void {
  context.tell(
    'a user reads',
    {},
    "Harbor is read as a user: checking a user's password costs it some 0.2 s of CPU in each request. Use a robot account, which may also be allowed less",
  );
}

/** Every Harbor has the lists of projects and repositories, from version 2 on at this address. */
function doubtHarbor(error: unknown): never {
  if (!(error instanceof CollectError) || !isNotFound(error)) throw error;
  const advice = 'is it a Harbor of version 2 or later that answers at `endpoint`?';
  throw new CollectError('not_found', `${error.message}: ${advice}`, { status: error.status });
}

/** What is read before the artifacts. */
async function readSurroundings(harbor: Harbor, context: CollectContext, intervalSeconds: number) {
  const account = await harbor.account();
  const caller: Caller = harbor.authenticates ? await harbor.whoAmI() : { robot: false };
  if (caller.user) tellOfRobots(context);
  const shown = await readShown(harbor, context).catch(doubtHarbor);
  const projects = concernedProjects(shown, context);
  const [info, scanners] = await Promise.all([readInfo(harbor, context), readScanners(harbor, context)]);
  const since212 = isSince(info.version, 12);
  const listsAccounts = !caller.robot || since212 !== false;
  const scannerOf = await scanners.ofProjects(projects, { intervalSeconds, account });
  const input = { harbor, context, projects, intervalSeconds, listsAccounts, account };
  const [settingsOf, replications]: [ReadonlyMap<string, ProjectSettings>, Replications | undefined] =
    harbor.authenticates
      ? await Promise.all([readProjectSettings(input), readReplications(harbor, context)])
      : [new Map(), undefined];
  return { caller, shown, info, scanners, scannerOf, since212, listsAccounts, settingsOf, replications };
}
type Surroundings = Awaited<ReturnType<typeof readSurroundings>>;

async function registryFacts(
  harbor: Harbor,
  context: CollectContext,
  surroundings: Surroundings,
): Promise<RegistryFacts> {
  const { shown, info, scanners } = surroundings;
  const facts = harbor.authenticates
    ? await accountFacts(harbor, context, surroundings)
    : anonymousFacts(context, shown);
  const components = await readComponents(harbor, context);
  return {
    ...facts,
    ...info,
    components: [...components, ...scanners.components, ...(facts.components ?? [])],
  };
}

/** What is known of a repository besides its artifacts. */
function repositoryFacts({ shown, settingsOf, replications, caller }: Surroundings) {
  const projects = new Map(shown.projects.map((project) => [project.name, project]));
  return ({ project: name, path, pulls, name: repository }: Listed): RepositoryFacts => {
    const project = projects.get(name);
    return {
      practices: {
        ...(project && practicesOf(project, settingsOf.get(name) ?? {}, path)),
        replicated: replications?.copies(repository),
        no_admin_account: caller.builtInAdmin ? false : undefined,
      },
      pulls,
      partialIndexes: project?.registry_id ? true : undefined,
      fetchesMissing: project?.registry_id ? true : undefined,
    };
  };
}

/** Projects whose settings matter: those without repositories too, unless only some repositories are looked at. */
function concernedProjects({ projects, repositories }: Shown, context: CollectContext): Project[] {
  const all = new Set(repositories.map(({ project }) => project));
  const wanted = new Set(
    repositories.filter(({ name }) => context.wants(name)).map(({ project }) => project),
  );
  return projects.filter(
    ({ name }) => wanted.has(name) || (!context.only && !all.has(name) && mayHold(context, name)),
  );
}

function byProject(repositories: readonly Listed[], context: CollectContext): Map<string, ToRead> {
  const projects = new Map<string, ToRead>();
  for (const [name, all] of Map.groupBy(repositories, ({ project }) => project))
    projects.set(name, {
      wanted: all.filter((listed) => context.wants(listed.name)),
      artifacts: all.reduce((sum, { artifacts = 1 }) => sum + artifacts, 0),
    });
  return projects;
}

/** Since 2.12 the artifacts of a project can be listed together, by those who have an account. */
async function listsProjects(
  harbor: Harbor,
  since212: boolean | undefined,
  toRead: ReadonlyMap<string, unknown>,
): Promise<boolean> {
  const [first] = toRead.keys();
  if (!harbor.authenticates || first === undefined) return false;
  if (since212 !== undefined) return since212;
  try {
    await harbor.count({ operation: 'project_artifacts', path: `${projectPath(first)}/artifacts` });
    return true;
  } catch (error) {
    return !(error instanceof CollectError && [404, 405].includes(error.status ?? 0));
  }
}
