import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CollectError } from '../errors.ts';
import type { Observation, RegistryFacts, RepositoryFacts } from '../model.ts';
import { duration, endpointUrl } from '../options.ts';
import { type Capabilities, type Capability, type CollectContext, defineProvider } from '../provider.ts';
import { isNotFound, readSideBySide } from '../side-by-side.ts';
import { createHub, type Hub, hubAddress } from './docker-hub/client.ts';
import { judgeHub } from './docker-hub/errors.ts';
import { type Bearer, createLogin, hubAuth } from './docker-hub/login.ts';
import { Listing } from './docker-hub/namespaces.ts';
import { type Limits, pullLimitFacts, readPullLimit } from './docker-hub/pull-limit.ts';
import { hiddenRepositories } from './docker-hub/scopes.ts';
import { createTagRules, type TagRules } from './docker-hub/tag-rules.ts';
import { readTags } from './docker-hub/tags.ts';

const options = z.strictObject({
  namespaces: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9_-]*$/, 'a namespace has small letters, digits, - and _'))
    .min(1)
    .describe('Organisations and users whose repositories are read; without any, the pull limit alone is')
    .optional(),
  auth: hubAuth.describe('Credentials; without them public repositories are read').optional(),
  pullLimit: z
    .boolean()
    .describe('Whether the pull rate limit of the credentials or the address is read (default true)')
    .optional(),
  privateRepositories: z
    .boolean()
    .describe('False where there are none, so that a token that lists none is right (default true)')
    .optional(),
  settingsInterval: duration
    .describe("How often the rules of a repository's tags are looked at (default 6h)")
    .optional(),
  endpoint: endpointUrl.describe(`Address of the API (default ${hubAddress})`).optional(),
  authEndpoint: endpointUrl
    .describe('Address of the token server of pulls (default https://auth.docker.io)')
    .optional(),
  registryEndpoint: endpointUrl
    .describe('Address that images are pulled from (default https://registry-1.docker.io)')
    .optional(),
});
type Options = z.infer<typeof options>;

const address = (url: URL | undefined, standard: string): string =>
  (url?.href ?? standard).replace(/\/+$/, '');

/** What reading a repository needs; lives for one poll. */
interface Scope {
  readonly context: CollectContext;
  readonly hub: Hub;
  readonly tagRules: TagRules;
  readonly listing: Listing;
}

async function* readRepository(scope: Scope, repository: string): AsyncGenerator<Observation> {
  const { context, hub, tagRules, listing } = scope;
  try {
    const listed = listing.repositories.get(repository) ?? (await hub.repository(repository));
    const { images, hasLatest, unread } = await readTags(hub, repository, context);
    if (images.length + unread === 0) listing.empty.add(repository);
    const facts: RepositoryFacts = {
      listsUntagged: false,
      // A tag without a name may be one that attaches a signature: those are not counted as tags.
      unreadTags: unread > 0 ? 'all' : undefined,
      pulls: listed.pull_count,
      stars: listed.star_count,
      practices: {
        // A tag that could not be read may be `latest`.
        no_latest_tag: hasLatest || unread === 0 ? !hasLatest : undefined,
        // Anybody may pull from a public repository: https://docs.docker.com/docker-hub/repos/manage/access/
        private: listed.is_private,
        no_anonymous_pull: listed.is_private,
        immutable_tags: await tagRules(repository, listed),
      },
    };
    yield { type: 'repository', repository, facts };
    yield { type: 'images', repository, images };
    yield { type: 'repository-complete', repository };
  } catch (error) {
    if (!isNotFound(error)) throw error;
    listing.repositories.delete(repository);
    yield { type: 'repository-gone', repository };
  }
}

/**
 * Reads the pull limit beside all else; what comes of it is asked for at the end. It is not waited for much longer
 * than what else is read, so that it holds up nothing.
 */
