import pMap from 'p-map';
import { z } from 'zod';
import type { Replication } from '../../model.ts';
import { tellOfWord } from '../../parts.ts';
import type { CollectContext } from '../../provider.ts';
import { newestOf } from '../../times.ts';
import { count, expected, optional, text, wholeList } from '../../wire.ts';
import type { Harbor } from './client.ts';
import { moment } from './fields.ts';
import { optionalList, optionally } from './optional-parts.ts';
import { every, matchesPattern, some } from './patterns.ts';

const enabled = optional('enabled', z.boolean());
/** What a policy can select by: https://github.com/goharbor/harbor/blob/main/src/pkg/reg/model/policy.go */
const filters = wholeList(
  z.union([
    // An empty pattern takes everything.
    z.object({ type: z.literal('name'), value: z.string().max(4_096) }),
    z.object({ type: z.enum(['resource', 'tag', 'label']) }),
  ]),
);

/** A part that cannot be understood is unknown, and leaves what the others say. */
const policy = z.object({
  id: expected('id', count),
  name: expected('name', text),
  // Go leaves it out where it is false.
  enabled: z
    .unknown()
    .optional()
    .transform((value) => (value === undefined || value === null ? false : enabled.parse(value))),
  dest_registry: expected('registry', z.object({ id: expected('id', count) })),
  // A policy without filters takes everything, so filters that cannot be understood must not pass for none.
  filters: z
    .unknown()
    .optional()
    .transform((value) => filters.safeParse(value ?? []).data),
});
type Policy = z.infer<typeof policy>;

const execution = z.object({
  status: z.unknown().optional(),
  end_time: moment('end_time'),
  failed: expected('failed', count),
  succeed: expected('succeed', count),
  in_progress: expected('in_progress', count),
  stopped: expected('stopped', count),
});

export interface Replications {
  readonly replications: readonly Replication[];
  /** Whether a policy copies the repository, `project/path`, to another registry; undefined where that is unknown. */
  copies(repository: string): boolean | undefined;
}

/** Enabled policies, and how their last runs ended; after a push event the policies alone. */
export async function readReplications(
  harbor: Harbor,
  context: CollectContext,
): Promise<Replications | undefined> {
  const permission = 'replication-policy:list (system)';
  const policies = await optionalList(
    context,
    { capability: 'replication', permission, what: 'replication policies' },
    () =>
      harbor.all(
        // Harbor's own order is by the time of creation, and equal times change places between pages.
        { operation: 'replication_policies', path: '/replication/policies', query: { sort: 'id' } },
        policy,
        (policy) => policy.id ?? policy,
      ),
  );
  if (!policies) return undefined;
  const { items, missing } = policies;
  if (items.some((policy) => policy.enabled === undefined || !policy.filters || policy.id === undefined))
    context.tell(
      'replication policies',
      {},
      'parts of a replication policy could not be understood: what depends on them is unknown',
    );
  const replications = await pMap(
    context.only ? [] : items.filter((policy) => policy.enabled === true),
    async ({ id, name }) => {
      if (id === undefined || name === undefined) return [];
      const part = { capability: 'replication', permission: 'replication:list (system)' } as const;
      const runs = await optionally(context, part, () => readRuns(harbor, context, id, name));
      return [{ destination: name, ...runs }];
    },
    { concurrency: context.concurrency },
  );
  return {
    replications: replications.flat(),
    copies(repository) {
      const copied = some(items, (policy) =>
        every([policy.enabled, isPush(policy), takes(policy, repository)], (answer) => answer),
      );
      return copied === false && missing > 0 ? undefined : copied;
    },
  };
}

/** A policy either pushes to another registry or pulls from one; the registry that is Harbor itself has the id 0. */
const isPush = ({ dest_registry: to }: Policy): boolean | undefined =>
  to?.id === undefined ? undefined : to.id > 0;

/** https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-rules/ */
const takes = ({ filters }: Policy, repository: string): boolean | undefined =>
  filters && every(filters, (filter) => filter.type !== 'name' || matchesPattern(filter.value, repository));

/** https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/replication.go */
const endings: readonly unknown[] = ['Succeed', 'Failed', 'Stopped'];
const hasSucceeded = ({ status }: z.infer<typeof execution>): boolean => status === 'Succeed';

async function readRuns(
  harbor: Harbor,
  context: CollectContext,
  id: number,
  name: string,
): Promise<Omit<Replication, 'destination'>> {
  const read = (query: Record<string, string>) => {
    const all = { policy_id: String(id), sort: '-start_time', ...query };
    const question = { operation: 'replication_executions', path: '/replication/executions', query: all };
    return harbor.first(question, execution);
  };
  const runs = await read({});
  const [newest] = runs;
  if (!newest) return {};
  const ended = runs.find(({ status }) => status !== 'InProgress');
  const isKnown = endings.includes(ended?.status);
  if (ended && !isKnown) tellOfWord(context, `a status of the replication ${name}`, ended.status);
  let successes = runs.filter(hasSucceeded);
  if (successes.length === 0)
    successes = (await read({ page_size: '1', status: 'Succeed' })).filter(hasSucceeded);
  if (successes.some(({ end_time }) => end_time === undefined))
    context.tell(
      `times of ${name}`,
      { policy: name },
      'Harbor does not say when a replication that worked ended',
    );
  // A run that is going on has not failed yet, and tells how much is left; one that ended tells how it ended.
  const { failed, succeed, stopped } = ended ?? newest;
  return {
    up: ended && isKnown ? hasSucceeded(ended) : undefined,
    pendingImages: newest.in_progress,
    failedImages: failed,
    succeededImages: succeed,
    stoppedImages: stopped,
    lastSuccessAt: newestOf(successes.map(({ end_time }) => end_time)),
  };
}
