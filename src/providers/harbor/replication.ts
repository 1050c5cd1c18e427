import pMap from 'p-map';
import { z } from 'zod';
import type { Replication } from '../../model.ts';
import type { CollectContext } from '../../provider.ts';
import { count, expected, optional, text, wholeList } from '../../wire.ts';
import type { Harbor } from './client.ts';
import { moment } from './fields.ts';
import { every, matchesPattern, some } from './patterns.ts';
import { optionalList, optional as optionally } from './permissions.ts';
import { latestOf } from './time.ts';
import { tellOfWord } from './words.ts';

const remote = expected('registry', z.object({ id: expected('id', count) }));

const flag = optional('enabled', z.boolean());
/** What a policy can select by: https://github.com/goharbor/harbor/blob/main/src/pkg/reg/model/policy.go */
const filters = wholeList(
  z.union([
    // An empty one takes everything.
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
    .transform((value) => (value === undefined || value === null ? false : flag.parse(value))),
  dest_registry: remote,
  // Without filters everything is taken, which must not come of what cannot be read.
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
  /** Whether something copies the repository, `project/path`, to another registry; undefined where that is unknown. */
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
        // Harbor's own order is by the time of creation, and equal ones change places between pages.
        { operation: 'replication_policies', path: '/replication/policies', query: { sort: 'id' } },
        policy,
        (one) => one.id ?? one,
      ),
  );
  if (!policies) return undefined;
  const { items, missing } = policies;
  if (items.some((one) => one.enabled === undefined || !one.filters || one.id === undefined))
    context.tell(
      'replication policies',
      {},
      'parts of a replication policy could not be understood: what depends on them is unknown',
    );
  const replications = await pMap(
    context.only ? [] : items.filter((one) => one.enabled === true),
    async ({ id, name }) => {
      if (id === undefined || name === undefined) return [];
      const part = { capability: 'replication', permission: 'replication:list (system)' } as const;
      const runs = await optionally(context, part, () => readRuns(harbor, context, { id, name }));
      return [{ destination: name, ...runs }];
    },
    { concurrency: context.concurrency },
  );
  return {
    replications: replications.flat(),
    copies(repository) {
      const found = some(items, (one) =>
        every([one.enabled, isPush(one), takes(one, repository)], (is) => is),
      );
      return found === false && missing > 0 ? undefined : found;
    },
  };
}

/** A policy either pushes to another registry or pulls from one; the registry that is Harbor itself has the id 0. */
const isPush = ({ dest_registry: to }: Policy): boolean | undefined =>
  to?.id === undefined ? undefined : to.id > 0;

/** https://goharbor.io/docs/latest/administration/configuring-replication/create-replication-rules/ */
const takes = ({ filters: given }: Policy, repository: string): boolean | undefined =>
  given && every(given, (one) => one.type !== 'name' || matchesPattern(one.value, repository));

/** https://github.com/goharbor/harbor/blob/main/src/server/v2.0/handler/replication.go */
const endings: readonly unknown[] = ['Succeed', 'Failed', 'Stopped'];

async function readRuns(
  harbor: Harbor,
  context: CollectContext,
  one: { readonly id: number; readonly name: string },
): Promise<Omit<Replication, 'destination'>> {
  const read = (query: Record<string, string>) =>
    harbor.first(
      {
        operation: 'replication_executions',
        path: '/replication/executions',
        query: { policy_id: String(one.id), sort: '-start_time', ...query },
      },
      execution,
    );
  const runs = await read({});
  const [newest] = runs;
  if (!newest) return {};
  const ended = runs.find(({ status }) => status !== 'InProgress');
  if (ended && !endings.includes(ended.status))
    tellOfWord(context, `a status of the replication ${one.name}`, ended.status);
  const worked = runs.filter(({ status }) => status === 'Succeed');
  if (worked.length === 0) worked.push(...(await read({ page_size: '1', status: 'Succeed' })));
  const lastSuccessAt = latestOf(
    worked.filter(({ status }) => status === 'Succeed').map(({ end_time }) => end_time),
  );
  if (worked.some(({ status, end_time }) => status === 'Succeed' && end_time === undefined))
    context.tell(
      `times of ${one.name}`,
      { policy: one.name },
      'Harbor does not say when a replication that worked ended',
    );
  // What is still going on has not failed yet, and tells how much is left; what ended tells how it ended.
  const told = ended ?? newest;
  const known = (count: number | undefined, name: string) => (count === undefined ? {} : { [name]: count });
  return {
    ...(ended && endings.includes(ended.status) && { up: ended.status === 'Succeed' }),
    ...known(newest.in_progress, 'pendingImages'),
    ...known(told.failed, 'failedImages'),
    ...known(told.succeed, 'succeededImages'),
    ...known(told.stopped, 'stoppedImages'),
    lastSuccessAt,
  };
}
