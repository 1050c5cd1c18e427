import { z } from 'zod';
import { CollectError } from '../errors.ts';
import { auth, duration, endpointUrl } from '../options.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import { createRegistryClient, credentialsOf } from '../registry-auth.ts';
import { readSideBySide } from '../side-by-side.ts';
import { createAttachments } from './oci/attachments.ts';
import { createDistribution, type Distribution } from './oci/client.ts';
import { createDigests } from './oci/digests.ts';
import { readRepository, type Scope } from './oci/repository.ts';
import { createTagResolver } from './oci/tags.ts';

const options = z.strictObject({
  endpoint: endpointUrl.describe('Address of the registry, such as https://registry.example.com'),
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
});

/** Repositories as they are found: configured, or page by page of the catalog. */
async function* repositories(
  client: Distribution,
  names: readonly string[] | undefined,
  context: CollectContext,
): AsyncGenerator<string> {
  const listed = context.only ?? names;
  if (listed) {
    yield* listed.filter((name) => context.wants(name));
    return;
  }
  const seen = new Set<string>();
  try {
    for await (const page of client.catalog())
      for (const name of page) {
        if (seen.has(name) || !context.wants(name)) continue;
        seen.add(name);
        yield name;
      }
  } catch (error) {
    if (error instanceof CollectError && [403, 404, 405].includes(error.status ?? 0))
      throw new CollectError(
        error.reason,
        `${error.message}; the registry does not let its catalog be listed: name the repositories under \`names\``,
        { cause: error, ...(error.status !== undefined && { status: error.status }) },
      );
    throw error;
  }
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
    events: 'Notifications of the distribution registry and of zot.',
  },
  identity: ({ endpoint }) => ({ host: endpoint.host }),
  async *collect(given, context) {
    const http = context.http();
    const registry = createRegistryClient({
      http,
      endpoint: given.endpoint,
      credentials: credentialsOf(given.auth, given.endpoint.host),
      ...(given.auth?.trustedRealms && { trustedRealms: given.auth.trustedRealms }),
    });
    const client = createDistribution(registry, given.endpoint.href, context.memory);
    const digests = createDigests(client, context);
    const tags = createTagResolver(client, context, {
      stableTags: given.stableTags ?? [],
      stableTagsSeconds: (given.stableTagsInterval ?? 86_400_000) / 1000,
    });
    const attachments = createAttachments({
      client,
      context,
      digests,
      tags,
      referrersSeconds: (given.referrersInterval ?? 21_600_000) / 1000,
    });
    const scope: Scope = { context, client, digests, tags, attachments };
    const names = repositories(client, given.names, context);
    const read = async function* (name: string) {
      yield* await readRepository(scope, name);
    };
    for await (const observation of readSideBySide(context, names, read)) {
      if (observation.type === 'repository-failed') digests.incomplete();
      yield observation;
    }
    const storageBytes = digests.storageBytes();
    if (!context.only && storageBytes !== undefined) yield { type: 'registry', facts: { storageBytes } };
  },
});
