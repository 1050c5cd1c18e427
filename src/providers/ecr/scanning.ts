import { z } from 'zod';
import type { CollectContext } from '../../provider.ts';
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
  readonly native?: boolean;
  /** Whether images of a repository are scanned when they are pushed, by the registry's rules; undefined: unknown. */
  scansOnPush(repository: string): boolean | undefined;
}

const configuration = z.object({
  registryId: z.string().nullish(),
  scanningConfiguration: z.object({
    scanType: z.string().nullish(),
    rules: z
      .array(
        z.object({
          scanFrequency: z.string(),
          repositoryFilters: z.array(z.object({ filter: z.string() })).nullish(),
        }),
      )
      .nullish(),
  }),
});

const setting = z.object({ value: z.string() });

/**
 * A filter without `*` is contained in the name, one with `*` fits the whole of it:
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-filters.html
 */
export function fits(filter: string, repository: string): boolean {
  if (!filter.includes('*')) return repository.includes(filter);
  const escaped = filter.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.*')}$`).test(repository);
}

async function isNative(aws: Aws, context: CollectContext): Promise<boolean | undefined> {
  const { GetAccountSettingCommand } = await import('@aws-sdk/client-ecr');
  const operation = 'GetAccountSetting';
  try {
    const answer = await aws.ecr.ask(
      () => new GetAccountSettingCommand({ name: 'BASIC_SCAN_TYPE_VERSION' }),
      operation,
    );
    return parsed(answer, setting, operation).value !== 'CLAIR';
  } catch (error) {
    context.signal.throwIfAborted();
    // Only tells whether some calls can be spared: nothing is missing without it.
    context.log.debug(
      { err: error },
      'which basic scanner is at work could not be read: both ways are tried',
    );
    return undefined;
  }
}

/** https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRegistryScanningConfiguration.html */
export async function readScanning(aws: Aws, context: CollectContext): Promise<Scanning> {
  const { GetRegistryScanningConfigurationCommand } = await import('@aws-sdk/client-ecr');
  const operation = 'GetRegistryScanningConfiguration';
  try {
    const answer = await aws.ecr.ask(() => new GetRegistryScanningConfigurationCommand({}), operation);
    const { registryId, scanningConfiguration } = parsed(answer, configuration, operation);
    const { scanType, rules } = scanningConfiguration;
    const onPush = (rules ?? [])
      .filter(({ scanFrequency }) => ['SCAN_ON_PUSH', 'CONTINUOUS_SCAN'].includes(scanFrequency))
      .flatMap(({ repositoryFilters }) => repositoryFilters ?? []);
    // Basic is what a registry has where nothing was configured.
    const type = scanType === 'ENHANCED' ? 'ENHANCED' : 'BASIC';
    const native = type === 'BASIC' ? await isNative(aws, context) : undefined;
    return {
      account: registryId ?? undefined,
      type,
      ...(native !== undefined && { native }),
      scansOnPush: (repository) => onPush.some(({ filter }) => fits(filter, repository)),
    };
  } catch (error) {
    context.signal.throwIfAborted();
    context.degraded('findings', error);
    context.degraded('practices', error);
    return { account: undefined, type: undefined, scansOnPush: () => undefined };
  }
}
