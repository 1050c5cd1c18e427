import { CollectError } from '../errors.ts';
import type { Observation } from '../model.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import { readSideBySide } from '../side-by-side.ts';
import { type Aws, awsOf } from './ecr/client.ts';
import { createImageFindings } from './ecr/findings.ts';
import { hostsOf } from './ecr/hosts.ts';
import { inspect } from './ecr/inspector.ts';
import { createManifests } from './ecr/manifests.ts';
import { accountOf, type EcrOptions, mistakesOf, options, placesOf } from './ecr/options.ts';
import { eventSourcesOf } from './ecr/push-events.ts';
import { createFullest, type Limits, readLimits } from './ecr/quotas.ts';
import { type Listing, openListing } from './ecr/repositories.ts';
import { readRepository, type Scope } from './ecr/repository.ts';
import { readScanning, type Scanning } from './ecr/scanning.ts';
import { createWords } from './ecr/words.ts';

const defaultFindingsMs = 6 * 3_600_000;

/**
 * What reading repositories needs.
 * @param registry what everything that is remembered belongs to: names of repositories and digests repeat elsewhere
 */
async function scopeOf(
  config: EcrOptions,
  aws: Aws,
  context: CollectContext,
  { registry, account, scanning }: { registry: string; account: string | undefined; scanning: Scanning },
): Promise<Scope> {
  const words = createWords(context);
  const intervalSeconds = (config.findingsInterval ?? defaultFindingsMs) / 1000;
  return {
    context,
    aws,
    words,
    scanning,
    inspection: scanning.type === 'ENHANCED' ? await inspect({ aws, context, account, words }) : undefined,
    manifests: config.readIndexes === false ? undefined : createManifests(aws, context, registry),
    findings: createImageFindings(aws, context, { registry, words, intervalSeconds }),
    fullest: createFullest(context),
  };
}

/** What the poll of a whole registry says at its end. */
async function* endOf(
  { odd, listed }: Listing['counts'],
  limits: Promise<Limits> | undefined,
  { fullest }: Scope,
): AsyncGenerator<Observation> {
  // Which repositories they are is unknown: those that were there before are not gone.
  if (odd > 0)
    yield {
      type: 'group-failed',
      prefix: '',
      error: new CollectError(
        'invalid_response',
        `DescribeRepositories listed ${odd} that could not be understood: how many repositories there are is unknown`,
      ),
    };
  if (!limits) return;
  const { repositories, imagesPerRepository } = await limits;
  const isWhole = odd === 0;
  const quotas = [
    { quota: 'repositories', used: isWhole ? listed : undefined, limit: repositories },
    {
      quota: 'images_per_repository',
      used: isWhole ? fullest.images() : undefined,
      limit: imagesPerRepository,
    },
  ];
  yield { type: 'registry', facts: { quotas } };
}

/** Amazon Elastic Container Registry: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html */
export const ecr = defineProvider<typeof options>({
  type: 'ecr',
  label: 'ecr',
  options,
  capabilities: {
    repositories: '`DescribeRepositories`.',
    images:
      '`DescribeImages`, archived images apart; `BatchGetImage` once for each index, to tell its platforms from untagged images.',
    sizes: 'As ECR states them; of a multi-platform image the sum of its platforms.',
    push_times: '`DescribeImages`.',
    pull_times: 'The last recorded pull, which ECR refreshes once in 24 hours.',
    findings:
      "Enhanced scanning: Inspector's aggregations and coverage in bulk, in full for the bounded set. Basic scanning: from the listing (classic), or for the bounded set (AWS's own).",
    signatures: 'Notation signatures and cosign signatures, by what ECR lists beside the images.',
    quotas: "The account's limits from Service Quotas.",
    practices: '`scan_on_push`, `immutable_tags` and `customer_managed_key`.',
    events:
      'EventBridge by a queue or an API destination: pushes, and those that failed by reason. Without any set-up: pushes that failed, from calls that CloudTrail recorded.',
  },
  // AWS publishes no limit for its Describe operations: the rate is learned from throttling.
  // https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
  http: { maxConcurrent: 32 },
  placeValues: ['account', 'region'],
  check: mistakesOf,
  places: (config) => {
    const places = placesOf(config);
    return places && (async () => places);
  },
  eventSources: eventSourcesOf,
  identity: ({ region, assumeRoleArn }) => ({ region, account: accountOf(assumeRoleArn) }),
  references: (_, { host }) => (host === undefined ? [] : hostsOf(host)),
  async *collect(config, context): AsyncGenerator<Observation> {
    const aws = await awsOf(config, context);
    const listing = await openListing(aws, context);
    const { first, gone, counts } = listing;
    const scanning = await readScanning(aws, context);
    const account = first?.registryId ?? scanning.account;
    const region = await aws.region();
    const registry = [config.endpoint?.host ?? 'aws', region, account ?? '?'].join('/');
    const limits = context.only ? undefined : readLimits(aws, context, registry);
    // A poll that fails before it awaits them reports its own failure.
    limits?.catch(() => {});
    const scope = await scopeOf(config, aws, context, { registry, account, scanning });
    const host = first?.repositoryUri?.split('/')[0];
    yield { type: 'identity', identity: { region, account, host } };
    for (const repository of gone) yield { type: 'repository-gone', repository };
    const observations = readSideBySide(context, listing.names(), (name) =>
      readRepository(scope, listing.take(name)),
    );
    for await (const observation of observations) {
      if (observation.type === 'repository-failed') scope.fullest.failed(observation.repository);
      if (observation.type === 'repository-gone') counts.listed -= 1;
      yield observation;
    }
    yield* endOf(counts, limits, scope);
  },
});
