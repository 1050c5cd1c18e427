import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { Practice } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { createTokenGuard, parsed } from './answers.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import type { Scanning } from './scanning.ts';
import type { Words } from './words.ts';

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Repository.html */
const repository = z.object({
  repositoryName: z.string().min(1),
  registryId: z.string().nullish(),
  repositoryUri: z.string().nullish(),
  imageTagMutability: z.string().nullish(),
  imageScanningConfiguration: z.object({ scanOnPush: z.boolean().nullish() }).nullish(),
  encryptionConfiguration: z.object({ encryptionType: z.string().nullish() }).nullish(),
});
export type Repository = z.infer<typeof repository>;

const response = z.object({ repositories: z.array(repository), nextToken: z.string().nullish() });
const operation = 'DescribeRepositories';

/** All repositories, page by page; each once. */
export async function* listRepositories(aws: Aws): AsyncGenerator<readonly Repository[]> {
  const { DescribeRepositoriesCommand } = await import('@aws-sdk/client-ecr');
  const guard = createTokenGuard(operation);
  const seen = new Set<string>();
  for (let nextToken: string | undefined; ; ) {
    const input = { maxResults: 1000, ...(nextToken !== undefined && { nextToken }) };
    const answer = await aws.ecr.ask(() => new DescribeRepositoriesCommand(input), operation);
    const page = parsed(answer, response, operation);
    const fresh = page.repositories.filter(({ repositoryName }) => !seen.has(repositoryName));
    for (const { repositoryName } of fresh) seen.add(repositoryName);
    yield fresh;
    if (!page.nextToken) return;
    guard(page.nextToken);
    nextToken = page.nextToken;
  }
}

/** Repositories by their names; of those that do not exist, the names. */
export async function findRepositories(
  aws: Aws,
  names: readonly string[],
): Promise<{ readonly found: readonly Repository[]; readonly gone: readonly string[] }> {
  const { DescribeRepositoriesCommand } = await import('@aws-sdk/client-ecr');
  const ask = async (repositoryNames: string[]) =>
    parsed(
      await aws.ecr.ask(() => new DescribeRepositoriesCommand({ repositoryNames }), operation),
      response,
      operation,
    ).repositories;
  const found: Repository[] = [];
  const gone: string[] = [];
  // A hundred at once, but one that does not exist refuses all of them.
  for (let at = 0; at < names.length; at += 100) {
    const some = names.slice(at, at + 100);
    try {
      found.push(...(await ask(some)));
    } catch (error) {
      if (nameOf(error) !== 'RepositoryNotFoundException') throw error;
      for (const name of some)
        try {
          found.push(...(some.length > 1 ? await ask([name]) : []));
          if (some.length === 1) gone.push(name);
        } catch (single) {
          if (!(single instanceof CollectError) || nameOf(single) !== 'RepositoryNotFoundException')
            throw single;
          gone.push(name);
        }
    }
  }
  return { found, gone };
}

/** Settings that the listing tells; others would be a call each. */
export function practicesOf(
  given: Repository,
  scanning: Scanning,
  words: Words,
): Partial<Record<Practice, boolean>> {
  const { imageTagMutability, imageScanningConfiguration, encryptionConfiguration } = given;
  const practices: Partial<Record<Practice, boolean>> = {};
  // As long as some tags may move, a tag does not say what one gets.
  if (imageTagMutability === 'IMMUTABLE') practices.immutable_tags = true;
  else if (/^(MUTABLE|(IM)?MUTABLE_WITH_EXCLUSION)$/.test(imageTagMutability ?? ''))
    practices.immutable_tags = false;
  else if (imageTagMutability) words.unknown('imageTagMutability', imageTagMutability);

  const type = encryptionConfiguration?.encryptionType;
  if (type === 'KMS' || type === 'KMS_DSSE') practices.customer_managed_key = true;
  else if (type === 'AES256') practices.customer_managed_key = false;
  else if (type) words.unknown('encryptionType', type);

  // Enhanced scanning goes by the registry's rules alone.
  const own = scanning.type === 'ENHANCED' ? undefined : imageScanningConfiguration?.scanOnPush;
  const byRule = scanning.scansOnPush(given.repositoryName);
  const scans = own === true || byRule === true ? true : byRule;
  if (scans !== undefined) practices.scan_on_push = scans;
  return practices;
}

/** How many manifests the fullest repository holds, whatever they are: there is a quota for that. */
export interface Fullest {
  count(repository: string, images: number): void;
  /** It counts as it was when it was last read. */
  failed(repository: string): void;
  /** Undefined: one of them was never read. */
  images(): number | undefined;
}

export function createFullest({ session }: Pick<CollectContext, 'session'>): Fullest {
  const last = session.keep('images of repositories', () => ({ counts: new Map<string, number>() }));
  const counts = new Map<string, number>();
  let isKnown = true;
  return {
    count: (repository, images) => void counts.set(repository, images),
    failed(repository) {
      const before = last.counts.get(repository);
      if (before === undefined) isKnown = false;
      else counts.set(repository, before);
    },
    images() {
      last.counts = counts;
      let most = 0;
      for (const images of counts.values()) most = Math.max(most, images);
      return isKnown ? most : undefined;
    },
  };
}
