import { z } from 'zod';
import type { CollectContext } from '../../provider.ts';
import { count, optional, text } from '../../wire.ts';
import { rowsOf } from './answers.ts';
import type { Aws } from './client.ts';

export interface Limits {
  readonly repositories?: number;
  readonly imagesPerRepository?: number;
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html */
const codes = { repositories: 'L-CFEB8E8D', imagesPerRepository: 'L-03A36CE1' } as const;

const quota = z.object({ QuotaCode: optional('QuotaCode', text), Value: optional('Value', count) });

/** An account's own limits change when somebody asks AWS for it: looking once an hour is enough. */
const rememberedSeconds = 3600;

/**
 * The account's limits. What AWS gives everybody is no answer: nobody but the account knows whether it was raised.
 * @param registry whose limits they are
 */
export async function readLimits(aws: Aws, context: CollectContext, registry: string): Promise<Limits> {
  const key = `limits ${registry}`;
  const known = context.memory.get<Limits>(key);
  if (known && context.now() - known.storedAt < rememberedSeconds) return known.value;
  const { paginateListServiceQuotas } = await import('@aws-sdk/client-service-quotas');
  const operation = 'ListServiceQuotas';
  try {
    const values = new Map<string, number>();
    const pages = paginateListServiceQuotas({ client: aws.quotas, pageSize: 100 }, { ServiceCode: 'ecr' });
    const rows = { operation, field: 'Quotas', row: quota, context, tokenField: 'NextToken' };
    for await (const { QuotaCode, Value } of rowsOf(pages, rows))
      if (QuotaCode && Value) values.set(QuotaCode, Value);
    const [repositories, imagesPerRepository] = [
      values.get(codes.repositories),
      values.get(codes.imagesPerRepository),
    ];
    const limits: Limits = {
      repositories,
      imagesPerRepository,
    };
    if (repositories !== undefined && imagesPerRepository !== undefined) context.memory.set(key, limits);
    else
      context.tell(
        'limits that are not listed',
        { operation, found: values.size },
        'Service Quotas did not tell all limits of ECR: those that lack are unknown',
      );
    return limits;
  } catch (error) {
    context.signal.throwIfAborted();
    context.degraded('quotas', error);
    return known?.value ?? {};
  }
}
