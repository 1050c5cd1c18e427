import { z } from 'zod';
import type { Practice } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { optional, text } from '../../wire.ts';
import { rowsOf } from './answers.ts';
import type { Aws } from './client.ts';
import { nameOf } from './errors.ts';
import type { Scanning } from './scanning.ts';
import type { Words } from './words.ts';

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_Repository.html */
const repository = z.object({
  repositoryName: text,
  registryId: optional('registryId', text),
  repositoryUri: optional('repositoryUri', text),
  imageTagMutability: optional('imageTagMutability', text),
  imageScanningConfiguration: optional(
    'imageScanningConfiguration',
    z.object({ scanOnPush: optional('scanOnPush', z.boolean()) }),
  ),
  encryptionConfiguration: optional(
    'encryptionConfiguration',
    z.object({ encryptionType: optional('encryptionType', text) }),
  ),
});
export type Repository = z.infer<typeof repository>;

const operation = 'DescribeRepositories';
const field = 'repositories';

/**
 * All repositories; each once.
 * @param leftOut told of entries that are no repositories that can be read, since they lack a name for example
 */
export async function* listRepositories(
  aws: Aws,
  context: CollectContext,
  leftOut: (entries: number) => void,
): AsyncGenerator<Repository> {
  const { paginateDescribeRepositories } = await import('@aws-sdk/client-ecr');
  const names = new Set<string>();
  const pages = paginateDescribeRepositories({ client: aws.ecr, pageSize: 1000 }, {});
  for await (const row of rowsOf(pages, { operation, field, row: repository, context, leftOut })) {
    if (names.has(row.repositoryName)) continue;
    names.add(row.repositoryName);
    yield row;
  }
}

/** Repositories by their names; of those that do not exist, the names. */
export async function findRepositories(
  aws: Aws,
  context: CollectContext,
  names: readonly string[],
): Promise<{ readonly found: readonly Repository[]; readonly gone: readonly string[] }> {
  const { DescribeRepositoriesCommand } = await import('@aws-sdk/client-ecr');
  const found: Repository[] = [];
  const gone: string[] = [];
  async function ask(repositoryNames: string[]): Promise<void> {
    try {
      const answer = await aws.ecr.send(new DescribeRepositoriesCommand({ repositoryNames }));
      const page = (async function* () {
        yield answer;
      })();
      for await (const row of rowsOf(page, { operation, field, row: repository, context })) found.push(row);
    } catch (error) {
      if (nameOf(error) !== 'RepositoryNotFoundException') throw error;
      // One that does not exist refuses all of them.
      if (repositoryNames.length > 1) for (const name of repositoryNames) await ask([name]);
      else gone.push(...repositoryNames);
    }
  }
  // A hundred at once.
  for (let at = 0; at < names.length; at += 100) await ask(names.slice(at, at + 100));
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
  else words.unknown('imageTagMutability', imageTagMutability);

  const type = encryptionConfiguration?.encryptionType;
  if (type === 'KMS' || type === 'KMS_DSSE') practices.customer_managed_key = true;
  else if (type === 'AES256') practices.customer_managed_key = false;
  else words.unknown('encryptionType', type);

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
