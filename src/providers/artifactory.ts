import { z } from 'zod';
import { CollectError } from '../errors.ts';
import type { RegistryFacts } from '../model.ts';
import { auth, duration, endpointUrl } from '../options.ts';
import { defineProvider } from '../provider.ts';
import { readSideBySide } from '../side-by-side.ts';
import { createApi } from './artifactory/api.ts';
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

/** The images of a look, by key; undefined for a whole poll. */
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
  },
  // Three searches at once are what Artifactory allows to all by default, other requests have no such limit:
  // https://docs.jfrog.com/artifactory/docs/aql-performance
  http: { maxConcurrent: 8 },
  identity: ({ endpoint }) => ({ host: endpoint.host }),
  async *collect(given, context) {
    const api = createApi({ http: context.http(), endpoint: given.endpoint, auth: given.auth });
    const only = onlyByKey(context.only);
    let unreadable = 0;
    const leftOut = (repositories: number) => {
      unreadable = repositories;
    };
    const targets = (await listTargets(api, { ...given, leftOut }, context)).filter(
      ({ key }) => !only || only.has(key),
    );

    const user = context.session.keep('user', () => ({ isAdministrator: false }));
    const whole = !context.only;
    const hasXray = given.xray ?? true;
    // Side by side with the images: none of these waits for another.
    const storage = whole
      ? readStorage(api, context).then((read) => {
          user.isAdministrator = read !== undefined;
          return read?.(targets);
        })
      : undefined;
    const copies = readCopies(api, context, targets);
    const settings = readSettings(api, context, targets);
    const others = whole
      ? {
          health: readHealth(api, context),
          credentials: readCredentials(api, context, given.auth),
        }
      : undefined;
    if (!hasXray) context.absent('findings');
    const pending = [storage, copies, settings, ...Object.values(others ?? {})];
    for (const one of pending) one?.catch(() => {});

    const scope: Scope = {
      context,
      api,
      aql: createAql({ api, pageSize: given.aqlPageSize ?? 5000, seesAll: () => user.isAdministrator }),
      contents: createContents({ api, context, budget: given.manifestsPerPoll ?? 5000 }),
      xray: hasXray
        ? createXray({ api, context, statusBudget: given.scanStatusesPerPoll ?? 500 })
        : undefined,
      gone: new Set(),
      async practicesOf(target) {
        const replicated = (await copies)?.replicated;
        return {
          ...(await settings).practicesOf(target),
          ...(replicated && { replicated: replicated.has(target.key) }),
        };
      },
    };
    const byKey = new Map(targets.map((target) => [target.key, target]));
    const images = new Map<string, number>();
    let broken = unreadable > 0;
    if (unreadable > 0)
      yield {
        type: 'group-failed',
        // No repository's name begins so.
        prefix: '/',
        error: new CollectError(
          'invalid_response',
          `Artifactory listed ${unreadable} repositories whose entry cannot be understood`,
        ),
      };
    yield* readSideBySide(
      { ...context, concurrency: given.aqlConcurrency ?? 2 },
      byKey.keys(),
      async function* (key) {
        try {
          for await (const seen of readTarget(scope, byKey.get(key) as Target, only?.get(key))) {
            if (seen.type === 'repository') images.set(key, (images.get(key) ?? 0) + 1);
            yield seen;
          }
        } catch (error) {
          context.signal.throwIfAborted();
          broken = true;
          yield { type: 'group-failed', prefix: `${key}/`, error };
        }
      },
    );
    // Of a look: what lies in a repository that is no more.
    for (const [key, names] of only ?? [])
      if (!byKey.has(key))
        for (const name of names) yield { type: 'repository-gone', repository: `${key}/${name}` };
    if (!others) return;

    const violations = hasXray
      ? await readViolations({
          api,
          context,
          intervalMs: given.violationsInterval ?? 900_000,
          timeoutMs: given.violationsTimeout ?? 30_000,
        })
      : undefined;
    const replications = (await copies)?.replications;
    const facts: RegistryFacts = {
      ...(await storage),
      ...(await others.health),
      credentials: await others.credentials,
      ...(replications && { replications }),
      ...(violations && { violations }),
      // A sum over what could not all be read is none: the last one stands.
      ...(!broken && {
        projects: [...byKey.keys()]
          .filter((key) => !scope.gone.has(key))
          .map((key) => ({ project: key, repositories: images.get(key) ?? 0 })),
      }),
    };
    yield { type: 'registry', facts };
  },
});
