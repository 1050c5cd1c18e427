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

/** The repositories to read, as they are found. */
export interface Listing {
  /** Where all repositories are listed: the first of them. Nothing else is asked of a registry that does not list them. */
  readonly first: Repository | undefined;
  /** Names that were asked for and do not exist. */
  readonly gone: readonly string[];
  /** Repositories so far, whether the configuration asks for them or not, and entries that could not be understood. */
  readonly counts: { listed: number; odd: number };
  /** The names of those that the configuration asks for. */
  names(): AsyncGenerator<string>;
  /** What the listing says of a repository; it is handed over once. */
  take(name: string): Repository;
}

/**
 * Lists all repositories, or finds those that `context.only` names.
 * @throws CollectError where the first page cannot be read
 */
export async function openListing(aws: Aws, context: CollectContext): Promise<Listing> {
  const counts = { listed: 0, odd: 0 };
  const leftOut = (entries: number) => {
    counts.odd += entries;
  };
  const wanted = context.only?.filter((name) => context.wants(name));
  const named = wanted && (await findRepositories(aws, context, wanted));
  const rows = named
    ? named.found[Symbol.iterator]()
    : rowsOf({
        operation,
        field,
        row: repository,
        context,
        leftOut,
        ask: (nextToken) => aws.ecr.describeRepositories({ maxResults: 1000, nextToken }),
      });
  const first = await rows.next();
  const waiting = new Map<string, Repository>();
  return {
    first: first.done ? undefined : first.value,
    gone: named?.gone ?? [],
    counts,
    async *names() {
      const seen = new Set<string>();
      for (let next = first; !next.done; next = await rows.next()) {
        const { repositoryName } = next.value;
        if (seen.has(repositoryName)) continue;
        seen.add(repositoryName);
        counts.listed += 1;
        if (!context.wants(repositoryName)) continue;
        waiting.set(repositoryName, next.value);
        yield repositoryName;
      }
    },
    take(name) {
      const row = waiting.get(name) as Repository;
      waiting.delete(name);
      return row;
    },
  };
}

/** As many names as one call takes. */
const namesAtOnce = 100;

/** Finds repositories by their names. */
async function findRepositories(aws: Aws, context: CollectContext, names: readonly string[]) {
  const repositories: Repository[] = [];
  const gone: string[] = [];
  async function find(repositoryNames: string[]): Promise<void> {
    try {
      const ask = () => aws.ecr.describeRepositories({ repositoryNames });
      for await (const row of rowsOf({ operation, field, row: repository, context, ask }))
        repositories.push(row);
    } catch (error) {
      if (nameOf(error) !== 'RepositoryNotFoundException') throw error;
      // One that does not exist makes the call fail for all of them.
      if (repositoryNames.length > 1) for (const name of repositoryNames) await find([name]);
      else gone.push(...repositoryNames);
    }
  }
  for (let at = 0; at < names.length; at += namesAtOnce) await find(names.slice(at, at + namesAtOnce));
  return { found: repositories, gone };
}

/** Settings that the listing shows; others would be a call each. */
export function practicesOf(
  row: Repository,
  scanning: Scanning,
  words: Words,
): Partial<Record<Practice, boolean>> {
  const { imageTagMutability, imageScanningConfiguration, encryptionConfiguration } = row;
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
  const byRule = scanning.scansOnPush(row.repositoryName);
  const scans = own === true || byRule === true ? true : byRule;
  if (scans !== undefined) practices.scan_on_push = scans;
  return practices;
}
