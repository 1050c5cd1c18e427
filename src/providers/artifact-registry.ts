import { z } from 'zod';
import { CollectError } from '../errors.ts';
import { gcrLocations } from '../events/artifact-registry.ts';
import { duration, endpointUrl } from '../options.ts';
import { type CollectContext, defineProvider, type Place, type PlacesSearch } from '../provider.ts';
import { isNotFound, readSideBySide } from '../side-by-side.ts';
import type { Api, Location } from './artifact-registry/api.ts';
import { openApi } from './artifact-registry/open.ts';
import { idOf, readPackages, type Scope } from './artifact-registry/repository.ts';
import { requestCountSource } from './artifact-registry/request-counts.ts';
import type { RepositoryRow } from './artifact-registry/rows.ts';
import { subscriptionSource } from './artifact-registry/subscription.ts';

const options = z.strictObject({
  projects: z
    .array(z.string().regex(/^([a-z0-9.-]+:)?[a-z0-9-]+$/, 'a project id looks like my-project-123'))
    .min(1)
    .describe('Ids of the projects to watch; more than one becomes a registry each'),
  locations: z
    .union([
      z.literal('all'),
      z.array(z.string().regex(/^[a-z0-9-]+$/, 'a location looks like europe-west3')).min(1),
    ])
    .describe('Locations such as europe-west3 or us, or `all` that have a Docker repository (the default)')
    .optional(),
  credentialsFile: z
    .string()
    .min(1)
    .describe('Key or workload identity file; default: application default credentials')
    .optional(),
  impersonatedServiceAccount: z
    .string()
    .regex(
      /^[^@\s]+@[^@\s]+$/,
      'a service account is an address such as name@project.iam.gserviceaccount.com',
    )
    .describe('Service account to act as')
    .optional(),
  transport: z
    .enum(['grpc', 'rest'])
    .describe('rest for proxies that let only plain HTTP through (default grpc)')
    .optional(),
  pushEvents: z
    .strictObject({
      subscription: z
        .string()
        .regex(
          /^projects\/[a-z0-9.:-]+\/subscriptions\/[A-Za-z][\w.~+%-]{2,254}$/,
          'a subscription looks like projects/my-project/subscriptions/exporter',
        )
        .describe('Pub/Sub subscription to the topic gcr, which the exporter pulls')
        .optional(),
      metrics: z
        .boolean()
        .describe('Count failed pushes of the registry as a whole, as Cloud Monitoring does; needs no set-up')
        .optional(),
      interval: duration
        .describe('Pause between two readings (default 5s for the subscription, 1m for metrics)')
        .optional(),
    })
    .describe('Push events that are read by asking, with no port to open')
    .optional(),
  monitoringEndpoint: endpointUrl.describe('Address of Cloud Monitoring instead of its own').optional(),
  pubsubEndpoint: endpointUrl.describe('Address of Pub/Sub instead of its own').optional(),
  endpoint: endpointUrl.describe('Address of Artifact Registry instead of its own').optional(),
  containerAnalysisEndpoint: endpointUrl
    .describe('Address of Container Analysis instead of its own')
    .optional(),
  iamCredentialsEndpoint: endpointUrl
    .describe('Address of the service account credentials API instead of its own')
    .optional(),
});
type Options = z.infer<typeof options>;

/** The one place that options name, once an entry of several was narrowed. */
function placeOf({ projects, locations = 'all' }: Options): Location | undefined {
  const [project, ...moreProjects] = projects;
  const [location, ...moreLocations] = locations === 'all' ? [] : locations;
  const single = moreProjects.length === 0 && moreLocations.length === 0;
  return single && project !== undefined && location !== undefined ? { project, location } : undefined;
}

const parentOf = ({ project, location }: Location): string => `projects/${project}/locations/${location}`;
const isDocker = ({ format }: RepositoryRow): boolean => format === 'DOCKER';

/**
 * How Google refuses a region that it gives to few customers only, though it lists it for all. None of the others has
 * anything there. https://github.com/turbot/steampipe-plugin-gcp/issues/706 and
 * https://cloud.google.com/docs/dammam-region-access
 */
const isForOthers = (error: unknown): boolean =>
  error instanceof CollectError &&
  ['forbidden', 'not_found'].includes(error.reason) &&
  /Permission denied on 'locations\/|Location \S+ is not found or access is unauthorized/.test(error.message);