function startPullLimit(settings: Options, context: CollectContext): () => Promise<RegistryFacts> {
  const read = async () =>
    readPullLimit({
      http: context.http(),
      authEndpoint: address(settings.authEndpoint, 'https://auth.docker.io'),
      registryEndpoint: address(settings.registryEndpoint, 'https://registry-1.docker.io'),
      account: await settings.auth?.read(),
    });
  const reading: Promise<Limits | { readonly error: unknown }> = read().catch((error) => ({ error }));
  return async () => {
    const { timeoutMs } = context.connection;
    const patience = new AbortController();
    const deadline = async () => {
      await sleep(timeoutMs, undefined, { signal: patience.signal });
      return { error: new CollectError('timeout', `the pull limit was not read within ${timeoutMs} ms`) };
    };
    const limits = await (settings.namespaces ? Promise.race([reading, deadline()]) : reading);
    patience.abort();
    // Where nothing else is asked for, it is the poll that failed.
    if ('error' in limits && !settings.namespaces) throw limits.error;
    context.signal.throwIfAborted();
    if (!('error' in limits) && !limits.malformed) return pullLimitFacts(limits.reading, context);
    context.degraded('pull_limit', 'error' in limits ? limits.error : limits.malformed);
    return {};
  };
}

/** Why the token hides repositories of its own namespace, where that was listed to its end. */
function hiddenFrom(bearer: Bearer | undefined, listing: Listing): string | undefined {
  const own = bearer?.account.username.toLowerCase();
  if (!bearer || own === undefined || !listing.complete.has(own)) return undefined;
  return hiddenRepositories(bearer, listing.hasPrivate(own));
}

const capabilities = {
  repositories: 'All of the namespaces, as far as the credentials see them; pull and star counts.',
  images: 'What tags name. Untagged manifests are not listed: their number is unknown.',
  sizes: 'Compressed size of each image and platform, as Docker Hub states it.',
  push_times: 'When a tag or platform was last pushed.',
  pull_times: 'When a tag or platform was last pulled.',
  signatures: "cosign's tags only; an image without one may be signed in another way: unknown.",
  storage: 'The sum of what Docker Hub states for each repository.',
  practices: '`private`, `no_anonymous_pull`, `no_latest_tag`, `immutable_tags`.',
  projects: 'Repositories of each namespace.',
  pull_limit: 'Limit and rest of the pull rate limit by a `HEAD`, which is no pull; paid plans have none.',
  events: 'Webhooks of repositories; Docker Hub tells of no push that failed.',
} satisfies Capabilities;
const ofRepositories = (Object.keys(capabilities) as Capability[]).filter(
  (capability) => capability !== 'pull_limit',
);

/** Docker Hub: https://docs.docker.com/reference/api/hub/latest/ */
export const dockerHub = defineProvider<typeof options>({
  type: 'docker-hub',
  label: 'docker_hub',
  options,
  capabilities,
  /**
   * The limit per minute is not published; answers without credentials said 180 per minute in 2026, as 3 per second
   * are: https://docs.docker.com/reference/api/hub/latest/#tag/rate-limiting
   */
  http: { maxConcurrent: 4, requestsPerSecond: 3 },
  identity: ({ namespaces, endpoint }) => ({
    host: new URL(address(endpoint, hubAddress)).host,
    ...(namespaces?.length === 1 && { account: namespaces[0] as string }),
  }),
  references: () => [{ from: 'docker.io', to: '' }],
  async *collect(settings, context) {
    const pullLimit =
      settings.pullLimit === false || context.only ? undefined : startPullLimit(settings, context);
    if (settings.pullLimit === false) context.absent('pull_limit');
    let facts: RegistryFacts = {};
    if (settings.namespaces) facts = yield* readNamespaces(settings, settings.namespaces, context);
    else for (const capability of ofRepositories) context.absent(capability);
    if (!context.only) yield { type: 'registry', facts: { ...facts, ...(await pullLimit?.()) } };
  },
});

/** Reads all repositories. @returns what is known of the namespaces */
async function* readNamespaces(
  settings: Options,
  namespaces: readonly string[],
  context: CollectContext,
): AsyncGenerator<Observation, RegistryFacts> {
  const { settingsInterval = 21_600_000, auth } = settings;
  const http = context.http({ judge: judgeHub });
  const endpoint = address(settings.endpoint, hubAddress);
  const login = createLogin({ http, endpoint, auth, session: context.session });
  const hub = createHub({ http, endpoint, login });
  const listing = new Listing(hub, namespaces, context);
  const tagRules = createTagRules(hub, context, settingsInterval / 1000);
  const scope: Scope = { context, hub, listing, tagRules };
  yield* readSideBySide(context, listing.names(), (repository) => readRepository(scope, repository));
  for (const [prefix, error] of listing.failed) yield { type: 'group-failed', prefix, error };
  const hidden = settings.privateRepositories === false ? undefined : hiddenFrom(login.current(), listing);
  if (hidden === undefined) return listing.facts();
  context.degraded('repositories', new CollectError('forbidden', hidden));
  return {};
}
