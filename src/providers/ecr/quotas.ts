import { z } from 'zod';
import { type FailureReason, reasonOf } from '../../errors.ts';
import type { CollectContext } from '../../provider.ts';
import { count, optional, text } from '../../wire.ts';
import { rowsOf } from './answers.ts';
import type { Aws } from './client.ts';

/** The account's limits. */
export interface Limits {
  readonly repositories?: number | undefined;
  readonly imagesPerRepository?: number | undefined;
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html */
const codes = { repositories: 'L-CFEB8E8D', imagesPerRepository: 'L-03A36CE1' } as const;

const quota = z.object({ QuotaCode: optional('QuotaCode', text), Value: optional('Value', count) });

/** That Service Quotas did not answer, as in a network that reaches ECR by a VPC endpoint alone. */
interface Unanswered {
  error?: unknown;
  /** Unix seconds. */
  at?: number;
}

/** A poll would wait each time, and its data come that much later. */
const costsTime = new Set<FailureReason>(['connect', 'timeout', 'throttled']);

/** An account's limits change when somebody asks AWS for it: reading them once an hour is enough. */
const rememberedSeconds = 3600;

/** Asks Service Quotas; limits that it does not list are absent. */
async function askForLimits(aws: Aws, context: CollectContext): Promise<Limits> {
  const operation = 'ListServiceQuotas';
  const values = new Map<string, number>();
  for await (const { QuotaCode, Value } of rowsOf({
    operation,
    field: 'Quotas',
    row: quota,
    context,
    tokenField: 'NextToken',
    ask: (NextToken) => aws.quotas.listServiceQuotas({ ServiceCode: 'ecr', MaxResults: 100, NextToken }),
  }))
    if (QuotaCode && Value) values.set(QuotaCode, Value);
  const limits: Limits = {
    repositories: values.get(codes.repositories),
    imagesPerRepository: values.get(codes.imagesPerRepository),
  };
  if (!limits.repositories || !limits.imagesPerRepository)
    context.tell(
      'limits that are not listed',
      { operation, found: values.size },
      'Service Quotas does not list all limits of ECR: the missing ones are unknown',
    );
  return limits;
}

/**
 * Reads the account's limits from Service Quotas. AWS's published defaults do not take their place: only the account
 * knows whether its limits were raised.
 * @param registry identifies the registry whose limits they are
 */
export async function readLimits(aws: Aws, context: CollectContext, registry: string): Promise<Limits> {
  const { memory, session, now, signal, degraded } = context;
  const key = `limits ${registry}`;
  const remembered = memory.get<Limits>(key);
  if (remembered && now() - remembered.storedAt < rememberedSeconds) return remembered.value;
  const unanswered = session.keep(`unanswered ${key}`, (): Unanswered => ({}));
  try {
    if (unanswered.error && now() - (unanswered.at ?? 0) < rememberedSeconds) throw unanswered.error;
    const limits = await askForLimits(aws, context);
    if (limits.repositories && limits.imagesPerRepository) memory.set(key, limits);
    return limits;
  } catch (error) {
    signal.throwIfAborted();
    degraded('quotas', error);
    if (error !== unanswered.error && costsTime.has(reasonOf(error)))
      Object.assign(unanswered, { error, at: now() });
    return remembered?.value ?? {};
  }
}

/** How many manifests the fullest repository holds, of whatever kind: there is a quota for that. */
export interface Fullest {
  count(repository: string, images: number): void;
  /** Takes the count of when the repository was last read. */
  failed(repository: string): void;
  /** Undefined where one of them was never read. */
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
      const fullest = counts.values().reduce((most, images) => Math.max(most, images), 0);
      return isKnown ? fullest : undefined;
    },
  };
}
