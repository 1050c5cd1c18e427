import { z } from 'zod';
import { CollectError } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import { optional, text } from '../../wire.ts';
import { parsed } from './answers.ts';
import type { Aws } from './client.ts';

/** How the account scans images. */
export interface Scanning {
  readonly account: string | undefined;
  /** Undefined where it could not be read. */
  readonly type: 'BASIC' | 'ENHANCED' | undefined;
  /**
   * Of basic scanning: whether results are in `DescribeImages` (the classic scanner) or have to be asked for image by
   * image (AWS's own). Undefined where that could not be read.
   */
  readonly native?: boolean | undefined;
  /** Whether images of a repository are scanned when they are pushed, by the registry's rules; undefined: unknown. */
  scansOnPush(repository: string): boolean | undefined;
}

const configuration = z.object({
  registryId: optional('registryId', text),
  scanningConfiguration: z.object({
    scanType: optional('scanType', text),
    // As a whole: with one odd rule it is unknown what the rules cover.
    rules: optional(
      'rules',
      z
        .array(
          z.object({
            scanFrequency: text,
            repositoryFilters: z.array(z.object({ filter: text })).max(1_000),
          }),
        )
        .max(1_000),
    ),
  }),
});

const setting = z.object({ value: text });

/**
 * A filter without `*` is contained in the name, one with `*` fits the whole of it:
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-filters.html
 */
export function fits(filter: string, repository: string): boolean {
  if (!filter.includes('*')) return repository.includes(filter);
  const [first = '', ...others] = filter.split('*');
  const last = others.pop() ?? '';
  if (!repository.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const index = repository.indexOf(part, at);
    if (index < 0) return false;
    at = index + part.length;
  }
  return repository.length - last.length >= at && repository.endsWith(last);
}

/** After so long it is asked again which basic scanner is at work, where that could not be read. */
const askAgainSeconds = 3600;

/** Which basic scanner is at work; undefined where that cannot be read, as from most stand-ins for AWS. */
async function isNative(
  aws: Aws,
  context: CollectContext,
  account: string | undefined,
): Promise<boolean | undefined> {
  const { memory, now, log, signal } = context;
  const key = `unknown basic scanner ${await aws.region()} ${account ?? '?'}`;
  const failed = memory.get(key);
  if (failed && now() - failed.storedAt < askAgainSeconds) return undefined;
  try {
    const answer = await aws.ecr.getAccountSetting({ name: 'BASIC_SCAN_TYPE_VERSION' });
    return parsed(answer, setting, 'GetAccountSetting', context).value !== 'CLAIR';
  } catch (error) {
    signal.throwIfAborted();
    log.debug({ err: error }, 'which basic scanner is at work could not be read: both ways are tried');
    memory.set(key, true);
    return undefined;
  }
}

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRegistryScanningConfiguration.html */
export async function readScanning(aws: Aws, context: CollectContext): Promise<Scanning> {
  try {
    const answer = await aws.ecr.getRegistryScanningConfiguration({});
    const operation = 'GetRegistryScanningConfiguration';
    const { registryId, scanningConfiguration } = parsed(answer, configuration, operation, context);
    const { scanType, rules } = scanningConfiguration;
    const type = scanType === 'ENHANCED' || scanType === 'BASIC' ? scanType : undefined;
    if (!type)
      throw new CollectError(
        'invalid_response',
        `${operation} did not say, in a word that this version knows, how the registry scans`,
      );
    if (!rules)
      context.tell('no scanning rules', { operation }, 'an answer lacks its rules: scan_on_push is unknown');
    const onPush = rules
      ?.filter(({ scanFrequency }) => ['SCAN_ON_PUSH', 'CONTINUOUS_SCAN'].includes(scanFrequency))
      .flatMap(({ repositoryFilters }) => repositoryFilters);
    const native = type === 'BASIC' ? await isNative(aws, context, registryId) : undefined;
    return {
      account: registryId,
      type,
      native,
      scansOnPush: (repository) => onPush?.some(({ filter }) => fits(filter, repository)),
    };
  } catch (error) {
    context.signal.throwIfAborted();
    context.degraded('findings', error);
    context.degraded('practices', error);
    return { account: undefined, type: undefined, scansOnPush: () => undefined };
  }
}
