import { CollectError } from '../errors.ts';
import type { Observation } from '../model.ts';
import { namedByInclude, sayMissing } from '../named.ts';
import { type CollectContext, defineProvider } from '../provider.ts';
import { readSideBySide } from '../side-by-side.ts';
import { type Aws, awsOf } from './ecr/client.ts';
import { createImageFindings } from './ecr/findings.ts';
import { inspect } from './ecr/inspector.ts';
import { createManifests } from './ecr/manifests.ts';
import { accountOf, type EcrOptions, mistakesOf, options, placesOf } from './ecr/options.ts';
import { readLimits } from './ecr/quotas.ts';
import { createFullest, findRepositories, listRepositories, type Repository } from './ecr/repositories.ts';
import { readRepository, type Scope } from './ecr/repository.ts';
import { readScanning } from './ecr/scanning.ts';
import { createWords } from './ecr/words.ts';

const defaultFindingsMs = 6 * 3_600_000;

async function scopeOf(
  given: EcrOptions,
  aws: Aws,
  context: CollectContext,
  {
    registry,
    account,
    scanning,
  }: Pick<Scope, 'scanning'> & { registry: string; account: string | undefined },
): Promise<Scope> {
  const words = createWords(context);
  const { paginateDescribeImages } = await import('@aws-sdk/client-ecr');
  return {
    context,
    aws,
    words,
    scanning,
    inspection: scanning.type === 'ENHANCED' ? await inspect({ aws, context, account, words }) : undefined,
    manifests: given.readIndexes === false ? undefined : await createManifests(aws, context, registry),
    findings: await createImageFindings(aws, context, {
      registry,
      words,
      intervalSeconds: (given.findingsInterval ?? defaultFindingsMs) / 1000,
    }),
    fullest: createFullest(context),
    describeImages: (repositoryName) =>
      paginateDescribeImages(
        // Pages are of 100 unless asked for more, and archived images are left out unless asked for.
        { client: aws.ecr, pageSize: 1000 },
        { repositoryName, filter: { imageStatus: 'ANY' } },
      ),
  };
}

/** What everything that is remembered belongs to: the names of repositories and digests are the same elsewhere. */
async function registryOf(given: EcrOptions, aws: Aws, account: string | undefined): Promise<string> {
  return [given.endpoint?.host ?? 'aws', await aws.region(), account ?? '?'].join('/');
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
  },
  // AWS publishes no limit for its Describe operations: the rate is learned from throttling.
  // https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html
  http: { maxConcurrent: 32 },
  placeValues: ['account', 'region'],
  check: mistakesOf,
  places: (given) => {
    const places = placesOf(given);
    return places && (async () => places);
  },
  identity: ({ region, assumeRoleArn }) => {
    const account = accountOf(assumeRoleArn);
    return { region, account };
  },
  async *collect(given, context): AsyncGenerator<Observation> {
    const { only } = context;
    const aws = await awsOf(given, context);
    const found =
      only &&
      (await findRepositories(
        aws,
        context,
        only.filter((name) => context.wants(name)),
      ));
    let odd = 0;
    const listing = found
      ? found.found[Symbol.iterator]()
      : listRepositories(aws, context, (entries) => {
          odd += entries;
        });
    // Nothing else is asked of a registry that does not list its repositories.
    const first = await listing.next();
    const repository = first.done ? undefined : first.value;
    const scanning = await readScanning(aws, context);
    const account = repository?.registryId ?? scanning.account;
    const registry = await registryOf(given, aws, account);
    const limits = only ? undefined : readLimits(aws, context, registry);
    // It ends with the poll, whoever waits for it then.
    limits?.catch(() => {});
    const scope = await scopeOf(given, aws, context, { registry, account, scanning });
    yield await identityOf(aws, repository, account);

    let listed = 0;
    const waiting = new Map<string, Repository>();
    async function* names(): AsyncGenerator<string> {
      for (let next = first; !next.done; next = await listing.next()) {
        const { repositoryName } = next.value;
        listed += 1;
        if (!context.wants(repositoryName)) continue;
        waiting.set(repositoryName, next.value);
        yield repositoryName;
      }
    }
    const read = (repositoryName: string) => {
      const repository = waiting.get(repositoryName) as Repository;
      waiting.delete(repositoryName);
      return readRepository(scope, repository);
    };
    for (const repository of found?.gone ?? []) yield { type: 'repository-gone', repository };
    const observations = readSideBySide(context, names(), read);
    for await (const observation of sayMissing(context, namedByInclude(context), observations)) {
      if (observation.type === 'repository-failed') scope.fullest.failed(observation.repository);
      if (observation.type === 'repository-gone') listed -= 1;
      yield observation;
    }
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
    const images = odd === 0 ? scope.fullest.images() : undefined;
    yield {
      type: 'registry',
      facts: {
        quotas: [
          {
            quota: 'repositories',
            ...(odd === 0 && { used: listed }),
            limit: repositories,
          },
          {
            quota: 'images_per_repository',
            used: images,
            limit: imagesPerRepository,
          },
        ],
      },
    };
  },
});

/** Where the registry is; its host is in the address of any of its repositories. */
async function identityOf(
  aws: Aws,
  repository: Repository | undefined,
  account: string | undefined,
): Promise<Observation> {
  const host = repository?.repositoryUri?.split('/')[0];
  return { type: 'identity', identity: { region: await aws.region(), account, host } };
}
