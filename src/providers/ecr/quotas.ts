import { z } from 'zod';
import type { CollectContext } from '../../provider.ts';
import { createTokenGuard, parsed } from './answers.ts';
import type { Aws } from './client.ts';

export interface Limits {
  readonly repositories: number;
  readonly imagesPerRepository: number;
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html */
const documented: Limits = { repositories: 100_000, imagesPerRepository: 100_000 };
const codes = { repositories: 'L-CFEB8E8D', imagesPerRepository: 'L-03A36CE1' } as const;

const response = z.object({
  Quotas: z.array(z.object({ QuotaCode: z.string().nullish(), Value: z.number().nullish() })),
  NextToken: z.string().nullish(),
});

/** An account's own limits change when somebody asks AWS for it: looking once an hour is enough. */
const rememberedSeconds = 3600;

/** The account's limits: its own where they may be read, else what AWS gives everybody. */
export async function readLimits(aws: Aws, context: CollectContext): Promise<Limits> {
  const key = 'limits';
  const known = context.memory.get<Limits>(key);
  if (known && context.now() - known.storedAt < rememberedSeconds) return known.value;
  const { ListServiceQuotasCommand } = await import('@aws-sdk/client-service-quotas');
  const operation = 'ListServiceQuotas';
  try {
    const values = new Map<string, number>();
    const guard = createTokenGuard(operation);
    for (let NextToken: string | undefined; ; ) {
      const answer = await aws.quotas.ask(
        () =>
          new ListServiceQuotasCommand({
            ServiceCode: 'ecr',
            MaxResults: 100,
            ...(NextToken !== undefined && { NextToken }),
          }),
        operation,
      );
      const page = parsed(answer, response, operation);
      for (const { QuotaCode, Value } of page.Quotas) if (QuotaCode && Value) values.set(QuotaCode, Value);
      if (!page.NextToken) break;
      guard(page.NextToken);
      NextToken = page.NextToken;
    }
    const limits: Limits = {
      repositories: values.get(codes.repositories) ?? documented.repositories,
      imagesPerRepository: values.get(codes.imagesPerRepository) ?? documented.imagesPerRepository,
    };
    context.memory.set(key, limits);
    return limits;
  } catch (error) {
    context.signal.throwIfAborted();
    context.degraded('quotas', error);
    return documented;
  }
}
