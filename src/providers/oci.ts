import { z } from 'zod';
import { createFailing } from '../failing.ts';
import { sayMissing } from '../named.ts';
import { auth, duration, endpointUrl } from '../options.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import {
  CredentialsRefused,
  catalogScope,
  createRegistryClient,
  credentialsOf,
  pullScope,
} from '../registry-auth.ts';
import { pushMetricsOptions, registryMetricsSources } from '../registry-metrics.ts';
import { readSideBySide } from '../side-by-side.ts';
import { createDistribution, type Distribution } from './oci/client.ts';
import { Digests } from './oci/digests.ts';
import { createReferrers } from './oci/referrers.ts';
import { readCache, repositories } from './oci/repositories.ts';
import { readRepository, type Scope } from './oci/repository.ts';
import { TagResolver } from './oci/tags.ts';

/** People write the address that clients ask first, too: `https://registry.example.com/v2/`. */
const registryUrl = endpointUrl.transform((config) => {
  const url = new URL(config);
  url.pathname = url.pathname.replace(/\/v2\/*$/, '/');
  return url;
});

const options = z.strictObject({
  pushEvents: pushMetricsOptions,
  endpoint: registryUrl.describe('Address of the registry, such as https://registry.example.com'),
  auth: auth.describe('Credentials; without them the registry is read anonymously').optional(),
  names: z
    .array(z.string().min(1))
    .min(1)
    .describe('Repositories to read, for registries that do not let their catalog be listed')
    .optional(),
  stableTags: z
    .array(z.string().min(1))
    .describe('Patterns of tags that never move: they are not asked for at each poll')
    .optional(),
  stableTagsInterval: duration
    .describe('How often such tags are looked at all the same (default 24h)')
    .optional(),
  referrersInterval: duration
    .describe(
      'How often images outside the bounded set are asked for new signatures and reports (default 6h)',
    )
    .optional(),
  cache: z
    .boolean()
    .describe(
      'Whether the registry is a pull-through cache: then only its catalog is read, since reading tags and manifests would make it pull them',
    )
    .optional(),
});

type Options = z.infer<typeof options>;

/** What reading repositories needs. */
function scopeOf(config: Options, client: Distribution, context: CollectContext): Scope {
  const digests = new Digests(client, context);
  return {
    context,
    client,
    digests,
    tags: new TagResolver(client, digests, context, {
      stableTags: config.stableTags ?? [],
      stableTagsSeconds: (config.stableTagsInterval ?? 86_400_000) / 1000,
    }),
    referrers: createReferrers(client, context, (config.referrersInterval ?? 21_600_000) / 1000),
    failing: createFailing(context),
    empty: context.session.keep('oci: tags without anything', () => new Set<string>()),
    whole: context.session.keep('oci: repositories that were read whole', () => new Set<string>()),
  };
}

/** Any registry that speaks https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md */
export const oci = defineProvider<typeof options>({
  type: 'oci',
  label: 'oci',
  options,
  capabilities: {
    repositories: 'The catalog, or the names in the configuration where the registry forbids it.',
    images:
      'The tags and what they name. Untagged manifests are not listed by the protocol: their number is unknown.',
    sizes: 'Manifests: the manifest itself, its config and its layers.',
    push_times: "The image's creation time, since the protocol has no push times.",
    findings: 'SARIF reports and cosign `vuln` attestations attached to an image; none otherwise.',
    signatures: "The referrers API, else its tag schema and cosign's tags.",
    storage: 'The sum of all blobs and manifests that were seen, each once.',
    practices: '`no_latest_tag`, and `no_secret_in_config` from the configuration of the newest image.',
    events:
      'Notifications of the distribution registry and of zot; failed pushes from their own metrics (`pushEvents`).',
  },
  eventSources: registryMetricsSources,
  identity: ({ endpoint }) => ({ host: endpoint.host }),
  async *collect(config, context) {
    const { endpoint, names } = config;
    const registry = createRegistryClient({
      http: context.http(),
      endpoint,
      credentials: credentialsOf(config.auth, endpoint),
      session: context.session,
      trustedRealms: config.auth?.trustedRealms ?? [],
    });
    const client = createDistribution(registry, endpoint.href, context.memory);
    const source = { client, context, names };
    const [first] = (context.only ?? names ?? []).filter((name) => context.wants(name));
    await registry.prove(first === undefined ? catalogScope : pullScope(first));
    if (config.cache) return yield* readCache(source);
    const scope = scopeOf(config, client, context);
    const read = (name: string) => readRepository(scope, name);
    const named = { setting: 'names', names: names ?? [] };
    const observations = sayMissing(context, named, readSideBySide(context, repositories(source), read));
    for await (const observation of observations) {
      if (observation.type === 'repository-failed') {
        if (observation.error instanceof CredentialsRefused) throw observation.error;
        scope.digests.incomplete();
      }
      yield observation;
    }
    const storageBytes = scope.digests.storageBytes();
    if (!context.only && storageBytes !== undefined) yield { type: 'registry', facts: { storageBytes } };
  },
});
