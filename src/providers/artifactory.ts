import { z } from 'zod';
import { CollectError } from '../errors.ts';
import type { RegistryFacts } from '../model.ts';
import { auth, duration, endpointUrl } from '../options.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import { readSideBySide } from '../side-by-side.ts';
import { type Api, createApi } from './artifactory/api.ts';
import { createAql } from './artifactory/aql.ts';
import { createContents } from './artifactory/contents.ts';
import { readCredentials } from './artifactory/credentials.ts';
import { readHealth } from './artifactory/health.ts';
import type { Target } from './artifactory/layout.ts';
import { readCopies } from './artifactory/replication.ts';
import { readTarget, type Scope } from './artifactory/repository.ts';
import { readSettings } from './artifactory/settings.ts';
import { readStorage } from './artifactory/space.ts';
import { listTargets } from './artifactory/targets.ts';
import { readViolations } from './artifactory/violations.ts';
import { createXray } from './artifactory/xray.ts';

const options = z.strictObject({
  endpoint: endpointUrl.describe(
    'Address of the JFrog platform, such as https://example.jfrog.io, with or without /artifactory',
  ),
  auth: auth.describe('User and password, or an access, identity or reference token').optional(),
  keys: z
    .array(z.string().min(1))
    .min(1)
    .describe('Patterns of the JFrog repositories to read (default: all that hold images)')
    .optional(),
  types: z
    .array(z.enum(['local', 'remote', 'federated']))
    .min(1)
    .describe(
      'Which kinds of JFrog repositories to read (default: all three; virtual ones hold nothing themselves)',
    )
    .optional(),
  xray: z.boolean().describe('Whether Xray is asked for findings and violations (default true)').optional(),
  violationsInterval: duration
    .describe('How often the violations of the watches are counted anew (default 15m)')
    .optional(),
  violationsTimeout: duration
    .describe('How long an answer about violations may take: Xray itself has no limit (default 30s)')
    .optional(),
  aqlConcurrency: z
    .int()
    .min(1)
    .max(32)
    .describe('Searches at once (default 2; Artifactory allows 3 to all its users by default)')
    .optional(),
  aqlPageSize: z.int().min(1).max(100_000).describe('Items per page of a search (default 5000)').optional(),
  manifestsPerPoll: z
    .int()
    .min(0)
    .describe('Manifests to read per poll at most; each is read once (default 5000)')
    .optional(),
  scanStatusesPerPoll: z
    .int()
    .min(0)
    .describe('Images per poll whose scan status is asked for one by one at most (default 500)')
    .optional(),
});

type Options = z.infer<typeof options>;

/** The images to look at after push events, by key; undefined for a whole poll. */
function onlyByKey(only: readonly string[] | undefined): Map<string, string[]> | undefined {
  if (!only) return undefined;
  const byKey = new Map<string, string[]>();
  for (const name of only) {
    const [key = '', ...image] = name.split('/');
    byKey.set(key, [...(byKey.get(key) ?? []), image.join('/')]);
  }
  return byKey;
}