/** Whether there is a Docker repository in a location; where that cannot be told, the others are looked at all the same. */
async function isUsed(api: Api, at: Location, context: PlacesSearch): Promise<boolean> {
  try {
    for await (const repositories of api.repositories(parentOf(at)))
      if (repositories.some(isDocker)) return true;
  } catch (error) {
    context.signal.throwIfAborted();
    if (!isForOthers(error)) context.incomplete(error);
    else context.log.debug({ ...at, err: error }, 'a location is not for this project: it is left out');
  }
  return false;
}

/** Locations of a project in which there is a Docker repository. */
async function usedLocations(api: Api, project: string, context: PlacesSearch): Promise<string[]> {
  const used: string[] = [];
  try {
    for await (const locations of api.locations(project))
      await Promise.all(
        locations.map(async (location) => {
          if (await isUsed(api, { project, location }, context)) used.push(location);
        }),
      );
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof CollectError)) throw error;
    context.incomplete(
      new CollectError(error.reason, `project ${project}: ${error.message}`, { cause: error }),
    );
  }
  return used.sort();
}

async function findPlaces(settings: Options, context: PlacesSearch): Promise<Place<Options>[]> {
  const api = await openApi(settings, context);
  try {
    const places: Place<Options>[] = [];
    const { locations = 'all' } = settings;
    for (const project of settings.projects)
      for (const location of locations === 'all' ? await usedLocations(api, project, context) : locations)
        places.push({
          values: { project, location },
          options: { ...settings, projects: [project], locations: [location] },
        });
    return places;
  } finally {
    api.close();
  }
}

/** Resource names are shorter. */
const isName = (name: string): boolean =>
  name.length <= 512 && /^projects\/[^/]+\/locations\/[^/]+\/repositories\/[^/]+$/.test(name);
/** So many reasons are told; Google's are a few fixed sentences. */
const reasonsAtMost = 20;
/** No repository's name begins so. */
const nameless = '/';

/** What a listing of repositories adds up to. */
interface Listed {
  readonly toRead: Map<string, RepositoryRow>;
  /** Undefined as soon as one size cannot be understood. */
  storageBytes: number | undefined;
  /** Entries that cannot be told from others, or told to be Docker's. */
  odd: number;
}

/** Whether the images of a repository are to be read; what stands in the way of others is told. */
function isRead(repository: RepositoryRow, { tell, session, log }: CollectContext): boolean {
  const { mode } = repository;
  if (!isDocker(repository)) return false;
  const id = idOf(repository);
  if (mode === 'VIRTUAL_REPOSITORY') {
    session.keep(`said virtual ${id}`, () => {
      const message =
        'a virtual repository shows the images of others, which are counted there: it is not read';
      log.info({ repository: id }, message);
      return true;
    });
    return false;
  }
  if (mode !== undefined && /^\d+$/.test(mode))
    tell(
      `mode of ${id}`,
      { repository: id, mode },
      'a repository has a mode that is not known here: it is read like others',
    );
  sayWhyUnscanned(repository, session, log);
  return true;
}

/** Tells once why images are not scanned, for all repositories with the same reason: that is no fault. */
function sayWhyUnscanned(
  repository: RepositoryRow,
  session: CollectContext['session'],
  log: CollectContext['log'],
): void {
  const { enablementState: scanning, enablementStateReason } = repository.vulnerabilityScanningConfig ?? {};
  if (scanning !== 'SCANNING_DISABLED' && scanning !== 'SCANNING_UNSUPPORTED') return;
  const reason = (enablementStateReason || 'no reason is given').slice(0, 200);
  const said = session.keep('said why unscanned', () => new Set<string>());
  if (said.has(reason) || said.size >= reasonsAtMost) return;
  said.add(reason);
  const message = 'Google does not scan the images of a repository: its findings are unknown';
  log.info({ repository: idOf(repository), scanning, reason }, message);
}

/** Takes a page of repositories. @returns those whose images are to be read */
function take(page: readonly RepositoryRow[], listed: Listed, context: CollectContext): string[] {
  return page.flatMap((repository) => {
    const { name = '', format, sizeBytes } = repository;
    if (!isName(name) || format === undefined) {
      listed.odd += 1;
      listed.storageBytes = undefined;
      return [];
    }
    // Listed twice, as where the list changed under way.
    if (listed.toRead.has(idOf(repository))) return [];
    if (!isRead(repository, context)) return [];
    if (sizeBytes === undefined) listed.storageBytes = undefined;
    else if (listed.storageBytes !== undefined) listed.storageBytes += sizeBytes;
    listed.toRead.set(idOf(repository), repository);
    return [idOf(repository)];
  });
}

