import pMap from 'p-map';
import { z } from 'zod';
import type { Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import type { Harbor } from './client.ts';
import { matchesPattern } from './patterns.ts';
import { optional } from './permissions.ts';
import { latestOf, timeOf } from './time.ts';

const remote = z.object({ id: z.number().nullish(), name: z.string().nullish() }).nullish();

const policy = z.object({
  id: z.number(),
  name: z.string(),
  enabled: z.boolean().nullish(),
  src_registry: remote,
  dest_registry: remote,
  filters: z
    .array(z.object({ type: z.string().nullish(), value: z.unknown(), decoration: z.string().nullish() }))
    .nullish(),
});
type Policy = z.infer<typeof policy>;

const execution = z.object({
  id: z.number().nullish(),
  status: z.string().nullish(),
  start_time: z.string().nullish(),
  end_time: z.string().nullish(),
  failed: z.number().nullish(),
  succeed: z.number().nullish(),
  in_progress: z.number().nullish(),
  stopped: z.number().nullish(),
});
type Execution = z.infer<typeof execution>;

export interface Replications {
  readonly replications: readonly Replication[];
  /** Whether something copies the repository, `project/path`, to another registry. */
  copies(repository: string): boolean;
}

/** Enabled policies, and how their last runs ended; after a push event the policies alone. */
export async function readReplications(
  harbor: Harbor,
  context: CollectContext,
): Promise<Replications | undefined> {
  const policies = await optional(
    context,
    { capability: 'replication', permission: 'replication-policy:list (system)' },
    () =>
      harbor.all(
        { operation: 'replication_policies', path: '/replication/policies' },
        policy,
        ({ id }) => id,
      ),
  );
  if (!policies) return undefined;
  const enabled = policies.filter((one) => one.enabled !== false);
  const replications = await pMap(
    context.only ? [] : enabled,
    async (one) => {
      const part = { capability: 'replication', permission: 'replication:list (system)' } as const;
      const runs = await optional(context, part, () => readRuns(harbor, one));
      return { destination: one.name, ...runs };
    },
    { concurrency: context.concurrency },
  );
  return {
    replications,
    copies: (repository) => enabled.some((one) => isPush(one) && takes(one, repository)),
  };
}

/** A policy either pushes to another registry or pulls from one; the registry that is Harbor itself has the id 0. */
const isPush = ({ dest_registry: to }: Policy): boolean => Boolean(to?.id);

/** https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-rules/ */
const takes = ({ filters }: Policy, repository: string): boolean =>
  (filters ?? [])
    .filter(({ type }) => type === 'name')
    .every(({ value }) => matchesPattern(typeof value === 'string' ? value : undefined, repository));

async function readRuns(harbor: Harbor, one: Policy): Promise<Omit<Replication, 'destination'>> {
  const read = (query: Record<string, string>) =>
    harbor.get(
      {
        operation: 'replication_executions',
        path: '/replication/executions',
        query: { policy_id: String(one.id), sort: '-start_time', page: '1', ...query },
      },
      z.array(execution),
    );
  const byStart = (a: Execution, b: Execution) => (timeOf(b.start_time) ?? 0) - (timeOf(a.start_time) ?? 0);
  const runs = (await read({ page_size: '10' })).toSorted(byStart);
  const [newest] = runs;
  if (!newest) return {};
  const ended = runs.find(({ status }) => status !== 'InProgress');
  const worked = runs.filter(({ status }) => status === 'Succeed');
  if (worked.length === 0) worked.push(...(await read({ page_size: '1', status: 'Succeed' })));
  const lastSuccessAt = latestOf(
    worked.filter(({ status }) => status === 'Succeed').map(({ end_time }) => timeOf(end_time)),
  );
  // What is still going on has not failed yet, and tells how much is left; what ended tells how it ended.
  const told = ended ?? newest;
  const known = (count: number | null | undefined, name: string) =>
    typeof count === 'number' ? { [name]: count } : {};
  return {
    ...(ended && { up: ended.status === 'Succeed' }),
    ...known(newest.in_progress, 'pendingImages'),
    ...known(told.failed, 'failedImages'),
    ...known(told.succeed, 'succeededImages'),
    ...known(told.stopped, 'stoppedImages'),
    ...(lastSuccessAt !== undefined && { lastSuccessAt }),
  };
}