/** JFrog Artifactory with Xray: https://jfrog.com/help/r/jfrog-rest-apis */
export const artifactory = defineProvider<typeof options>({
  type: 'artifactory',
  label: 'artifactory',
  options,
  capabilities: {
    repositories:
      'Images of local, remote (their cache) and federated repositories of the types docker, oci and helmoci, as `KEY/IMAGE`.',
    images: 'Manifests from the search (AQL), in bulk; indexes and what has no tag are read once each.',
    sizes: 'The manifest and the blobs beside it; a layer that images share counts for each.',
    push_times: 'When the manifest was last written.',
    pull_times: 'The download statistics of manifests, and their count.',
    findings: "Xray's list of scans: what was scanned, by severity; violations by watch.",
    signatures: "cosign's tags, and manifests with a subject.",
    storage:
      'The storage summary of the whole instance, deduplicated, up to an hour old; administrators only.',
    quotas: 'The file store, and the space of each repository; administrators only.',
    practices:
      '`scan_on_push`, `retention_policy` (a limit of tags), `no_anonymous_pull`, `replicated`, `no_latest_tag`.',
    replication:
      'Status of push and pull replications, lag and state of federated mirrors; administrators only.',
    projects: 'Images of each JFrog repository.',
    health: 'Services of the platform, nodes of a cluster, and the version.',
    credentials: "Expiry of licenses, certificates, access tokens and the exporter's own token.",
    events: 'Webhooks of the domain Docker; Artifactory tells of no push that failed.',
  },
  // Three searches at once are what Artifactory allows to all by default, other requests have no such limit:
  // https://docs.jfrog.com/artifactory/docs/aql-performance
  http: { maxConcurrent: 8 },
  identity: ({ endpoint }) => ({ host: endpoint.host }),
  async *collect(settings, context) {
    const api = createApi(context.http(), settings);
    const only = onlyByKey(context.only);
    let unreadable = 0;
    const leftOut = (repositories: number) => {
      unreadable = repositories;
    };
    const all = await listTargets(api, { ...settings, leftOut }, context);
    const targets = all.filter(({ key }) => !only || only.has(key));
    const surroundings = readSurroundings(api, context, settings.auth, targets);
    if (settings.xray === false) context.absent('findings');
    const scope = createScope(api, context, settings, surroundings);
    /** How many images each repository has; undefined where that is unknown. */
    const counts = new Map<string, number | undefined>();
    if (unreadable > 0) yield { type: 'group-failed', prefix: noName, error: oddEntries(unreadable) };
    const keys = new Map(targets.map((target) => [target.key, target]));
    yield* readSideBySide(
      { ...context, concurrency: settings.aqlConcurrency ?? 2 },
      keys.keys(),
      async function* (key) {
        let images = 0;
        try {
          for await (const observation of readTarget(scope, keys.get(key) as Target, only?.get(key))) {
            if (observation.type === 'repository') images += 1;
            yield observation;
          }
          counts.set(key, images);
        } catch (error) {
          context.signal.throwIfAborted();
          counts.set(key, undefined);
          yield { type: 'group-failed', prefix: `${key}/`, error };
        }
      },
    );
    // After push events: images of a repository that is not there any more.
    for (const [key, names] of only ?? [])
      if (!keys.has(key))
        for (const name of names) yield { type: 'repository-gone', repository: `${key}/${name}` };
    if (context.only) return;
    for (const key of scope.gone) counts.delete(key);
    const projects = [...counts].flatMap(([project, repositories]) =>
      repositories === undefined ? [] : [{ project, repositories }],
    );
    const facts = await registryFacts(api, context, settings, surroundings);
    // A sum over what could not all be read is none: the last one stands.
    const isWhole = unreadable === 0 && projects.length === counts.size;
    yield { type: 'registry', facts: { ...facts, projects: isWhole ? projects : undefined } };
  },
});

/** No repository's name begins so. */
const noName = '/';

const oddEntries = (count: number): CollectError =>
  new CollectError(
    'invalid_response',
    `Artifactory listed ${count} repositories whose entry cannot be understood`,
  );

/** What is read beside the images: none of these waits for another. */
function readSurroundings(
  api: Api,
  context: CollectContext,
  auth: Options['auth'],
  targets: readonly Target[],
) {
  const user = context.session.keep('user', () => ({ isAdministrator: false }));
  const whole = !context.only;
  const storage = whole
    ? readStorage(api, context, targets).then((facts) => {
        user.isAdministrator = facts !== undefined;
        return facts;
      })
    : undefined;
  const surroundings = {
    user,
    storage,
    copies: readCopies(api, context, targets),
    practicesOf: readSettings(api, context, targets),
    health: whole ? readHealth(api, context) : undefined,
    credentials: whole ? readCredentials(api, context, auth) : undefined,
  };
  // What fails is met where it is awaited; the poll may have ended by then.
  for (const reading of Object.values(surroundings)) Promise.resolve(reading).catch(() => {});
  return surroundings;
}
type Surroundings = ReturnType<typeof readSurroundings>;

function createScope(
  api: Api,
  context: CollectContext,
  settings: Options,
  { user, copies, practicesOf }: Surroundings,
): Scope {
  return {
    context,
    api,
    aql: createAql({ api, pageSize: settings.aqlPageSize ?? 5000, seesAll: () => user.isAdministrator }),
    contents: createContents({ api, context, budget: settings.manifestsPerPoll ?? 5000 }),
    xray: settings.xray === false ? undefined : createXray(api, context, settings.scanStatusesPerPoll ?? 500),
    gone: new Set(),
    async practicesOf(target) {
      const replicated = (await copies)?.isReplicated(target.key);
      return { ...(await practicesOf)(target), replicated };
    },
  };
}

async function registryFacts(
  api: Api,
  context: CollectContext,
  { xray, violationsInterval: intervalMs = 900_000, violationsTimeout: timeoutMs = 30_000 }: Options,
  { storage, copies, health, credentials }: Surroundings,
): Promise<RegistryFacts> {
  return {
    ...(await storage),
    ...(await health),
    credentials: await credentials,
    replications: (await copies)?.replications,
    violations: xray === false ? undefined : await readViolations({ api, context, intervalMs, timeoutMs }),
  };
}