/** Lists the ids of a location once more; those who ask meanwhile share the answer. */
function createListing(api: Api, at: Location): (id: string) => Promise<boolean> {
  let running: Promise<ReadonlySet<string>> | undefined;
  const list = async (): Promise<ReadonlySet<string>> => {
    const ids = new Set<string>();
    for await (const page of api.repositories(parentOf(at))) for (const row of page) ids.add(idOf(row));
    return ids;
  };
  return async (id) => {
    running ??= list().finally(() => {
      running = undefined;
    });
    return (await running).has(id);
  };
}

function mistakesOf(settings: Options) {
  const { subscription, metrics } = settings.pushEvents ?? {};
  const refuse = (message: string) => [{ path: ['pushEvents'], message }];
  if (subscription !== undefined && !placeOf(settings))
    return refuse(
      'has a subscription, which is for an entry of one project and one location: several would take each other’s messages; write an entry for each, with a subscription of its own',
    );
  if (settings.pushEvents && subscription === undefined && !metrics)
    return refuse('reads nothing: give `subscription`, `metrics: true` or both');
  return [];
}

/** https://cloud.google.com/artifact-registry/docs */
export const artifactRegistry = defineProvider<typeof options>({
  type: 'artifact-registry',
  label: 'artifact_registry',
  options,
  capabilities: {
    repositories:
      'Packages of the Docker repositories of a project and location, standard and remote; virtual ones show what others hold.',
    images: 'All manifests, tagged or not; one listing per repository gives those of all its packages.',
    sizes: "Each image's size as the registry states it; of an index the sum of its platforms.",
    push_times: 'Upload times.',
    findings:
      'Container Analysis: counts by severity from its summary, scan status from its discoveries; two calls per repository and none per image.',
    storage: "Sum of the repositories' own sizes, as billed.",
    practices:
      '`immutable_tags`, `retention_policy`, `scan_on_push` and `customer_managed_key` from the settings of the repository, `no_latest_tag` from its tags.',
    events:
      'The topic `gcr` of Pub/Sub, pulled or received; failed pushes from the audit log where it is switched on, or as Cloud Monitoring counts them (`pushEvents`).',
  },
  identity(settings) {
    const at = placeOf(settings);
    if (!at) return {};
    return { host: `${at.location}-docker.pkg.dev`, account: at.project, region: at.location };
  },
  check: mistakesOf,
  eventSources(settings) {
    const at = placeOf(settings);
    return at ? [...subscriptionSource(settings, at), ...requestCountSource(settings, at)] : [];
  },
  references: (_, { host, account = '', region = '' }) => {
    // A project of a domain is `example.com:name`, and `example.com/name` in names of images.
    const project = account.replace(':', '/');
    const gcr = Object.keys(gcrLocations).filter((name) => gcrLocations[name] === region);
    return [
      ...(host === undefined ? [] : [{ from: `${host}/${project}`, to: '' }]),
      ...gcr.map((name) => ({ from: `${name}/${project}`, to: name })),
    ];
  },
  placeValues: ['project', 'location'],
  places: (settings) => (placeOf(settings) ? undefined : (context) => findPlaces(settings, context)),
  async *collect(settings, context) {
    const at = placeOf(settings);
    if (!at) throw new CollectError('internal', 'an entry of several places was read as one');
    const api = await openApi(settings, context);
    const scope: Scope = { api, context, at, isListed: createListing(api, at) };
    try {
      const only = context.only && new Set(context.only.map((name) => name.split('/')[0]));
      const listed: Listed = { toRead: new Map(), storageBytes: 0, odd: 0 };
      const names = async function* () {
        for await (const page of api.repositories(parentOf(at)))
          for (const id of take(page, listed, context)) if (!only || only.has(id)) yield id;
      };
      yield* readSideBySide(context, names(), async function* (id) {
        const repository = listed.toRead.get(id);
        if (repository) yield* readPackages(scope, repository);
      });
      if (listed.odd > 0)
        yield {
          type: 'group-failed',
          prefix: nameless,
          error: new CollectError(
            'invalid_response',
            `Artifact Registry listed ${listed.odd} repositories whose name or format cannot be understood`,
          ),
        };
      const { storageBytes } = listed;
      if (!context.only) yield { type: 'registry', facts: { storageBytes } };
      else
        for (const repository of context.only)
          if (!listed.toRead.has(repository.split('/')[0] ?? ''))
            yield { type: 'repository-gone', repository };
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new CollectError(
        'not_found',
        `${(error as Error).message}: check the project and location, and that the Artifact Registry API is enabled`,
        { cause: error },
      );
    } finally {
      scope.ended = true;
      api.close();
    }
  },
});
