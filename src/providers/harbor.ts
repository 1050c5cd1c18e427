import { z } from 'zod';
import { auth, duration, endpointUrl } from '../options.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import { type Caller, createHarbor } from './harbor/client.ts';
import { accountFacts, anonymousFacts } from './harbor/facts.ts';
import { createFindingsReader } from './harbor/findings.ts';
import { doubts, mayHold, readShown, type Shown } from './harbor/found.ts';
import type { Listed, ToRead } from './harbor/listed.ts';
import { readProjectSettings } from './harbor/project-settings.ts';
import { type Project, type ProjectSettings, practicesOf } from './harbor/projects.ts';
import { readReplications } from './harbor/replication.ts';
import { readRepositories } from './harbor/repositories.ts';
import { readScanners } from './harbor/scanners.ts';
import { createSystem } from './harbor/system.ts';
import { isSince, listsProjects } from './harbor/version.ts';

const options = z.strictObject({
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
    events: 'Webhooks of each project; a push that exceeds a quota is the only failed one that Harbor tells.',
  },
  identity: ({ endpoint }) => ({ host: endpoint.host }),
  async *collect(given, context) {
    const client = createHarbor({
      http: context.http(),
      session: context.session,
      endpoint: given.endpoint,
      auth: given.auth,
      pageSize: given.pageSize ?? 100,
    });
    const intervalSeconds = (given.settingsInterval ?? 600_000) / 1000;
    const account = await client.account();
    const caller: Caller = client.authenticates ? await client.whoAmI() : { robot: false };
    if (client.authenticates && !caller.robot) tellOfRobots(context);
    const shown = await readShown(client, context);
    const { projects, repositories } = shown;
    const concerned = concernedProjects(shown, context);
    const [{ version, settings }, scanners] = await Promise.all([
      createSystem(client, context).info(),
      readScanners(client, context),
    ]);
    const since212 = isSince(version, 12);
    const listsAccounts = !caller.robot || since212 !== false;
    const scannerOf = await scanners.ofProjects(concerned, { intervalSeconds, account });
    const [settingsOf, replications] = client.authenticates
      ? await Promise.all([
          readProjectSettings({
            harbor: client,
            context,
            projects: concerned,
            intervalSeconds,
            listsAccounts,
            account,
          }),
          readReplications(client, context),
        ])
      : [new Map<string, ProjectSettings>(), undefined];
    if (!context.only) {
      const facts = client.authenticates
        ? await accountFacts(client, context, { ...shown, caller, listsAccounts, settingsOf, replications })
        : anonymousFacts(context, shown.projectsMissing ? undefined : projects);
      const components = (await createSystem(client, context).components()) ?? [];
      yield {
        type: 'registry',
        facts: {
          ...facts,
          version,
          ...(settings && { settings }),
          components: [...components, ...scanners.components, ...(facts.components ?? [])],
        },
      };
    }

    const byName = new Map(projects.map((one) => [one.name, one]));
    const toRead = group(repositories, context);
    for (const name of context.only ?? [])
      if (context.wants(name) && !repositories.some((one) => one.name === name))
        yield { type: 'repository-gone', repository: name };
    if (!context.only) yield* doubts(client, context, shown);
    yield* readRepositories({
      harbor: client,
      context,
      findings: createFindingsReader(context),
      scannerOf,
      platforms: given.platforms ?? true,
      pageSize: given.pageSize ?? 100,
      listsProjects: !context.only && (await listsProjects(client, since212, toRead)),
      projects: toRead,
      facts({ project: name, path, pulls, name: full }) {
        const one = byName.get(name);
        const replicated = replications?.copies(full);
        return {
          practices: {
            ...(one && practicesOf(one, settingsOf.get(name) ?? {}, path)),
            replicated,
            ...(caller.builtInAdmin && { no_admin_account: false }),
          },
          pulls,
          ...(one?.registry_id && { partialIndexes: true }),
        };
      },
    });
    // Credentials that expired meanwhile would have shown what is public only, without an error.
    if (client.authenticates) await client.whoAmI();
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

/** Projects whose settings matter: those without repositories too, unless only some repositories are looked at. */
function concernedProjects({ projects, repositories }: Shown, context: CollectContext): Project[] {
  const all = new Set(repositories.map((one) => one.project));
  const wanted = new Set(repositories.filter(({ name }) => context.wants(name)).map((one) => one.project));
  return projects.filter(
    ({ name }) => wanted.has(name) || (!context.only && !all.has(name) && mayHold(context, name)),
  );
}

/** By project: what is wanted of it, and how much a list of all of it would hold. */
function group(repositories: readonly Listed[], context: CollectContext): Map<string, ToRead> {
  const projects = new Map<string, { wanted: Listed[]; artifacts: number }>();
  for (const listed of repositories) {
    const found = projects.get(listed.project) ?? { wanted: [], artifacts: 0 };
    found.artifacts += listed.artifacts ?? 1;
    if (context.wants(listed.name)) found.wanted.push(listed);
    projects.set(listed.project, found);
  }
  return projects;
}
